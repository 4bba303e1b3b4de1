package person

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// agesBy makes the history of p older.
func (p *testPerson) agesBy(t *testing.T, d time.Duration) {
	t.Helper()
	all, err := p.notes.all(t.Context(), kindHistory)
	require.NoError(t, err)
	for _, x := range all {
		if !x.Gone.IsZero() {
			x.Gone = x.Gone.Add(-d)
			require.NoError(t, p.notes.save(t.Context(), kindHistory, x))
		}
	}
}

// sweeps requires that so many messages disappear from the history of p.
func (p *testPerson) sweeps(t *testing.T, n int) {
	t.Helper()
	_, err := p.sweep(t.Context())
	require.NoError(t, err)
	for range n {
		p.next(t, GoneEvent)
	}
	p.silent(t)
}

// What is written under a timer disappears on both sides, and what was written
// before stays. Whoever hears of a timer writes under it, too.
func TestTimer(t *testing.T) {
	_, ani, budi := twoFriends(t)
	require.NoError(t, ani.Last(t.Context(), "budi", time.Minute))
	require.Contains(t, ani.next(t, NoticeEvent).Text, "disappears 60 s after it was read")
	ani.sends(t, "budi", "for a minute")
	shown := budi.receives(t, TimerEvent, ReadEvent)
	require.Contains(t, shown[0].Text, "disappears 60 s after it was read")
	budi.sends(t, "ani", "and this")
	ani.hears(t, ReadEvent, "and this")
	for _, p := range []*testPerson{ani, budi} {
		p.sweeps(t, 0)
		next, err := p.sweep(t.Context())
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Minute), next, 30*time.Second)
		p.agesBy(t, 2*time.Minute)
		p.sweeps(t, 2)
		require.Equal(t, []string{"one", "two"}, p.texts(t, kindHistory))
	}

	require.NoError(t, budi.Last(t.Context(), "ani", 0))
	require.Contains(t, budi.next(t, NoticeEvent).Text, "stays")
	budi.sends(t, "ani", "for good")
	ani.receives(t, TimerEvent, ReadEvent)
	ani.agesBy(t, time.Hour)
	ani.sweeps(t, 0)
	require.Contains(t, ani.texts(t, kindHistory), "for good")
}
