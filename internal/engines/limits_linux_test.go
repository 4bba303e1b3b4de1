package engines_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

func init() {
	jobs["limited"] = fillLimited
	jobs["tmpfs"] = fillTmpfs
	jobs["forbidden"] = openForbidden
}

// fillUp commits until there is no room, and less and less at a time. A Commit
// that fails leaves all as it was, and says so by an error that wraps kind, or
// that it does not know. Then it makes room, which goes on.
func fillUp(path string, kind error) error {
	s, err := engine.Open(ctx, "sqlite", path)
	if err != nil {
		return err
	}
	var version uint64
	n, failures := 0, 0
	for size := 100_000; size > 10; {
		v, err := s.Commit(ctx, testutil.Put(key(fmt.Sprint(n)), 0, strings.Repeat("x", size)), testutil.Put(key("count"), version, fmt.Sprint(n)))
		switch {
		case err == nil:
			n, version = n+1, v
		case errors.Is(err, keystore.ErrCommitUnknown) && kind == nil:
		case kind != nil && !errors.Is(err, kind):
			return fmt.Errorf("%w instead of %w", err, kind)
		}
		if err != nil {
			failures++
			size /= 2
			if g, err := s.Generation(ctx); err != nil || g != uint64(n) {
				return fmt.Errorf("generation is %d after %d Commits and %d that failed: %w", g, n, failures, err)
			}
		}
	}
	if failures == 0 || n == 0 {
		return fmt.Errorf("%d Commits and %d failures", n, failures)
	}
	return s.Close()
}

// A process whose files may not grow over 1 MiB has an error of another kind in
// the middle of what it writes.
func fillLimited(_, path string, _ *json.Decoder, _ *json.Encoder) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
		return err
	}
	return fillUp(path, nil)
}

func TestSTO_11_SQLiteErrorOfTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	start(t, "limited", "sqlite", path).end()
	s := openSQLite(t, path) // without the limit all is there, and goes on
	n := number(testutil.Load(t, s, key("count")).Value)
	require.Positive(t, n)
	for i := range n + 1 {
		require.NotZero(t, testutil.Load(t, s, key(fmt.Sprint(i))).Version)
	}
	testutil.Commit(t, s, testutil.Put(key("more"), 0, strings.Repeat("x", 2_000_000)))
}

// fillTmpfs fills a file system of 1 MiB that only this process has.
func fillTmpfs(_, path string, _ *json.Decoder, _ *json.Encoder) error {
	if err := syscall.Mount("tmpfs", filepath.Dir(path), "tmpfs", 0, "size=1m"); err != nil {
		return err
	}
	return fillUp(path, keystore.ErrFull)
}

func TestSTO_10_SQLiteDiskFull(t *testing.T) {
	id := []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	gid := []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	p := prepare(t, "tmpfs", "sqlite", filepath.Join(t.TempDir(), "store"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, UidMappings: id, GidMappings: gid}
	if err := p.cmd.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) {
		require.Empty(t, os.Getenv("GEMBOK_FAULTS"), err)
		t.Skip("this kernel lets no user have a file system of his own: ", err)
	} else {
		require.NoError(t, err)
	}
	p.end()
}

// A file that may not be written, and a directory in which none may be made.
func TestSTO_11_SQLiteForbidden(t *testing.T) {
	dir, err := os.MkdirTemp("", "sqlite")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store")
	s := openSQLite(t, path)
	testutil.Commit(t, s, testutil.Put(key("a"), 0, "v"))
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(path, 0o444))
	require.NoError(t, os.Chmod(dir, 0o555))
	before := contents(t, dir)
	start(t, "forbidden", "sqlite", path).end()
	require.Equal(t, before, contents(t, dir))
	require.NoError(t, os.Chmod(dir, 0o700))
}

func openForbidden(_, path string, _ *json.Decoder, _ *json.Encoder) error {
	if os.Geteuid() == 0 { // to whom nothing is forbidden
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for _, p := range []string{path, path + "2"} {
		s, err := engine.Open(ctx, "sqlite", p)
		if err == nil {
			_, err = s.Commit(ctx, testutil.Put(key("b"), 0, "v"))
		}
		// SQLite does not tell why it cannot make a file.
		if err == nil || p == path && !errors.Is(err, keystore.ErrReadOnly) {
			return fmt.Errorf("%s: got %w", filepath.Base(p), err)
		}
	}
	return nil
}
