package keystore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// Who has changed passphrase and key does not lock out what is under way.
func TestKeyChangesMeanwhile(t *testing.T) {
	k, other := testutil.Key("k", "o", "n"), testutil.Key("k", "o", "other")
	for name, use := range map[string]func(*keystore.Encrypted) error{
		"Load": func(s *keystore.Encrypted) error { _, err := s.Load(ctx, k); return err },
		"Commit": func(s *keystore.Encrypted) error {
			_, err := s.Commit(ctx, testutil.Put(other, 0, ""))
			return err
		},
		"List": func(s *keystore.Encrypted) error {
			for _, err := range s.List(ctx, "", "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := &meddled{Store: newLasting()}
			s := openEncrypted(t, at, phrase("old"), cheap)
			testutil.Commit(t, s, testutil.Put(k, 0, "value"))
			at.before = func(string) {
				at.before = nil
				require.NoError(t, s.Relock(ctx, phrase("new"), cheap))
				require.NoError(t, s.Rekey(ctx))
			}
			require.NoError(t, use(s))
			require.Nil(t, at.before)

			at.before = func(string) {
				at.before = nil
				by := openEncrypted(t, at, phrase("new"), nil)
				require.NoError(t, by.Relock(ctx, phrase("another"), cheap))
				require.NoError(t, by.Rekey(ctx))
				require.NoError(t, s.Close())
			}
			require.ErrorIs(t, use(s), keystore.ErrClosed)
		})
	}
}

// Writers and readers of a process that changes passphrase and key, again and
// again.
func TestKeyChangesWhileInUse(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, unlock, blind)
	values := fill(t, s)
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := increment(s, testutil.Key("count", "", fmt.Sprint(i%2))); err != nil {
					t.Error(err)
					return
				}
				for _, err := range s.List(ctx, "", "kind1", "") {
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	last := unlock
	for i := range 30 {
		last = keystore.Unlock{Key: &[32]byte{9, byte(i)}}
		require.NoError(t, s.Relock(ctx, last, nil))
		require.NoError(t, s.Rekey(ctx))
	}
	close(done)
	all.Wait()
	again := openEncrypted(t, inner, last, nil)
	require.Len(t, testutil.Records(t, again), len(values)+2)
	requireOneKey(t, again, inner, 31)
}

// An unsure store makes one Commit and does not know.
type unsure struct {
	keystore.Store
	now bool
}

func (s *unsure) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	v, err := s.Store.Commit(ctx, changes...)
	if s.now && err == nil {
		s.now = false
		return 0, keystore.ErrCommitUnknown
	}
	return v, err
}

// A header that was committed after all is found, and its maker goes on with it.
func TestUnknownHeader(t *testing.T) {
	inner := &unsure{Store: newLasting(), now: true}
	s := openEncrypted(t, inner, phrase("old"), cheap)
	values := fill(t, s)
	inner.now = true
	require.NoError(t, s.Relock(ctx, phrase("new"), cheap))
	requireHas(t, s, values)
	inner.now = true
	require.NoError(t, s.Rekey(ctx))
	require.NoError(t, s.Relock(ctx, phrase("newer"), cheap))
	requireHas(t, openEncrypted(t, inner, phrase("newer"), nil), values)
	requireOneKey(t, s, inner, 2)
}

// An old header that is put back alone: it opens to what opened it, all that was
// sealed anew is damaged, and what is written is under the old key.
func TestOldHeaderPutBack(t *testing.T) {
	inner := newLasting()
	s := openEncrypted(t, inner, phrase("old"), cheap)
	values, _ := twenty(t, s, inner)
	old := header(t, inner).Value
	require.NoError(t, s.Relock(ctx, phrase("new"), cheap))
	require.NoError(t, s.Rekey(ctx))
	sealed := testutil.Records(t, inner)
	setHeader(t, inner, old)
	requireClosed(t, inner, phrase("new"), nil, keystore.ErrPassphrase)
	again := openEncrypted(t, inner, phrase("old"), nil)
	var bad []keystore.Key
	for k := range values {
		bad = append(bad, k)
	}
	requireDamaged(t, again, values, bad...)
	require.Equal(t, len(sealed), len(testutil.Records(t, inner)))
	testutil.Commit(t, again, testutil.Put(testutil.Key("k", "o", "n"), 0, "v"))
	require.Equal(t, []uint32{1}, again.Keys())

	// Who has it open does not follow.
	_, err := s.Commit(ctx, testutil.Put(testutil.Key("k", "o", "x"), 0, "v"))
	require.ErrorIs(t, err, keystore.ErrPassphrase)
}
