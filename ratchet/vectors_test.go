package ratchet_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

type handshake struct {
	Root0         testutil.Hex
	Chain0        testutil.Hex
	PQRKey        testutil.Hex `json:"pqr_key"`
	SPQRKey       testutil.Hex `json:"spqr_key_1"`
	Addresses     testutil.Hex
	SignalMessage testutil.Hex `json:"signal_message"`
	PreKeyMessage testutil.Hex `json:"prekey_message"`
	Plaintext     string
}

type vectors struct {
	Keys struct {
		BobIdentity   testutil.Hex `json:"bob_identity_private"`
		BobSigned     testutil.Hex `json:"bob_signed_prekey_private"`
		BobOneTime    testutil.Hex `json:"bob_one_time_private"`
		AliceIdentity testutil.Hex `json:"alice_identity_private"`
		AliceBase     testutil.Hex `json:"alice_base_private"`
		AliceRatchet  testutil.Hex `json:"alice_ratchet_private"`
		KyberCoins    testutil.Hex `json:"kyber_encaps_randomness"`
		KyberSecret   testutil.Hex `json:"kyber_secret"`
	}
	PQXDH       handshake `json:"pqxdh"`
	PQXDHNoOPK  handshake `json:"pqxdh_no_opk"`
	Plain       plain     `json:"plain_ratchet"`
	FirstFlight struct {
		Record testutil.Hex `json:"alice_record_after_two_sends"`
	} `json:"official_first_flight"`
	Steps []struct {
		Receiver  string
		Type      int
		Record    testutil.Hex `json:"record_before"`
		Message   testutil.Hex
		Plaintext string
	} `json:"official_decrypt_steps"`
}

type plain struct {
	Alice       testutil.Hex `json:"alice_record"`
	Bob         testutil.Hex `json:"bob_record"`
	Messages    []testutil.Hex
	AliceAfter  testutil.Hex `json:"alice_record_after"`
	BobAfter2   testutil.Hex `json:"bob_record_after_2"`
	BobAfter20  testutil.Hex `json:"bob_record_after_2_0"`
	BobArchived testutil.Hex `json:"bob_record_archived"`
	Root        testutil.Hex
	ChainA      testutil.Hex `json:"chain_a"`
	Step        struct {
		Private testutil.Hex `json:"alice_new_ratchet_private"`
		Root1   testutil.Hex
		Chain1  testutil.Hex
		Message testutil.Hex
	}
	Salted struct {
		Seed     testutil.Hex
		PQKey    testutil.Hex `json:"pq_key"`
		Keys     testutil.Hex
		Unsalted testutil.Hex
	}
}

func load(t *testing.T) (v vectors) {
	t.Helper()
	testutil.ReadJSON(t, "wire/wire-core-vectors.json", &v)
	return v
}

func private(t *testing.T, b []byte) *keys.PrivateKey {
	t.Helper()
	k, err := keys.NewPrivateKey(b)
	require.NoError(t, err)
	return k
}

func TestVectorsHandshake(t *testing.T) {
	v := load(t)
	t.Run("one-time prekey", func(t *testing.T) { testHandshake(t, &v, &v.PQXDH, true) })
	t.Run("no one-time prekey", func(t *testing.T) { testHandshake(t, &v, &v.PQXDHNoOPK, false) })
}

func testHandshake(t *testing.T, v *vectors, h *handshake, oneTime bool) {
	alice, err := keys.NewIdentityKeyPair(v.Keys.AliceIdentity)
	require.NoError(t, err)
	bob, err := keys.NewIdentityKeyPair(v.Keys.BobIdentity)
	require.NoError(t, err)
	signed, one := private(t, v.Keys.BobSigned), private(t, v.Keys.BobOneTime)
	kem, err := keys.ParseKEMPrivateKey(append([]byte{8}, v.Keys.KyberSecret...))
	require.NoError(t, err)

	bundle := &x3dh.Bundle{RegistrationID: 5678, DeviceID: 1, IdentityKey: bob.Public(),
		SignedPreKey: x3dh.SignedPreKey{ID: 22, Key: signed.PublicKey(), Signature: bob.SignPreKey(signed.PublicKey())},
		KEMPreKey:    x3dh.KEMPreKey{ID: 33, Key: kem.Public(), Signature: bob.SignKEMPreKey(kem.Public())}}
	if oneTime {
		bundle.PreKey = &x3dh.PreKey{ID: 31337, Key: one.PublicKey()}
	}
	restore := testutil.ScriptRand(t, v.Keys.AliceBase, v.Keys.KyberCoins, v.Keys.AliceRatchet)
	a, err := x3dh.Initiate(alice, bundle)
	require.NoError(t, err)
	secret := a.Keys()
	require.Equal(t, []byte(h.Root0), secret[:32])
	require.Equal(t, []byte(h.Chain0), secret[32:64])
	require.Equal(t, []byte(h.PQRKey), secret[64:])

	params := ratchet.Params{Local: alice.Public(), Remote: bob.Public(), LocalRegistrationID: 1234, RemoteRegistrationID: 5678, BaseKey: a.BaseKey()}
	sa, err := ratchet.Initiate(&secret, &params, signed.PublicKey(), &ratchet.Pending{HasPreKey: oneTime, PreKeyID: 31337, SignedPreKeyID: 22, KEMPreKeyID: 33, KEMCiphertext: a.Ciphertext()})
	require.NoError(t, err)
	restore()
	salt := [32]byte(h.SPQRKey)
	inner, err := sa.EncryptWith([]byte(h.Plaintext), h.Addresses, []byte{1, 1, 1, 0}, &salt)
	require.NoError(t, err)
	require.Equal(t, []byte(h.SignalMessage), inner)

	outer, err := wire.ParsePreKeySignalMessage(h.PreKeyMessage)
	require.NoError(t, err)
	require.Equal(t, []byte(h.SignalMessage), outer.MessageBytes)
	require.Equal(t, a.Ciphertext(), outer.KEMCiphertext)
	base, err := keys.ParsePublicKey(outer.BaseKey)
	require.NoError(t, err)
	if !oneTime {
		one = nil
	}
	b, err := x3dh.Respond(&x3dh.Response{Identity: bob, SignedPreKey: signed, PreKey: one, KEMPreKey: kem,
		TheirIdentity: alice.Public(), BaseKey: base, Ciphertext: outer.KEMCiphertext})
	require.NoError(t, err)
	require.Equal(t, secret, b.Keys())
	params = ratchet.Params{Local: bob.Public(), Remote: alice.Public(), LocalRegistrationID: 5678, RemoteRegistrationID: 1234, BaseKey: base}
	sb := ratchet.Accept(&secret, &params, signed, signed.PublicKey())
	got, err := sb.Decrypt(outer.MessageBytes, &ratchet.DecryptOptions{Addresses: h.Addresses})
	require.NoError(t, err)
	require.Equal(t, h.Plaintext, string(got))
}

// session takes the current session out of a record.
func session(t *testing.T, record []byte) *ratchet.Session {
	t.Helper()
	rec, err := wire.ParseSessionRecord(record)
	require.NoError(t, err)
	s, err := ratchet.Parse(rec.Current)
	require.NoError(t, err)
	return s
}

func record(s *ratchet.Session) []byte {
	return wire.AppendSessionRecord(nil, &wire.SessionRecord{Current: s.Append(nil)})
}

func TestVectorsPlainRatchet(t *testing.T) {
	v := load(t).Plain
	alice := session(t, v.Alice)
	for i, want := range v.Messages {
		require.Equal(t, []byte(want), send(t, alice, fmt.Append(nil, "msg ", i)))
	}
	require.Equal(t, []byte(v.AliceAfter), record(alice))

	bob := session(t, v.Bob)
	require.Equal(t, "msg 2", read(t, bob, v.Messages[2]))
	require.Equal(t, []byte(v.BobAfter2), record(bob))
	require.Equal(t, "msg 0", read(t, bob, v.Messages[0]))
	require.Equal(t, []byte(v.BobAfter20), record(bob))
	archived := wire.AppendSessionRecord(nil, &wire.SessionRecord{Previous: [][]byte{bob.Append(nil)}})
	require.Equal(t, []byte(v.BobArchived), archived)
}

// The DH step of the vectors, on Bob's side: from his new ratchet key, which is
// random, to the root key.
func TestVectorsStep(t *testing.T) {
	v := load(t).Plain
	bob := session(t, v.Bob)
	require.Equal(t, "after ratchet", read(t, bob, v.Step.Message))
	w := stored(t, bob)
	require.Len(t, w.Receivers, 2)
	require.Zero(t, w.PreviousCounter)

	theirs, err := keys.ParsePublicKey(message(t, v.Step.Message).RatchetKey)
	require.NoError(t, err)
	root := [32]byte(v.Step.Root1)
	chain, err := ratchet.RootStep(&root, private(t, w.Sender.PrivateKey), theirs)
	require.NoError(t, err)
	require.Equal(t, root[:], w.RootKey)
	require.Equal(t, chain[:], w.Sender.Key)
}

func TestVectorsSteps(t *testing.T) {
	v := load(t).Plain
	root, own := [32]byte(v.Root), private(t, v.Step.Private)
	theirs, err := keys.ParsePublicKey(session(t, v.Bob).SenderKey())
	require.NoError(t, err)
	chain, err := ratchet.RootStep(&root, own, theirs)
	require.NoError(t, err)
	require.Equal(t, []byte(v.Step.Root1), root[:])
	require.Equal(t, []byte(v.Step.Chain1), chain[:])

	ck, salt := [32]byte(v.ChainA), [32]byte(v.Salted.PQKey)
	seed, _, salted := ratchet.MessageKeys(&ck, &salt)
	require.Equal(t, []byte(v.Salted.Seed), seed[:])
	require.Equal(t, []byte(v.Salted.Keys), salted)
	_, _, unsalted := ratchet.MessageKeys(&ck, nil)
	require.Equal(t, []byte(v.Salted.Unsalted), unsalted)
}

func TestVectorsOfficialSteps(t *testing.T) {
	v := load(t)
	alice, bob := "00796abedbca4e4f1888031fde5b921f9f02", "009d0652a3dcc34d11975f74d61598733f01"
	binding := map[string]string{"bob": alice + bob, "alice": bob + alice}
	for i, step := range v.Steps {
		if step.Type != 2 {
			continue // a first message needs the prekeys: package session
		}
		s := session(t, step.Record)
		var addresses testutil.Hex
		require.NoError(t, addresses.UnmarshalText([]byte(binding[step.Receiver])))
		got, err := s.Decrypt(step.Message, &ratchet.DecryptOptions{Addresses: addresses})
		require.NoError(t, err, "step %d", i)
		require.Equal(t, step.Plaintext, string(got))
	}
}
