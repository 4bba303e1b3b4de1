//go:build !wasm

package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/testutil/storetest"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// TestMain runs the tests, or what a test wants of a process of its own.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		if err := jobs[job](os.Getenv(pathVariable)); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// open opens a store in a directory of its own.
func open(t testing.TB) *boltstore.Store {
	return reopen(t, filepath.Join(t.TempDir(), "store"))
}

func reopen(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestBehaviour(t *testing.T) {
	storetest.Run(t, func(t testing.TB) keystore.Store { return open(t) })
}

func TestZeroStore(t *testing.T) {
	var s boltstore.Store
	_, err := s.Load(ctx, key(0))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Commit(ctx, storetest.Put(key(0), 0, "v"))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, keystore.ErrClosed)
	require.NoError(t, s.Close())
}
