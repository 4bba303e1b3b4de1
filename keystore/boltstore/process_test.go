//go:build !wasm

package boltstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// What a process of this test binary is told to do, and with which file.
const (
	jobVariable  = "BOLTSTORE_JOB"
	pathVariable = "BOLTSTORE_PATH"
)

var jobs = map[string]func(path string) error{
	"hold":   holdOpen,
	"try":    tryOpen,
	"write":  writePairs,
	"create": createAndSay,
}

// A process is another one that runs a job.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, job, path string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), jobVariable+"="+job, pathVariable+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return &process{cmd, bufio.NewScanner(out)}
}

// line is what the process says next.
func (p *process) line(t *testing.T) string {
	t.Helper()
	require.True(t, p.lines.Scan(), "the process ended")
	return p.lines.Text()
}

// kill ends the process as a crash would, and returns what it said meanwhile.
func (p *process) kill() (lines []string) {
	_ = p.cmd.Process.Kill()
	for p.lines.Scan() {
		lines = append(lines, p.lines.Text())
	}
	_ = p.cmd.Wait()
	return lines
}

// holdOpen opens a store, says so, and waits for its end.
func holdOpen(path string) error {
	if _, err := boltstore.Open(path, nil); err != nil {
		return err
	}
	fmt.Println("open")
	time.Sleep(time.Hour)
	return nil
}

// tryOpen says what becomes of opening a store.
func tryOpen(path string) error {
	s, err := boltstore.Open(path, nil)
	switch {
	case errors.Is(err, keystore.ErrLocked):
		fmt.Println("locked")
		return nil
	case err != nil:
		return err
	}
	fmt.Println("open")
	return s.Close()
}

// A store belongs to one process, whichever is first, until it closes it or
// ends.
func TestSTO_05_TwoProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	s := reopen(t, path)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "v"))
	for range 3 {
		p := start(t, "try", path)
		require.Equal(t, "locked", p.line(t))
		require.NoError(t, p.cmd.Wait())
	}
	require.NoError(t, s.Close())

	p := start(t, "hold", path)
	require.Equal(t, "open", p.line(t))
	for range 3 {
		_, err := boltstore.Open(path, nil)
		require.ErrorIs(t, err, keystore.ErrLocked)
	}
	p.kill()
	s = reopen(t, path) // at once: the lock ended with the process
	require.Equal(t, v, testutil.Load(t, s, key(0)).Version)
}

// createAndSay makes a new store, and says so.
func createAndSay(path string) error {
	s, err := boltstore.Open(path, nil)
	if err != nil && !errors.Is(err, keystore.ErrLocked) {
		return err
	}
	fmt.Println("made", err)
	if err == nil {
		_, err = s.Commit(ctx, testutil.Put(testutil.Key("k", "", strconv.Itoa(os.Getpid())), 0, "v"))
		return errors.Join(err, s.Close())
	}
	return nil
}

// Of many processes that make one store, each opens the same file or is told
// that it is locked; none makes a second one in its place.
func TestManyMakeOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	var all []*process
	for range 8 {
		all = append(all, start(t, "create", path))
	}
	made := 0
	for _, p := range all {
		if p.line(t) == "made <nil>" {
			made++
		}
		require.NoError(t, p.cmd.Wait())
	}
	require.NotZero(t, made)
	require.Len(t, testutil.All(t, reopen(t, path), "", "", ""), made)
}

// A process is killed while it makes a store: the next one makes it, or finds
// it made.
func TestKilledWhileMaking(t *testing.T) {
	for range 15 {
		path := filepath.Join(t.TempDir(), "store")
		p := start(t, "create", path)
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		p.kill()
		testutil.Commit(t, reopen(t, path), testutil.Put(key(0), 0, "v"))
	}
}

const writers = 8

// pair is the two records of a writer, which it always changes together.
func pair(w int) (a, b keystore.Key) {
	return testutil.Key("a", strconv.Itoa(w), ""), testutil.Key("b", strconv.Itoa(w), "")
}

// padded is a number as a value, some of which are large.
func padded(n uint64) string {
	size := int(n%5) * 6000
	return text(n) + strings.Repeat("x", size)
}

// writePairs counts in a pair of records for each of several goroutines, and
// says each count and version that was made durable.
func writePairs(path string) error {
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	var say sync.Mutex
	errs := make(chan error)
	for w := range writers {
		go func() {
			for {
				n, v, err := writePair(s, w)
				if err != nil {
					errs <- err
					return
				}
				say.Lock()
				fmt.Println(w, n, v)
				say.Unlock()
			}
		}()
	}
	return <-errs
}

func writePair(s keystore.Store, w int) (n, version uint64, err error) {
	a, b := pair(w)
	r, err := s.Load(ctx, a, b)
	if err != nil {
		return 0, 0, err
	}
	n = number(r[0]) + 1
	if n%7 == 0 { // absent in between: versions count on
		if _, err = s.Commit(ctx, testutil.Delete(a, r[0].Version), testutil.Delete(b, r[1].Version)); err != nil {
			return 0, 0, err
		}
		r[0].Version, r[1].Version = 0, 0
	}
	version, err = s.Commit(ctx, testutil.Put(a, r[0].Version, padded(n)), testutil.Put(b, r[1].Version, padded(n)))
	return n, version, err
}

// An oracle is what is known of a store that writePairs works on.
type oracle struct {
	counts  [writers]uint64 // of each pair; 0: absent
	highest uint64          // version
	commits int
}

// A process is killed while it commits. What it said to be durable is there,
// what it was about to do is there in whole or not at all, and no version that
// anyone was told comes again.
func TestSTO_01_STO_03_KilledInCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	var o oracle
	for range rounds {
		p := start(t, "write", path)
		said := []string{p.line(t)}
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
		o.hear(t, append(said, p.kill()...))
		o.look(t, path)
	}
	t.Logf("%d Commits said to be durable, version %d", o.commits, o.highest)
}

// hear takes in what was said: each writer counts by one.
func (o *oracle) hear(t *testing.T, said []string) {
	before, versions := o.highest, map[uint64]bool{}
	for _, line := range said {
		var w int
		var n, v uint64
		_, err := fmt.Sscan(line, &w, &n, &v)
		require.NoError(t, err)
		require.Equal(t, o.counts[w]+1, n)
		require.Greater(t, v, before)
		require.False(t, versions[v])
		o.counts[w], versions[v] = n, true
		o.highest = max(o.highest, v)
		o.commits++
	}
}

// look compares the store with what was said. One more Commit of each writer
// may have been made.
func (o *oracle) look(t *testing.T, path string) {
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	defer s.Close()
	require.GreaterOrEqual(t, testutil.Generation(t, s), o.highest)
	for w := range writers {
		a, b := pair(w)
		r, err := s.Load(ctx, a, b)
		require.NoError(t, err)
		require.Equal(t, r[0].Version, r[1].Version)
		require.Equal(t, string(r[0].Value), string(r[1].Value))
		next := o.counts[w] + 1
		if r[0].Version == 0 {
			require.True(t, o.counts[w] == 0 || next%7 == 0, "lost at %d", o.counts[w])
			o.counts[w] = 0
			continue
		}
		n := number(r[0])
		require.Contains(t, []uint64{o.counts[w], next}, n)
		require.Equal(t, padded(n), string(r[0].Value))
		o.counts[w] = n
	}
	k := testutil.Key("c", "", "")
	v := testutil.Commit(t, s, testutil.Put(k, testutil.Load(t, s, k).Version, ""))
	require.Greater(t, v, o.highest)
	o.highest = v
}
