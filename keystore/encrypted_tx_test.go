package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A store made in a transaction of the caller's may never be there, and then
// the version of its header is another one's.
func TestNoStoreIsMadeInATransaction(t *testing.T) {
	inner, in := newLasting(), new(keystore.Pending).In(ctx)
	_, err := keystore.OpenEncrypted(in, inner, unlock, nil)
	require.ErrorIs(t, err, keystore.ErrInvalid)
	require.Empty(t, testutil.Records(t, inner))

	openEncrypted(t, inner, unlock, nil)
	s, err := keystore.OpenEncrypted(in, inner, unlock, nil) // changes nothing
	require.NoError(t, err)
	k := testutil.Key("k", "o", "n")
	testutil.Commit(t, s, testutil.Put(k, 0, "v"))
	require.Equal(t, "v", string(testutil.Load(t, openEncrypted(t, inner, unlock, nil), k).Value))
}

// A takenBack store has lost the caller's transaction to another one.
type takenBack struct {
	keystore.Store
	over bool
}

var errOver = errors.New("transaction is over")

func (s *takenBack) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	if s.over {
		return nil, errOver
	}
	return s.Store.Load(ctx, keys...)
}

func (s *takenBack) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if !s.over {
		return s.Store.Commit(ctx, changes...)
	}
	conflict := new(keystore.ConflictError)
	for i := range changes {
		conflict.Keys = append(conflict.Keys, changes[i].Key)
	}
	return 0, fmt.Errorf("%w: %w", conflict, errFault)
}

// That a transaction is lost is a conflict, and what the store says beside it
// is passed on.
func TestConflictInATransaction(t *testing.T) {
	bothWays(t, func(t *testing.T, o *keystore.EncryptedOptions) {
		inner := &takenBack{Store: newLasting()}
		s := openEncrypted(t, inner, unlock, o)
		k, gone := testutil.Key("k", "o", "n"), testutil.Key("k", "o", "gone")
		in := new(keystore.Pending).In(ctx)
		inner.over = true
		for _, changes := range [][]keystore.Change{
			{testutil.Put(k, 0, "v"), testutil.Check(gone, 0)},
			{testutil.Delete(k, 0), testutil.Check(gone, 0)},
		} {
			_, err := s.Commit(in, changes...)
			conflict, ok := errors.AsType[*keystore.ConflictError](err)
			require.True(t, ok, err)
			require.Equal(t, []keystore.Key{k, gone}, conflict.Keys)
			require.ErrorIs(t, err, errFault)
		}
		inner.over = false

		// One that goes on gets over a new key.
		require.NoError(t, openEncrypted(t, inner, unlock, nil).Rekey(ctx))
		_, err := s.Commit(in, testutil.Put(k, 0, "v"))
		require.NoError(t, err)
		_, err = s.Commit(in, testutil.Put(k, 0, "v"))
		require.Equal(t, &keystore.ConflictError{Keys: []keystore.Key{k}}, err)
	})
}
