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
	"github.com/gembok-e2ee/gembok/session"
)

// An operation is one call of a device, on a store that is as setup left it.
type operation struct {
	name string
	// setup returns the store of the device that run is about, and run.
	setup func(t *testing.T) (*side, func(ctx context.Context, d *session.Device, s keystore.Store) error)
}

// on is a run that needs the device alone.
func on(f func(ctx context.Context, d *session.Device) error) func(context.Context, *session.Device, keystore.Store) error {
	return func(ctx context.Context, d *session.Device, _ keystore.Store) error { return f(ctx, d) }
}

// reading is the run that reads m.
func reading(m *session.Message) func(context.Context, *session.Device, keystore.Store) error {
	return on(func(ctx context.Context, d *session.Device) error {
		_, err := d.Decrypt(ctx, aliceAddress, m, nil)
		return err
	})
}

type run = func(context.Context, *session.Device, keystore.Store) error

var operations = []operation{
	{"Create", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, func(ctx context.Context, _ *session.Device, s keystore.Store) error {
			_, err := session.Create(ctx, s, session.Account{Address: aliceAddress}, p.bob.opts)
			return err
		}
	}},
	{"Open", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, func(ctx context.Context, _ *session.Device, s keystore.Store) error {
			d, err := session.Open(ctx, s, bobAddress, p.bob.opts)
			if err != nil && d != nil {
				return errors.New("a device beside the error")
			}
			return err
		}
	}},
	{"Publish", func(t *testing.T) (*side, run) {
		p := strangers(t)
		_, err := p.bob.Publish(ctx)
		require.NoError(t, err)
		for i := range uint32(3) { // some are used up
			p.bob.removeKey(t, "prekey", 10+i)
			p.bob.removeKey(t, "kem", 20+i)
		}
		return p.bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Publish(ctx); return err })
	}},
	{"MarkPublished", func(t *testing.T) (*side, run) {
		p := strangers(t)
		publication, err := p.bob.Publish(ctx)
		require.NoError(t, err)
		publication.PreKeys, publication.KEMPreKeys = publication.PreKeys[:3], publication.KEMPreKeys[:3]
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.MarkPublished(ctx, publication) })
	}},
	{"Bundle", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Bundle(ctx); return err })
	}},
	{"Begin", func(t *testing.T) (*side, run) {
		p := strangers(t)
		b := bundleOf(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Begin again", func(t *testing.T) (*side, run) {
		p := friends(t)
		b := bundleOf(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Encrypt", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			m, err := d.Encrypt(ctx, aliceAddress, []byte("text"))
			if err != nil && m != nil {
				return errors.New("a ciphertext beside the error")
			}
			return err
		})
	}},
	{"Encrypt first", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.bob.begin(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Encrypt(ctx, aliceAddress, []byte("text"))
			return err
		})
	}},
	{"Decrypt first", func(t *testing.T) (*side, run) {
		p := met(t)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, accepted before", func(t *testing.T) (*side, run) {
		p := met(t)
		require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, last resort", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.alice.beginLastResort(t, p.bob)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt first, other key", func(t *testing.T) (*side, run) {
		p := friends(t)
		other := newSide(t, aliceAddress, nil, p.alice.opts)
		other.begin(t, p.bob)
		return p.bob, reading(other.send(t, p.bob, "text"))
	}},
	{"Decrypt renewal", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.alice.begin(t, p.bob)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt second", func(t *testing.T) (*side, run) {
		p := met(t)
		p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "1"), "1")
		return p.bob, reading(p.alice.send(t, p.bob, "2"))
	}},
	{"Decrypt", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
	{"Decrypt archived", func(t *testing.T) (*side, run) {
		p, ends := many(t, 5)
		return p.bob, reading(says(t, ends[1], "text"))
	}},
	{"AcceptIdentity", func(t *testing.T) (*side, run) {
		p := friends(t)
		other := newSide(t, aliceAddress, nil, p.alice.opts)
		other.begin(t, p.bob)
		p.bob.reads(t, other, other.send(t, p.bob, "text"), "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.AcceptIdentity(ctx, aliceAddress, other.Identity())
		})
	}},
	{"AcceptIdentity in advance", func(t *testing.T) (*side, run) {
		p := strangers(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.AcceptIdentity(ctx, aliceAddress, p.alice.Identity())
		})
	}},
	{"PeerIdentity", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.PeerIdentity(ctx, aliceAddress)
			return err
		})
	}},
	{"Archive", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Archive(ctx, aliceAddress) })
	}},
	{"ExportSession", func(t *testing.T) (*side, run) {
		p, _ := many(t, 4)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.ExportSession(ctx, aliceAddress)
			return err
		})
	}},
	{"ImportSession", func(t *testing.T) (*side, run) {
		p, _ := many(t, 4)
		record, err := p.bob.ExportSession(ctx, aliceAddress)
		require.NoError(t, err)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.ImportSession(ctx, aliceAddress, record) })
	}},
	{"ImportSession of one", func(t *testing.T) (*side, run) {
		p := friends(t)
		record, err := p.bob.ExportSession(ctx, aliceAddress)
		require.NoError(t, err)
		p.bob.forget(t, aliceAddress.User)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.ImportSession(ctx, aliceAddress, record) })
	}},
	{"Begin anew", func(t *testing.T) (*side, run) {
		p := friends(t)
		b := bundleOf(t, p.alice)
		p.bob.forget(t, aliceAddress.User)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Decrypt large", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, reading(p.alice.send(t, p.bob, large))
	}},
	{"Decrypt again", func(t *testing.T) (*side, run) {
		p := friends(t)
		m := p.alice.send(t, p.bob, large)
		p.bob.reads(t, p.alice, m, large)
		return p.bob, reading(m)
	}},
	{"Acknowledge", func(t *testing.T) (*side, run) {
		p := friends(t)
		r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "text"), "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Acknowledge(ctx, r) })
	}},
	{"Acknowledge large", func(t *testing.T) (*side, run) {
		p := friends(t)
		r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, large), large)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Acknowledge(ctx, r) })
	}},
	{"Unacknowledged", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.bob.reads(t, p.alice, p.alice.send(t, p.bob, large), large)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			for r, err := range d.Unacknowledged(ctx) {
				if err != nil && r != nil {
					return errors.New("a message beside the error")
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"Events", func(t *testing.T) (*side, run) {
		p := friends(t)
		emit(t, p.bob, aliceAddress)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			for _, err := range d.Events(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"AcknowledgeEvents", func(t *testing.T) (*side, run) {
		p := friends(t)
		e := emit(t, p.bob, aliceAddress)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.AcknowledgeEvents(ctx, e) })
	}},
	{"Update", func(t *testing.T) (*side, run) {
		p := friends(t)
		m := p.alice.send(t, p.bob, "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) error {
				if _, err := tx.Decrypt(aliceAddress, m, nil); err != nil {
					return err
				}
				if _, err := tx.Encrypt(aliceAddress, []byte("answer")); err != nil {
					return err
				}
				if err := tx.Put(keystore.Key{Kind: "draft", Owner: aliceAddress.User}, []byte("app")); err != nil {
					return err
				}
				return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: aliceAddress})
			})
		})
	}},
}

// large is a plaintext that is staged as a record of its own.
var large = strings.Repeat("0123456789", 500)

// emit has s store an event about a peer.
func emit(t testing.TB, s *side, about session.Address) session.Event {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: about})
	}))
	for e, err := range s.Events(ctx) {
		require.NoError(t, err)
		return e
	}
	t.Fatal("no event")
	return session.Event{}
}

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
	for _, op := range operations {
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
	case strings.HasSuffix(f.t.Name(), "/Update"):
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
