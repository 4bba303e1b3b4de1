//go:build !windows && !wasm

package boltstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// The file is cut off while it is open, so that reading it faults.
// Windows lets nobody cut a file that is mapped.
func TestSTO_08_CutWhileOpen(t *testing.T) {
	file, keys := sample(t)
	for size := int64(0); size < int64(len(file)); size += 4 * pageSize {
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		s, err := boltstore.Open(path, nil)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, size))
		for i, err := range useOpen(s, keys) {
			if err != nil && !errors.Is(err, keystore.ErrCorrupt) {
				_, lost := errors.AsType[*keystore.ConflictError](err)
				require.True(t, lost, "call %d: %v", i, err)
			}
		}
		_, err = boltstore.Open(path, nil) // nobody is locked out
		require.NotErrorIs(t, err, keystore.ErrLocked)
	}
}
