package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/testutil/storetest"
	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	storetest.Run(t, func(testing.TB) keystore.Store { return keystore.NewMemory() })
}

func TestZeroMemory(t *testing.T) {
	var s keystore.Memory
	k := storetest.Key("k", "o", "n")
	require.Zero(t, storetest.Generation(t, &s))
	require.Empty(t, storetest.All(t, &s, "", "", ""))
	v := storetest.Commit(t, &s, storetest.Put(k, 0, "v"))
	require.Equal(t, keystore.Record{Key: k, Value: []byte("v"), Version: v}, storetest.Load(t, &s, k))
}

// What a store clears is its own copy.
func TestMemoryClearsItsOwn(t *testing.T) {
	s := keystore.NewMemory()
	k := storetest.Key("k", "o", "n")
	v := storetest.Commit(t, s, storetest.Put(k, 0, "value"))
	held := storetest.Load(t, s, k)
	storetest.Commit(t, s, storetest.Put(k, v, "other"))
	require.NoError(t, s.Close())
	require.Equal(t, "value", string(held.Value))
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
