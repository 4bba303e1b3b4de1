package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

var errInjected = errors.New("the disk is on fire")

// A trial runs an operation on a copy of a store, with equal coins each time.
type trial struct {
	*side
	watch *spy
	run   run
	ctx   context.Context
}

func try(t *testing.T, s *side, run run) *trial {
	t.Helper()
	c := s.reopen(t)
	dev, watch := c.spied(t)
	return &trial{side: dev, watch: watch, run: run, ctx: ctx}
}

func (tr *trial) do() (err error) {
	withCoins(7, func() { err = tr.run(tr.ctx, tr.Device, tr.watch) })
	return err
}

func (tr *trial) digest(t *testing.T) [32]byte { return testutil.StoreDigest(t, tr.store) }

// Whatever a store does at whichever call: an operation changes nothing, or
// does all of it, and the same operation works when the store does.
func TestStoreFaults(t *testing.T) {
	for _, op := range everyOperation() {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			good := try(t, s, run)
			var calls []string
			good.watch.fail = func(call string, _ int) error { calls = append(calls, call); return nil }
			before := good.digest(t)
			require.NoError(t, good.do())
			after := good.digest(t)
			require.NotEmpty(t, calls)
			f := &faults{t: t, s: s, run: run, before: before, after: after}
			for n, call := range calls {
				if call == "committed" {
					f.stops(n + 1)
					f.lostAnswer(n + 1)
					continue
				}
				f.stops(n + 1)
				f.fails(n + 1)
				f.cancelled(n + 1)
				f.panics(n + 1)
				if call == "commit" {
					f.conflicts(n + 1)
					f.neverHappened(n + 1)
				}
				if call == "load" {
					f.lies(n + 1)
				}
			}
		})
	}
}

type faults struct {
	t             *testing.T
	s             *side
	run           run
	before, after [32]byte
}

// at is a trial in which something happens at call n.
func (f *faults) at(n int, happens func() error) *trial {
	tr := try(f.t, f.s, f.run)
	tr.watch.fail = func(_ string, i int) error {
		if i == n {
			return happens()
		}
		return nil
	}
	return tr
}

// unchanged requires that a trial that failed left all as it was, and that the
// same device does the operation now as if nothing had been.
func (f *faults) unchanged(tr *trial) {
	f.t.Helper()
	require.Equal(f.t, f.before, tr.digest(f.t), "changed")
	tr.watch.fail, tr.ctx = nil, ctx
	require.NoError(f.t, tr.do())
	require.Equal(f.t, f.after, tr.digest(f.t))
}

// stops has the process end at call n, as far as the store can see: whoever
// opens it then finds all or nothing of the operation.
func (f *faults) stops(n int) {
	f.t.Helper()
	tr := try(f.t, f.s, f.run)
	tr.watch.fail = func(_ string, i int) error {
		if i >= n {
			return errInjected
		}
		return nil
	}
	require.Error(f.t, tr.do())
	require.Contains(f.t, [][32]byte{f.before, f.after}, tr.digest(f.t), "half changed")
	tr.reopen(f.t).index(f.t, aliceAddress)
}

func (f *faults) fails(n int) {
	f.t.Helper()
	tr := f.at(n, func() error { return fmt.Errorf("at %d: %w", n, errInjected) })
	err := tr.do()
	require.ErrorIs(f.t, err, errInjected)
	require.Contains(f.t, err.Error(), fmt.Sprint("at ", n))
	f.unchanged(tr)
}

func (f *faults) cancelled(n int) {
	f.t.Helper()
	ended, cancel := context.WithCancel(ctx)
	tr := f.at(n, func() error { cancel(); return nil })
	tr.ctx = ended
	require.ErrorIs(f.t, tr.do(), context.Canceled)
	f.unchanged(tr)
}

func (f *faults) panics(n int) {
	f.t.Helper()
	tr := f.at(n, func() error { panic("a bug in the store") })
	require.PanicsWithValue(f.t, "a bug in the store", func() { tr.do() })
	f.unchanged(tr)
}

// lostAnswer has a commit happen that the store cannot vouch for. The records
// tell that it did; but a ciphertext is dropped, and its counter with it, and
// an Update is the caller's.
func (f *faults) lostAnswer(n int) {
	f.t.Helper()
	tr := f.at(n, func() error { return keystore.ErrCommitUnknown })
	err := tr.do()
	switch {
	case strings.Contains(f.t.Name(), "/Update"):
		require.ErrorIs(f.t, err, keystore.ErrCommitUnknown)
		require.Len(f.t, tr.watch.commits, 1)
		require.Equal(f.t, f.after, tr.digest(f.t), "half changed")
	case strings.Contains(f.t.Name(), "Encrypt"):
		require.NoError(f.t, err)
		require.Len(f.t, tr.watch.commits, 2)
		tr.index(f.t, aliceAddress)
	default:
		require.NoError(f.t, err)
		require.Len(f.t, tr.watch.commits, 1+strings.Count(f.t.Name(), "ExportSession"))
		require.Equal(f.t, f.after, tr.digest(f.t), "half changed")
	}

	tr = try(f.t, f.s, f.run) // and then nobody answers
	tr.watch.fail = func(_ string, i int) error {
		if i >= n {
			return keystore.ErrCommitUnknown
		}
		return nil
	}
	if !strings.HasSuffix(f.t.Name(), "ExportSession") {
		require.ErrorIs(f.t, tr.do(), keystore.ErrCommitUnknown)
		require.Equal(f.t, f.after, tr.digest(f.t), "half changed")
	}
}

// neverHappened has a commit not happen that the store cannot vouch for.
func (f *faults) neverHappened(n int) {
	f.t.Helper()
	tr := f.at(n, func() error { return keystore.ErrCommitUnknown })
	require.NoError(f.t, tr.do())
	require.Len(f.t, tr.watch.commits, 2)
	tr.index(f.t, aliceAddress)

	tr = try(f.t, f.s, f.run)
	tr.watch.fail = func(_ string, i int) error {
		if i >= n {
			return keystore.ErrCommitUnknown
		}
		return nil
	}
	require.ErrorIs(f.t, tr.do(), keystore.ErrCommitUnknown)
	f.unchanged(tr)
}

// conflicts has another process win once, and then always.
func (f *faults) conflicts(n int) {
	f.t.Helper()
	lost := &keystore.ConflictError{Keys: []keystore.Key{f.s.key("session", aliceAddress.User, "2")}}
	tr := f.at(n, func() error { return lost })
	require.NoError(f.t, tr.do())
	tr.index(f.t, aliceAddress)

	tr = try(f.t, f.s, f.run)
	commits := 0
	tr.watch.fail = func(call string, _ int) error {
		if call != "commit" {
			return nil
		}
		commits++
		return lost
	}
	_, ok := errors.AsType[*keystore.ConflictError](tr.do())
	require.True(f.t, ok)
	require.Greater(f.t, commits, 3)
	require.Less(f.t, commits, 100)
	f.unchanged(tr)
}

// lies has the store return other records than were asked for.
func (f *faults) lies(n int) {
	f.t.Helper()
	for _, lie := range []func([]keystore.Record) []keystore.Record{
		func([]keystore.Record) []keystore.Record { return nil },
		func(r []keystore.Record) []keystore.Record { return r[1:] },
		func(r []keystore.Record) []keystore.Record { return append(r, r[0]) },
		func(r []keystore.Record) []keystore.Record { r[0].Key.Name += "x"; return r },
	} {
		tr := try(f.t, f.s, f.run)
		tr.watch.lie = func(i int, r []keystore.Record) []keystore.Record {
			if i == n {
				return lie(r)
			}
			return r
		}
		tr.watch.fail = func(string, int) error { return nil }
		err := tr.do()
		require.Error(f.t, err)
		requireQuiet(f.t, err)
		tr.watch.lie = nil
		f.unchanged(tr)
	}
}

// Nothing is held between operations: a device that was in the middle of
// something when its store panicked goes on.
func TestLocksAreReleased(t *testing.T) {
	p := friends(t)
	bob, watch := p.bob.spied(t)
	watch.fail = func(string, int) error { panic("a bug in the store") }
	for range 3 {
		require.Panics(t, func() { bob.Encrypt(ctx, aliceAddress, nil) })
	}
	watch.fail = nil
	p.bob = bob
	p.goesOn(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := bob.Encrypt(ended, aliceAddress, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, bob.AcceptIdentity(ended, aliceAddress, p.alice.Identity()), context.Canceled)
	p.goesOn(t)
}

// Whoever waits for a peer's lock waits no longer than its context.
func TestWaitingEnds(t *testing.T) {
	p := friends(t)
	bob, watch := p.bob.spied(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	watch.fail = func(call string, _ int) error {
		if call == "commit" {
			close(inside)
			<-leave
		}
		return nil
	}
	done := make(chan error)
	go func() { _, err := bob.Encrypt(ctx, aliceAddress, nil); done <- err }()
	<-inside
	watch.fail = nil
	ended, cancel := context.WithCancel(ctx)
	go cancel()
	_, err := bob.Encrypt(ended, aliceAddress, nil)
	require.ErrorIs(t, err, context.Canceled)
	close(leave)
	require.NoError(t, <-done)
	p.bob = bob
	_, err = bob.Encrypt(ctx, aliceAddress, nil)
	require.NoError(t, err)
}

// What a store refuses to do its callers hear, and nothing changed.
func TestErrorsOfStores(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "text")
	r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "waits"), "waits")
	bob, watch := p.bob.spied(t)
	for _, want := range []error{keystore.ErrFull, keystore.ErrReadOnly, keystore.ErrClosed, keystore.ErrLocked, keystore.ErrCorrupt} {
		watch.fail = func(call string, _ int) error {
			if call != "commit" {
				return nil
			}
			return fmt.Errorf("store: %w", want)
		}
		before := p.digest(t)
		_, err := bob.Encrypt(ctx, aliceAddress, nil)
		refused(t, err, want)
		refused(t, bob.decrypt(p.alice, m), want)
		refused(t, bob.Acknowledge(ctx, r), want)
		refused(t, bob.Begin(ctx, aliceAddress, bundleOf(t, p.alice.reopen(t))), want)
		_, err = bob.Bundle(ctx)
		refused(t, err, want)
		require.Equal(t, before, p.digest(t))
	}
	watch.fail = nil
	p.bob = bob
	bob.reads(t, p.alice, m, "text")
	bob.acknowledges(t, r)
	p.goesOn(t)
}
