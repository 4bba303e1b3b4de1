package session_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// misbehaviour is what a Directory may do in place of an answer, and what the
// error about it wraps.
var misbehaviour = map[string]struct {
	do   func() error
	want error
}{
	"error":  {func() error { return errInjected }, errInjected},
	"panic":  {func() error { panic("a secret") }, nil},
	"nil":    {func() error { panic(error(nil)) }, nil},
	"goexit": {func() error { runtime.Goexit(); return nil }, nil},
	"its own deadline": {func() error {
		return context.DeadlineExceeded
	}, context.DeadlineExceeded},
}

// Whatever a Directory does when it is asked for a list: the user fails as a
// whole, with a typed error, the others get their message, and nothing of the
// user changes.
func TestListFails(t *testing.T) {
	for name, c := range misbehaviour {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
			r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
				if user == budi {
					return nil, c.do()
				}
				return r.list(user), nil
			}
			r.badList(t, c.want)
		})
	}
}

// badList requires that the list of budi fails him, and nobody else.
func (r *registry) badList(t *testing.T, want error) {
	t.Helper()
	from := r.of(ani, 1)
	s := r.sends(t, from, "text", budi, cici)
	require.Equal(t, []session.Address{at(budi, 0), at(cici, 1)}, addresses(s))
	require.Nil(t, s.Results[0].Message)
	failed := refusedAs[*session.DirectoryError](t, s.Results[0].Err)
	require.Equal(t, budi, failed.User)
	require.Zero(t, failed.Device)
	if want != nil {
		require.ErrorIs(t, failed, want)
	}
	require.NoError(t, s.Results[1].Err)
	require.Empty(t, from.list(t, "peer", budi))
	require.Empty(t, from.list(t, "session", budi))
	_, to := from.copied(t, s)
	require.Equal(t, []session.Address{at(cici, 1)}, to)

	before := r.digest(t)
	failed = refusedAs[*session.DirectoryError](t, from.Refresh(ctx, budi))
	require.Equal(t, budi, failed.User)
	require.Equal(t, before, r.digest(t))
	require.Zero(t, r.bundles[at(budi, 1)])

	r.devices = nil
	r.delivers(t, from, r.sends(t, from, "again", budi, cici), "again", at(budi, 1), at(cici, 1))
}

// A list that cannot be is nobody's.
func TestBadLists(t *testing.T) {
	many := make([]session.PeerDevice, 128)
	for i := range many {
		many[i] = session.PeerDevice{Device: uint32(1 + i%127), RegistrationID: 1}
	}
	for name, c := range map[string]struct {
		list []session.PeerDevice
		want error
	}{
		"none":                {nil, session.ErrNoDevice},
		"device 0":            {[]session.PeerDevice{{Device: 1, RegistrationID: 2}, {RegistrationID: 2}}, session.ErrMalformed},
		"device 128":          {[]session.PeerDevice{{Device: 128, RegistrationID: 2}}, session.ErrMalformed},
		"twice":               {[]session.PeerDevice{{Device: 1, RegistrationID: 2}, {Device: 1, RegistrationID: 2}}, session.ErrMalformed},
		"contradicts itself":  {[]session.PeerDevice{{Device: 1, RegistrationID: 2}, {Device: 1, RegistrationID: 3}}, session.ErrMalformed},
		"too many":            {many, session.ErrMalformed},
		"huge":                {make([]session.PeerDevice, 1<<20), session.ErrMalformed},
		"registration id 0":   {[]session.PeerDevice{{Device: 1, RegistrationID: 2}, {Device: 2}}, session.ErrRegistrationID},
		"registration id max": {[]session.PeerDevice{{Device: 1, RegistrationID: 16381}}, session.ErrRegistrationID},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
			r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
				if user == budi {
					return c.list, nil
				}
				return r.list(user), nil
			}
			if c.want == session.ErrNoDevice { // Refresh believes it
				from := r.of(ani, 1)
				s := r.sends(t, from, "text", budi, cici)
				require.ErrorIs(t, refusedAs[*session.DirectoryError](t, s.Results[0].Err), c.want)
				require.NoError(t, s.Results[1].Err)
				return
			}
			r.badList(t, c.want)
		})
	}
}

// badBundle requires that what is wrong with the bundle of budi 2 fails that
// device, and no other one.
func (r *registry) badBundle(t *testing.T, want error, do func(b *x3dh.Bundle) (*x3dh.Bundle, error)) {
	t.Helper()
	from := r.of(ani, 1)
	r.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
		b, err := r.sides[peer].Bundle(ctx)
		if err == nil && peer == at(budi, 2) {
			return do(b)
		}
		return b, err
	}
	s := r.sends(t, from, "text", budi)
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2), at(budi, 3)}, addresses(s))
	for _, i := range []int{0, 2} {
		require.NoError(t, s.Results[i].Err)
		r.sides[s.Results[i].To].reads(t, from, s.Results[i].Message, "text")
	}
	require.Nil(t, s.Results[1].Message)
	failed := refusedAs[*session.DirectoryError](t, s.Results[1].Err)
	require.Equal(t, at(budi, 2), at(failed.User, failed.Device))
	if want != nil {
		require.ErrorIs(t, failed, want)
	}
	for _, kind := range []string{"session", "identity"} {
		require.False(t, from.has(t, kind, budi, "2"))
	}
	_, to := from.copied(t, s)
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 3)}, to)

	// The server may say so as often as it likes.
	before := slices.Clone(s.Results)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{2}}))
	require.Equal(t, before[0], s.Results[0])
	require.Equal(t, before[2], s.Results[2])
	require.Nil(t, s.Results[1].Message)

	r.bundle = nil
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{2}}))
	require.NoError(t, s.Results[1].Err)
	r.of(budi, 2).reads(t, from, s.Results[1].Message, "text")
	r.delivers(t, from, r.sends(t, from, "again", budi), "again", at(budi, 1), at(budi, 2), at(budi, 3))
}

func TestBundleFails(t *testing.T) {
	for name, c := range misbehaviour {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(budi, 3))
			r.badBundle(t, c.want, func(*x3dh.Bundle) (*x3dh.Bundle, error) { return nil, c.do() })
		})
	}
}

// Nothing is encrypted for a key that is not the device's own, by a bundle that
// verifies.
func TestBadBundles(t *testing.T) {
	for name, c := range map[string]struct {
		want error
		make func(r *registry, b *x3dh.Bundle) *x3dh.Bundle
	}{
		"none":              {session.ErrMalformed, func(*registry, *x3dh.Bundle) *x3dh.Bundle { return nil }},
		"empty":             {session.ErrMalformed, func(*registry, *x3dh.Bundle) *x3dh.Bundle { return new(x3dh.Bundle) }},
		"of another device": {session.ErrMalformed, func(r *registry, _ *x3dh.Bundle) *x3dh.Bundle { b, _ := r.of(budi, 3).Bundle(ctx); return b }},
		"without identity": {session.ErrMalformed, func(_ *registry, b *x3dh.Bundle) *x3dh.Bundle {
			return &x3dh.Bundle{DeviceID: b.DeviceID, RegistrationID: b.RegistrationID}
		}},
		"without keys": {x3dh.ErrSignature, func(_ *registry, b *x3dh.Bundle) *x3dh.Bundle {
			return &x3dh.Bundle{DeviceID: b.DeviceID, RegistrationID: b.RegistrationID, IdentityKey: b.IdentityKey}
		}},
		"registration id 0":   {session.ErrRegistrationID, func(_ *registry, b *x3dh.Bundle) *x3dh.Bundle { b.RegistrationID = 0; return b }},
		"registration id max": {session.ErrRegistrationID, func(_ *registry, b *x3dh.Bundle) *x3dh.Bundle { b.RegistrationID = 16381; return b }},
		"another's prekey": {x3dh.ErrSignature, func(r *registry, b *x3dh.Bundle) *x3dh.Bundle {
			other, _ := r.of(ani, 1).Bundle(ctx)
			b.SignedPreKey = other.SignedPreKey
			return b
		}},
		"another's KEM prekey": {x3dh.ErrSignature, func(r *registry, b *x3dh.Bundle) *x3dh.Bundle {
			other, _ := r.of(ani, 1).Bundle(ctx)
			b.KEMPreKey = other.KEMPreKey
			return b
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(budi, 3))
			r.badBundle(t, c.want, func(b *x3dh.Bundle) (*x3dh.Bundle, error) { return c.make(r, b), nil })
		})
	}
}

// The registration id of a bundle that verifies counts, whatever the list said.
func TestBundleContradictsList(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
		out := r.list(user)
		out[0].RegistrationID = 4000
		return out, nil
	}
	for _, text := range []string{"1", "2"} {
		r.delivers(t, from, r.sends(t, from, text, budi), text, at(budi, 1))
	}
	require.Equal(t, 1, r.bundles[at(budi, 1)])
}

// Without a Directory nothing can be found out, which is everybody's failure
// and nobody's loss; what is known goes on.
func TestNoDirectory(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	r.sends(t, from, "text", budi)
	r.opts.Directory = nil
	from = from.reopen(t)
	s := r.sends(t, from, "alone", budi, cici)
	require.Equal(t, []session.Address{at(budi, 1), at(cici, 0)}, addresses(s))
	require.NoError(t, s.Results[0].Err)
	refusedAs[*session.DirectoryError](t, s.Results[1].Err)
	require.NoError(t, from.Archive(ctx, at(budi, 1)))
	s = r.sends(t, from, "alone", budi)
	refused(t, s.Results[0].Err, session.ErrNoSession)
	require.Equal(t, uint32(2), s.Results[0].RegistrationID)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{1, 2}}))
	refused(t, s.Results[0].Err, session.ErrNoSession)
	refused(t, s.Results[1].Err, session.ErrNoSession)
	copied, _ := from.copied(t, s)
	require.Nil(t, copied)
}

// A Directory that does not answer holds up nobody for longer than ctx, and
// leaves nothing behind; it is asked little at once.
func TestDirectoryHangs(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, list := range []bool{true, false} {
		r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1))
		from := r.of(ani, 1)
		s := r.sends(t, from, "text", cici)
		ended, cancel := context.WithCancel(ctx)
		if list {
			r.devices = func(ctx context.Context, _ string) ([]session.PeerDevice, error) { cancel(); return nil, hang(ctx) }
		} else {
			r.bundle = func(ctx context.Context, _ session.Address) (*x3dh.Bundle, error) { cancel(); return nil, hang(ctx) }
		}
		before := r.digest(t)
		out, err := from.Send(ended, []string{budi, cici}, &session.Content{Body: []byte("text")}, nil)
		require.Nil(t, out)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, r.digest(t))
		ended, cancel = context.WithCancel(ctx)
		if list {
			require.ErrorIs(t, from.Refresh(ended, cici), context.Canceled)
		} else {
			results := slices.Clone(s.Results)
			require.ErrorIs(t, from.Reconcile(ended, s, session.Difference{User: cici, Missing: []uint32{3}}), context.Canceled)
			require.Equal(t, results, s.Results)
		}
		require.Equal(t, before, r.digest(t))
		cancel()
		r.devices, r.bundle = nil, nil
		r.delivers(t, from, r.sends(t, from, "at last", budi), "at last", at(budi, 1), at(budi, 2))
	}
}

// Questions are asked side by side, but not too many at once.
func TestDirectoryIsAskedAtOnce(t *testing.T) {
	r := newRegistry(t, at(ani, 1))
	for id := uint32(1); id <= 20; id++ {
		r.add(t, at(budi, id))
	}
	var now, most atomic.Int32
	all := make(chan struct{})
	var once sync.Once
	dir := &slow{registry: r, bundle: func() {
		n := now.Add(1)
		if n >= 8 {
			once.Do(func() { close(all) })
		}
		if n > most.Load() {
			most.Store(n)
		}
		select {
		case <-all:
		case <-time.After(time.Minute):
			panic("one after the other")
		}
		time.Sleep(time.Millisecond)
		now.Add(-1)
	}}
	r.opts.Directory = dir
	from := r.of(ani, 1).reopen(t)
	s := r.sends(t, from, "text", budi)
	require.Len(t, s.Results, 20)
	for _, res := range s.Results {
		require.NoError(t, res.Err)
	}
	require.LessOrEqual(t, most.Load(), int32(8))
}

// A slow registry is busy for a while before it answers.
type slow struct {
	*registry
	bundle func()
}

func (s *slow) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	s.bundle()
	return s.registry.Bundle(ctx, peer)
}

// A server that gives the own account a device of a stranger gets nothing for
// it, whatever it says, and neither does one that lists this device.
func TestStrangerInOwnAccount(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1))
	from := r.of(ani, 1)
	r.join(t, session.Account{Address: at(ani, 3), RegistrationID: 66})
	s := r.sends(t, from, "text", budi)
	require.Equal(t, []session.Address{at(ani, 2), at(ani, 3), at(budi, 1)}, addresses(s))
	for range 2 {
		for i, res := range s.Results {
			if i != 1 {
				require.NoError(t, res.Err)
				continue
			}
			require.Nil(t, res.Message)
			refusedAs[*session.UntrustedIdentityError](t, res.Err)
		}
		require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: ani, Missing: []uint32{2}, Stale: []uint32{3}}))
	}
	require.False(t, from.has(t, "session", ani, "3"))
	require.False(t, from.has(t, "identity", ani, "3"))
}

// A server has a message come back to its sender: it hands out the sender's own
// prekeys as another device's, and what is sent there could be shown to the
// sender as what a third one sent.
func TestReflectedBundle(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1))
	from := r.of(ani, 1)
	r.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
		b, err := from.Bundle(ctx)
		b.DeviceID, b.RegistrationID = peer.Device, r.sides[peer].RegistrationID()
		return b, err
	}
	s := r.sends(t, from, "text", budi)
	require.Equal(t, []session.Address{at(ani, 2), at(budi, 1)}, addresses(s))
	for _, res := range s.Results {
		require.Nil(t, res.Message)
		require.ErrorIs(t, refusedAs[*session.DirectoryError](t, res.Err), session.ErrMalformed)
	}
	b, err := r.bundle(ctx, at(ani, 2))
	require.NoError(t, err)
	before := r.digest(t)
	require.ErrorIs(t, from.Begin(ctx, at(ani, 2), b), session.ErrMalformed)
	require.Equal(t, before, r.digest(t))
	r.bundle = nil
	r.delivers(t, from, r.sends(t, from, "text", budi), "text", at(ani, 2), at(budi, 1))
}
