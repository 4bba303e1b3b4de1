package sealed_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// hexes is the strings of one part of the vectors, decoded; nested ones are left
// out.
type hexes map[string][]byte

func vectors(t testing.TB, part string) hexes {
	t.Helper()
	var all map[string]map[string]any
	testutil.ReadJSON(t, "sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json", &all)
	out := hexes{}
	for name, v := range all[part] {
		if s, ok := v.(string); ok {
			if b, err := hex.DecodeString(s); err == nil {
				out[name] = b
			}
		}
	}
	return out
}

func (h hexes) get(t testing.TB, name string) []byte {
	t.Helper()
	require.Contains(t, h, name)
	return h[name]
}

// The names and times of Section 10.
const (
	aliceUUID = "9d0652a3-dcc3-4d11-975f-74d61598733f"
	bobUUID   = "796abedb-ca4e-4f18-8803-1fde5b921f9f"
	outUUID   = "3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7"
	carolPNI  = "PNI:e80f7bbe-5b94-471e-bd8c-2173654ea3d1"
	aliceE164 = "+14151111111"
	testID    = 0x7357C357
)

var expires = time.UnixMilli(1700000000000)

func fill(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func pair(t testing.TB, b byte) *keys.IdentityKeyPair {
	t.Helper()
	p, err := keys.NewIdentityKeyPair(fill(b))
	require.NoError(t, err)
	return p
}

func signing(t testing.TB, b byte) *keys.SigningKey {
	t.Helper()
	k, err := keys.NewSigningKey(fill(b))
	require.NoError(t, err)
	return k
}

// sign is the signature with Z = 64×0x77.
func sign(key *keys.SigningKey, body []byte) []byte {
	k := [32]byte(key.PrivateBytes())
	a := curve.EdwardsPublic(&k)
	z := [64]byte(bytes.Repeat([]byte{0x77}, 64))
	sig := curve.Sign(&k, &a, &z, body)
	return sig[:]
}

// body is what a certificate's signature covers.
func body(t testing.TB, certificate []byte) []byte {
	t.Helper()
	c, err := wire.ParseCertificate(certificate)
	require.NoError(t, err)
	return c.Body
}

// signed is a certificate with the given signature.
func signed(body, signature []byte) []byte {
	return wire.AppendCertificate(nil, &wire.Certificate{Body: body, Signature: signature})
}

func parsed(t testing.TB, b []byte) *sealed.SenderCertificate {
	t.Helper()
	c, err := sealed.ParseSenderCertificate(b)
	require.NoError(t, err)
	return c
}

// Section 10.1.
func TestVectorsKeys(t *testing.T) {
	v := vectors(t, "main")
	for name, b := range map[string]byte{"trust": 0x11, "server": 0x22, "alice": 0x33, "bob": 0x44, "eph": 0x55, "carol": 0x66} {
		p := pair(t, b)
		require.Equal(t, v.get(t, name+"_priv"), p.PrivateBytes(), name)
		require.Equal(t, v.get(t, name+"_pub"), p.Public().Bytes(), name)
	}
	require.Equal(t, v.get(t, "skg_sign_pub"), signing(t, 0xaa).Public().Bytes())
	require.Equal(t, v.get(t, "zero_trust_pub"), signing(t, 0).Public().Bytes())
	require.Equal(t, v.get(t, "ff_server_pub"), signing(t, 0xff).Public().Bytes())

	alice := signing(t, 0x33)
	sig := v.get(t, "xeddsa_sig_alice_hello")
	require.Equal(t, sig, sign(alice, []byte("hello")))
	require.NoError(t, alice.Public().Verify(sig, []byte("hello")))
	for _, bit := range []byte{0x80, 0x40, 0x20} {
		bad := bytes.Clone(sig)
		bad[63] ^= bit
		require.ErrorIs(t, alice.Public().Verify(bad, []byte("hello")), keys.ErrSignature)
	}
	high := alice.Public().Bytes()
	high[32] |= 0x80 // verifies elsewhere, and no key to us
	_, err := keys.ParseVerifyKey(high)
	require.ErrorIs(t, err, keys.ErrKey)
}

// Section 10.2.
func TestVectorsCertificates(t *testing.T) {
	v := vectors(t, "main")
	root, serverKey, alice := signing(t, 0x11), signing(t, 0x22), pair(t, 0x33).Public()
	require.Equal(t, v.get(t, "server_cert_sig"), sign(root, v.get(t, "server_cert_data")))
	require.Equal(t, v.get(t, "server_cert"), signed(v.get(t, "server_cert_data"), v.get(t, "server_cert_sig")))
	server, err := sealed.ParseServerCertificate(v.get(t, "server_cert"))
	require.NoError(t, err)
	require.Equal(t, uint32(1), server.ID())
	require.Equal(t, v.get(t, "server_cert"), server.Bytes())
	issued := sealed.IssueServerCertificate(root, 1, serverKey.Public())
	require.Equal(t, v.get(t, "server_cert_data"), body(t, issued.Bytes()))

	a := v.get(t, "sender_cert_string")
	claims := sealed.Claims{User: aliceUUID, E164: aliceE164, Device: 1, Identity: alice, Expires: expires}
	require.Equal(t, claims, parsed(t, a).Claims())
	require.Equal(t, v.get(t, "sender_cert_string_data"), body(t, a))
	require.Equal(t, a, signed(body(t, a), sign(serverKey, body(t, a))))
	made, err := sealed.IssueSenderCertificate(server, serverKey, claims)
	require.NoError(t, err)
	require.Equal(t, body(t, a), body(t, made.Bytes()))
	trust := &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}}
	require.NoError(t, trust.Verify(parsed(t, a), expires))
	require.NoError(t, trust.Verify(made, expires))
	refused(t, trust, parsed(t, a), expires.Add(time.Millisecond), "expired")
	refused(t, &sealed.Trust{Roots: []keys.VerifyKey{signing(t, 0x44).Public()}}, parsed(t, a), expires, "untrusted")
	refused(t, &sealed.Trust{}, parsed(t, a), expires, "untrusted")

	b := v.get(t, "sender_cert_byid")
	zero, ones := signing(t, 0), signing(t, 0xff)
	require.Equal(t, v.get(t, "sender_cert_byid_data"), body(t, b))
	require.Equal(t, b, signed(body(t, b), sign(ones, body(t, b))))
	known := sealed.IssueServerCertificate(zero, testID, ones.Public())
	claims = sealed.Claims{User: aliceUUID, Device: 1, Identity: alice, Expires: expires, Compact: true}
	made, err = sealed.IssueSenderCertificate(known, ones, claims)
	require.NoError(t, err)
	require.Equal(t, body(t, b), body(t, made.Bytes()))
	claims.Compact = false
	require.Equal(t, claims, parsed(t, b).Claims())
	trust = &sealed.Trust{Roots: []keys.VerifyKey{zero.Public()}, Servers: map[uint32]*sealed.ServerCertificate{testID: known}}
	for _, at := range []time.Time{time.UnixMilli(0), expires} {
		require.NoError(t, trust.Verify(parsed(t, b), at))
	}
	refused(t, trust, parsed(t, b), expires.Add(time.Millisecond), "expired")
}

// refused requires a CertificateError.
func refused(t testing.TB, trust *sealed.Trust, c *sealed.SenderCertificate, at time.Time, reason string) {
	t.Helper()
	var e *sealed.CertificateError
	require.ErrorAs(t, trust.Verify(c, at), &e)
	require.Equal(t, reason, e.Reason)
}

// The certificates of Section 2.3, each good under its root.
func TestVectorsKnownServers(t *testing.T) {
	for _, c := range []struct {
		id         uint32
		key, root  string
		serialised string
	}{
		{2, "0539450d63ebd0752c0fd4038b9d07a916f5e174b756d409b5ca79f4c97400631e",
			"058854ead3e3a8fe3a286644cd1b3538be14dfd5797653c9fd7d3d85ae2b12b926",
			"0a25080212210539450d63ebd0752c0fd4038b9d07a916f5e174b756d409b5ca79f4c97400631e1240" +
				"64c5a38b1e927497d3d4786b101a623ab34a7da3954fae126b04dba9d7a3604ed88cdc8550950f0d4a9134ceb7e19b94139151d2c3d6e1c81e9d1128aafca806"},
		{3, "05bc9d1d290be964810dfa7e94856480a3f7060d004c9762c24c575a1522353a5a",
			"054918d08fbdfa83e00c29f8f8073a22ef35df2bea903aff81af03ccbc45c6e93a",
			"0a250803122105bc9d1d290be964810dfa7e94856480a3f7060d004c9762c24c575a1522353a5a1240" +
				"c11ec3c401eb0107ab38f8600e8720a63169e0e2eb8a3fae24f63099f85ea319c3c1c46d3454706ae2a679d1fee690a488adda98a2290b66c906bb60295ed781"},
		{testID, "05847c0d2c375234f365e660955187a3735a0f7613d1609d3a6a4d8c53aeaa5a22",
			"052fe57da347cd62431528daac5fbb290730fff684afc4cfc2ed90995f58cb3b74",
			"0a2908d786df9a07122105847c0d2c375234f365e660955187a3735a0f7613d1609d3a6a4d8c53aeaa5a221240" +
				"e0b9ebacdfc3aa2827f7924b697784d1c25e44ca05dd433e1a38dc6382eb2730d419ca9a250b1be9d5a9463e61efd6781777a91b83c97b844d014206e2829785"},
	} {
		b := unhex(t, c.serialised)
		server, err := sealed.ParseServerCertificate(b)
		require.NoError(t, err)
		require.Equal(t, c.id, server.ID())
		w, err := wire.ParseCertificate(b)
		require.NoError(t, err)
		inner, err := wire.ParseServerCertificate(w.Body)
		require.NoError(t, err)
		require.Equal(t, unhex(t, c.key), inner.Key)
		root, err := keys.ParseVerifyKey(unhex(t, c.root))
		require.NoError(t, err)
		require.NoError(t, root.Verify(w.Signature, w.Body))
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// sender is alice with one of the two certificates of Section 10.2.
func sender(t testing.TB, certificate string) *sealed.Sender {
	t.Helper()
	s, err := sealed.NewSender(pair(t, 0x33), parsed(t, vectors(t, "main").get(t, certificate)), nil)
	require.NoError(t, err)
	return s
}

func ephemeral(t testing.TB) *keys.PrivateKey {
	t.Helper()
	k, err := keys.NewPrivateKey(fill(0x55))
	require.NoError(t, err)
	return k
}

// Section 10.3.
func TestVectorsV1(t *testing.T) {
	main, compact := vectors(t, "main"), vectors(t, "compact_sealed_sender")
	alice, bob := pair(t, 0x33), pair(t, 0x44)
	dhE, err := ephemeral(t).Agree(bob.Public().PublicKey())
	require.NoError(t, err)
	require.Equal(t, compact.get(t, "v1_dh_e"), dhE[:])
	dhS, err := alice.Agree(bob.Public().PublicKey())
	require.NoError(t, err)
	require.Equal(t, compact.get(t, "v1_dh_s"), dhS[:])

	chain, cipher, mac := sealed.EphemeralKeys(&dhE, bob.Public(), ephemeral(t).PublicKey())
	require.Equal(t, main.get(t, "ss1_chain"), chain[:])
	require.Equal(t, main.get(t, "ss1_ek"), cipher[:])
	require.Equal(t, main.get(t, "ss1_em"), mac[:])
	cipher, mac = sealed.StaticKeys(&dhS, &chain, main.get(t, "ss1_es"))
	require.Equal(t, main.get(t, "ss1_sk"), cipher[:])
	require.Equal(t, main.get(t, "ss1_sm"), mac[:])

	for _, c := range []struct {
		certificate string
		content     []byte
		want        []byte
		length      int
		sum         string
	}{
		{"sender_cert_byid", count(16), compact.get(t, "v1"), 255, "263b74f65efe7d6accba0ddad764f2da83574d25b88d971a1f882a287b735643"},
		{"sender_cert_string", count(32), main.get(t, "ss1_message"), 407, ""},
	} {
		m := &session.Message{Type: session.TypeSignal, Bytes: c.content}
		got, err := sender(t, c.certificate).SealWith(bob.Public(), m, 0, nil, ephemeral(t))
		require.NoError(t, err)
		require.Equal(t, c.want, got)
		require.Len(t, got, c.length)
		if c.sum != "" {
			sum := sha256.Sum256(got)
			require.Equal(t, c.sum, hex.EncodeToString(sum[:]))
		}
		w, err := wire.ParseSealedMessage(got)
		require.NoError(t, err)
		require.Equal(t, main.get(t, "ss1_es"), w.Static)
		opened, err := sealed.NewOpener(bob, nil, nil).OpenUnverified(got)
		require.NoError(t, err)
		require.Equal(t, &sealed.Message{Type: session.TypeSignal, Bytes: c.content, Sender: parsed(t, main.get(t, c.certificate))}, opened)
	}
	w, err := wire.ParseSealedMessage(main.get(t, "ss1_message"))
	require.NoError(t, err)
	require.Equal(t, main.get(t, "ss1_msg"), w.Message)
}

// The UnidentifiedSenderMessageContents of Section 10.3.
func TestVectorsContent(t *testing.T) {
	main, compact := vectors(t, "main"), vectors(t, "compact_sealed_sender")
	a := main.get(t, "sender_cert_string")
	for _, c := range []struct {
		want    []byte
		content wire.SealedContent
		sum     string
	}{
		{main.get(t, "usmc_min"), wire.SealedContent{Type: wire.TypeSignal, Certificate: a, Content: count(32)},
			"c67d9d08444f477a64a913d636dbc3edd90c295c5fdd6509c1e1ba58305e8415"},
		{main.get(t, "usmc_full"), wire.SealedContent{Type: wire.TypeSenderKey, Certificate: a, Content: count(32), Hint: 1, Group: bytes.Repeat([]byte{0xa5}, 32)},
			"8826a7ed3c7ea9bb727ffb7fcff8152cd387f38c711ff154ec97beda9666b970"},
		{compact.get(t, "usmc"), wire.SealedContent{Type: wire.TypeSignal, Certificate: main.get(t, "sender_cert_byid"), Content: count(16)}, ""},
	} {
		got := wire.AppendSealedContent(nil, &c.content)
		require.Equal(t, c.want, got)
		require.Equal(t, c.content.Size(), len(got))
		if c.sum != "" {
			sum := sha256.Sum256(got)
			require.Equal(t, c.sum, hex.EncodeToString(sum[:]))
		}
		back, err := wire.ParseSealedContent(got)
		require.NoError(t, err)
		require.Equal(t, c.content, back)
	}
}

// Section 10.4, derivations.
func TestVectorsV2Keys(t *testing.T) {
	main, compact := vectors(t, "main"), vectors(t, "compact_sealed_sender")
	m := [32]byte(fill(0x88))
	private, public, body := sealed.DeriveV2(&m)
	require.Equal(t, main.get(t, "ss2_e_priv"), private)
	r := [32]byte(main.get(t, "ss2_r"))
	curve.Clamp(&r)
	require.Equal(t, private, r[:])
	require.Equal(t, main.get(t, "ss2_E"), public)
	require.Equal(t, main.get(t, "ss2_K"), body[:])
	require.Equal(t, unhex(t, "067aae4a200fa0d7826781215dabcb40"), gcmsiv.Seal(nil, &body, new([12]byte), nil, nil))
	require.Equal(t, unhex(t, "3f2dcde4341e292d6f4d2612a4f9db9da407cc5fe62cd9020385ec375aa8fe72809f5cb4619ef634c9e6fcb4bbc3d0f1ea"),
		gcmsiv.Seal(nil, &body, new([12]byte), count(33), nil))
	for name, b := range map[string]byte{"bob": 0x44, "carol": 0x66} {
		c, at := sealed.KeyV2(&m, pair(t, 0x33), pair(t, b).Public())
		require.Equal(t, main.get(t, "ss2_c_"+name), c)
		require.Equal(t, main.get(t, "ss2_at_"+name), at)
	}
	e, err := keys.NewPrivateKey(private)
	require.NoError(t, err)
	dh, err := e.Agree(pair(t, 0x44).Public().PublicKey())
	require.NoError(t, err)
	require.Equal(t, compact.get(t, "v2_dh"), dh[:])
	require.Equal(t, compact.get(t, "v2_c"), main.get(t, "ss2_c_bob"))
	require.Equal(t, compact.get(t, "v2_at"), main.get(t, "ss2_at_bob"))
}

// toBob is bob in Section 10.4.
func toBob(t testing.TB) sealed.Recipient {
	return sealed.Recipient{User: bobUUID, Identity: pair(t, 0x44).Public(),
		Devices: []sealed.Device{{ID: 1, RegistrationID: 0x1234}, {ID: 3, RegistrationID: 0x2abc}}}
}

// Section 10.4, one recipient and an excluded one.
func TestVectorsV2(t *testing.T) {
	main, v := vectors(t, "main"), vectors(t, "compact_sealed_sender")
	m, coins := &session.Message{Type: session.TypeSignal, Bytes: count(16)}, [32]byte(fill(0x88))
	sent, err := sender(t, "sender_cert_byid").SealManyWith([]sealed.Recipient{toBob(t)}, []string{outUUID}, m, 0, nil, &coins)
	require.NoError(t, err)
	require.Equal(t, v.get(t, "v2_sent"), sent)
	require.Len(t, sent, 300)
	sum := sha256.Sum256(sent)
	require.Equal(t, "4b25473df4309353bbf8ce96e5ef016ede186f3cf73044238dbc1f4a98aedfc6", hex.EncodeToString(sum[:]))

	up, err := sealed.Split(sent)
	require.NoError(t, err)
	require.Equal(t, []sealed.Delivery{{User: bobUUID, Devices: toBob(t).Devices, Key: 25}}, up.Deliveries)
	require.Equal(t, []string{outUUID}, up.Excluded)
	require.Equal(t, 91, up.Shared)
	require.Equal(t, v.get(t, "v2_ct"), sent[up.Shared+32:])
	received := up.Received(&up.Deliveries[0])
	require.Equal(t, v.get(t, "v2_recv"), received)

	older, err := sealed.Split(v.get(t, "v2_sent22"))
	require.NoError(t, err)
	require.Empty(t, older.Excluded)
	require.Equal(t, up.Deliveries[0].Devices, older.Deliveries[0].Devices)
	require.Equal(t, received, older.Received(&older.Deliveries[0]))

	opened, err := sealed.NewOpener(pair(t, 0x44), nil, nil).OpenUnverified(received)
	require.NoError(t, err)
	require.Equal(t, &sealed.Message{Type: session.TypeSignal, Bytes: count(16), Sender: parsed(t, main.get(t, "sender_cert_byid"))}, opened)
}

// Section 10.4, three entries, with a group and a hint.
func TestVectorsV2Many(t *testing.T) {
	v := vectors(t, "main")
	carol := sealed.Recipient{User: carolPNI, Identity: pair(t, 0x66).Public(), Devices: []sealed.Device{{ID: 2, RegistrationID: 1}}}
	m, coins := &session.Message{Type: session.TypeSenderKey, Bytes: count(32)}, [32]byte(fill(0x88))
	group := bytes.Repeat([]byte{0xa5}, 32)
	sent, err := sender(t, "sender_cert_string").SealManyWith([]sealed.Recipient{toBob(t), carol}, []string{outUUID}, m, sealed.HintResendable, group, &coins)
	require.NoError(t, err)
	require.Equal(t, v.get(t, "ss2_sent"), sent)

	up, err := sealed.Split(sent)
	require.NoError(t, err)
	require.Equal(t, []string{outUUID}, up.Excluded)
	require.Len(t, up.Deliveries, 2)
	require.Equal(t, v.get(t, "ss2_ct"), sent[up.Shared+32:])
	for i, name := range []string{"bob", "carol"} {
		received := up.Received(&up.Deliveries[i])
		require.Equal(t, v.get(t, "ss2_received_"+name), received)
		who := map[string]byte{"bob": 0x44, "carol": 0x66}[name]
		opened, err := sealed.NewOpener(pair(t, who), nil, nil).OpenUnverified(received)
		require.NoError(t, err)
		require.Equal(t, &sealed.Message{Type: session.TypeSenderKey, Bytes: count(32), Hint: sealed.HintResendable, Group: group,
			Sender: parsed(t, v.get(t, "sender_cert_string"))}, opened)
	}
}

// Section 10.11.
func TestVectorsPrimitives(t *testing.T) {
	require.Equal(t, unhex(t, "1c9baf4e4b96a753418ed3a83f2d79b19869"),
		gcmsiv.Seal(nil, new([32]byte), new([12]byte), []byte("hi"), nil))
	key, buf := [32]byte(count(32)), make([]byte, 20)
	etm.CTR(&key, buf)
	require.Equal(t, unhex(t, "f29000b62a499fd0a9f39a6add2e7780f05d76ae"), buf)
	key, buf = [32]byte(unhex(t, "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")), make([]byte, 35)
	etm.CTR(&key, buf)
	require.Equal(t, unhex(t, "e568f68194cf76d6174d4cc04310a85491151e5d0b7a1f1bc0d7acd0ae3e51e4170e23"), buf)
}
