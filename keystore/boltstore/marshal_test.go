//go:build !wasm

package boltstore_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// The layout of a file is for ever: what it is must not change by accident.
func TestStoredForm(t *testing.T) {
	k := keystore.Key{Scope: "s", Kind: "ki", Owner: "", Name: "n\x00"}
	require.Equal(t, "\x01s\x02ki\x00\x02n\x00", string(boltstore.StoredKey(k)))
	require.Equal(t, "\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x00\x00\x01\x02\x00\x47\x34\x18\x36"+"value",
		string(boltstore.StoredValue(k, 0x102, "value")))

	k.Owner = strings.Repeat("o", 255)
	stored := boltstore.StoredKey(k)
	require.Len(t, stored, 2+3+33+3)
	require.Equal(t, byte(0xFF), stored[5])
	require.Equal(t, "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x15\xfc\x78\x6e\xff\x01"+k.Owner+"v",
		string(boltstore.StoredValue(k, 1, "v")))
}

// Keys are told apart, begin as List expects, and come back as they were.
func FuzzStoredKey(f *testing.F) {
	long := strings.Repeat("x", 255)
	for _, s := range []string{"", "a", "\x00", "\x01a", "\xff", long, long[1:], long + "\x00"} {
		f.Add("s", "k", s, "n", "s", "k", "", s)
		f.Add(s, s, s, s, s, s, s, "")
	}
	f.Fuzz(func(t *testing.T, s1, k1, o1, n1, s2, k2, o2, n2 string) {
		a := keystore.Key{Scope: s1, Kind: k1, Owner: o1, Name: n1}
		b := keystore.Key{Scope: s2, Kind: k2, Owner: o2, Name: n2}
		ka, kb := boltstore.StoredKey(a), boltstore.StoredKey(b)
		require.Equal(t, a == b, bytes.Equal(ka, kb))
		require.LessOrEqual(t, len(ka), 4*255)
		if a != b {
			require.False(t, bytes.HasPrefix(ka, kb))
		}
		if s2 != "" && k2 != "" && o2 != "" {
			same := s1 == s2 && k1 == k2
			require.Equal(t, same && o1 == o2, bytes.HasPrefix(ka, boltstore.Prefix(s2, k2, o2)))
			require.Equal(t, same, bytes.HasPrefix(ka, boltstore.Prefix(s2, k2, "")))
			require.Equal(t, s1 == s2, bytes.HasPrefix(ka, boltstore.Prefix(s2, "", o2)))
			require.Empty(t, boltstore.Prefix("", k2, o2))
		}
		r, inline, err := boltstore.Parse(ka, boltstore.StoredValue(a, 7, n2))
		require.NoError(t, err)
		require.Equal(t, len(n2) <= boltstore.InlineMax, inline)
		require.Equal(t, a, r.Key)
		require.Equal(t, uint64(7), r.Version)
		require.Equal(t, n2, string(r.Value))
	})
}

// Any bytes are a record or ErrCorrupt.
func FuzzStoredRecord(f *testing.F) {
	k := testutil.Key("k", strings.Repeat("x", 300), "n")
	f.Add(boltstore.StoredKey(k), boltstore.StoredValue(k, 1, "value"))
	f.Add(boltstore.StoredKey(k), boltstore.StoredValue(k, 1, "value")[:24])
	f.Add([]byte{0, 0, 0, 0xFF}, make([]byte, 21))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r, inline, err := boltstore.Parse(key, value)
		if err != nil {
			require.ErrorIs(t, err, keystore.ErrCorrupt)
			return
		}
		require.NotZero(t, r.Version)
		if inline && r.Key.Valid() {
			stored := boltstore.StoredValue(r.Key, r.Version, string(r.Value))
			require.Len(t, stored, len(value)) // lengths have one encoding
		}
	})
}
