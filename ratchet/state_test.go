package ratchet_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestRAT_06_GarbageUnderANewKey(t *testing.T) {
	alice, bob := newTalk(t)
	for i := range 50 {
		d := draft(t, alice, "text")
		d.RatchetKey = keys.GeneratePrivateKey().PublicKey().Bytes()
		d.Counter = uint32(i)
		refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth)
		d.PQRatchet = nil
		refuse(t, bob, d.Seal(), nil, ratchet.ErrAuth)
		junk := make([]byte, 4*i)
		rand.Read(junk)
		requireTampered(t, bob, junk, "junk", i)
	}
	say(t, alice, bob, "on")
	say(t, bob, alice, "and on")
}

func TestKA_01_RatchetKeyOfSmallOrder(t *testing.T) {
	alice, bob := newTalk(t)
	for _, key := range testutil.SmallOrderKeys() {
		d := draft(t, alice, "text")
		d.RatchetKey = key
		refuse(t, bob, d.Seal(), nil, keys.ErrZeroAgreement)
	}
	for _, key := range [][]byte{{}, {5}, make([]byte, 33), append([]byte{6}, make([]byte, 32)...), append([]byte{5}, make([]byte, 31)...), append([]byte{5}, make([]byte, 33)...)} {
		d := draft(t, alice, "text")
		d.RatchetKey = key
		refuse(t, bob, d.Seal(), nil, keys.ErrKey)
	}
	say(t, alice, bob, "on")
}

func TestKA_01_SignedPreKeyOfSmallOrder(t *testing.T) {
	for _, b := range testutil.SmallOrderKeys() {
		key, err := keys.ParsePublicKey(b)
		require.NoError(t, err)
		s, err := ratchet.Initiate(new([96]byte), &ratchet.Params{}, key, &ratchet.Pending{})
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
		require.Nil(t, s)
	}
}

func TestKA_23_RatchetKeyIsADrawOfItsOwn(t *testing.T) {
	coins := bytes.Repeat([]byte{0x42}, 32)
	own, err := keys.NewPrivateKey(coins)
	require.NoError(t, err)
	base, signed := keys.GeneratePrivateKey().PublicKey(), keys.GeneratePrivateKey().PublicKey()
	restore := testutil.ScriptRand(t, coins)
	s, err := ratchet.Initiate(new([96]byte), &ratchet.Params{BaseKey: base}, signed, &ratchet.Pending{})
	restore()
	require.NoError(t, err)
	require.Equal(t, own.PublicKey().Bytes(), s.SenderKey())
	require.Equal(t, base.Bytes(), s.BaseKey())
}

// expanded is d's skipped key in the expanded form of old libraries, with the
// first n bytes of its MAC key, and with a seed if there is one.
func expanded(d *ratchet.Draft, n int, seed []byte) wire.MessageKey {
	return wire.MessageKey{Index: d.Counter, CipherKey: d.Cipher[:], MACKey: d.MACed[:n], IV: d.IV[:], Seed: seed}
}

// withSkipped returns s with k as the one skipped key of its newest receiving
// chain.
func withSkipped(t *testing.T, s *ratchet.Session, k wire.MessageKey) *ratchet.Session {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(k.Index))
	for i, part := range [][]byte{k.CipherKey, k.MACKey, k.IV, k.Seed} {
		b = protowire.AppendBytes(protowire.AppendTag(b, protowire.Number(2+i), protowire.BytesType), part)
	}
	b = protowire.AppendBytes(protowire.AppendTag(nil, 4, protowire.BytesType), b)
	return edited(t, s, func(w *wire.Session) { w.Receivers[len(w.Receivers)-1].Skipped = b })
}

func TestRAT_13_ExpandedKeyBesideAPostQuantumKey(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	d := draft(t, alice, "late")
	send(t, alice, nil)
	say(t, alice, bob, "later")
	refuse(t, withSkipped(t, bob, expanded(d, 32, nil)), d.Seal(), nil, ratchet.ErrCorrupt)
	require.Equal(t, "late", read(t, bob, d.Seal()))
}

func TestRAT_15_UsedKeysAreGone(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	w := stored(t, alice)
	chainKey := [32]byte(w.Sender.Key)
	d := draft(t, alice, "text")
	salt := *d.Salt
	_, next, _ := ratchet.MessageKeys(&chainKey, nil)
	used := [][]byte{chainKey[:], d.Seed[:], d.Cipher[:], d.MACed[:], d.IV[:], salt[:]}

	memory := alice.Parts()
	requireHolds(t, memory, chainKey[:])
	send(t, alice, []byte("text"))
	requireGone(t, alice, memory, used)

	memory = bob.Parts()
	requireHolds(t, memory, chainKey[:])
	require.Equal(t, "text", read(t, bob, d.Seal()))
	requireGone(t, bob, memory, used)
	requireHolds(t, bob.Parts(), next[:])
}

func TestRAT_15_UsedSkippedKeyIsGone(t *testing.T) {
	alice, bob := newTalk(t)
	d := draft(t, alice, "late")
	salt := *d.Salt
	send(t, alice, nil)
	other := draft(t, alice, "other")
	send(t, alice, nil)
	say(t, alice, bob, "later")
	memory := bob.Parts()
	requireHolds(t, memory, d.Seed[:])
	require.True(t, bytes.Contains(bob.Append(nil), salt[:]))
	require.Equal(t, "late", read(t, bob, d.Seal()))
	requireGone(t, bob, memory, [][]byte{d.Seed[:], d.Cipher[:], d.MACed[:], salt[:]})
	requireHolds(t, bob.Parts(), other.Seed[:])
}

func TestRAT_15_StepAndEvictionLeaveNothing(t *testing.T) {
	alice, bob := newTalk(t)
	w := stored(t, bob)
	memory := bob.Parts()
	say(t, alice, bob, "a new chain")
	requireGone(t, bob, memory, [][]byte{w.RootKey, w.Sender.Key, w.Sender.PrivateKey})

	late := draft(t, alice, "late")
	send(t, alice, nil)
	say(t, alice, bob, "later")
	w = stored(t, bob)
	memory = bob.Parts()
	requireHolds(t, memory, late.Seed[:])
	for range 5 {
		say(t, bob, alice, "ping")
		say(t, alice, bob, "pong")
	}
	requireGone(t, bob, memory, [][]byte{late.Seed[:], w.Receivers[1].Key})
}

func requireHolds(t *testing.T, memory [][]byte, secret []byte) {
	t.Helper()
	require.True(t, bytes.Contains(bytes.Join(memory, nil), secret))
}

// requireGone looks for secrets in the stored form and in memory that was in
// use before.
func requireGone(t *testing.T, s *ratchet.Session, memory, secrets [][]byte) {
	t.Helper()
	for i, secret := range secrets {
		require.False(t, bytes.Contains(s.Append(nil), secret), "stored: %d", i)
		require.False(t, bytes.Contains(bytes.Join(memory, nil), secret), "in memory: %d", i)
	}
}

func TestSessionsOfTheSameBytesAreIndependent(t *testing.T) {
	alice, bob := newTalk(t)
	late := send(t, alice, []byte("late"))
	say(t, alice, bob, "hello")
	buf := bob.Append(nil)
	state := bytes.Clone(buf)
	one, two := parse(t, buf), parse(t, buf)
	require.Equal(t, state, one.Append(nil))

	require.Equal(t, "late", read(t, one, late))
	say(t, alice, one, "more")
	say(t, one, alice, "more")
	say(t, alice, one, "more") // a DH step
	require.Equal(t, state, two.Append(nil))

	for _, b := range append(two.ReceiverKeys(), two.SenderKey(), two.BaseKey(), two.Append(nil)) {
		clear(b)
	}
	p, ok := parse(t, alice.Append(nil)).Pending()
	require.False(t, ok)
	require.Zero(t, p)
	require.Equal(t, state, two.Append(nil))
	require.Equal(t, "late", read(t, two, late))
	require.Equal(t, state, buf) // whatever is overwritten, it is not this
}

func TestPending(t *testing.T) {
	alice, bob := newPair(t)
	before := alice.Append(nil)
	p, ok := alice.Pending()
	require.True(t, ok)
	require.Equal(t, ratchet.Pending{HasPreKey: true, PreKeyID: 1, SignedPreKeyID: 2, KEMPreKeyID: 3,
		KEMCiphertext: make([]byte, 1569), BaseKey: alice.BaseKey(), Created: 1700000000}, p)
	clear(p.BaseKey)
	p.KEMCiphertext[0] = 1
	require.Equal(t, before, alice.Append(nil))
	_, ok = bob.Pending()
	require.False(t, ok)

	for range 3 { // until the first answer
		say(t, alice, bob, "hello")
		_, ok = alice.Pending()
		require.True(t, ok)
	}
	refuse(t, alice, make([]byte, 50), nil, ratchet.ErrVersion)
	_, ok = alice.Pending()
	require.True(t, ok)
	say(t, bob, alice, "answer")
	_, ok = alice.Pending()
	require.False(t, ok)
	require.Nil(t, stored(t, alice).PendingKEM)

	alice, _ = newPair(t)
	alice.ClearPending()
	_, ok = alice.Pending()
	require.False(t, ok)
}
