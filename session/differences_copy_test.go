package session_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// twin is another process on the same store, which knows nothing of the others.
func (s *side) twin(t testing.TB) *side {
	t.Helper()
	d, err := session.Open(ctx, s.store, s.Address(), s.opts)
	require.NoError(t, err)
	return &side{Device: d, store: s.store, identity: s.identity, opts: s.opts}
}

// What ends a Sending, by name: its user was renamed, or its time is another
// message's, too.
func finish(r *registry, from *side, s *session.Sending, user string) map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"accept": func(t *testing.T) { require.NoError(t, from.Accept(ctx, s)) },
		"reconcile": func(t *testing.T) {
			r.add(t, at(user, 2))
			require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: user, Missing: []uint32{2}}))
			require.NotNil(t, s.Results[len(s.Results)-1].Message)
		},
	}
}

// A user gets another name before the server has taken a message: he can ask for
// it under that.
func TestRenamedWhileSending(t *testing.T) {
	for _, how := range []string{"accept", "reconcile"} {
		t.Run(how, func(t *testing.T) {
			r := settled(t, session.Options{}, at(ani, 1), at(budi, 1), at(cici, 1))
			from, to := r.of(ani, 1), r.of(budi, 1)
			s := r.sends(t, from, "text", budi, cici)
			require.NoError(t, from.Rename(ctx, budi, "joko"))
			r.sides[at("joko", 1)] = to
			finish(r, from, s, cici)[how](t)
			to.forgets(t, from.Address(), "session")
			again, err := from.Resend(ctx, at("joko", 1), r.asks(t, from, s, to.Address()))
			require.NoError(t, err)
			require.NoError(t, again.Results[0].Err)
			to.reads(t, from, again.Results[0].Message, "text")
		})
	}
}

// Two processes send at one time, one of them a message that no copy is kept of:
// what becomes of that does nothing to the copy of the other.
func TestCopyOfAnotherMessage(t *testing.T) {
	for _, how := range []string{"accept", "reconcile"} {
		t.Run(how, func(t *testing.T) {
			r := settled(t, session.Options{}, at(ani, 1), at(budi, 1), at(cici, 1))
			from := r.of(ani, 1).twin(t)
			r.now = r.now.Add(1e9)
			long := r.sends(t, from, strings.Repeat("long", 20<<10), budi)
			s := r.sends(t, from.twin(t), "secret", cici)
			require.Equal(t, long.SentAt, s.SentAt)
			finish(r, from, long, budi)[how](t)
			kept, to := from.copied(t, s)
			require.Equal(t, "secret", string(kept.Content))
			require.Equal(t, []session.Address{at(cici, 1)}, to)
		})
	}
}

// Two processes send the same text at one time: these are two messages.
func TestSameTextAtOnce(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1))
	dev, watch := r.of(ani, 1).twin(t).spied(t)
	var early *session.Sending
	watch.fail = func(call string, _ int) error {
		if call == "commit" && early == nil {
			early = r.sends(t, r.of(ani, 1).twin(t), "text", budi)
		}
		return nil
	}
	late := r.sends(t, dev, "text", budi)
	require.NotEqual(t, early.SentAt, late.SentAt)
	r.delivers(t, dev, late, "text", at(budi, 1))
	r.delivers(t, dev, early, "text", at(budi, 1))
	for _, s := range []*session.Sending{early, late} {
		_, to := dev.copied(t, s)
		require.Equal(t, []session.Address{at(budi, 1)}, to)
	}
}

// In one transaction of the app's a Sending is reconciled once: its Results are
// not there before that is committed. After a rollback it is as before.
func TestReconciledTwiceInATransaction(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	s := r.sends(t, from, "text", budi)
	r.add(t, at(budi, 2))
	r.add(t, at(budi, 3))
	for _, commit := range []bool{false, true} { // without one, the transaction was rolled back
		var p keystore.Pending
		tx := p.In(ctx)
		if commit {
			require.NoError(t, from.Reconcile(tx, s, session.Difference{User: budi, Missing: []uint32{2}}))
			before := r.digest(t)
			require.ErrorIs(t, from.Reconcile(tx, s, session.Difference{User: budi, Missing: []uint32{3}}), keystore.ErrInvalid)
			require.ErrorIs(t, from.Accept(tx, s), keystore.ErrInvalid)
			require.Equal(t, before, r.digest(t))
			p.Committed()
		} else {
			require.NoError(t, from.Reconcile(tx, s))
		}
	}
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2)}, addresses(s))
	var p keystore.Pending
	require.NoError(t, from.Reconcile(p.In(ctx), s, session.Difference{User: budi, Missing: []uint32{3}}))
	p.Committed()
	require.NoError(t, from.Accept(ctx, s))
	r.delivers(t, from, s, "text", at(budi, 1), at(budi, 2), at(budi, 3))
}

// Devices of which an app was told before there was a list are gone with the
// first one, and it is told of that, too.
func TestFirstListIsDifferent(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
		if user == budi {
			return nil, errInjected
		}
		return r.list(user), nil
	}
	s := r.sends(t, from, "text", budi)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{1}}))
	r.devices, r.hidden[at(budi, 1)] = nil, true
	r.delivers(t, from, r.sends(t, from, "text", budi), "text", at(budi, 2))
	got := map[session.Address][]session.EventKind{}
	for e, err := range from.Events(ctx) {
		require.NoError(t, err)
		got[e.Address] = append(got[e.Address], e.Kind)
	}
	require.ElementsMatch(t, []session.EventKind{session.DeviceAdded, session.DeviceRemoved}, got[at(budi, 1)])
	require.Equal(t, []session.EventKind{session.DeviceAdded}, got[at(budi, 2)])
}

// What is forgotten while a message is on its way does not come back with what
// its server says.
func TestForgottenWhileSending(t *testing.T) {
	r := settled(t, session.Options{Content: true}, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	s := r.sends(t, from, "text", budi)
	r.add(t, at(ani, 2))
	require.NoError(t, from.Forget(ctx, budi))
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: ani, Missing: []uint32{2}}))
	require.NotNil(t, s.Results[0].Message)
	require.NoError(t, from.Accept(ctx, s))
	kept, _ := from.copied(t, s)
	require.Nil(t, kept)
}

// A Directory may write the next answer over the one before.
func TestDirectoryKeepsItsBundle(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	var one x3dh.Bundle
	r.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
		b, err := r.sides[peer].Bundle(ctx)
		one = *b
		return &one, err
	}
	from.Device = r.reopen(t, from, func(o *session.Options) { o.Gate = meddler{do: func() { one = x3dh.Bundle{} }} })
	r.delivers(t, from, r.sends(t, from, "text", budi), "text", at(budi, 1))
}

// A meddler is a gate that does something when it is asked.
type meddler struct {
	toll
	do func()
}

func (meddler) Keys([]string) []keystore.Key { return nil }

func (m meddler) Send(time.Time, []keystore.Record, session.Address, keys.IdentityKey) error {
	m.do()
	return nil
}

func (meddler) Receive(time.Time, []keystore.Record, session.Address, keys.IdentityKey, []byte) ([]keystore.Change, []byte, []session.Event) {
	return nil, nil, nil
}

func (r *registry) reopen(t testing.TB, s *side, change func(*session.Options)) *session.Device {
	o := *s.opts
	change(&o)
	d, err := session.Open(ctx, s.store, s.Address(), &o)
	require.NoError(t, err)
	return d
}

// A message that no copy is kept of does not take the time of one that another
// process sends meanwhile.
func TestTimeIsTakenMeanwhile(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1), at(cici, 1))
	dev, watch := r.of(ani, 1).twin(t).spied(t)
	var early *session.Sending
	watch.fail = func(call string, _ int) error {
		if call == "commit" && early == nil {
			early = r.sends(t, r.of(ani, 1).twin(t), "text", cici)
		}
		return nil
	}
	late := r.sends(t, dev, strings.Repeat("long", 20<<10), budi)
	require.NotEqual(t, early.SentAt, late.SentAt)
}

// What one account sends is no other's to go on with.
func TestSendingOfAnotherDevice(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1), at(cici, 1))
	s := r.sends(t, r.of(ani, 1), "text", cici)
	before, asked := r.digest(t), r.bundles[at(cici, 1)]
	require.ErrorIs(t, r.of(budi, 1).Reconcile(ctx, s, session.Difference{User: cici, Stale: []uint32{1}}), session.ErrMalformed)
	require.ErrorIs(t, r.of(budi, 1).Accept(ctx, s), session.ErrMalformed)
	require.Equal(t, before, r.digest(t))
	require.Equal(t, asked, r.bundles[at(cici, 1)])
}
