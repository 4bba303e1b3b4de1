//go:build !wasm

package boltstore_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// many is a store of records "0" to "n-1" of two kinds in turn.
func many(t *testing.T, n int) *boltstore.Store {
	s := open(t)
	var changes []keystore.Change
	for i := range n {
		changes = append(changes, testutil.Put(testutil.Key("kind"+strconv.Itoa(i%2), "o", strconv.Itoa(i)), 0, "v"))
	}
	testutil.Commit(t, s, changes...)
	return s
}

// More records than one transaction reads, with those asked for far apart.
func TestLongList(t *testing.T) {
	n := 3*boltstore.PageKeys + 7
	s := many(t, n)
	require.Len(t, testutil.All(t, s, "", "", ""), n)
	require.Len(t, testutil.All(t, s, "scope", "", "o"), n)
	require.Len(t, testutil.All(t, s, "", "kind1", ""), n/2)
	require.Empty(t, testutil.All(t, s, "", "", "nobody"))
	require.Empty(t, testutil.All(t, s, "scope", "kind", ""))

	last := testutil.Key("kind1", "p", "")
	testutil.Commit(t, s, testutil.Put(last, 0, ""))
	require.Len(t, testutil.All(t, s, "", "", "p"), 1)
}

// Every step of the loop commits, to the record itself, to one ahead, and so
// much that the file grows: none is missed or repeated, none is as it was before
// a Commit of the loop, and what the loop adds does not come.
func TestListWhileCommitting(t *testing.T) {
	const n = 100
	s := many(t, n)
	current := map[keystore.Key]uint64{}
	for k, r := range testutil.All(t, s, "", "", "") {
		current[k] = r.Version
	}
	seen := map[keystore.Key]bool{}
	for r, err := range s.List(ctx, "scope", "", "") {
		require.NoError(t, err)
		require.False(t, seen[r.Key])
		require.Equal(t, current[r.Key], r.Version)
		i, err := strconv.Atoi(r.Key.Name)
		require.NoError(t, err)
		seen[r.Key] = true
		ahead := testutil.Key("kind"+strconv.Itoa((i+37)%n%2), "o", strconv.Itoa((i+37)%n))
		v := testutil.Commit(t, s,
			testutil.Put(r.Key, r.Version, "new"),
			testutil.Put(ahead, current[ahead], strings.Repeat("x", 20000)),
			testutil.Put(testutil.Key("kind2", "o", r.Key.Name), 0, "added"))
		current[r.Key], current[ahead] = v, v
	}
	require.Len(t, seen, n)
}

// Two listings and the loop's own loads do not get in each other's way.
func TestNestedLists(t *testing.T) {
	s := many(t, 40)
	pairs := 0
	for a, err := range s.List(ctx, "scope", "kind0", "") {
		require.NoError(t, err)
		for b, err := range s.List(ctx, "scope", "kind1", "") {
			require.NoError(t, err)
			require.NotEqual(t, a.Key, b.Key)
			require.NotZero(t, testutil.Load(t, s, a.Key).Version)
			pairs++
		}
	}
	require.Equal(t, 400, pairs)
}
