package testutil

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Key names a record of scope "scope".
func Key(kind, owner, name string) keystore.Key {
	return keystore.Key{Scope: "scope", Kind: kind, Owner: owner, Name: name}
}

// Put is a change that writes.
func Put(k keystore.Key, expect uint64, value string) keystore.Change {
	return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
}

// Delete is a change that removes.
func Delete(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Delete, Key: k, Expect: expect}
}

// Check is a change that only expects.
func Check(k keystore.Key, expect uint64) keystore.Change {
	return keystore.Change{Op: keystore.Check, Key: k, Expect: expect}
}

// Commit commits, and must succeed.
func Commit(t testing.TB, s keystore.Store, changes ...keystore.Change) uint64 {
	t.Helper()
	v, err := s.Commit(context.Background(), changes...)
	require.NoError(t, err)
	return v
}

// Load loads one record, and must succeed.
func Load(t testing.TB, s keystore.Store, k keystore.Key) keystore.Record {
	t.Helper()
	r, err := s.Load(context.Background(), k)
	require.NoError(t, err)
	require.Len(t, r, 1)
	require.Equal(t, k, r[0].Key)
	return r[0]
}

// Generation returns the generation, and must succeed.
func Generation(t testing.TB, s keystore.Store) uint64 {
	t.Helper()
	g, err := s.Generation(context.Background())
	require.NoError(t, err)
	return g
}

// All lists a store into a map, and requires each record once.
func All(t testing.TB, s keystore.Store, scope, kind, owner string) map[keystore.Key]keystore.Record {
	t.Helper()
	got := map[keystore.Key]keystore.Record{}
	for r, err := range s.List(context.Background(), scope, kind, owner) {
		require.NoError(t, err)
		_, twice := got[r.Key]
		require.False(t, twice)
		got[r.Key] = r
	}
	return got
}
