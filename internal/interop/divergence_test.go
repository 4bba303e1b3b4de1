package interop_test

import (
	"bytes"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A divergence is a class of bytes that the official library accepts and gembok
// refuses. No honest peer sends any of them.
type divergence struct {
	what   string
	reason string
	kinds  []interop.Kind
	err    error
	is     func(kind interop.Kind, in []byte) bool
	// example is one such input of a kind.
	example func(t *testing.T, kind interop.Kind) []byte
}

var divergences = []divergence{
	{
		what:   "EC key with bytes behind it",
		reason: "a key has one encoding; the official library drops what follows the 33 bytes",
		kinds: []interop.Kind{interop.KindPublicKey, interop.KindIdentityKeyPair, interop.KindSignalMessage,
			interop.KindPreKeySignalMessage, interop.KindDecryptionErrorMessage,
			interop.KindServerCertificate, interop.KindSenderCertificate, interop.KindSealedContent},
		err: keys.ErrKey,
		is:  func(kind interop.Kind, in []byte) bool { return slices.ContainsFunc(ecKeysIn(kind, in), tooLong) },
		example: func(t *testing.T, kind interop.Kind) []byte {
			return exampleWithKey(t, kind, append(keys.GeneratePrivateKey().PublicKey().Bytes(), 0))
		},
	},
	{
		what:   "key of a server that is of small order or not canonical",
		reason: "a key that only verifies has one encoding, and one nobody can sign with proves nothing",
		kinds:  []interop.Kind{interop.KindServerCertificate, interop.KindSenderCertificate, interop.KindSealedContent},
		err:    keys.ErrKey,
		is: func(kind interop.Kind, in []byte) bool {
			all := ecKeysIn(kind, in)
			if len(all) == 0 {
				return false
			}
			key := all[len(all)-1]
			return len(key) >= 33 && key[0] == 5 && second(keys.ParseVerifyKey(key[:33])) != nil
		},
		example: func(t *testing.T, kind interop.Kind) []byte {
			return sealedExample(kind, append([]byte{5}, make([]byte, 32)...))
		},
	},
	{
		what:   "KEM public key with a coefficient of q or more",
		reason: "the modulus check of FIPS 203, Section 7.2, is made on every KEM key",
		kinds:  []interop.Kind{interop.KindKEMPublicKey},
		err:    keys.ErrKey,
		is:     func(_ interop.Kind, in []byte) bool { return len(in) == 1569 && in[0] == 8 && !reduced(in[1:1537]) },
		example: func(t *testing.T, _ interop.Kind) []byte {
			b := keys.GenerateKEMPrivateKey().Public().Bytes()
			b[1], b[2] = 0x01, b[2]&0xf0|0x0d // the first coefficient is 3329
			return b
		},
	},
	{
		what:   "KEM private key whose hash is not that of the public key in it",
		reason: "the checks of FIPS 203, Section 7.3: a damaged key would fail silently later",
		kinds:  []interop.Kind{interop.KindKEMSecretKey},
		err:    keys.ErrKey,
		is:     func(_ interop.Kind, in []byte) bool { return len(in) == 3169 && in[0] == 8 },
		example: func(t *testing.T, _ interop.Kind) []byte {
			b := keys.GenerateKEMPrivateKey().Bytes()
			b[1+1536+1568] ^= 1
			return b
		},
	},
	{
		what:   "PlaintextContent that is not a DecryptionErrorMessage and padding",
		reason: "anyone could have written the rest; the official library looks at the first byte only and leaves it to the app",
		kinds:  []interop.Kind{interop.KindPlaintextContent},
		err:    wire.ErrMalformed,
		is:     func(_ interop.Kind, in []byte) bool { return len(in) > 0 && in[0] == 0xC0 },
		example: func(t *testing.T, _ interop.Kind) []byte {
			return []byte{0xC0, 0x0A, 0x00, 0x80}
		},
	},
	{
		what:   "message or record beyond its limit",
		reason: "what a peer can make us read has a maximum",
		kinds: []interop.Kind{interop.KindDecryptionErrorMessage, interop.KindPlaintextContent,
			interop.KindPreKeyRecord, interop.KindSignedPreKeyRecord, interop.KindIdentityKeyPair, interop.KindSenderKeyDistribution,
			interop.KindServerCertificate, interop.KindSenderCertificate},
		err: wire.ErrTooLarge,
		is:  func(kind interop.Kind, in []byte) bool { return len(in) > limitOf(kind) },
		example: func(t *testing.T, kind interop.Kind) []byte {
			b := exampleWithKey(t, kind, keys.GeneratePrivateKey().PublicKey().Bytes())
			pad := make([]byte, limitOf(kind))
			return append(append(append(b, 0xfa, 0x06), varint(uint64(len(pad)), 0)...), pad...) // field 111
		},
	},
}

// divergenceOf returns the divergence that in belongs to, nil if there is none.
func divergenceOf(kind interop.Kind, in []byte) *divergence {
	for i := len(divergences) - 1; i >= 0; i-- {
		if d := &divergences[i]; slices.Contains(d.kinds, kind) && d.is(kind, in) {
			return d
		}
	}
	return nil
}

// Each divergence is one: the official library accepts the example, gembok
// refuses it with the error stated.
func TestInteropDivergences(t *testing.T) {
	p := interop.Start(t)
	for _, d := range divergences {
		require.NotEmpty(t, d.reason)
		for _, kind := range d.kinds {
			in := d.example(t, kind)
			_, err := p.Parse(kind, in)
			require.NoError(t, err, "%s: %s", d.what, kind)
			_, err = codecOf(kind).parse(in)
			require.ErrorIs(t, err, d.err, "%s: %s", d.what, kind)
		}
	}
}

func tooLong(key []byte) bool { return len(key) > 33 && key[0] == 5 }

// ecKeysIn returns the EC public keys of a message or record that parses.
func ecKeysIn(kind interop.Kind, in []byte) [][]byte {
	switch kind {
	case interop.KindPublicKey:
		return [][]byte{in}
	case interop.KindIdentityKeyPair:
		rec, _ := wire.ParseIdentityKeyPairRecord(in)
		return [][]byte{rec.Public}
	case interop.KindSignalMessage:
		m, _ := wire.ParseSignalMessage(in)
		return [][]byte{m.RatchetKey}
	case interop.KindPreKeySignalMessage:
		m, _ := wire.ParsePreKeySignalMessage(in)
		return [][]byte{m.BaseKey, m.IdentityKey, m.Message.RatchetKey}
	case interop.KindDecryptionErrorMessage:
		m, _ := wire.ParseDecryptionErrorMessage(in)
		return [][]byte{m.RatchetKey}
	case interop.KindServerCertificate:
		outer, _ := wire.ParseCertificate(in)
		server, _ := wire.ParseServerCertificate(outer.Body)
		return [][]byte{server.Key}
	case interop.KindSenderCertificate:
		outer, _ := wire.ParseCertificate(in)
		c, _ := wire.ParseSenderCertificate(outer.Body)
		if c.Server == nil {
			return [][]byte{c.Identity}
		}
		return append([][]byte{c.Identity}, ecKeysIn(interop.KindServerCertificate, c.Server)...)
	case interop.KindSealedContent:
		c, _ := wire.ParseSealedContent(in)
		return ecKeysIn(interop.KindSenderCertificate, c.Certificate)
	}
	return nil
}

// exampleWithKey returns an input of a kind with that EC public key in it.
func exampleWithKey(t *testing.T, kind interop.Kind, key []byte) []byte {
	good := keys.GeneratePrivateKey().PublicKey().Bytes()
	message := append(wire.AppendSignalMessage(nil, &wire.SignalMessage{Version: 4, RatchetKey: key, Ciphertext: []byte("text")}), make([]byte, wire.MACSize)...)
	inner := append(wire.AppendSignalMessage(nil, &wire.SignalMessage{Version: 4, RatchetKey: good, Ciphertext: []byte("text")}), make([]byte, wire.MACSize)...)
	request := wire.DecryptionErrorMessage{RatchetKey: key, Timestamp: 5}
	switch kind {
	case interop.KindPublicKey:
		return key
	case interop.KindIdentityKeyPair:
		return wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{Public: key, Private: make([]byte, 32)})
	case interop.KindSignalMessage:
		return message
	case interop.KindPreKeySignalMessage:
		return wire.AppendPreKeySignalMessage(nil, &wire.PreKeySignalMessage{
			Version: 4, HasKEM: true, KEMCiphertext: []byte{8}, BaseKey: good, IdentityKey: key, MessageBytes: inner,
		})
	case interop.KindDecryptionErrorMessage:
		return wire.AppendDecryptionErrorMessage(nil, &request)
	case interop.KindPlaintextContent:
		return wire.AppendPlaintextContent(nil, &request)
	case interop.KindSenderKeyDistribution:
		return wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{
			Distribution: make([]byte, 16), ChainKey: make([]byte, 32), SigningKey: key})
	case interop.KindPreKeyRecord:
		return wire.AppendPreKeyRecord(nil, &wire.PreKeyRecord{ID: 1, Public: key, Private: make([]byte, 32)})
	case interop.KindSignedPreKeyRecord:
		return wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{ID: 1, Public: key, Private: make([]byte, 32)})
	}
	return sealedExample(kind, key)
}

// sealedExample returns a certificate of a server's key, or what is about one.
func sealedExample(kind interop.Kind, key []byte) []byte {
	certified := func(body []byte) []byte {
		return wire.AppendCertificate(nil, &wire.Certificate{Body: body, Signature: make([]byte, 64)})
	}
	server := certified(wire.AppendServerCertificate(nil, &wire.ServerCertificate{ID: 1, Key: key}))
	sender := certified(wire.AppendSenderCertificate(nil, &wire.SenderCertificate{Device: 1,
		Identity: keys.GeneratePrivateKey().PublicKey().Bytes(), Server: server, User: aliceName}))
	switch kind {
	case interop.KindServerCertificate:
		return server
	case interop.KindSenderCertificate:
		return sender
	}
	return wire.AppendSealedContent(nil, &wire.SealedContent{Type: wire.TypeSignal, Certificate: sender})
}

func limitOf(kind interop.Kind) int {
	switch kind {
	case interop.KindDecryptionErrorMessage, interop.KindPlaintextContent:
		return wire.MaxPlaintextContent
	case interop.KindPreKeyRecord, interop.KindSignedPreKeyRecord, interop.KindIdentityKeyPair:
		return wire.MaxKeyRecord
	case interop.KindSenderKeyDistribution:
		return wire.MaxSenderKeyDistributionMessage
	case interop.KindServerCertificate, interop.KindSenderCertificate:
		return wire.MaxCertificate
	}
	return wire.MaxSignalMessage
}

// reduced says whether all 12-bit coefficients are below q.
func reduced(b []byte) bool {
	for ; len(b) > 0; b = b[3:] {
		if int(b[0])|int(b[1]&15)<<8 >= 3329 || int(b[1]>>4)|int(b[2])<<4 >= 3329 {
			return false
		}
	}
	return true
}

var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// unreducedS says whether the s of a signature is L or more, but still in the
// 253 bits that the official library reads.
func unreducedS(sig []byte) bool {
	if len(sig) != 64 || sig[63]&0x60 != 0 {
		return false
	}
	s := bytes.Clone(sig[32:])
	s[31] &= 0x7f
	slices.Reverse(s)
	return new(big.Int).SetBytes(s).Cmp(order) >= 0
}

// addOrder returns sig with s + L, where that still fits in 253 bits.
func addOrder(sig []byte) []byte {
	s := bytes.Clone(sig[32:])
	sign := s[31] & 0x80
	s[31] &= 0x7f
	slices.Reverse(s)
	sum := new(big.Int).SetBytes(s)
	sum.Add(sum, order).FillBytes(s)
	slices.Reverse(s)
	s[31] |= sign
	return append(bytes.Clone(sig[:32]), s...)
}
