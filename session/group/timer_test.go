package group_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// What was said to a group goes as what was said to one: when it was read, and its
// time is over.
func TestTimerOfGroup(t *testing.T) {
	for _, text := range []string{"soon gone", strings.Repeat("soon gone", 1000)} {
		c := newClock()
		alice, bob := newParty(t, "alice", c, nil), newParty(t, "bob", c, nil)
		alice.meet(t, bob)
		alice.gives(t, room, bob)
		content := &session.Content{Body: []byte(text), Timer: time.Hour, TimerVersion: 2}
		m, err := alice.groups.Encrypt(ctx, room, content.Bytes())
		require.NoError(t, err)
		r := bob.hears(t, alice, m, text)
		require.True(t, c.now.Add(14*24*time.Hour+time.Hour).Equal(r.Expires))
		require.Equal(t, session.Timer{Duration: time.Hour, Version: 2, Sender: alice.Address().User}, r.Timer())

		require.NoError(t, bob.MarkRead(ctx, r))
		deadline := c.now.Add(time.Hour)
		c.now = deadline.Add(-time.Millisecond)
		require.True(t, deadline.Equal(bob.restarted(t).hears(t, alice, m, text).Expires))
		c.now = deadline
		for range 2 {
			require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
			for range bob.Unacknowledged(ctx) {
				t.Fatal("given out after its time")
			}
			_, err = bob.Upkeep(ctx)
			require.NoError(t, err)
		}
		for _, kind := range []string{"staged", "body"} {
			for range bob.store.List(ctx, "", kind, "") {
				t.Fatal("kept after its time: ", kind)
			}
		}
		require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
	}
}
