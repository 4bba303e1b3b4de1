package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
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
	jobs["disk"] = fullDisk
	jobs["forbidden"] = openForbidden
	jobs["directory"] = compactForbidden
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

// skip skips a test that the system does not allow, or fails it where everything
// has to be allowed.
func skip(t testing.TB, why string, err error) {
	t.Helper()
	if os.Getenv("GEMBOK_FAULTS") != "" {
		t.Fatal(why, ": ", err)
	}
	t.Skip(why, ": ", err)
}

// A file system of 1 MiB becomes full, which other files have a part in. Each
// Commit that fails leaves all as it was; once there is room, the next one works.
func TestSTO_10_FullDisk(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), jobVariable+"=disk", pathVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended || strings.Contains(string(out), "may not mount") {
		skip(t, "this system lets no process mount a file system of its own", err)
	}
	require.NoError(t, err, string(out))
}

func fullDisk(dir string) error {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("may not mount: %w", err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 300_000), 0o600); err != nil {
		return err
	}
	s, err := boltstore.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		return err
	}
	put := testutil.Put(key(0), 0, strings.Repeat("x", 30_000))
	n, err := 0, error(nil)
	for ; err == nil; n++ {
		put.Key = key(n)
		_, err = s.Commit(ctx, put)
	}
	if !errors.Is(err, keystore.ErrFull) {
		return err
	}
	for range 5 { // and again
		if _, err := s.Commit(ctx, put); !errors.Is(err, keystore.ErrFull) {
			return fmt.Errorf("on a full disk: %w", err)
		}
		if err := s.Compact(ctx); !errors.Is(err, keystore.ErrFull) {
			return fmt.Errorf("compact on a full disk: %w", err)
		}
	}
	if g, err := s.Generation(ctx); err != nil || g != uint64(n-1) {
		return fmt.Errorf("generation %d after %d Commits: %w", g, n-1, err)
	}
	if _, err := boltstore.Open(filepath.Join(dir, "other"), nil); !errors.Is(err, keystore.ErrFull) {
		return fmt.Errorf("another one: %w", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if _, err := s.Commit(ctx, put); err != nil {
		return fmt.Errorf("with room: %w", err)
	}
	return errors.Join(s.Check(ctx), s.Close())
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

// In a directory in which no file may be made, a store works, but for Compact.
func TestSTO_11_CompactForbidden(t *testing.T) {
	dir, err := os.MkdirTemp("", "boltstore")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "store")
	s := reopen(t, path)
	testutil.Commit(t, s, testutil.Put(key(0), 0, "v"))
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(path, 0o666))
	require.NoError(t, os.Chmod(dir, 0o555))
	run(t, "directory", path)
	require.NoError(t, os.Chmod(dir, 0o700))
	require.Equal(t, "new", string(testutil.Load(t, reopen(t, path), key(0)).Value))
}

func compactForbidden(path string) error {
	if err := becomeNobody(); err != nil {
		return err
	}
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	before, err := contentOf(s)
	if err != nil {
		return err
	}
	if err := s.Compact(ctx); !errors.Is(err, keystore.ErrReadOnly) || !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("compact: %w", err)
	}
	if now, err := contentOf(s); err != nil || now != before {
		return fmt.Errorf("changed: %w", err)
	}
	_, err = s.Commit(ctx, testutil.Put(key(0), 1, "new"))
	return errors.Join(err, s.Check(ctx), s.Close())
}

// becomeNobody gives up the rights of one to whom nothing is forbidden.
func becomeNobody() error {
	if os.Geteuid() == 0 {
		return syscall.Setuid(65534)
	}
	return nil
}

func openForbidden(path string) error {
	if err := becomeNobody(); err != nil {
		return err
	}
	for _, p := range []string{path, path + "2"} {
		if _, err := boltstore.Open(p, nil); !errors.Is(err, keystore.ErrReadOnly) || !errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("got %w", err)
		}
	}
	return nil
}

// contentOf is all that a store reads as.
func contentOf(s keystore.Store) (string, error) {
	g, err := s.Generation(ctx)
	if err != nil {
		return "", err
	}
	lines := []string{fmt.Sprint(g)}
	for r, err := range s.List(ctx, "", "", "") {
		if err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%q %d %q", r.Key, r.Version, r.Value))
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n"), nil
}
