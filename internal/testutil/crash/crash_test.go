//go:build !wasm

package crash_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func TestMain(m *testing.M) {
	crash.Child(open)
	os.Exit(m.Run())
}

func open(place string) (keystore.Store, error) { return boltstore.Open(place, nil) }

func fresh(t *testing.T) func() (string, error) {
	dir, n := t.TempDir(), 0
	return func() (string, error) {
		n++
		return filepath.Join(dir, fmt.Sprint("store-", n)), nil
	}
}

func TestSteps(t *testing.T) {
	for seed := range uint64(4) {
		crash.Steps(t, keystore.NewMemory(), 2000, seed)
	}
}

func TestKills(t *testing.T) {
	r, err := crash.Run(context.Background(), &crash.Options{Open: open, Fresh: fresh(t), Kills: 300})
	t.Log(r, r.Count)
	require.NoError(t, err)
}
