package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// An operation is one whose system calls are struck, on a store that holds
// records 0 to 9 and has free pages.
type operation struct {
	name    string
	fresh   bool // there is no store yet
	changes bool // what the store reads as
	do      func(s *boltstore.Store, path string) error
}

var operations = []operation{
	{"create", true, false, func(_ *boltstore.Store, path string) error { return openAndClose(path) }},
	{"open", false, false, func(_ *boltstore.Store, path string) error { return openAndClose(path) }},
	{"commit", false, true, func(s *boltstore.Store, _ string) error {
		return commitAt(s, testutil.Put(key(20), 0, "small"), testutil.Put(key(3), 0, value(3000)), testutil.Delete(key(4), 0))
	}},
	{"grow", false, true, func(s *boltstore.Store, _ string) error {
		return commitAt(s, testutil.Put(key(5), 0, value(600_000)), testutil.Delete(key(6), 0))
	}},
	{"check", false, false, func(s *boltstore.Store, _ string) error { return s.Check(ctx) }},
	{"compact", false, false, func(s *boltstore.Store, _ string) error { return s.Compact(ctx) }},
}

func openAndClose(path string) error {
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	return s.Close()
}

// commitAt commits changes that expect what there is.
func commitAt(s *boltstore.Store, changes ...keystore.Change) error {
	for i := range changes {
		r, err := s.Load(ctx, changes[i].Key)
		if err != nil {
			return err
		}
		if changes[i].Expect = r[0].Version; changes[i].Op == keystore.Delete && r[0].Version == 0 {
			changes[i].Op = keystore.Check
		}
	}
	_, err := s.Commit(ctx, changes...)
	return err
}

// prepare makes the store that an operation is tried on.
func prepare(path string) error {
	s, err := boltstore.Open(path, nil)
	if err != nil {
		return err
	}
	var changes []keystore.Change
	for i := range 12 {
		changes = append(changes, testutil.Put(key(i), 0, value(500*i)))
	}
	v, err := s.Commit(ctx, changes...)
	if err == nil {
		_, err = s.Commit(ctx, testutil.Delete(key(10), v), testutil.Delete(key(11), v))
	}
	return errors.Join(err, s.Close())
}

func init() {
	for _, o := range operations {
		jobs["strike "+o.name] = func(dir string) error { return strikeAll(o, dir) }
		jobs["once "+o.name] = func(path string) error { return once(o, path) }
	}
}

// once does an operation, struck as the environment says.
func once(o operation, path string) error {
	at, _ := strconv.Atoi(os.Getenv("BOLTSTORE_AT"))
	how, _ := strconv.Atoi(os.Getenv("BOLTSTORE_HOW"))
	var s *boltstore.Store
	if !o.fresh && o.name != "open" {
		var err error
		if s, err = boltstore.Open(path, nil); err != nil {
			return err
		}
	}
	arm(at, how)
	err := o.do(s, path)
	disarm()
	return err
}

// strikeAll lets each of an operation's calls fail in each way.
func strikeAll(o operation, dir string) error {
	ways := []int{int(syscall.EIO), int(syscall.ENOSPC), int(syscall.EROFS), strikeShort}
	if os.Getenv("BOLTSTORE_SHORT") != "" {
		ways = ways[:1]
	} else if o.name == "compact" { // which has many calls
		ways = ways[:2]
	}
	for _, how := range ways {
		n := 0
		for ; ; n++ {
			at := n
			path := filepath.Join(dir, fmt.Sprint(how, "-", at), "store")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			seen, err := strikeOne(o, path, at, how)
			if err != nil {
				return fmt.Errorf("%s, call %d, struck by %d: %w", o.name, at, how, err)
			}
			if seen <= at { // there was none
				break
			}
		}
		fmt.Println(o.name, how, n, "calls")
	}
	return nil
}

// strikeOne lets one call fail, and requires the error that fits, the state as
// before, and that the operation works once there is no more fault.
func strikeOne(o operation, path string, at, how int) (seen int, err error) {
	var s *boltstore.Store
	var before string
	if !o.fresh {
		if err := prepare(path); err != nil {
			return 0, err
		}
		if s, err = boltstore.Open(path, nil); err != nil {
			return 0, err
		}
		if before, err = contentOf(s); err != nil {
			return 0, err
		}
		if o.name == "open" {
			s.Close()
		}
	}
	arm(at, how)
	struck := o.do(s, path)
	seen = disarm()
	if err := typed(struck, how); err != nil {
		return seen, err
	}
	if s == nil || o.name == "open" {
		s, err = boltstore.Open(path, nil)
	} else if _, loadErr := s.Generation(ctx); loadErr != nil { // it does nothing more
		if struck == nil {
			return seen, fmt.Errorf("unusable: %w", loadErr)
		}
		s.Close()
		s, err = boltstore.Open(path, nil)
	}
	if err != nil {
		return seen, err
	}
	defer s.Close()
	return seen, afterwards(o, s, path, before, struck)
}

// typed requires that an error says what was the matter.
func typed(err error, how int) error {
	switch {
	case err == nil:
		return nil
	case how == int(syscall.EIO) && errors.Is(err, syscall.EIO) && !errors.Is(err, keystore.ErrCorrupt):
		return nil
	case (how == int(syscall.ENOSPC) || how == strikeShort) && (errors.Is(err, keystore.ErrFull) || errors.Is(err, keystore.ErrCommitUnknown)):
		return nil
	case how == int(syscall.EROFS) && (errors.Is(err, keystore.ErrReadOnly) || errors.Is(err, keystore.ErrCommitUnknown)):
		return nil
	}
	return fmt.Errorf("not the error that fits: %w", err)
}

func afterwards(o operation, s *boltstore.Store, path, before string, struck error) error {
	now, err := contentOf(s)
	switch {
	case err != nil:
		return err
	case o.fresh || errors.Is(struck, keystore.ErrCommitUnknown):
	case struck != nil && now != before:
		return fmt.Errorf("failed, and changed: %w", struck)
	case struck == nil && o.changes && now == before:
		return errors.New("not changed")
	}
	if err := s.Check(ctx); err != nil {
		return fmt.Errorf("after %v: %w", struck, err)
	}
	if o.fresh || o.name == "open" {
		return nil
	}
	if err := o.do(s, path); err != nil {
		return fmt.Errorf("again after %v: %w", struck, err)
	}
	if err := s.Check(ctx); err != nil {
		return fmt.Errorf("again after %v: %w", struck, err)
	}
	return nil
}

// Each system call of each operation fails, by an I/O error, for lack of room,
// because nothing may be written, and after half of a write.
func TestSTO_08_STO_10_STO_11_EachCallFails(t *testing.T) {
	if testing.Short() {
		t.Setenv("BOLTSTORE_SHORT", "1")
	}
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			var tr tracer
			status := tr.trace(t, "strike "+o.name, t.TempDir())
			require.True(t, status.Exited() && status.ExitStatus() == 0, "%v", status)
		})
	}
}

// A process is killed before each system call of each operation: the store is as
// before or as after it, whole, and nothing lies beside it once it is open.
func TestSTO_08_KilledBeforeEachCall(t *testing.T) {
	for _, o := range operations {
		t.Run(o.name, func(t *testing.T) {
			step := 1
			if testing.Short() {
				step = 5
			}
			t.Setenv("BOLTSTORE_HOW", strconv.Itoa(strikeKill))
			for at := 0; ; at += step {
				t.Setenv("BOLTSTORE_AT", strconv.Itoa(at))
				path := filepath.Join(t.TempDir(), "store")
				before, after := outcomes(t, o, path)
				var tr tracer
				status := tr.trace(t, "once "+o.name, path)
				requireWhole(t, path, before, after, o.fresh)
				if status.Exited() {
					require.Zero(t, status.ExitStatus())
					require.NotZero(t, at)
					return
				}
			}
		})
	}
}

// outcomes makes the store of an operation, and returns what it reads as before
// it and after it.
func outcomes(t *testing.T, o operation, path string) (before, after string) {
	t.Helper()
	if o.fresh {
		return "0", "0"
	}
	require.NoError(t, prepare(path))
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	s := reopen(t, path)
	before, err = contentOf(s)
	require.NoError(t, err)
	if o.changes {
		require.NoError(t, o.do(s, path))
	}
	after, err = contentOf(s)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(path, file, 0o600))
	return before, after
}

// requireWhole opens a store after a crash.
func requireWhole(t *testing.T, path, before, after string, fresh bool) (made bool) {
	t.Helper()
	if !fresh {
		require.NoError(t, boltstore.Check(context.Background(), path))
	}
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	defer s.Close()
	now, err := contentOf(s)
	require.NoError(t, err)
	require.Contains(t, []string{before, after}, now)
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	if !fresh {
		require.Len(t, files, 1)
	}
	require.NoError(t, commitAt(s, testutil.Put(key(77), 0, "after")))
	require.NoError(t, s.Check(ctx))
	return now == after
}

// The power goes at each moment of a Commit: of what was not flushed any part
// may be on the disk, in any order, and a write in part.
func TestSTO_08_PowerLoss(t *testing.T) {
	for _, o := range operations {
		if !o.changes {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			before, after := outcomes(t, o, path)
			base, err := os.ReadFile(path)
			require.NoError(t, err)
			t.Setenv("BOLTSTORE_HOW", strconv.Itoa(recordCalls))
			tr := tracer{written: func(offset, length int64) []byte {
				f, err := os.Open(path)
				require.NoError(t, err)
				defer f.Close()
				b := make([]byte, length)
				_, err = f.ReadAt(b, offset)
				require.NoError(t, err)
				return b
			}}
			status := tr.trace(t, "once "+o.name, path)
			require.True(t, status.Exited() && status.ExitStatus() == 0, "%v", status)
			p := &powerLoss{t: t, path: filepath.Join(t.TempDir(), "store"), before: before, after: after, random: rand.New(rand.NewPCG(1, 1))}
			p.replay(base, tr.log)
			t.Logf("%d calls, %d ways to lose power, %d of them after the commit", len(tr.log), p.images, p.made)
			require.NotZero(t, p.made)
		})
	}
}

type powerLoss struct {
	t             *testing.T
	path          string
	before, after string
	random        *rand.Rand
	images, made  int
}

// replay loses the power before and after each flush.
func (p *powerLoss) replay(durable []byte, log []call) {
	var pending []call
	for _, c := range log {
		switch {
		case c.nr == syscall.SYS_PWRITE64 || c.nr == syscall.SYS_FTRUNCATE:
			pending = append(pending, c)
		case c.synced():
			p.lose(durable, pending)
			for _, c := range pending {
				durable = apply(durable, c)
			}
			pending = nil
		}
	}
	require.Empty(p.t, pending) // all was flushed
	require.True(p.t, p.look(durable), "a Commit that returned is not on the disk")
}

// lose tries subsets of what was not flushed: all of them if there are few; and
// each write in part.
func (p *powerLoss) lose(durable []byte, pending []call) {
	subsets := uint64(1) << min(len(pending), 6)
	for i := range subsets {
		pick := i
		if len(pending) > 6 {
			pick = p.random.Uint64()
		}
		image := slices.Clone(durable)
		for j, c := range pending {
			if pick>>j&1 != 0 {
				image = apply(image, c)
			}
		}
		p.look(image)
	}
	for i, torn := range pending {
		for _, keep := range []int{1, 40, 75, 512, len(torn.data) / 2} {
			if keep >= len(torn.data) {
				continue
			}
			image := slices.Clone(durable)
			for j, c := range pending {
				if j == i {
					c.data = c.data[:keep]
				}
				image = apply(image, c)
			}
			p.look(image)
		}
	}
}

func apply(file []byte, c call) []byte {
	end := c.offset + int64(len(c.data))
	if c.nr == syscall.SYS_FTRUNCATE {
		end = c.length
	}
	if grow := end - int64(len(file)); grow > 0 {
		file = append(file, make([]byte, grow)...)
	}
	if c.nr == syscall.SYS_FTRUNCATE {
		return file[:end]
	}
	copy(file[c.offset:], c.data)
	return file
}

func (p *powerLoss) look(image []byte) bool {
	require.NoError(p.t, os.WriteFile(p.path, image, 0o600))
	made := requireWhole(p.t, p.path, p.before, p.after, false)
	p.images++
	if made {
		p.made++
	}
	return made
}

// Compact flushes the new file before it gets the old one's name, and that
// before it returns.
func TestSTO_08_CompactFlushes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	require.NoError(t, prepare(path))
	t.Setenv("BOLTSTORE_HOW", strconv.Itoa(recordCalls))
	var tr tracer
	status := tr.trace(t, "once compact", path)
	require.True(t, status.Exited() && status.ExitStatus() == 0, "%v", status)
	last := func(of ...int64) int {
		for i, c := range slices.Backward(tr.log) {
			if slices.Contains(of, c.nr) {
				return i
			}
		}
		return -1
	}
	written, flushed := last(syscall.SYS_PWRITE64, syscall.SYS_FTRUNCATE), last(syscall.SYS_FDATASYNC)
	renamed, named := last(syscall.SYS_RENAMEAT), last(syscall.SYS_FSYNC)
	require.True(t, 0 < written && written < flushed && flushed < renamed && renamed < named, "%d %d %d %d", written, flushed, renamed, named)
}
