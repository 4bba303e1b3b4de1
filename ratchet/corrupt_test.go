package ratchet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A damage is done to bob's stored form. The error of Encrypt, that of Decrypt
// on a chain that bob holds, and that on a new one; nil: it works.
type damage struct {
	edit              func(w *wire.Session)
	encrypt, old, new error
}

var (
	short      = make([]byte, 31)
	wrongType  = append([]byte{6}, make([]byte, 32)...)
	errCorrupt = ratchet.ErrCorrupt
	errVersion = ratchet.ErrVersion
)

var damages = map[string]damage{
	"none":                         {func(w *wire.Session) {}, nil, nil, nil},
	"no local identity":            {func(w *wire.Session) { w.LocalIdentity = nil }, errCorrupt, errCorrupt, errCorrupt},
	"local identity of 31 bytes":   {func(w *wire.Session) { w.LocalIdentity = short }, errCorrupt, errCorrupt, errCorrupt},
	"local identity's type":        {func(w *wire.Session) { w.LocalIdentity = wrongType }, errCorrupt, errCorrupt, errCorrupt},
	"no remote identity":           {func(w *wire.Session) { w.RemoteIdentity = nil }, errCorrupt, errCorrupt, errCorrupt},
	"remote identity's type":       {func(w *wire.Session) { w.RemoteIdentity = wrongType }, errCorrupt, errCorrupt, errCorrupt},
	"no root key":                  {func(w *wire.Session) { w.RootKey = nil }, nil, errCorrupt, errCorrupt},
	"root key of 31 bytes":         {func(w *wire.Session) { w.RootKey = short }, nil, errCorrupt, errCorrupt},
	"no sending chain":             {func(w *wire.Session) { w.Sender = nil }, errCorrupt, nil, errCorrupt},
	"sending chain's public key":   {func(w *wire.Session) { w.Sender.PublicKey = wrongType }, errCorrupt, errCorrupt, errCorrupt},
	"sending chain's private key":  {func(w *wire.Session) { w.Sender.PrivateKey = short }, errCorrupt, errCorrupt, errCorrupt},
	"sending chain's key":          {func(w *wire.Session) { w.Sender.Key = short }, errCorrupt, errCorrupt, errCorrupt},
	"no sending chain's key":       {func(w *wire.Session) { w.Sender.Key = nil }, errCorrupt, errCorrupt, errCorrupt},
	"post-quantum state":           {func(w *wire.Session) { w.PQRatchet = short }, errCorrupt, errCorrupt, errCorrupt},
	"unused receiver's public key": {func(w *wire.Session) { w.Receivers[0].PublicKey = wrongType }, nil, nil, nil},
	"unused receiver's key":        {func(w *wire.Session) { w.Receivers[0].Key = short }, nil, nil, nil},
	"receiver's key":               {func(w *wire.Session) { w.Receivers[1].Key = short }, nil, errCorrupt, nil},
	"no receiver's key":            {func(w *wire.Session) { w.Receivers[1].Key = nil }, nil, errCorrupt, nil},
	"no version":                   {func(w *wire.Session) { w.Version = 0 }, errCorrupt, errVersion, errVersion},
	"version 2":                    {func(w *wire.Session) { w.Version = 2 }, errCorrupt, errVersion, errVersion},
	"version 5":                    {func(w *wire.Session) { w.Version = 5 }, errCorrupt, errVersion, errVersion},
	"version 256 + 4":              {func(w *wire.Session) { w.Version = 260 }, errCorrupt, errVersion, errVersion},
	"nothing at all":               {func(w *wire.Session) { *w = wire.Session{} }, errCorrupt, errVersion, errVersion},
}

func TestSES_04_CorruptState(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	held := send(t, alice, []byte("text"))
	say(t, bob, alice, "answer")
	fresh := send(t, alice, []byte("text"))
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			s := edited(t, bob, d.edit)
			before := s.Append(nil)
			_, err := s.Encrypt([]byte("text"), nil)
			require.ErrorIs(t, err, d.encrypt)
			if d.encrypt != nil {
				require.Equal(t, before, s.Append(nil))
			}
			for want, msg := range map[*error][]byte{&d.old: held, &d.new: fresh} {
				if *want != nil {
					refuse(t, edited(t, bob, d.edit), msg, nil, *want)
				} else {
					require.Equal(t, "text", read(t, edited(t, bob, d.edit), msg))
				}
			}
		})
	}
}

// What is stored otherwise than it would be written stays so when nothing is
// done.
func TestFailureDoesNotRewriteTheStoredForm(t *testing.T) {
	alice, bob := newTalk(t)
	odd := edited(t, bob, func(w *wire.Session) { w.PQRatchet = append(w.PQRatchet, 0x78, 0) }) // an unknown field
	d := draft(t, alice, "text")
	d.MACed[0] ^= 1
	before := odd.Append(nil)
	refuse(t, odd, d.Seal(), nil, ratchet.ErrAuth)
	_, err := odd.Encrypt(make([]byte, ratchet.MaxPlaintext+1), nil)
	require.ErrorIs(t, err, ratchet.ErrTooLarge)
	require.Equal(t, before, odd.Append(nil))
	say(t, odd, alice, "on")
}

func TestParseErrors(t *testing.T) {
	_, err := ratchet.Parse([]byte{0xFF})
	require.ErrorIs(t, err, ratchet.ErrMalformed)
	_, err = ratchet.Parse(make([]byte, wire.MaxSession+1))
	require.ErrorIs(t, err, ratchet.ErrTooLarge)

	empty, err := ratchet.Parse(nil)
	require.NoError(t, err)
	require.Empty(t, empty.Append(nil))
	require.Zero(t, empty.Version())
	require.Zero(t, empty.RemoteRegistrationID())
	require.False(t, empty.PostQuantum())
	require.Nil(t, empty.SenderKey())
	require.Empty(t, empty.ReceiverKeys())
	require.Empty(t, empty.BaseKey())
	_, err = empty.LocalIdentity()
	require.ErrorIs(t, err, ratchet.ErrCorrupt)
	_, err = empty.RemoteIdentity()
	require.ErrorIs(t, err, ratchet.ErrCorrupt)

	damaged := edited(t, func() *ratchet.Session { a, _ := newTalk(t); return a }(), func(w *wire.Session) { w.PQRatchet = short })
	require.False(t, damaged.PostQuantum())
}

func TestAccessors(t *testing.T) {
	a, b := keys.GenerateIdentityKeyPair().Public(), keys.GenerateIdentityKeyPair().Public()
	alice, bob := newPairOf(t, a, b, false)
	for _, s := range []*ratchet.Session{alice, again(t, alice)} {
		local, err := s.LocalIdentity()
		require.NoError(t, err)
		remote, err := s.RemoteIdentity()
		require.NoError(t, err)
		require.Equal(t, []keys.IdentityKey{a, b}, []keys.IdentityKey{local, remote})
		require.EqualValues(t, 4, s.Version())
		require.EqualValues(t, 1234, s.LocalRegistrationID())
		require.EqualValues(t, 5678, s.RemoteRegistrationID())
		require.True(t, s.PostQuantum())
		require.True(t, s.HasReceiver(s.ReceiverKeys()[0]))
		require.False(t, s.HasReceiver(s.SenderKey()))
	}
	require.Equal(t, alice.BaseKey(), bob.BaseKey())
	require.Equal(t, alice.ReceiverKeys(), [][]byte{bob.SenderKey()})
}
