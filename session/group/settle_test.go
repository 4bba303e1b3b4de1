package group_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// settle has the server look at a Sending until it has nothing to say.
func (w *town) settle(from *resident, s *session.Sending, users ...string) error {
	for {
		said := w.differs(from, s, users...)
		if said == nil {
			return from.groups.Accept(ctx, s)
		}
		if err := from.groups.Reconcile(ctx, s, said...); err != nil {
			return err
		}
	}
}

// A server that wants a message for every device of a user gets one.
func TestDistributeReconciled(t *testing.T) {
	w, a := three(t)
	old := a.chain()
	w.add(at(budi, 3))
	require.NoError(t, a.Refresh(ctx, budi))
	w.add(at(budi, 4)) // which ani does not know of
	s, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.Equal(t, []session.Address{at(budi, 3)}, where(s.Results))
	require.NoError(t, w.settle(a, s, budi))
	all := []session.Address{at(budi, 1), at(budi, 2), at(budi, 3), at(budi, 4)}
	require.Equal(t, all, where(s.Results))
	w.deliver(a, s)
	require.Equal(t, append(all, at(cici, 1)), a.club().Has)
	require.Nil(t, a.says("hello"))
	require.Equal(t, old, a.chain())
	w.heard(at(budi, 4), "hello")
}

// TestGRP_06_GivenToADeviceThatIsGone: what was encrypted for a device that is gone,
// or set up anew, has the key changed, although the server did not take it.
func TestGRP_06_GivenToADeviceThatIsGone(t *testing.T) {
	for name, change := range map[string]func(w *town){
		"set up anew": func(w *town) { w.add(at(budi, 2)) },
		"gone":        func(w *town) { w.hidden[at(budi, 2)] = true },
	} {
		t.Run(name, func(t *testing.T) {
			w, a := three(t)
			a.set(cici)
			a.says("without")
			a.set(budi, cici)
			gone := w.of[at(budi, 2)]
			change(w)
			s, err := a.groups.Distribute(ctx, club, nil)
			require.NoError(t, err)
			leaked := s.Results[1].Message
			require.NoError(t, w.settle(a, s, budi))
			w.deliver(a, s)
			old := a.chain()
			_, err = a.groups.Send(ctx, club, new(session.Content), nil)
			require.True(t, is[*group.WaitingError](err))
			require.NoError(t, gone.hears(a, leaked))
			s, err = a.groups.Distribute(ctx, club, nil)
			require.NoError(t, err)
			require.NotEqual(t, old, a.chain())
			w.deliver(a, s)
			require.NoError(t, w.settle(a, s, budi, cici))
			s = a.sends("secret")
			require.ErrorIs(t, gone.hears(a, s.Results[0].Message), group.ErrNoSenderKey)
			w.deliver(a, s)
		})
	}
}

// Who got no message in the end does not have the key.
func TestDistributeToNobody(t *testing.T) {
	w, a := three(t)
	w.add(at(budi, 3))
	require.NoError(t, a.Refresh(ctx, budi))
	s, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	w.add(at(budi, 3))
	w.deaf[at(budi, 3)] = true
	require.NoError(t, a.groups.Reconcile(ctx, s, session.Difference{User: budi, Stale: []uint32{3}}))
	require.Nil(t, s.Results[0].Message)
	require.NoError(t, a.groups.Accept(ctx, s))
	require.Equal(t, everybody, a.club().Has)
	require.Equal(t, []session.Address{at(budi, 3)}, a.club().Unsure)
}

// When the group changed between a Distribute and what the server says of it, the
// key does not go to more devices.
func TestDistributeOfAnotherGroup(t *testing.T) {
	for name, change := range map[string]func(a *resident){
		"members":     func(a *resident) { a.set(ani, cici) },
		"another key": func(a *resident) { a.set(cici); a.gives(); a.set(ani, budi, cici) },
		"forgotten":   func(a *resident) { require.NoError(a.town.t, a.groups.Forget(ctx, club)) },
	} {
		t.Run(name, func(t *testing.T) {
			w, a := three(t)
			w.add(at(budi, 3))
			require.NoError(t, a.Refresh(ctx, budi))
			s, err := a.groups.Distribute(ctx, club, nil)
			require.NoError(t, err)
			w.add(at(budi, 4))
			change(a)
			before := testutil.StoreDigest(t, a.store)
			results := s.Results
			w.deliver(a, s)
			refused(t, a.groups.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{4}}), session.ErrUnsettled)
			require.Equal(t, before, testutil.StoreDigest(t, a.store))
			require.Equal(t, results, s.Results)
			require.NoError(t, a.groups.Accept(ctx, s))
			require.NoError(t, a.groups.Set(ctx, club, []string{budi, cici}, nil))
			require.NoError(t, a.Refresh(ctx, budi))
			a.says("and on")
			w.heard(at(budi, 4), "and on")
		})
	}
}

// Who is missing from a message to the group gets one of his own; whoever is no
// device any more has it encrypted anew, under another key.
func TestSendReconciled(t *testing.T) {
	w, a := three(t)
	w.add(at(budi, 3))
	s := a.sends("hello")
	require.NoError(t, w.settle(a, s, budi, cici))
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2), at(budi, 3), at(cici, 1)}, where(s.Results))
	require.NotEqual(t, session.TypeSenderKey, s.Results[2].Message.Type)
	w.deliver(a, s)
	w.heard(at(budi, 3), "hello")
	a.waits(nil, at(budi, 3))
	require.Equal(t, []session.Address{at(budi, 3)}, a.says("and now"))

	for name, change := range map[string]func(){
		"gone":        func() { w.hidden[at(budi, 2)] = true },
		"set up anew": func() { w.add(at(budi, 1)) },
	} {
		gone := w.of[at(budi, 1)]
		if name == "gone" {
			gone = w.of[at(budi, 2)]
		}
		old := a.chain()
		s = a.sends("taken back")
		change()
		refused(t, w.settle(a, s, budi, cici), session.ErrUnsettled)
		for i := range s.Results {
			r := &s.Results[i]
			require.True(t, r.Message == nil || r.Message.Type != session.TypeSenderKey, "%v", r.To)
		}
		_, err := a.groups.Send(ctx, club, new(session.Content), nil)
		require.True(t, is[*group.WaitingError](err))
		a.gives()
		require.NotEqual(t, old, a.chain(), name)
		s = a.sends("anew")
		require.NoError(t, w.settle(a, s, budi, cici))
		require.Error(t, gone.hears(a, s.Results[0].Message))
		w.deliver(a, s)
	}
}
