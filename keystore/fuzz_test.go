package keystore_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// Any bytes are a header, or an error that says why not; what it asks of us is
// bounded, and it is written as it was read.
func FuzzF31Header(f *testing.F) {
	var all vectors
	testutil.ReadJSON(f, vectorsFile, &all)
	for _, v := range all.Vectors {
		f.Add([]byte(v.StoredHeader.Value))
	}
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		given := bytes.Clone(b)
		again, cost, err := keystore.ReadHeader(b)
		require.Equal(t, given, b)
		if len(b) > keystore.CheckLen && err != nil { // get past the checksum, too
			b = keystore.Checksummed(b)
			again, cost, err = keystore.ReadHeader(b)
		}
		if err != nil {
			require.True(t, errors.Is(err, keystore.ErrCorrupt) || errors.Is(err, keystore.ErrNewerFormat))
			return
		}
		require.Equal(t, b[:keystore.PrefaceLen], again)
		require.LessOrEqual(t, len(b), 183)
		require.LessOrEqual(t, cost.Time, uint32(64))
		if cost.Time != 0 {
			require.LessOrEqual(t, cost.Memory, uint32(256<<10))
			require.LessOrEqual(t, cost.Threads, uint8(64))
		}
		inner := newLasting()
		testutil.Commit(t, inner, testutil.Put(keystore.HeadKey, 0, string(b)))
		requireClosed(t, inner, keystore.Unlock{Key: &[32]byte{4}}, nil, keystore.ErrPassphrase)
	})
}

// Any bytes in the place of a sealed value are damaged, be they only read as one
// or sealed by whoever has the key.
func FuzzSealedRecord(f *testing.F) {
	for _, o := range []*keystore.EncryptedOptions{nil, blind} {
		inner := newLasting()
		s := openEncrypted(f, inner, unlock, o)
		_, at := twenty(f, s, inner)
		for _, stored := range at {
			f.Add([]byte(testutil.Load(f, inner, stored).Value))
		}
	}
	for _, b := range []string{"", "\x00", "\x01\x03", "\x03abc\x02de", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", "\x80\x00\x00value"} {
		f.Add([]byte(b))
	}
	k := testutil.Key("k", "o", "n")
	inner := newLasting()
	s := openEncrypted(f, inner, unlock, blind)
	v := testutil.Commit(f, s, testutil.Put(k, 0, "value"))
	stored := keystore.Key{}
	for at, r := range testutil.All(f, inner, "", "", "") {
		if r.Version == v {
			stored = at
		}
	}
	good := testutil.Load(f, inner, stored)
	f.Fuzz(func(t *testing.T, b []byte) {
		if !bytes.Equal(b, good.Value) {
			overwrite(t, inner, stored, b)
			requireDamaged(t, s, map[keystore.Key]string{k: "value"}, k)
		}
		part, rest, ok := keystore.CutPart(b)
		if ok {
			require.True(t, bytes.HasSuffix(b, append([]byte(part), rest...)))
		}
		overwrite(t, inner, stored, s.Sealed(stored, b))
		recs, err := s.Load(ctx, k)
		_, rest, ok = keystore.CutPart(b)
		_, rest, fine := keystore.CutPart(rest)
		if !ok || !fine {
			requireNames(t, err, []keystore.Key{k})
			return
		}
		require.NoError(t, err)
		require.True(t, bytes.Equal(rest, recs[0].Value))
	})
}
