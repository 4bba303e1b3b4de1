package storetest

import (
	"context"
	"iter"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

func requireListError(t *testing.T, seq iter.Seq2[keystore.Record, error], want error) {
	t.Helper()
	steps := 0
	for r, err := range seq {
		steps++
		require.ErrorIs(t, err, want)
		require.Equal(t, keystore.Record{}, r)
	}
	require.Equal(t, 1, steps)
}

func listSelects(t *testing.T, s keystore.Store) {
	values := []string{"a", "b", ""}
	var keys []keystore.Key
	for _, scope := range values[:2] {
		for _, kind := range values[:2] {
			for _, owner := range values {
				for _, name := range values {
					keys = append(keys, keystore.Key{Scope: scope, Kind: kind, Owner: owner, Name: name})
				}
			}
		}
	}
	for _, k := range keys {
		Commit(t, s, Put(k, 0, "v"))
	}
	for _, scope := range append(values, "c") {
		for _, kind := range append(values, "c") {
			for _, owner := range append(values, "c") {
				want := map[keystore.Key]bool{}
				for _, k := range keys {
					if (scope == "" || scope == k.Scope) && (kind == "" || kind == k.Kind) && (owner == "" || owner == k.Owner) {
						want[k] = true
					}
				}
				got := All(t, s, scope, kind, owner)
				require.Len(t, got, len(want))
				for k, r := range got {
					require.True(t, want[k])
					require.Equal(t, "v", string(r.Value))
					require.NotZero(t, r.Version)
				}
			}
		}
	}
}

// The loop may change what it lists: each record that is there all the time
// comes once, those deleted before their turn do not come.
func commitInsideList(t *testing.T, s keystore.Store) {
	const n = 50
	for i := range n {
		Commit(t, s, Put(Key("k", "o", strconv.Itoa(i)), 0, "old"))
	}
	seen := map[keystore.Key]bool{}
	for r, err := range s.List(ctx, "scope", "k", "o") {
		require.NoError(t, err)
		require.NotContains(t, seen, r.Key)
		seen[r.Key] = true
		Commit(t, s, Delete(r.Key, r.Version), Put(Key("k", "o", "new"+r.Key.Name), 0, "new"))
	}
	require.GreaterOrEqual(t, len(seen), n)
	for k := range All(t, s, "", "", "") {
		require.Equal(t, "new", k.Name[:3])
	}

	// Deleting all of them at the first leaves none for the rest.
	steps := 0
	for _, err := range s.List(ctx, "", "", "") {
		require.NoError(t, err)
		if steps++; steps == 1 {
			for _, r := range All(t, s, "", "", "") {
				Commit(t, s, Delete(r.Key, r.Version))
			}
		}
	}
	require.Equal(t, 1, steps)
}

func listIsReusableAndStops(t *testing.T, s keystore.Store) {
	seq := s.List(ctx, "", "", "")
	for range seq {
		t.Fatal("nothing is there yet")
	}
	for i := range 5 {
		Commit(t, s, Put(Key("k", "o", strconv.Itoa(i)), 0, "v"))
	}
	for range 2 {
		n := 0
		for _, err := range seq {
			require.NoError(t, err)
			if n++; n == 3 {
				break
			}
		}
		require.Equal(t, 3, n)
	}
}

func listEndsWhenCancelled(t *testing.T, s keystore.Store) {
	listEndsEarly(t, s, func(cancel context.CancelFunc) { cancel() }, context.Canceled)
}

func listEndsWhenClosed(t *testing.T, s keystore.Store) {
	listEndsEarly(t, s, func(context.CancelFunc) { require.NoError(t, s.Close()) }, keystore.ErrClosed)
}

// listEndsEarly calls end at the second record of five, and requires the error
// in place of the third.
func listEndsEarly(t *testing.T, s keystore.Store, end func(context.CancelFunc), want error) {
	for i := range 5 {
		Commit(t, s, Put(Key("k", "o", strconv.Itoa(i)), 0, "v"))
	}
	c, cancel := context.WithCancel(ctx)
	defer cancel()
	var errs []error
	for r, err := range s.List(c, "", "", "") {
		if errs = append(errs, err); len(errs) == 2 {
			end(cancel)
		}
		require.Equal(t, err == nil, r.Version != 0)
	}
	require.Len(t, errs, 3)
	require.NoError(t, errs[1])
	require.ErrorIs(t, errs[2], want)
}
