//go:build !wasm

package boltstore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// requireRefused opens a file in vain, and finds it as it was.
func requireRefused(t *testing.T, path string, want error) {
	t.Helper()
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for range 2 { // the first one gave up the lock
		_, err = boltstore.Open(path, nil)
		require.ErrorIs(t, err, want)
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	a, b := testutil.Key("k", "o", "a"), testutil.Key("k", "o", "b")
	s := reopen(t, path)
	v1 := testutil.Commit(t, s, testutil.Put(a, 0, "1"), testutil.Put(b, 0, ""))
	v2 := testutil.Commit(t, s, testutil.Delete(a, v1))
	require.NoError(t, s.Close())

	s = reopen(t, path)
	require.Equal(t, v2, testutil.Generation(t, s))
	require.Zero(t, testutil.Load(t, s, a).Version)
	require.Equal(t, v1, testutil.Load(t, s, b).Version)
	v3 := testutil.Commit(t, s, testutil.Delete(b, v1))
	require.Greater(t, v3, v2)
	require.NoError(t, s.Close())

	s = reopen(t, path) // empty, and still it counts on
	require.Equal(t, v3, testutil.Generation(t, s))
	require.Greater(t, testutil.Commit(t, s, testutil.Put(a, 0, "4")), v3)
}

func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	reopen(t, filepath.Join(dir, "store"))
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 1) // nothing is left of how it was made
	info, err := names[0].Info()
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, fs.FileMode(0o600), info.Mode())
	}
}

// A file that someone made but did not fill is a new one, and so is one in
// which bbolt was stopped before the first bucket.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, os.WriteFile(path, nil, 0o640))
	s := reopen(t, path)
	testutil.Commit(t, s, testutil.Put(testutil.Key("k", "", ""), 0, "v"))
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, fs.FileMode(0o640), info.Mode())
	}
}

func TestOpenNowhere(t *testing.T) {
	_, err := boltstore.Open(filepath.Join(t.TempDir(), "missing", "store"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = boltstore.Open(t.TempDir(), nil)
	require.Error(t, err)
}

func TestLockedInThisProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	k := testutil.Key("k", "o", "n")
	testutil.Commit(t, s, testutil.Put(k, 0, "v"))
	requireRefused(t, path, keystore.ErrLocked)
	require.Equal(t, "v", string(testutil.Load(t, s, k).Value))
	require.NoError(t, s.Close())
	require.Equal(t, "v", string(testutil.Load(t, reopen(t, path), k).Value))
}

// edit changes the file of a store by bbolt.
func edit(t *testing.T, path string, do func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(do))
	require.NoError(t, db.Close())
}

func TestOtherFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	s := reopen(t, good)
	for i := range 100 {
		testutil.Commit(t, s, testutil.Put(testutil.Key("k", "o", string(rune(i))), 0, "value"))
	}
	require.NoError(t, s.Close())
	var used int64
	edit(t, good, func(tx *bbolt.Tx) error { used = tx.Size(); return nil })
	store, err := os.ReadFile(good)
	require.NoError(t, err)

	for name, content := range map[string][]byte{
		"text":             []byte("these are no keys"),
		"a page of zeros":  make([]byte, 4096),
		"zeros":            make([]byte, 1<<20),
		"long text":        bytes.Repeat([]byte("these are no keys "), 10000),
		"its first page":   store[:4096],
		"its first pages":  store[:4*4096],
		"half of it":       store[:len(store)/2],
		"without its head": store[8192:],
		"all but a page":   store[:used-4096],
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		t.Run(name, func(t *testing.T) { requireRefused(t, path, keystore.ErrCorrupt) })
	}
}

func TestForeignDatabases(t *testing.T) {
	for name, do := range map[string]func(*bbolt.Tx) error{
		"other bucket": func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("other")); return err },
		"no format":    func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("gembok")); return err },
		"format 0": func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("gembok"))
			return errors.Join(err, b.Put([]byte("format"), []byte{0}))
		},
		"no records": func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("gembok"))
			return errors.Join(err, b.Put([]byte("format"), []byte{boltstore.Format}))
		},
	} {
		path := filepath.Join(t.TempDir(), "db")
		edit(t, path, do)
		t.Run(name, func(t *testing.T) { requireRefused(t, path, keystore.ErrCorrupt) })
	}
}
