package keystore_test

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

func TestListSelects(t *testing.T) {
	s := keystore.NewMemory()
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
		mustCommit(t, s, put(k, 0, "v"))
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
				got := all(t, s, scope, kind, owner)
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
func TestCommitInsideList(t *testing.T) {
	s := keystore.NewMemory()
	const n = 50
	for i := range n {
		mustCommit(t, s, put(key("k", "o", strconv.Itoa(i)), 0, "old"))
	}
	seen := map[keystore.Key]bool{}
	for r, err := range s.List(ctx, "scope", "k", "o") {
		require.NoError(t, err)
		require.NotContains(t, seen, r.Key)
		seen[r.Key] = true
		mustCommit(t, s, del(r.Key, r.Version), put(key("k", "o", "new"+r.Key.Name), 0, "new"))
	}
	require.GreaterOrEqual(t, len(seen), n)
	for k := range all(t, s, "", "", "") {
		require.Equal(t, "new", k.Name[:3])
	}

	// Deleting all of them at the first leaves none for the rest.
	steps := 0
	for _, err := range s.List(ctx, "", "", "") {
		require.NoError(t, err)
		if steps++; steps == 1 {
			for _, r := range all(t, s, "", "", "") {
				mustCommit(t, s, del(r.Key, r.Version))
			}
		}
	}
	require.Equal(t, 1, steps)
}

func TestListIsReusableAndStops(t *testing.T) {
	s := keystore.NewMemory()
	seq := s.List(ctx, "", "", "")
	for range seq {
		t.Fatal("nothing is there yet")
	}
	for i := range 5 {
		mustCommit(t, s, put(key("k", "o", strconv.Itoa(i)), 0, "v"))
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

func TestListEndsEarly(t *testing.T) {
	for name, end := range map[string]func(*keystore.Memory, context.CancelFunc){
		"cancelled": func(_ *keystore.Memory, cancel context.CancelFunc) { cancel() },
		"closed":    func(s *keystore.Memory, _ context.CancelFunc) { s.Close() },
	} {
		s := keystore.NewMemory()
		for i := range 5 {
			mustCommit(t, s, put(key("k", "o", strconv.Itoa(i)), 0, "v"))
		}
		c, cancel := context.WithCancel(ctx)
		var errs []error
		for r, err := range s.List(c, "", "", "") {
			if errs = append(errs, err); len(errs) == 2 {
				end(s, cancel)
			}
			require.Equal(t, err == nil, r.Version != 0)
		}
		cancel()
		require.Len(t, errs, 3, name)
		require.NoError(t, errs[1], name)
		require.Error(t, errs[2], name)
	}
}
