//go:build !wasm

package boltstore_test

import (
	"encoding/binary"
	"flag"
	"fmt"
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

var newFixture = flag.Bool("newfixture", false, "write the file of the current format, which must not exist yet")

// fixture is the file that the release wrote which had a format first. It is
// kept, and read, for ever.
func fixture(format int) string {
	return filepath.Join("..", "..", "testdata", "boltstore", fmt.Sprintf("format%d.db", format))
}

// fixtureChanges are what every fixture was made by.
func fixtureChanges() (first, second []keystore.Change) {
	long := testutil.Key(strings.Repeat("k", 300), "", strings.Repeat("n", 254))
	binaryKey := keystore.Key{Scope: "\xff\x00", Kind: "k", Owner: "%_'", Name: "\x00"}
	first = []keystore.Change{
		testutil.Put(key(0), 0, ""), testutil.Put(key(1), 0, value(1500)), testutil.Put(key(2), 0, "deleted"),
		testutil.Put(key(3), 0, value(boltstore.InlineMax+1)), testutil.Put(long, 0, "long"), testutil.Put(binaryKey, 0, "binary"),
	}
	return first, []keystore.Change{testutil.Put(key(0), 1, "new"), testutil.Delete(key(2), 1), testutil.Check(long, 1)}
}

// writeFixture writes the file of the current format.
func writeFixture(t *testing.T) {
	require.NoFileExists(t, fixture(boltstore.Format))
	require.NoError(t, os.MkdirAll(filepath.Dir(fixture(boltstore.Format)), 0o777))
	s, err := boltstore.Open(fixture(boltstore.Format), nil)
	require.NoError(t, err)
	first, second := fixtureChanges()
	testutil.Commit(t, s, first...)
	testutil.Commit(t, s, second...)
	require.NoError(t, s.Compact(ctx))
	require.NoError(t, s.Close())
}

// Files of all formats, written by the releases of their time, are read and
// written on.
func TestSTO_12_OldFormats(t *testing.T) {
	if *newFixture {
		writeFixture(t)
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the files are of machines of the other byte order")
	}
	want := keystore.NewMemory()
	first, second := fixtureChanges()
	testutil.Commit(t, want, first...)
	testutil.Commit(t, want, second...)
	for format := 1; format <= boltstore.Format; format++ {
		file, err := os.ReadFile(fixture(format))
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "store")
		require.NoError(t, os.WriteFile(path, file, 0o600))
		require.NoError(t, boltstore.Check(ctx, path))
		s := reopen(t, path)
		require.Equal(t, testutil.StoreDigest(t, want), testutil.StoreDigest(t, s))
		require.Equal(t, uint64(3), testutil.Commit(t, s, testutil.Put(key(1), 1, "next")))
		require.NoError(t, s.Compact(ctx))
		require.NoError(t, s.Close())
		require.NoError(t, boltstore.Check(ctx, path))
	}
}

// A file that a newer release wrote, of this package or of bbolt, is left as it
// is.
func TestSTO_12_NewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, reopen(t, path).Close())
	edit(t, path, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("gembok")).Put([]byte("format"), []byte{boltstore.Format + 1, 7})
	})
	requireRefused(t, path, keystore.ErrNewerFormat)
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrNewerFormat)

	path = filepath.Join(t.TempDir(), "newer")
	file, _ := small(t, path)
	for at := 0; at <= pageSize; at += pageSize {
		binary.NativeEndian.PutUint32(file[at+20:], 3)
	}
	require.NoError(t, os.WriteFile(path, sealed(file), 0o600))
	requireRefused(t, path, keystore.ErrNewerFormat)
	require.ErrorIs(t, boltstore.Check(ctx, path), keystore.ErrNewerFormat)
}
