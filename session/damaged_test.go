package session_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A telling store knows which of its records were damaged: those without a
// value.
type telling struct{ keystore.Store }

func (s telling) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	recs, err := s.Store.Load(ctx, keys...)
	var damaged []keystore.Key
	for _, r := range recs {
		if damage(r) {
			damaged = append(damaged, r.Key)
		}
	}
	if damaged != nil {
		err = &keystore.CorruptError{Keys: damaged}
	}
	return recs, err
}

func (s telling) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for r, err := range s.Store.List(ctx, scope, kind, owner) {
			if err == nil && damage(r) {
				err = &keystore.CorruptError{Keys: []keystore.Key{r.Key}}
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func damage(r keystore.Record) bool { return r.Version != 0 && len(r.Value) == 0 }

// A record that its store says to be damaged is like one that does not decode:
// it harms only what needs it, whichever operation meets it.
func TestDamagedRecordsHarmNoOther(t *testing.T) {
	for _, op := range everyOperation() {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			done := map[string]bool{"self": true} // without it there is no Device
			for _, r := range testutil.Records(t, s.store) {
				if done[r.Key.Kind] {
					continue
				}
				done[r.Key.Kind] = true
				quiet, quietly := onDamaged(t, s, run, r, func(s keystore.Store) keystore.Store { return s })
				told, openly := onDamaged(t, s, run, r, func(s keystore.Store) keystore.Store { return telling{s} })
				require.Equal(t, quietly, openly, r.Key.Kind)
				require.Equal(t, testutil.StoreDigest(t, quiet), testutil.StoreDigest(t, told), r.Key.Kind)
			}
		})
	}
}

// onDamaged runs an operation on a copy of a store with a damaged record, and
// returns the store, and the text of the error.
func onDamaged(t *testing.T, s *side, run run, r keystore.Record, as func(keystore.Store) keystore.Store) (keystore.Store, string) {
	t.Helper()
	c := s.reopen(t)
	testutil.Commit(t, c.store, testutil.Put(r.Key, testutil.Load(t, c.store, r.Key).Version, ""))
	store := as(c.store)
	dev, err := session.Open(ctx, store, s.Address(), s.opts)
	require.NoError(t, err)
	withCoins(7, func() { err = run(ctx, dev, store) })
	if err != nil {
		return c.store, err.Error()
	}
	return c.store, ""
}
