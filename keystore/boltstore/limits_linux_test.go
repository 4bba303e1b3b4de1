package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func init() {
	jobs["full"] = fillUp
	jobs["forbidden"] = openForbidden
}

// run runs a job in a process of its own, which decides.
func run(t *testing.T, job, path string) {
	t.Helper()
	p := start(t, job, path)
	var said []string
	for p.lines.Scan() {
		said = append(said, p.lines.Text())
	}
	require.NoError(t, p.cmd.Wait(), strings.Join(said, "\n"))
}

// A process whose files may not grow over 1 MiB meets the end of it in a write,
// as one on a full disk does. Each Commit that fails leaves all as it was.
func TestSTO_10_NoRoomToWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, reopen(t, path).Close())
	run(t, "full", path)
	require.NotEmpty(t, testutil.All(t, reopen(t, path), "", "", ""))
}

func fillUp(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	limit := &syscall.Rlimit{Cur: 1 << 20, Max: 1 << 30}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, limit); err != nil {
		return err
	}
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	n, failures := 0, 0
	for size := 100000; size > 10; {
		_, err := s.Commit(ctx, testutil.Put(key(n), 0, strings.Repeat("x", size)))
		switch {
		case err == nil:
			n++
		case !errors.Is(err, keystore.ErrFull):
			return err
		default:
			failures++
			size /= 2
		}
		if g, err := s.Generation(ctx); err != nil || g != uint64(n) {
			return fmt.Errorf("generation is %d after %d Commits and %d that failed: %w", g, n, failures, err)
		}
	}
	if _, err := s.Commit(ctx, testutil.Delete(key(0), 1), testutil.Put(key(n), 0, "x")); err != nil {
		return fmt.Errorf("after making room: %w", err)
	}
	return s.Close()
}

// A file that may not be written, and a directory in which none may be made.
func TestSTO_11_Forbidden(t *testing.T) {
	dir, err := os.MkdirTemp("", "boltstore")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store")
	require.NoError(t, reopen(t, path).Close())
	require.NoError(t, os.Chmod(path, 0o444))
	require.NoError(t, os.Chmod(dir, 0o555))
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	run(t, "forbidden", path)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, os.Chmod(dir, 0o700))
}

func openForbidden(path string) error {
	if os.Geteuid() == 0 { // to whom nothing is forbidden
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for _, p := range []string{path, path + "2"} {
		if _, err := boltstore.Open(p, nil); !errors.Is(err, keystore.ErrReadOnly) || !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("got %w", err)
		}
	}
	return nil
}
