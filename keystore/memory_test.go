package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func memory(testing.TB) keystoretest.Harness {
	return keystoretest.Harness{Store: keystore.NewMemory()}
}

func TestMemory(t *testing.T) { keystoretest.Run(t, memory) }

func TestZeroMemory(t *testing.T) {
	var s keystore.Memory
	k := testutil.Key("k", "o", "n")
	require.Zero(t, testutil.Generation(t, &s))
	require.Empty(t, testutil.All(t, &s, "", "", ""))
	v := testutil.Commit(t, &s, testutil.Put(k, 0, "v"))
	require.Equal(t, keystore.Record{Key: k, Value: []byte("v"), Version: v}, testutil.Load(t, &s, k))
}

// What a store clears is its own copy.
func TestMemoryClearsItsOwn(t *testing.T) {
	s := keystore.NewMemory()
	k := testutil.Key("k", "o", "n")
	v := testutil.Commit(t, s, testutil.Put(k, 0, "value"))
	held := testutil.Load(t, s, k)
	testutil.Commit(t, s, testutil.Put(k, v, "other"))
	require.NoError(t, s.Close())
	require.Equal(t, "value", string(held.Value))
}

// Values that were overwritten or deleted, or that Close gives up, are cleared.
func TestMemoryClears(t *testing.T) {
	s := keystore.NewMemory()
	k, gone := testutil.Key("k", "o", "n"), make([]byte, 5)
	v := testutil.Commit(t, s, testutil.Put(k, 0, "first"))
	first := s.Held(k)
	require.Equal(t, "first", string(first))
	v = testutil.Commit(t, s, testutil.Put(k, v, "next")) // in the place of the first
	require.Equal(t, "next\x00", string(first))
	v = testutil.Commit(t, s, testutil.Put(k, v, strings.Repeat("long", 5)))
	require.Equal(t, gone, first)
	long := s.Held(k)
	v = testutil.Commit(t, s, testutil.Put(k, v, "again"))
	require.Equal(t, make([]byte, 20), long)

	again := s.Held(k)
	testutil.Commit(t, s, keystore.Change{Op: keystore.Delete, Key: k, Expect: v})
	require.Equal(t, gone, again)
	require.Zero(t, s.Lists()) // an empty list is no list

	testutil.Commit(t, s, testutil.Put(k, 0, "third"))
	third := s.Held(k)
	require.NoError(t, s.Close())
	require.Equal(t, gone, third)
	require.Zero(t, s.Lists())
}

func TestErrorsAreTold(t *testing.T) {
	sentinels := []error{keystore.ErrInvalid, keystore.ErrClosed, keystore.ErrCommitUnknown, keystore.ErrLocked,
		keystore.ErrFull, keystore.ErrReadOnly, keystore.ErrCorrupt, keystore.ErrNewerFormat}
	texts := map[string]bool{}
	for i, e := range sentinels {
		texts[e.Error()] = true
		for j, other := range sentinels {
			require.Equal(t, i == j, errors.Is(fmt.Errorf("place: %w", e), other))
		}
	}
	require.Len(t, texts, len(sentinels))
	require.Equal(t, "keystore: conflict: records changed by someone else: 0", new(keystore.ConflictError).Error())
}
