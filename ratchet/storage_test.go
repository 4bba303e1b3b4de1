package ratchet_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The checks of storage, Section 9, that are not in vectors_test.go.

func TestStorage5_FormsOfSkippedKeys(t *testing.T) {
	alice, bob := newPlain(t)
	say(t, alice, bob, "hello")
	d := draft(t, alice, "late")
	send(t, alice, nil)
	say(t, alice, bob, "later")
	late := d.Seal()
	wrong := bytes.Repeat([]byte{1}, 32)
	for name, c := range map[string]struct {
		key  wire.MessageKey
		want error
	}{
		"expanded":             {expanded(d, 32, nil), nil},
		"seed":                 {wire.MessageKey{Index: d.Counter, Seed: d.Seed[:]}, nil},
		"both":                 {expanded(d, 32, d.Seed[:]), nil},
		"both, the seed wins":  {expanded(d, 32, wrong), ratchet.ErrAuth},
		"seed beside a bad":    {expanded(d, 31, d.Seed[:]), nil},
		"MAC key of 31 bytes":  {expanded(d, 31, nil), ratchet.ErrCorrupt},
		"seed of 31 bytes":     {wire.MessageKey{Index: d.Counter, Seed: d.Seed[:31]}, ratchet.ErrCorrupt},
		"nothing but an index": {wire.MessageKey{Index: d.Counter}, ratchet.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			s := withSkipped(t, bob, c.key)
			if c.want != nil {
				refuse(t, s, late, nil, c.want)
				return
			}
			require.Equal(t, "late", read(t, s, late))
			require.Empty(t, keptBy(t, s))
			refuse(t, s, late, nil, ratchet.ErrDuplicate)
		})
	}
}

func TestStorage6_SignedPreKeyIDOf32Bits(t *testing.T) {
	p := ratchet.Pending{HasPreKey: true, PreKeyID: math.MaxUint32, SignedPreKeyID: math.MaxUint32, KEMPreKeyID: math.MaxUint32}
	s, err := ratchet.Initiate(new([96]byte), &ratchet.Params{}, keys.GeneratePrivateKey().PublicKey(), &p)
	require.NoError(t, err)
	require.Contains(t, hex.EncodeToString(s.Append(nil)), "18ffffffffffffffffff01")
	got, ok := again(t, s).Pending()
	require.True(t, ok)
	require.Equal(t, uint32(math.MaxUint32), got.SignedPreKeyID)
	require.Equal(t, uint32(math.MaxUint32), got.PreKeyID)
	require.Equal(t, uint32(math.MaxUint32), got.KEMPreKeyID)
}

func TestStorage8_OfficialFirstFlight(t *testing.T) {
	record := load(t).FirstFlight.Record
	rec, err := wire.ParseSessionRecord(record)
	require.NoError(t, err)
	s := session(t, record)
	require.Equal(t, rec.Current, s.Append(nil))
	require.EqualValues(t, 4, s.Version())
	require.EqualValues(t, 5678, s.RemoteRegistrationID())
	require.EqualValues(t, 1234, s.LocalRegistrationID())
	require.True(t, s.PostQuantum())
	require.Len(t, s.BaseKey(), 33)
	require.Len(t, s.ReceiverKeys(), 1)

	p, ok := s.Pending()
	require.True(t, ok)
	require.EqualValues(t, 33, p.KEMPreKeyID)
	require.Len(t, p.KEMCiphertext, 1569)
	require.EqualValues(t, 1700000000, p.Created)
	require.Equal(t, s.BaseKey(), p.BaseKey)

	w := stored(t, s)
	require.Zero(t, w.Receivers[0].Index)
	require.EqualValues(t, 2, w.Sender.Index)
	require.EqualValues(t, 2, message(t, send(t, s, nil)).Counter)
}

// A time before 1970 is stored as 0, and one beyond an int64 is read as the
// last of it.
func TestOVF_04_TimesOfPending(t *testing.T) {
	signed := keys.GeneratePrivateKey().PublicKey()
	for created, want := range map[int64]uint64{math.MinInt64: 0, -1: 0, 0: 0, 1 << 53: 1 << 53, math.MaxInt64: math.MaxInt64} {
		s, err := ratchet.Initiate(new([96]byte), &ratchet.Params{}, signed, &ratchet.Pending{Created: created})
		require.NoError(t, err)
		require.Equal(t, want, stored(t, s).Pending.Created)
		p, _ := again(t, s).Pending()
		require.EqualValues(t, want, p.Created)
	}
	s, err := ratchet.Initiate(new([96]byte), &ratchet.Params{}, signed, &ratchet.Pending{})
	require.NoError(t, err)
	p, _ := edited(t, s, func(w *wire.Session) { w.Pending.Created = math.MaxUint64 }).Pending()
	require.Equal(t, int64(math.MaxInt64), p.Created)
}
