//go:build !wasm

package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// eachFlavour runs a test with each way to replace a file that this system has.
func eachFlavour(t *testing.T, do func(t *testing.T)) {
	t.Run("closed", func(t *testing.T) {
		defer boltstore.RenameOpen(boltstore.RenameOpen(false))
		do(t)
	})
	if runtime.GOOS != "windows" {
		t.Run("open", do)
	}
}

// secret is one of many that look alike, of any size.
func secret(i, size int) string {
	s := fmt.Sprintf("Secr3t-%05d-", i)
	return strings.Repeat(s, max(1, size/len(s)))
}

// traces counts the secrets from first to last that are in any file of a
// directory.
func traces(t *testing.T, dir string, first, last int) (found int) {
	t.Helper()
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		for at := bytes.Index(b, []byte("Secr3t-")); at >= 0 && len(b)-at >= 13; at = bytes.Index(b, []byte("Secr3t-")) {
			seen[string(b[at:at+13])] = true
			b = b[at+13:]
		}
	}
	for i := first; i < last; i++ {
		if seen[secret(i, 0)] {
			found++
		}
	}
	return found
}

// What was deleted or overwritten is in no byte of the file and its directory
// after Compact, and what was not reads as before.
func TestSTO_15_CompactErases(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		dir := t.TempDir()
		s := reopen(t, filepath.Join(dir, "store"))
		sizes := []int{20, 300, 1500, 9000, boltstore.InlineMax + 100, boltstore.PieceSize + 7}
		const n = 45
		versions := make([]uint64, n)
		for i := range n {
			versions[i] = testutil.Commit(t, s, testutil.Put(key(i), 0, secret(i, sizes[i%len(sizes)])))
		}
		for i := range 15 { // deleted, and overwritten
			testutil.Commit(t, s, testutil.Delete(key(i), versions[i]), testutil.Put(key(15+i), versions[15+i], "new"))
		}
		require.NotZero(t, traces(t, dir, 0, 30))
		before, old := testutil.StoreDigest(t, s), size(t, dir)

		require.NoError(t, s.Compact(ctx))
		require.Zero(t, traces(t, dir, 0, 30))
		require.Equal(t, 15, traces(t, dir, 30, n))
		require.Less(t, size(t, dir), old)
		require.Equal(t, before, testutil.StoreDigest(t, s))
		require.NoError(t, s.Check(ctx))

		// It counts on, can be done again, and is found by the next one.
		v := testutil.Commit(t, s, testutil.Put(key(0), 0, value(boltstore.InlineMax+1)))
		require.Equal(t, uint64(n+15+1), v)
		require.NoError(t, s.Compact(ctx))
		testutil.Commit(t, s, testutil.Delete(key(0), v))
		before = testutil.StoreDigest(t, s)
		require.NoError(t, s.Close())
		require.NoError(t, boltstore.Check(ctx, filepath.Join(dir, "store")))
		require.Equal(t, before, testutil.StoreDigest(t, reopen(t, filepath.Join(dir, "store"))))
	})
}

// size is of all files of a directory.
func size(t *testing.T, dir string) (n int64) {
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		n += info.Size()
	}
	return n
}

// Any content is copied, the counters of an empty store too.
func TestCompactKeepsAll(t *testing.T) {
	s := open(t)
	require.NoError(t, s.Compact(ctx))
	require.Zero(t, testutil.Generation(t, s))
	long := testutil.Key("k", strings.Repeat("o", 1000), strings.Repeat("n", 100_000))
	v := testutil.Commit(t, s, testutil.Put(long, 0, value(100_000)))
	require.NoError(t, s.Compact(ctx))
	require.Equal(t, v, testutil.Load(t, s, long).Version)
	grown(t, s, rand.New(rand.NewPCG(7, 8)), 60, func() {
		before := testutil.StoreDigest(t, s)
		require.NoError(t, s.Compact(ctx))
		require.Equal(t, before, testutil.StoreDigest(t, s))
		require.NoError(t, s.Check(ctx))
	})
}

// Others load, list, check and commit meanwhile, and nobody loses anything.
func TestCompactWhileBusy(t *testing.T) {
	eachFlavour(t, func(t *testing.T) {
		s := open(t)
		for i := range 200 {
			testutil.Commit(t, s, testutil.Put(key(i), 0, value(5000)))
		}
		var tries atomic.Int64
		var wg sync.WaitGroup
		var stop atomic.Bool
		for w := range 8 {
			wg.Go(func() {
				for !stop.Load() {
					count(t, s, key(-1), key(-2-w), &tries)
					n := 0
					for _, err := range s.List(ctx, "scope", "", "") {
						if n++; err != nil {
							t.Error(err)
						}
					}
					if n < 200 {
						t.Errorf("%d records", n)
					}
				}
			})
		}
		wg.Go(func() {
			for !stop.Load() {
				if err := s.Check(ctx); err != nil {
					t.Error(err)
				}
			}
		})
		for range 20 {
			require.NoError(t, s.Compact(ctx))
		}
		stop.Store(true)
		wg.Wait()
		sum := uint64(0)
		for w := range 8 {
			sum += number(testutil.Load(t, s, key(-2-w)))
		}
		require.Equal(t, sum, number(testutil.Load(t, s, key(-1))))
		require.NotZero(t, sum)
	})
}

// A Compact that fails leaves the file that there was, and nothing beside it.
func TestCompactFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store")
	s := reopen(t, path)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "old"))
	requireKept := func(want error, got error) {
		t.Helper()
		require.ErrorIs(t, got, want)
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, files, 1)
		require.Equal(t, "old", string(testutil.Load(t, s, key(0)).Value))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	requireKept(context.Canceled, s.Compact(ended))

	// Something is in the way that cannot be removed.
	require.NoError(t, os.MkdirAll(filepath.Join(path+".compact", "x"), 0o700))
	require.Error(t, s.Compact(ctx))
	require.NoError(t, os.RemoveAll(path+".compact"))
	v = testutil.Commit(t, s, testutil.Put(key(0), v, "old"))

	// While someone else is in a flush, the wait for it can end.
	f := hold(s)
	c, cancel := context.WithCancel(ctx)
	first := commit(ctx, s, testutil.Put(key(0), v, "old"))
	<-f.entered
	done := make(chan error)
	go func() { done <- s.Compact(c) }()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)

	// Damage, which is for its owner to look at.
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Compact(ctx), keystore.ErrClosed)
	edit(t, path, put(key(0), func(v []byte) []byte { return append(v, 'x') }))
	s = reopen(t, path)
	require.ErrorIs(t, s.Compact(ctx), keystore.ErrCorrupt)
	require.NoFileExists(t, path+".compact")
}

// There may be no room for a second file.
func TestSTO_10_NoRoomToCompact(t *testing.T) {
	dir := t.TempDir()
	s, err := boltstore.Open(filepath.Join(dir, "store"), &boltstore.Options{MaxSize: 256 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	n := 0
	for ; err == nil; n++ {
		_, err = s.Commit(ctx, testutil.Put(key(n), 0, value(3000)))
	}
	require.ErrorIs(t, err, keystore.ErrFull)
	before := testutil.StoreDigest(t, s)
	if err := s.Compact(ctx); err != nil { // two transactions of it need more room than they leave
		require.ErrorIs(t, err, keystore.ErrFull)
	}
	require.Equal(t, before, testutil.StoreDigest(t, s))
	require.NoFileExists(t, filepath.Join(dir, "store.compact"))
}

// What an earlier process left of a Compact is removed: it may hold what was
// deleted since.
func TestSTO_15_LeftOfACompact(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, reopen(t, path).Close())
	require.NoError(t, os.WriteFile(path+".compact", []byte(secret(0, 0)), 0o600))
	s := reopen(t, path)
	require.NoFileExists(t, path+".compact")
	require.NoError(t, os.WriteFile(path+".compact", []byte(secret(0, 0)), 0o600))
	require.NoError(t, s.Compact(ctx))
	require.NoFileExists(t, path+".compact")
	require.Zero(t, traces(t, filepath.Dir(path), 0, 1))
}

// The file stays where it was, also if its name was another one, and so does
// its mode.
func TestCompactThroughALink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store"), filepath.Join(t.TempDir(), "link")
	require.NoError(t, reopen(t, path).Close())
	require.NoError(t, os.Chmod(path, 0o640))
	if err := os.Symlink(path, link); err != nil {
		require.Equal(t, "windows", runtime.GOOS, "%v", err) // where few may make one
		link = path
	}
	s := reopen(t, link)
	testutil.Commit(t, s, testutil.Put(key(0), 0, "v"))
	t.Chdir(t.TempDir())
	require.NoError(t, s.Compact(ctx))
	require.NoError(t, s.Close())
	require.Equal(t, "v", string(testutil.Load(t, reopen(t, path), key(0)).Value))
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, fs.FileMode(0o640), info.Mode())
	}
}

// Processes that try to open the file all the while are told that it is locked,
// or, once it is closed, get the new one.
func TestSTO_05_CompactKeepsTheLock(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // it does not, and says so
	}
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	testutil.Commit(t, s, testutil.Put(key(0), 0, text(0)))
	var others []*process
	for range 4 {
		others = append(others, start(t, "insist", path))
	}
	for range 100 {
		require.NoError(t, s.Compact(ctx))
	}
	v := testutil.Load(t, s, key(0)).Version
	testutil.Commit(t, s, testutil.Put(key(0), v, text(1)))
	require.NoError(t, s.Compact(ctx))
	require.NoError(t, s.Close())
	for _, p := range others {
		require.Equal(t, "counted", p.line(t))
		require.NoError(t, p.cmd.Wait())
	}
	require.Equal(t, uint64(1+len(others)), number(testutil.Load(t, reopen(t, path), key(0))))
}

func init() { jobs["insist"] = insist }

// insist opens a store as soon as it can, and counts in it.
func insist(path string) error {
	s, err := boltstore.Open(path, nil)
	for errors.Is(err, keystore.ErrLocked) {
		s, err = boltstore.Open(path, nil)
	}
	if err != nil {
		return err
	}
	r, err := s.Load(ctx, key(0))
	if err == nil {
		_, err = s.Commit(ctx, testutil.Put(key(0), r[0].Version, text(number(r[0])+1)))
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	fmt.Println("counted")
	return nil
}
