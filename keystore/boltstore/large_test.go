//go:build !wasm

package boltstore_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// value is bytes that differ from piece to piece.
func value(size int) string {
	var b bytes.Buffer
	for b.Len() < size {
		b.WriteString(text(uint64(b.Len())))
	}
	return string(b.Bytes()[:size])
}

func TestSizes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	sizes := []int{0, 1, 4095, 4096, 5000, boltstore.InlineMax - 1, boltstore.InlineMax, boltstore.InlineMax + 1,
		boltstore.PieceSize - 1, boltstore.PieceSize, boltstore.PieceSize + 1, 10 * boltstore.PieceSize}
	for i, size := range sizes {
		testutil.Commit(t, s, testutil.Put(key(i), 0, value(size)))
	}
	require.NoError(t, s.Close())
	s = reopen(t, path)
	listed := testutil.All(t, s, "", "", "")
	for i, size := range sizes {
		r := testutil.Load(t, s, key(i))
		require.Equal(t, uint64(i)+1, r.Version)
		require.True(t, value(size) == string(r.Value), size)
		require.True(t, value(size) == string(listed[key(i)].Value), size)
	}
	// Each size becomes each other one.
	for i := range sizes {
		v := testutil.Load(t, s, key(i)).Version
		for j, size := range sizes {
			v = testutil.Commit(t, s, testutil.Put(key(i), v, value(size)))
			require.Len(t, testutil.Load(t, s, key(i)).Value, size, "%d to %d", i, j)
		}
		testutil.Commit(t, s, testutil.Delete(key(i), v))
	}
	require.NoError(t, s.Close())
	edit(t, path, func(tx *bbolt.Tx) error { // and nothing is left behind
		name, _ := tx.Bucket([]byte("large")).Cursor().First()
		require.Nil(t, name)
		name, _ = tx.Bucket([]byte("records")).Cursor().First()
		require.Nil(t, name)
		return nil
	})
}

// The largest plaintext and what goes with it.
func TestLargestValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	large := bytes.Repeat([]byte("gembok, "), (64<<20+1<<10)/8)
	put := keystore.Change{Op: keystore.Put, Key: key(0), Value: large}
	v := testutil.Commit(t, s, put)
	require.True(t, bytes.Equal(large, testutil.Load(t, s, key(0)).Value))
	info, err := os.Stat(path)
	require.NoError(t, err)

	// Its pages are used again.
	for range 3 {
		testutil.Commit(t, s, testutil.Delete(key(0), v))
		v = testutil.Commit(t, s, put)
	}
	after, err := os.Stat(path)
	require.NoError(t, err)
	require.LessOrEqual(t, after.Size(), info.Size()+64<<20)
}

// A small record beside a large one is committed without writing the large one
// again.
func TestLargeNeighbours(t *testing.T) {
	s := open(t)
	a := testutil.Commit(t, s, testutil.Put(key(0), 0, "a"))
	testutil.Commit(t, s, testutil.Put(key(1), 0, strings.Repeat("x", 4<<20)), testutil.Put(key(2), 0, strings.Repeat("y", 4<<20)))
	var written int64
	s.Finish(func(tx *bbolt.Tx) error {
		err := tx.Commit()
		stats := tx.Stats()
		written = stats.GetPageAlloc()
		return err
	})
	testutil.Commit(t, s, testutil.Put(key(0), a, "b"))
	require.Less(t, written, int64(64<<10))
}
