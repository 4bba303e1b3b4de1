package group_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// A group of three with two devices each hears what is said.
func TestGroup(t *testing.T) {
	w := newTown(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 2), at(cici, 1))
	a := w.of[at(ani, 1)]
	a.set(budi, cici, ani)
	all := []session.Address{at(budi, 1), at(budi, 2), at(cici, 1)}
	a.waits(nil, all...)
	require.Equal(t, all, a.gives())
	require.Nil(t, a.gives())
	s := a.sends("hello")
	require.Equal(t, append([]session.Address{at(ani, 2)}, all...), where(s.Results))
	for i := range s.Results[2:] {
		require.Same(t, s.Results[1].Message, s.Results[2+i].Message)
	}
	require.Equal(t, session.TypeSenderKey, s.Results[1].Message.Type)
	require.NotEqual(t, session.TypeSenderKey, s.Results[0].Message.Type)
	got, err := w.of[at(ani, 2)].groups.Decrypt(ctx, at(ani, 1), s.Results[0].Message, nil)
	require.NoError(t, err)
	require.Equal(t, club, got.Content.SyncTo)
	w.deliver(a, s)
	require.NoError(t, a.groups.Accept(ctx, s))
	for _, to := range append(all, at(ani, 2)) {
		w.heard(to, "hello")
	}
	require.Nil(t, a.says("again"))
	g := a.club()
	require.Equal(t, all, g.Has)
	require.Empty(t, g.Unsure)
	require.Equal(t, w.now, g.Since)
	require.Equal(t, []string{ani, budi, cici}, g.Members)
}
