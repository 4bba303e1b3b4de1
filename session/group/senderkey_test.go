package group_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

func TestRoundTrip(t *testing.T) {
	all := parties(t, "alice", "bob", "carol")
	alice, bob, carol := all[0], all[1], all[2]
	alice.gives(t, room, bob, carol)
	for _, text := range []string{"", "one", "two"} {
		m := alice.tells(t, room, text)
		bob.hears(t, alice, m, text)
		first := carol.hears(t, alice, m, text)
		again := carol.hears(t, alice, m, text)
		require.True(t, again.Redelivered)
		require.Equal(t, first.ID, again.ID)
		require.NoError(t, carol.Acknowledge(ctx, again))
		require.ErrorIs(t, carol.decrypt(t, alice, m, nil), session.ErrDuplicate)
	}
}
