package interop_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// 20,000 random cases over each identity, prekey, signature and message type:
// honest ones, edges, and mutations of both.
func TestInteropKeys(t *testing.T) {
	p := interop.Start(t)
	total := 0
	run := func(name string, n int, test func(t *testing.T, p *interop.Peer, r *rand.Rand, n int)) {
		total += n
		t.Run(name, func(t *testing.T) { test(t, p, random(t), cases(n)) })
	}
	for _, k := range []struct {
		kind interop.Kind
		n    int
		make func(r *rand.Rand) []byte
	}{
		{interop.KindPublicKey, 2000, publicKey},
		{interop.KindPrivateKey, 1000, func(r *rand.Rand) []byte { return randomBytes(r, pick(r, 32, 32, 32, r.IntN(70))) }},
		{interop.KindIdentityKeyPair, 1000, identityKeyPair},
		{interop.KindKEMPublicKey, 800, kemPublicKey},
		{interop.KindKEMSecretKey, 400, kemSecretKey},
		{interop.KindPreKeyRecord, 1500, preKeyRecord},
		{interop.KindSignedPreKeyRecord, 1500, signedPreKeyRecord},
		{interop.KindKyberPreKeyRecord, 600, kyberPreKeyRecord},
		{interop.KindSignalMessage, 1500, signalMessage},
		{interop.KindPreKeySignalMessage, 1000, preKeySignalMessage},
		{interop.KindDecryptionErrorMessage, 1000, decryptionErrorMessage},
		{interop.KindPlaintextContent, 700, plaintextContent},
	} {
		run(string(k.kind), k.n, func(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
			inputs := make([][]byte, n)
			for i := range inputs {
				if inputs[i] = k.make(r); i%2 == 1 {
					inputs[i] = mutate(r, inputs[i])
				} else if out, err := codecOf(k.kind).parse(inputs[i]); err == nil && out.written != nil {
					require.Equal(t, inputs[i], out.written)
				}
			}
			codecOf(k.kind).diff(t, p, inputs)
		})
	}
	run("agree", 2000, agree)
	run("sign", 1500, sign)
	run("verify", 1500, verifyRaw)
	run("prekey signatures", 1000, preKeySignatures)
	run("alternate identities", 1000, alternate)
	require.Equal(t, 20_000, total)
}

// Keys u that are special: zero, small order, out of range, −1, on the twist.
var edgeKeys = func() [][]byte {
	var out [][]byte
	for _, s := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"0200000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"0100000000000000000000000000000000000000000000000000000000000080",
	} {
		b, _ := hex.DecodeString("05" + s)
		out = append(out, b)
	}
	return out
}()

func honestKey(r *rand.Rand) *keys.PrivateKey {
	k, _ := keys.NewPrivateKey(randomBytes(r, 32))
	return k
}

// publicKey is 33 bytes that parse.
func publicKey(r *rand.Rand) []byte {
	switch r.IntN(4) {
	case 0:
		return bytes.Clone(pick(r, edgeKeys...))
	case 1:
		return append([]byte{5}, randomBytes(r, 32)...)
	}
	return honestKey(r).PublicKey().Bytes()
}

func identityKeyPair(r *rand.Rand) []byte {
	return wire.AppendIdentityKeyPairRecord(nil, &wire.IdentityKeyPairRecord{Public: publicKey(r), Private: randomBytes(r, 32)})
}

func kemPublicKey(r *rand.Rand) []byte {
	if r.IntN(4) == 0 {
		return append([]byte{8}, randomBytes(r, 1568)...)
	}
	return keys.GenerateKEMPrivateKey().Public().Bytes()
}

func kemSecretKey(*rand.Rand) []byte { return keys.GenerateKEMPrivateKey().Bytes() }

func preKeyRecord(r *rand.Rand) []byte {
	return wire.AppendPreKeyRecord(nil, &wire.PreKeyRecord{
		ID: number(r), Public: publicKey(r), Private: randomBytes(r, pick(r, 32, 32, 32, 0, 31, 33)),
	})
}

func signedPreKeyRecord(r *rand.Rand) []byte {
	return wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{
		ID: number(r), Public: publicKey(r), Private: randomBytes(r, pick(r, 32, 32, 32, 0, 31, 33)),
		Signature: randomBytes(r, pick(r, 64, 64, 0, 3)), Created: timestamp(r),
	})
}

func kyberPreKeyRecord(r *rand.Rand) []byte {
	k := keys.GenerateKEMPrivateKey()
	return wire.AppendSignedPreKeyRecord(nil, &wire.SignedPreKeyRecord{
		ID: number(r), Public: k.Public().Bytes(), Private: k.Bytes(), Signature: randomBytes(r, 64), Created: timestamp(r),
	})
}

func timestamp(r *rand.Rand) uint64 {
	return pick(r, 0, 1, 1_700_000_000_123, 1<<53-1, 1<<53, 1<<53+1, 1<<64-1, r.Uint64()>>r.IntN(64))
}

func signalMessage(r *rand.Rand) []byte {
	m := wire.SignalMessage{
		Version: pick(r, byte(4), 4, 4, 3), RatchetKey: publicKey(r), Counter: number(r), Previous: number(r),
		Ciphertext: randomBytes(r, 16*r.IntN(8)), PQRatchet: randomBytes(r, pick(r, 0, 4, 37, 52)),
	}
	if r.IntN(3) == 0 {
		m.Addresses = randomBytes(r, pick(r, 0, 35, 36, 36, 37))
	}
	return append(wire.AppendSignalMessage(nil, &m), randomBytes(r, wire.MACSize)...)
}

func preKeySignalMessage(r *rand.Rand) []byte {
	m := wire.PreKeySignalMessage{
		Version: pick(r, byte(4), 4, 4, 3), RegistrationID: number(r), HasPreKeyID: r.IntN(2) == 0, SignedPreKeyID: number(r),
		BaseKey: publicKey(r), IdentityKey: publicKey(r), MessageBytes: signalMessage(r),
	}
	if m.HasPreKeyID {
		m.PreKeyID = number(r)
	}
	if m.HasKEM = r.IntN(8) > 0; m.HasKEM {
		m.KEMPreKeyID, m.KEMCiphertext = number(r), randomBytes(r, pick(r, 0, 1569, 1569))
	}
	return wire.AppendPreKeySignalMessage(nil, &m)
}

func retryRequest(r *rand.Rand) *wire.DecryptionErrorMessage {
	m := &wire.DecryptionErrorMessage{Timestamp: timestamp(r), Device: number(r)}
	if r.IntN(2) == 0 {
		m.RatchetKey = publicKey(r)
	}
	return m
}

func decryptionErrorMessage(r *rand.Rand) []byte {
	return wire.AppendDecryptionErrorMessage(nil, retryRequest(r))
}

func plaintextContent(r *rand.Rand) []byte { return wire.AppendPlaintextContent(nil, retryRequest(r)) }

// agree requires the same 32 bytes, or a failure in both.
func agree(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
	private, public := make([]*keys.PrivateKey, n), make([][]byte, n)
	sent := make([]interop.Bytes, n)
	for i := range n {
		private[i], public[i] = honestKey(r), publicKey(r)
		sent[i] = p.SendAgree(private[i].Bytes(), public[i])
	}
	for i := range n {
		k, err := keys.ParsePublicKey(public[i])
		require.NoError(t, err)
		ours, err := private[i].Agree(k)
		theirs, theirErr := sent[i].Bytes()
		if err != nil {
			require.ErrorIs(t, err, keys.ErrZeroAgreement)
			if p.Since(0, 88) { // before, nobody looked
				requirePeerError(t, theirErr)
			}
			continue
		}
		require.NoError(t, theirErr, "%x", public[i])
		require.Equal(t, ours[:], theirs)
	}
}

// sign requires that what one signs the other verifies, both ways.
func sign(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
	private, text := make([]*keys.SigningKey, n), make([][]byte, n)
	theirs, valid := make([]interop.Bytes, n), make([]interop.Verdict, n)
	for i := range n {
		private[i], _ = keys.NewSigningKey(randomBytes(r, 32))
		text[i] = randomBytes(r, r.IntN(200))
		theirs[i] = p.SendSign(private[i].PrivateBytes(), text[i])
		valid[i] = p.SendVerify(private[i].Public().Bytes(), text[i], private[i].Sign(text[i]))
	}
	for i := range n {
		sig, err := theirs[i].Bytes()
		require.NoError(t, err)
		require.NoError(t, private[i].Public().Verify(sig, text[i]), "private %x, message %x", private[i].PrivateBytes(), text[i])
		requireValid(t, valid[i], true)
	}
}

func requireValid(t *testing.T, v interop.Verdict, want bool) {
	t.Helper()
	got, err := v.Valid()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// verifyRaw requires the same verdict on signatures with something wrong, under
// keys of which some are not honest. gembok refuses s of L or more, and, where a
// key only verifies, u out of range or of small order.
func verifyRaw(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
	type one struct{ public, text, sig []byte }
	all, sent := make([]one, n), make([]interop.Verdict, n)
	for i := range n {
		k, _ := keys.NewSigningKey(randomBytes(r, 32))
		c := one{public: k.Public().Bytes(), text: randomBytes(r, r.IntN(80))}
		c.sig = k.Sign(c.text)
		switch r.IntN(8) {
		case 0:
			c.text = append(c.text, 0)
		case 1:
			c.public = publicKey(r)
		case 2:
			c.sig = addOrder(c.sig)
		case 3:
			c.public[32] ^= 0x80
		case 4: // R and s zero, under a key of small order
			c.public, c.sig = bytes.Clone(pick(r, edgeKeys...)), make([]byte, 64)
			c.sig[0] = 1
		default:
			c.sig = mutate(r, c.sig)
		}
		all[i], sent[i] = c, p.SendVerify(c.public, c.text, c.sig)
	}
	stricter := 0
	for i, c := range all {
		theirs, err := sent[i].Valid()
		require.NoError(t, err)
		k, err := keys.ParseVerifyKey(c.public)
		ours := err == nil && k.Verify(c.sig, c.text) == nil
		if ours == theirs {
			continue
		}
		require.True(t, theirs, "%x %x %x", c.public, c.text, c.sig)
		require.True(t, unreducedS(c.sig) || err != nil, "%x %x %x", c.public, c.text, c.sig)
		stricter++
	}
	t.Logf("stricter: %d", stricter)
}

// preKeySignatures signs and verifies EC and KEM prekeys both ways.
func preKeySignatures(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
	pair, _ := keys.NewIdentityKeyPair(randomBytes(r, 32))
	kem := keys.GenerateKEMPrivateKey().Public()
	ec, theirs, valid := make([]keys.PublicKey, n), make([]interop.Bytes, n), make([]interop.Verdict, n)
	for i := range n {
		ec[i] = honestKey(r).PublicKey()
		signed, sig := ec[i].Bytes(), pair.SignPreKey(ec[i])
		if i%10 == 0 {
			signed, sig = kem.Bytes(), pair.SignKEMPreKey(kem)
		}
		theirs[i] = p.SendSign(pair.PrivateBytes(), signed)
		valid[i] = p.SendVerify(pair.Public().Bytes(), signed, sig)
	}
	for i := range n {
		sig, err := theirs[i].Bytes()
		require.NoError(t, err)
		if i%10 == 0 {
			require.NoError(t, pair.Public().VerifyKEMPreKey(kem, sig))
		} else {
			require.NoError(t, pair.Public().VerifyPreKey(ec[i], sig))
		}
		requireValid(t, valid[i], true)
	}
}

// alternate signs and verifies alternate identities both ways; every third
// signature is spoiled.
func alternate(t *testing.T, p *interop.Peer, r *rand.Rand, n int) {
	pair, other := make([]*keys.IdentityKeyPair, n), make([]keys.IdentityKey, n)
	theirs, valid := make([]interop.Bytes, n), make([]interop.Verdict, n)
	for i := range n {
		pair[i], _ = keys.NewIdentityKeyPair(randomBytes(r, 32))
		other[i], _ = keys.ParseIdentityKey(publicKey(r))
		sig := pair[i].SignAlternate(other[i])
		if i%3 == 0 {
			sig[r.IntN(64)] ^= 1 << r.IntN(5)
		}
		theirs[i] = p.SendSignAlternate(pair[i].PrivateBytes(), other[i].Bytes())
		valid[i] = p.SendVerifyAlternate(pair[i].Public().Bytes(), other[i].Bytes(), sig)
	}
	for i := range n {
		sig, err := theirs[i].Bytes()
		require.NoError(t, err)
		require.NoError(t, pair[i].Public().VerifyAlternate(other[i], sig))
		requireValid(t, valid[i], i%3 != 0)
	}
}
