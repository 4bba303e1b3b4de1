//go:build !wasm

package boltstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

var ctx = context.Background()

// A result is what a Commit returned.
type result struct {
	version uint64
	err     error
}

// commit commits in a goroutine.
func commit(ctx context.Context, s keystore.Store, changes ...keystore.Change) <-chan result {
	done := make(chan result, 1)
	go func() {
		v, err := s.Commit(ctx, changes...)
		done <- result{v, err}
	}()
	return done
}

// A flush is one that a test holds up.
type flush struct {
	entered, release chan struct{}
}

// hold makes the store's next flushes wait for the test.
func hold(s *boltstore.Store) flush {
	f := flush{make(chan struct{}), make(chan struct{})}
	s.Finish(func(tx *bbolt.Tx) error {
		f.entered <- struct{}{}
		<-f.release
		return tx.Commit()
	})
	return f
}

// queued waits until n Commits wait.
func queued(s *boltstore.Store, n int) {
	for s.Waiting() != n {
		runtime.Gosched()
	}
}

func key(i int) keystore.Key { return testutil.Key("k", "o", strconv.Itoa(i)) }

// All that came while one flush was under way share the next: 50 Commits take
// two transactions. Each is judged by its own expectations.
func TestCommitsShareAFlush(t *testing.T) {
	s := open(t)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "0"), testutil.Put(key(1), 0, "1"))
	before := s.Transactions()
	f := hold(s)

	first := commit(ctx, s, testutil.Put(key(0), v, "first"))
	<-f.entered
	var good, bad, checks []<-chan result
	for i := range 20 {
		bad = append(bad, commit(ctx, s, testutil.Put(key(1000+i), 0, "x"), testutil.Check(key(0), v)))
		checks = append(checks, commit(ctx, s, testutil.Check(key(1), v)))
	}
	for i := range 9 {
		good = append(good, commit(ctx, s, testutil.Put(key(100+i), 0, "good"), testutil.Check(key(1), v)))
	}
	queued(s, 49)
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)
	<-f.entered
	f.release <- struct{}{}

	versions := map[uint64]bool{}
	for i, c := range good {
		r := <-c
		require.NoError(t, r.err)
		require.False(t, versions[r.version])
		versions[r.version] = true
		require.Equal(t, r.version, testutil.Load(t, s, key(100+i)).Version)
	}
	for i, c := range bad {
		r := <-c
		conflict, ok := errors.AsType[*keystore.ConflictError](r.err)
		require.True(t, ok)
		require.Equal(t, []keystore.Key{key(0)}, conflict.Keys)
		require.Zero(t, testutil.Load(t, s, key(1000+i)).Version)
	}
	for _, c := range checks {
		require.Equal(t, result{}, <-c)
	}
	require.Equal(t, before+2, s.Transactions())
}

// Commits that share a flush see each other in turn: of those that expect the
// same one wins, and a chain that was guessed right works.
func TestCommitsInOneFlushInOrder(t *testing.T) {
	s := open(t)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "0"))
	f := hold(s)
	first := commit(ctx, s, testutil.Put(key(1), 0, "1"))
	<-f.entered
	second := commit(ctx, s, testutil.Put(key(0), v, "second"))
	queued(s, 1)
	third := commit(ctx, s, testutil.Put(key(0), v, "third"))
	queued(s, 2)
	fourth := commit(ctx, s, testutil.Delete(key(0), v+2))
	queued(s, 3)
	f.release <- struct{}{}
	<-f.entered
	f.release <- struct{}{}
	require.Equal(t, result{version: v + 1}, <-first)
	require.Equal(t, result{version: v + 2}, <-second)
	require.Error(t, (<-third).err)
	require.Equal(t, result{version: v + 3}, <-fourth)
	require.Zero(t, testutil.Load(t, s, key(0)).Version)
}

// Too many bytes for one flush are several, and nobody is left over.
func TestLargeCommitsFlushAlone(t *testing.T) {
	s := open(t)
	before := s.Transactions()
	f := hold(s)
	var all []<-chan result
	for i := range 4 {
		all = append(all, commit(ctx, s, testutil.Put(key(i), 0, strings.Repeat("x", 9<<20))))
		if i == 0 {
			<-f.entered
		}
		queued(s, i)
	}
	for i := range all {
		if i > 0 {
			<-f.entered
		}
		f.release <- struct{}{}
	}
	for i, c := range all {
		require.NoError(t, (<-c).err)
		require.Len(t, testutil.Load(t, s, key(i)).Value, 9<<20)
	}
	require.Equal(t, before+4, s.Transactions())
}

// What does not change anything writes nothing.
func TestChecksAreNotFlushed(t *testing.T) {
	s := open(t)
	v := testutil.Commit(t, s, testutil.Put(key(0), 0, "0"))
	before := s.Transactions()
	require.Zero(t, testutil.Commit(t, s, testutil.Check(key(0), v)))
	require.Zero(t, testutil.Commit(t, s))
	_, err := s.Commit(ctx, testutil.Put(key(0), 0, "1"))
	require.Error(t, err)
	require.Equal(t, before, s.Transactions())
}

// A Commit that waits is taken back by its context; one that is under way is
// made, and says so.
func TestContextWhileWaiting(t *testing.T) {
	s := open(t)
	f := hold(s)
	c, cancel := context.WithCancel(ctx)
	first := commit(c, s, testutil.Put(key(0), 0, "0"))
	<-f.entered
	second := commit(c, s, testutil.Put(key(1), 0, "1"))
	queued(s, 1)
	third := commit(ctx, s, testutil.Put(key(2), 0, "2"))
	queued(s, 2)

	cancel()
	require.ErrorIs(t, (<-second).err, context.Canceled) // while the first is still held up
	require.Equal(t, 1, s.Waiting())
	f.release <- struct{}{}
	<-f.entered
	f.release <- struct{}{}
	r := <-first
	require.NoError(t, r.err)
	require.Equal(t, r.version, testutil.Load(t, s, key(0)).Version)
	require.Zero(t, testutil.Load(t, s, key(1)).Version)
	require.NoError(t, (<-third).err)
}

// endless is a context whose end nobody is told of.
type endless struct {
	context.Context
	ended atomic.Bool
}

func (c *endless) Err() error {
	if c.ended.Load() {
		return context.DeadlineExceeded
	}
	return nil
}

// Whoever takes a Commit looks at its context first.
func TestContextEndedWhenTaken(t *testing.T) {
	s := open(t)
	f := hold(s)
	first := commit(ctx, s, testutil.Put(key(0), 0, "0"))
	<-f.entered
	c := &endless{Context: ctx}
	second := commit(c, s, testutil.Put(key(1), 0, "1"))
	queued(s, 1)
	c.ended.Store(true)
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)
	require.ErrorIs(t, (<-second).err, context.DeadlineExceeded)
	require.Zero(t, testutil.Load(t, s, key(1)).Version)
}

// Close waits for the Commits that wait, and all later calls are told.
func TestCloseWhileCommitsWait(t *testing.T) {
	s := open(t)
	f := hold(s)
	first := commit(ctx, s, testutil.Put(key(0), 0, "0"))
	<-f.entered
	second := commit(ctx, s, testutil.Put(key(1), 0, "1"))
	queued(s, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	f.release <- struct{}{}
	<-f.entered
	select {
	case <-closed:
		t.Fatal("closed before a Commit ended")
	default:
	}
	f.release <- struct{}{}
	require.NoError(t, (<-first).err)
	require.NoError(t, (<-second).err)
	require.NoError(t, <-closed)
}

// 64 goroutines count in one record and in one of their own, in one Commit.
func TestSTO_06_NoLostUpdate(t *testing.T) {
	const workers, rounds = 64, 10
	s := open(t)
	before := s.Transactions()
	var tries atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				for !count(t, s, key(-1), key(w), &tries) {
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, uint64(workers*rounds), number(testutil.Load(t, s, key(-1))))
	for w := range workers {
		require.Equal(t, uint64(rounds), number(testutil.Load(t, s, key(w))))
	}
	require.Equal(t, uint64(workers*rounds), testutil.Generation(t, s))
	t.Logf("%d Commits in %d transactions", tries.Load(), s.Transactions()-before)
}

// count adds one to records, unless someone else is faster.
func count(t *testing.T, s keystore.Store, a, b keystore.Key, tries *atomic.Int64) bool {
	r, err := s.Load(ctx, a, b)
	if err != nil {
		t.Error(err)
		return true
	}
	tries.Add(1)
	_, err = s.Commit(ctx, testutil.Put(a, r[0].Version, text(number(r[0])+1)), testutil.Put(b, r[1].Version, text(number(r[1])+1)))
	if _, lost := errors.AsType[*keystore.ConflictError](err); err != nil && !lost {
		t.Error(err)
		return true
	}
	return err == nil
}

func text(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

func number(r keystore.Record) uint64 {
	if len(r.Value) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(r.Value)
}
