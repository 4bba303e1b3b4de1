package session_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A torn store is one with a damaged record, and a List that then fails.
type torn struct {
	keystore.Store
	err error
}

func (s *torn) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for r, err := range s.Store.List(ctx, scope, kind, owner) {
			if r.Key.Owner == "damaged" {
				r.Value, err = nil, &keystore.CorruptError{Keys: []keystore.Key{r.Key}}
			}
			if !yield(r, err) {
				return
			}
		}
		if s.err != nil {
			yield(keystore.Record{}, s.err)
		}
	}
}

// List yields the bodies of a kind of records, of its own device, and of those
// that cannot be read the keys.
func TestList(t *testing.T) {
	s := &torn{Store: keystore.NewMemory()}
	d, err := session.Create(ctx, s, session.Account{Address: session.Address{User: "budi", Device: 1}}, nil)
	require.NoError(t, err)
	other, err := session.Create(ctx, s, session.Account{Address: session.Address{User: "ani", Device: 1}}, nil)
	require.NoError(t, err)
	key := func(owner string) keystore.Key {
		return keystore.Key{Scope: d.Address().String(), Kind: "draft", Owner: owner, Name: "1"}
	}
	draft := func(tx *session.Tx) error { return tx.Put(key("a"), []byte("text")) }
	require.NoError(t, d.Update(ctx, nil, draft))
	require.NoError(t, other.Update(ctx, nil, draft))
	testutil.Commit(t, s, keystore.Change{Op: keystore.Put, Key: key("newer"), Value: []byte{2, 1}},
		keystore.Change{Op: keystore.Put, Key: key("empty")}, keystore.Change{Op: keystore.Put, Key: key("damaged"), Value: []byte{1}},
		keystore.Change{Op: keystore.Put, Key: key("no body"), Value: []byte{1}})
	before := testutil.All(t, s.Store, "", "", "")

	bodies, errs := map[string]string{}, map[string]error{}
	for r, err := range d.List(ctx, "draft") {
		require.Equal(t, key(r.Key.Owner), r.Key)
		bodies[r.Key.Owner], errs[r.Key.Owner] = string(r.Value), err
	}
	require.Equal(t, map[string]string{"a": "text", "no body": "", "newer": "", "empty": "", "damaged": ""}, bodies)
	require.NoError(t, errs["a"])
	require.NoError(t, errs["no body"])
	require.ErrorIs(t, errs["newer"], keystore.ErrNewerFormat)
	require.ErrorIs(t, errs["empty"], session.ErrCorrupt)
	require.ErrorIs(t, errs["damaged"], session.ErrCorrupt)

	for range d.List(ctx, "draft") {
		break
	}
	for range d.List(ctx, "nothing of that kind") {
		t.Fatal("a record")
	}
	s.err = errors.New("the disk")
	n := 0
	for r, err := range d.List(ctx, "draft") {
		if n++; n == 6 {
			require.ErrorIs(t, err, s.err)
			require.Zero(t, r)
		}
	}
	require.Equal(t, 6, n)
	require.Equal(t, before, testutil.All(t, s.Store, "", "", ""))
}
