package interop_test

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func parseServerCertificate(b []byte) (outcome, error) {
	if _, err := sealed.ParseServerCertificate(b); err != nil {
		return outcome{}, err
	}
	outer, _ := wire.ParseCertificate(b)
	inner, _ := wire.ParseServerCertificate(outer.Body)
	return outcome{again: b, written: wire.AppendCertificate(nil, &outer), fields: interop.Fields{
		KeyID: inner.ID, Public: inner.Key, Certificate: full(outer.Body), Signature: full(outer.Signature),
	}}, nil
}

// knownServers are the certificates that the official library has built in.
var knownServers = map[uint32]string{
	2: "0a25080212210539450d63ebd0752c0fd4038b9d07a916f5e174b756d409b5ca79f4c97400631e" +
		"124064c5a38b1e927497d3d4786b101a623ab34a7da3954fae126b04dba9d7a3604ed88cdc8550950f0d4a9134ceb7e19b94139151d2c3d6e1c81e9d1128aafca806",
	3: "0a250803122105bc9d1d290be964810dfa7e94856480a3f7060d004c9762c24c575a1522353a5a" +
		"1240c11ec3c401eb0107ab38f8600e8720a63169e0e2eb8a3fae24f63099f85ea319c3c1c46d3454706ae2a679d1fee690a488adda98a2290b66c906bb60295ed781",
	0x7357C357: "0a2908d786df9a07122105847c0d2c375234f365e660955187a3735a0f7613d1609d3a6a4d8c53aeaa5a22" +
		"1240e0b9ebacdfc3aa2827f7924b697784d1c25e44ca05dd433e1a38dc6382eb2730d419ca9a250b1be9d5a9463e61efd6781777a91b83c97b844d014206e2829785",
}

func parseSenderCertificate(b []byte) (outcome, error) {
	c, err := sealed.ParseSenderCertificate(b)
	if err != nil {
		return outcome{}, err
	}
	outer, _ := wire.ParseCertificate(b)
	inner, _ := wire.ParseSenderCertificate(outer.Body)
	out := outcome{again: b, fields: interop.Fields{UUID: c.Claims().User, DeviceID: inner.Device, Public: inner.Identity,
		Server: inner.Server, Certificate: full(outer.Body), Signature: full(outer.Signature)}}
	if inner.HasE164 {
		out.fields.E164 = &inner.E164
	}
	if inner.Server == nil {
		if known := knownServers[inner.ServerID]; known == "" {
			out.fails = append(out.fails, "server")
		} else if out.fields.Server, err = hex.DecodeString(known); err != nil {
			return outcome{}, err
		}
	}
	out.timestamp(inner.Expires)
	return out, nil
}

// sealedTypes are what the official library calls the type of a message.
var sealedTypes = map[wire.MessageType]int{
	wire.TypeSignal: interop.Whisper, wire.TypePreKey: interop.PreKey, wire.TypeSenderKey: interop.SenderKey, wire.TypePlaintext: interop.Plaintext,
}

func parseSealedContent(b []byte) (outcome, error) {
	c, err := wire.ParseSealedContent(b)
	if err != nil {
		return outcome{}, err
	}
	if _, err := sealed.ParseSenderCertificate(c.Certificate); err != nil {
		return outcome{}, err
	}
	out := outcome{again: b, written: wire.AppendSealedContent(nil, &c), fields: interop.Fields{
		Type: sealedTypes[c.Type], Body: full(c.Content), Certificate: c.Certificate, Hint: c.Hint,
	}}
	if c.Group != nil {
		out.fields.Group = (*interop.Hex)(&c.Group)
	}
	return out, nil
}

// serverCertificate is one that is signed by somebody.
func serverCertificate(r *rand.Rand) []byte {
	body := wire.AppendServerCertificate(nil, &wire.ServerCertificate{ID: number(r), Key: pick(r, keys.GenerateSigningKey().Public().Bytes(), certifiedKey(r))})
	return wire.AppendCertificate(nil, &wire.Certificate{Body: changed(r, body), Signature: randomBytes(r, pick(r, 64, 64, 0, 63))})
}

// certifiedKey is a key, or about one.
func certifiedKey(r *rand.Rand) []byte { return pick(r, publicKey(r), randomKey(r)) }

// changed is b, or one time in six a mutation of it.
func changed(r *rand.Rand, b []byte) []byte {
	if r.IntN(6) == 0 {
		return mutate(r, b)
	}
	return b
}

// senderCertificate has each field in each of its forms, sometimes both.
func senderCertificate(r *rand.Rand) []byte {
	c := &wire.SenderCertificate{HasE164: r.IntN(2) == 0, Device: pick[uint32](r, 1, 2, 127, 127, 128, 0, 1<<32-1), Expires: timestamp(r),
		Identity: pick(r, keys.GenerateIdentityKeyPair().Public().Bytes(), certifiedKey(r))}
	if c.HasE164 {
		c.E164 = pick(r, "", "+14151111111", "ü")
	}
	if r.IntN(2) == 0 {
		c.Server = serverCertificate(r)
	} else {
		c.ServerID = pick(r, 2, 3, 0x7357C357, number(r))
	}
	if r.IntN(2) == 0 {
		c.UUID = randomBytes(r, pick(r, 16, 16, 16, 15, 0))
	} else {
		c.User = pick(r, aliceName, "", "anyone", "\xff")
	}
	body := wire.AppendSenderCertificate(nil, c)
	if r.IntN(4) == 0 { // the other form of either comes last
		more := &wire.SenderCertificate{Device: 5, Identity: c.Identity, User: bobName, ServerID: 3}
		if c.UUID == nil {
			more.UUID = randomBytes(r, 16)
		}
		if c.Server == nil {
			more.Server = serverCertificate(r)
		}
		body = wire.AppendSenderCertificate(body, more)
	}
	return wire.AppendCertificate(nil, &wire.Certificate{Body: changed(r, body), Signature: randomBytes(r, 64)})
}

// sealedContent has every type, and some that are none.
func sealedContent(r *rand.Rand) []byte {
	c := &wire.SealedContent{Type: pick(r, wire.TypeSignal, wire.TypePreKey, wire.TypeSenderKey, wire.TypePlaintext),
		Certificate: senderCertificate(r), Content: randomBytes(r, r.IntN(40)), Hint: pick(r, 0, 1, 2, number(r)), Group: randomBytes(r, pick(r, 0, 32, 3))}
	out := wire.AppendSealedContent(nil, c)
	if r.IntN(3) == 0 { // any number as the type, or as a negative hint; an empty group
		out = protowire.AppendVarint(protowire.AppendTag(out, pick[protowire.Number](r, 1, 4), protowire.VarintType), pick[uint64](r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1<<32+7, 1<<64-1))
	}
	if r.IntN(4) == 0 {
		out = protowire.AppendBytes(protowire.AppendTag(out, 5, protowire.BytesType), nil)
	}
	return out
}

// Certificates and what is in envelopes, honest and odd, and mutations of both.
func TestInterop_PRS_03_Sealed(t *testing.T) {
	p := interop.Share(t)
	for kind, make1 := range map[interop.Kind]func(*rand.Rand) []byte{
		interop.KindServerCertificate: serverCertificate,
		interop.KindSenderCertificate: senderCertificate,
		interop.KindSealedContent:     sealedContent,
	} {
		t.Run(string(kind), func(t *testing.T) {
			r := random(t)
			inputs := make([][]byte, cases(1500))
			for i := range inputs {
				if inputs[i] = make1(r); i%2 == 1 {
					inputs[i] = mutate(r, inputs[i])
				}
			}
			codecOf(kind).diff(t, p, inputs)
		})
	}
}

// What either library writes, the other one writes, too.
func TestInteropSealedEncodings(t *testing.T) {
	p, r := interop.Share(t), random(t)
	o := newOffice(t, p)
	for range cases(200) {
		id, e164 := keys.GenerateIdentityKeyPair().Public(), pick(r, "", "+14151111111")
		claims := interop.Claims{User: pick(r, aliceName, "anyone"), Device: 1 + r.Uint32N(127), Identity: id.Bytes(), Expires: timestamp(r) >> 12}
		if e164 != "" {
			claims.E164 = &e164
		}
		theirs, err := p.SenderCertificate(claims, o.theirs, o.server.PrivateBytes())
		require.NoError(t, err)
		outer, err := wire.ParseCertificate(theirs)
		require.NoError(t, err)
		require.Equal(t, theirs, wire.AppendCertificate(nil, &outer))
		require.Equal(t, outer.Body, wire.AppendSenderCertificate(nil, &wire.SenderCertificate{HasE164: e164 != "", E164: e164,
			Device: claims.Device, Expires: claims.Expires, Identity: id.Bytes(), Server: o.theirs, User: claims.User}))
	}
	ours, err := wire.ParseCertificate(o.ours)
	require.NoError(t, err)
	theirs, err := wire.ParseCertificate(o.theirs)
	require.NoError(t, err)
	require.Equal(t, theirs.Body, ours.Body)
	require.False(t, bytes.Equal(theirs.Signature, ours.Signature)) // random

	certificate, dem := o.certify(address(aliceName), keys.GenerateIdentityKeyPair().Public(), true), wire.AppendPlaintextContent(nil, &wire.DecryptionErrorMessage{Timestamp: 5})
	for _, h := range hintsAndGroups {
		theirs, err := p.WrapPlaintext(dem, interop.SealOptions{Certificate: certificate, Hint: h.hint, Group: (*interop.Hex)(&h.group)})
		require.NoError(t, err)
		require.Equal(t, theirs, wire.AppendSealedContent(nil, &wire.SealedContent{Type: wire.TypePlaintext, Certificate: certificate,
			Content: dem, Hint: h.hint, Group: h.group}))
	}
}

// hintsAndGroups are what a content may say beside its message.
var hintsAndGroups = []struct {
	hint  uint32
	group []byte
}{{0, nil}, {1, bytes.Repeat([]byte{0xa5}, 32)}, {2, []byte{}}, {200, []byte("g")}, {1<<32 - 1, nil}}
