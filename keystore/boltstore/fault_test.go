//go:build !wasm

package boltstore_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// requireFails commits in vain, and finds the store as it was.
func requireFails(t *testing.T, s keystore.Store, want error, changes ...keystore.Change) {
	t.Helper()
	before := testutil.StoreDigest(t, s)
	v, err := s.Commit(ctx, changes...)
	require.ErrorIs(t, err, want)
	require.Zero(t, v)
	require.Equal(t, before, testutil.StoreDigest(t, s))
}

// filled is a store with a few records.
func filled(t *testing.T) *boltstore.Store {
	s := open(t)
	for i := range 5 {
		testutil.Commit(t, s, testutil.Put(key(i), 0, "value"))
	}
	return s
}

// An error before the page that counts is written leaves all as it was, and
// what follows works.
func TestFlushFailsBefore(t *testing.T) {
	s := filled(t)
	for _, c := range []struct{ cause, want error }{
		{syscall.ENOSPC, keystore.ErrFull},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, keystore.ErrFull},
		{errors.New("mmap allocate error: mmap too large"), keystore.ErrFull},
		{syscall.EROFS, keystore.ErrReadOnly},
		{&fs.PathError{Op: "write", Path: "p", Err: syscall.EACCES}, keystore.ErrReadOnly},
		{syscall.EIO, syscall.EIO},
	} {
		s.Finish(func(*bbolt.Tx) error { return c.cause })
		requireFails(t, s, c.want, testutil.Put(key(0), 1, "new"), testutil.Put(key(9), 0, "new"))
		_, err := s.Commit(ctx, testutil.Put(key(0), 1, "new"))
		require.ErrorIs(t, err, c.cause)
		require.NotErrorIs(t, err, keystore.ErrCommitUnknown)
	}
	s.Finish((*bbolt.Tx).Commit)
	testutil.Commit(t, s, testutil.Put(key(0), 1, "new"))
}

// One that cannot be made does not fail the others of its flush.
func TestOneOfAFlushFails(t *testing.T) {
	s := filled(t)
	f := hold(s)
	first := commit(ctx, s, testutil.Put(key(5), 0, "5"))
	<-f.entered
	var rest []<-chan result
	for i := range 3 {
		rest = append(rest, commit(ctx, s, testutil.Put(key(6+i), 0, strings.Repeat("x", 100*(i%2)))))
		queued(s, i+1)
	}
	conflict := commit(ctx, s, testutil.Put(key(0), 99, "x"))
	queued(s, 4)
	s.Finish(func(tx *bbolt.Tx) error { // the record with a value is too much
		if c := tx.Bucket([]byte("records")).Get(boltstore.StoredKey(key(7))); len(c) > 100 {
			return syscall.ENOSPC
		}
		return tx.Commit()
	})
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)
	require.NoError(t, (<-rest[0]).err)
	require.ErrorIs(t, (<-rest[1]).err, keystore.ErrFull)
	require.NoError(t, (<-rest[2]).err)
	_, lost := errors.AsType[*keystore.ConflictError]((<-conflict).err)
	require.True(t, lost)
	require.NotZero(t, testutil.Load(t, s, key(6)).Version)
	require.Zero(t, testutil.Load(t, s, key(7)).Version)
	require.NotZero(t, testutil.Load(t, s, key(8)).Version)
}

// An error after that page was written leaves open what the disk has. Nobody
// is told anything by this store any more; the next one to open it sees.
func TestFlushFailsAfter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "old"))
	s.Finish(func(tx *bbolt.Tx) error { return errors.Join(tx.Commit(), syscall.EIO) })
	_, err := s.Commit(ctx, testutil.Put(key(0), v, "new"))
	require.ErrorIs(t, err, keystore.ErrCommitUnknown)
	require.ErrorIs(t, err, syscall.EIO)

	s.Finish((*bbolt.Tx).Commit)
	_, err = s.Commit(ctx, testutil.Put(key(1), 0, "new"))
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, keystore.ErrCommitUnknown)
	_, err = s.Load(ctx, key(0))
	require.ErrorIs(t, err, syscall.EIO)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, syscall.EIO)
	for _, err := range s.List(ctx, "", "", "") {
		require.ErrorIs(t, err, syscall.EIO)
	}
	require.NoError(t, s.Close())

	s = reopen(t, path)
	require.Equal(t, "new", string(testutil.Load(t, s, key(0)).Value))
	require.Zero(t, testutil.Load(t, s, key(1)).Version)
}

// A panic of bbolt's is ErrCorrupt: nothing was changed, nothing will be, and
// what can be read still is.
func TestPanicInCommit(t *testing.T) {
	s := filled(t)
	for _, cause := range []any{"page 7 already freed", errors.New("x"), fmt.Sprint(nil)} {
		s.Finish(func(*bbolt.Tx) error { panic(cause) })
		requireFails(t, s, keystore.ErrCorrupt, testutil.Put(key(0), 1, "new"))
	}
	s.Finish((*bbolt.Tx).Commit)
	requireFails(t, s, keystore.ErrCorrupt, testutil.Put(key(0), 1, "new"))
	require.NoError(t, s.Close())
}

// All who share a flush that panics are told, and nobody waits for ever.
func TestPanicInASharedFlush(t *testing.T) {
	s := filled(t)
	f := hold(s)
	first := commit(ctx, s, testutil.Put(key(5), 0, "5"))
	<-f.entered
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			if _, err := s.Commit(ctx, testutil.Put(key(100+i), 0, "x")); !errors.Is(err, keystore.ErrCorrupt) {
				t.Error(err)
			}
		})
	}
	queued(s, 10)
	s.Finish(func(*bbolt.Tx) error { panic("damaged") })
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)
	wg.Wait()
}

// The file may not grow over MaxSize; what is in it can be read and deleted, and
// there is room again.
func TestSTO_10_MaxSize(t *testing.T) {
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "store"), &boltstore.Options{MaxSize: 1 << 20})
	require.NoError(t, err)
	defer s.Close()
	value := strings.Repeat("x", 10000)
	n := 0
	for ; ; n++ {
		if _, err = s.Commit(ctx, testutil.Put(key(n), 0, value)); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, keystore.ErrFull)
	require.Greater(t, n, 50)
	requireFails(t, s, keystore.ErrFull, testutil.Put(key(n), 0, value), testutil.Put(key(n+1), 0, ""))
	requireFails(t, s, keystore.ErrFull, testutil.Put(key(n), 0, strings.Repeat(value, 200)))
	for i := range n {
		testutil.Commit(t, s, testutil.Delete(key(i), uint64(i)+1))
	}
	for i := range n / 2 {
		testutil.Commit(t, s, testutil.Put(key(i), 0, value))
	}
}

// The texts of errors and of a printed store tell no key and no value.
func TestMEM_03_NothingPrintsStores(t *testing.T) {
	s := open(t)
	secret := []byte("Secr3t-Value-Of-A-Record")
	k := keystore.Key{Scope: "+4915112345678", Kind: "session", Owner: "alice@example", Name: "device-7"}
	testutil.Commit(t, s, testutil.Put(k, 0, string(secret)))
	for how, out := range testutil.Printed(t, s) {
		testutil.NoTrace(t, out, secret)
		require.True(t, how == "%T" || strings.Contains(out, "redacted"), out)
	}
	_, conflict := s.Commit(ctx, testutil.Put(k, 9, "x"))
	_, twice := s.Commit(ctx, testutil.Put(k, 1, "x"), testutil.Put(k, 1, "x"))
	s.Finish(func(*bbolt.Tx) error { panic(fmt.Sprintf("%v %s", k, secret)) })
	_, damaged := s.Commit(ctx, testutil.Put(k, 1, "x"))
	for _, err := range []error{conflict, twice, damaged} {
		require.Error(t, err)
		for _, leak := range []string{k.Scope, k.Owner, k.Name, string(secret)} {
			require.NotContains(t, err.Error(), leak)
		}
	}
}
