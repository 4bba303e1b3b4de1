package ratchet_test

import (
	"bytes"
	"crypto/rand"
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var whole = flag.Bool("whole", false, "do in full what takes minutes")

// newPair returns both ends of a new session, as after a handshake: bob has
// received nothing yet.
func newPair(t testing.TB) (alice, bob *ratchet.Session) {
	t.Helper()
	return newPairOf(t, keys.GenerateIdentityKeyPair().Public(), keys.GenerateIdentityKeyPair().Public(), false)
}

func newPairOf(t testing.TB, a, b keys.IdentityKey, self bool) (alice, bob *ratchet.Session) {
	t.Helper()
	var secret [96]byte
	rand.Read(secret[:])
	signed := keys.GeneratePrivateKey()
	p := ratchet.Params{Local: a, Remote: b, LocalRegistrationID: 1234, RemoteRegistrationID: 5678,
		BaseKey: keys.GeneratePrivateKey().PublicKey(), Self: self}
	alice, err := ratchet.Initiate(&secret, &p, signed.PublicKey(),
		&ratchet.Pending{HasPreKey: true, PreKeyID: 1, SignedPreKeyID: 2, KEMPreKeyID: 3, KEMCiphertext: make([]byte, 1569), Created: 1700000000})
	require.NoError(t, err)
	p.Local, p.Remote = p.Remote, p.Local
	p.LocalRegistrationID, p.RemoteRegistrationID = 5678, 1234
	return alice, ratchet.Accept(&secret, &p, signed, signed.PublicKey())
}

// newTalk returns two sessions of which each has read a message of the other.
func newTalk(t testing.TB) (alice, bob *ratchet.Session) {
	t.Helper()
	alice, bob = newPair(t)
	say(t, alice, bob, "hello")
	say(t, bob, alice, "hello yourself")
	return alice, bob
}

func send(t testing.TB, from *ratchet.Session, plaintext []byte) []byte {
	t.Helper()
	msg, err := from.Encrypt(plaintext, nil)
	require.NoError(t, err)
	return msg
}

func read(t testing.TB, to *ratchet.Session, msg []byte) string {
	t.Helper()
	plaintext, err := to.Decrypt(msg, nil)
	require.NoError(t, err)
	return string(plaintext)
}

func say(t testing.TB, from, to *ratchet.Session, text string) {
	t.Helper()
	require.Equal(t, text, read(t, to, send(t, from, []byte(text))))
}

// refuse has s decrypt what it must refuse, and holds the error and the state
// against what they should be.
func refuse(t testing.TB, s *ratchet.Session, msg []byte, o *ratchet.DecryptOptions, want error) error {
	t.Helper()
	before := s.Append(nil)
	plaintext, err := s.Decrypt(msg, o)
	require.ErrorIs(t, err, want)
	require.Nil(t, plaintext)
	require.True(t, bytes.Equal(before, s.Append(nil)), "state after %v", err)
	return err
}

// again returns an independent copy of s, by way of its stored form.
func again(t testing.TB, s *ratchet.Session) *ratchet.Session {
	t.Helper()
	return parse(t, s.Append(nil))
}

func parse(t testing.TB, b []byte) *ratchet.Session {
	t.Helper()
	s, err := ratchet.Parse(b)
	require.NoError(t, err)
	return s
}

// stored returns the stored form of s, as fields.
func stored(t testing.TB, s *ratchet.Session) *wire.Session {
	t.Helper()
	w, err := wire.ParseSession(s.Append(nil))
	require.NoError(t, err)
	return w
}

// edited returns a session with the stored form of s, changed by edit.
func edited(t testing.TB, s *ratchet.Session, edit func(w *wire.Session)) *ratchet.Session {
	t.Helper()
	w := stored(t, s)
	edit(w)
	return parse(t, wire.AppendSession(nil, w))
}

func message(t testing.TB, msg []byte) wire.SignalMessage {
	t.Helper()
	m, err := wire.ParseSignalMessage(msg)
	require.NoError(t, err)
	return m
}

// draft returns the next message of s, to be changed and sealed. s stays as it
// is.
func draft(t testing.TB, s *ratchet.Session, text string) *ratchet.Draft {
	t.Helper()
	d, err := s.Draft([]byte(text))
	require.NoError(t, err)
	return d
}
