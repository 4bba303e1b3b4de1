package crowd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A device is one, its app, and what is under way to it.
type device struct {
	*session.Device
	w      *world
	addr   session.Address
	groups *group.Groups
	store  *brittle
	gone   bool // there is another one of that address, or none

	members []string // of the club, as it has heard
	exclude map[session.Address]bool

	letters  []letter
	requests []request
	heard    map[string]bool
	ids      map[session.MessageID]bool
}

// A letter is a message on its way.
type letter struct {
	from   *device
	m      *session.Message
	sentAt time.Time
	said   *text // nil: a key
}

// A request asks for a message again.
type request struct {
	by    *device
	said  *text
	m     *session.Message
	tries int
}

func (d *device) options() *session.Options {
	return &session.Options{Now: func() time.Time { return d.w.now }, Content: true, Directory: d.w,
		RetryFor: 10 * 365 * 24 * time.Hour} // nobody is to come too late
}

// set says who is in the club.
func (d *device) set() {
	var exclude []session.Address
	for a := range d.exclude {
		exclude = append(exclude, a)
	}
	for {
		err := d.act(func() error { return d.groups.Set(ctx, club, d.members, exclude) })
		if err == nil {
			return
		}
		require.ErrorIs(d.w.t, err, errStopped)
	}
}

// act does something, in which the process may stop: it has begun again then.
func (d *device) act(f func() error) error {
	if !d.w.honest && d.w.rng.IntN(25) == 0 {
		d.store.arm(d.w.rng.IntN(6), d.w.rng.IntN(2) == 0)
	}
	err := f()
	if d.store.mend() {
		d.w.count["crashes"]++
		again, err := session.Open(ctx, d.store, d.addr, d.options())
		require.NoError(d.w.t, err)
		d.Device, d.groups = again, group.New(again, nil)
	}
	return err
}

// read takes a letter; done is false when it is to come again.
func (d *device) read(l letter) (done bool) {
	var r *session.Received
	err := d.act(func() (err error) {
		r, err = d.groups.Decrypt(ctx, l.from.addr, l.m, nil)
		return err
	})
	l.said.note(d, "arrived as ", l.m.Type, ": ", err)
	switch {
	case err == nil:
		return d.got(r, l)
	case errors.Is(err, errStopped):
		return false
	case errors.Is(err, session.ErrDuplicate):
		require.True(d.w.t, l.said == nil || d.heard[l.said.body], "%v never read %v, which it takes for a duplicate", d.addr, l.said)
		return true
	}
	require.NotZero(d.w.t, session.ReasonOf(err), "%v", err)
	return d.ask(l, err)
}

// got notes what a message says.
func (d *device) got(r *session.Received, l letter) (done bool) {
	t := d.w.t
	require.True(t, r.Redelivered || !d.ids[r.ID], "%v got a message as new twice", d.addr)
	d.ids[r.ID] = true
	if !r.Accepted { // the app trusts whoever the server says it is
		require.NoError(t, d.AcceptIdentity(ctx, l.from.addr, r.Identity))
	}
	if body := string(r.Content.Body); body != "" {
		x := d.w.said[body]
		require.True(t, x.to[d], "%v read %q", d.addr, body)
		require.Equal(t, x.from.addr, r.From)
		require.Equal(t, x.sentAt.UnixMilli(), r.Content.SentAt.UnixMilli())
		if !d.heard[body] {
			d.w.count["read"]++
		}
		d.heard[body] = true
	}
	return d.act(func() error { return d.Acknowledge(ctx, r) }) == nil
}

// ask asks for what cannot be read, if there is somebody to be asked.
func (d *device) ask(l letter, cause error) (done bool) {
	if l.from.gone {
		return true
	}
	var m *session.Message
	err := d.act(func() (err error) {
		m, err = d.RequestRetry(ctx, l.from.addr, l.m, l.sentAt, cause)
		return err
	})
	switch {
	case errors.Is(err, errStopped):
		return false
	case errors.Is(err, session.ErrNoRetry):
		l.said.note(d, err)
		d.w.count["asked often enough"]++
		return true
	}
	require.NoError(d.w.t, err)
	d.w.count["asked"]++
	l.from.requests = append(l.from.requests, request{by: d, said: l.said, m: m})
	return true
}

// trust accepts what the server says of a device, or has the app leave it out, if
// it is there at all.
func (d *device) trust(a session.Address, why error) {
	if untrusted, ok := errors.AsType[*session.UntrustedIdentityError](why); ok {
		require.NoError(d.w.t, d.AcceptIdentity(ctx, a, untrusted.Seen))
		return
	}
	if err := d.act(func() error { return d.Refresh(ctx, a.User) }); errors.Is(err, errStopped) {
		return
	}
	if d.w.of[a] == nil && a.Device != 0 {
		return
	}
	d.w.count["excluded"]++
	d.exclude[a] = true
	d.set()
}

// trustAll is trust of all devices that get nothing.
func (d *device) trustAll(s *session.Sending) {
	for i := range s.Results {
		if r := &s.Results[i]; r.Err != nil && !errors.Is(r.Err, session.ErrUnsettled) && !d.exclude[r.To] {
			d.trust(r.To, r.Err)
		}
	}
}

// knows reports whether a user is in the club, for all that the device has heard.
func (d *device) knows(user string) bool { return slices.Contains(d.members, user) }

var errStopped = errors.New("process stopped")

// A brittle store stops the process at a call, and does nothing more then.
type brittle struct {
	keystore.Store
	mu     sync.Mutex
	left   int // calls until then; below 0: it does not
	after  bool
	broken bool
}

func (s *brittle) arm(left int, after bool) { s.left, s.after = left, after }

// mend has it work again, and reports whether it had stopped.
func (s *brittle) mend() (was bool) {
	was, s.broken, s.left = s.broken, false, -1
	return was
}

// call counts one, and reports whether it is done.
func (s *brittle) call() (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return false, errStopped
	}
	if s.left--; s.left != -1 {
		s.left = max(s.left, -2)
		return true, nil
	}
	s.broken = true
	return s.after, errStopped
}

func (s *brittle) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	if _, err := s.call(); err != nil {
		return nil, err
	}
	return s.Store.Load(ctx, keys...)
}

func (s *brittle) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	done, err := s.call()
	if !done {
		return 0, err
	}
	v, commitErr := s.Store.Commit(ctx, changes...)
	if err != nil {
		return 0, err
	}
	return v, commitErr
}
