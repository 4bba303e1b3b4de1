package session_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// someTimers draws timers that are often alike in part.
func someTimers(r *rand.Rand, n int) []session.Timer {
	out := make([]session.Timer, n)
	for i := range out {
		out[i] = session.Timer{
			Duration: []time.Duration{0, time.Second, time.Hour, math.MaxUint32 * time.Second}[r.IntN(4)],
			Version:  []uint32{0, 1, 2, math.MaxUint32}[r.IntN(4)],
			Sender:   []string{"", ani, budi, "ani2", "\xFF"}[r.IntN(5)],
		}
	}
	return out
}

func merged(timers []session.Timer) (out session.Timer) {
	for _, u := range timers {
		out = out.Merge(u)
	}
	return out
}

// Merge is commutative, associative and idempotent, and so everybody comes to the
// same timer, in whatever order, and however often, the messages come.
func TestTimerMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	for range 20_000 {
		s := someTimers(r, 3)
		a, b, c := s[0], s[1], s[2]
		require.Equal(t, a.Merge(b), b.Merge(a))
		require.Equal(t, a.Merge(b).Merge(c), a.Merge(b.Merge(c)))
		require.Equal(t, a, a.Merge(a))
		require.Contains(t, []session.Timer{a, b}, a.Merge(b))
		require.Equal(t, a, a.Merge(session.Timer{}))
		require.GreaterOrEqual(t, a.Merge(b).Version, max(a.Version, b.Version))
	}
	for range 2_000 {
		s := someTimers(r, 1+r.IntN(9))
		want := merged(s)
		for range 4 {
			again := slices.Concat(s, s[:r.IntN(len(s)+1)]) // some twice
			r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
			require.Equal(t, want, merged(again))
		}
	}
}

func TestTimerTies(t *testing.T) {
	for name, c := range map[string]struct{ wins, loses session.Timer }{
		"version": {session.Timer{Version: 2, Sender: ani}, session.Timer{Duration: time.Hour, Version: 1, Sender: budi}},
		"seconds": {session.Timer{Duration: time.Hour, Version: 2, Sender: ani}, session.Timer{Version: 2, Sender: budi}},
		"sender":  {session.Timer{Duration: time.Hour, Version: 2, Sender: budi}, session.Timer{Duration: time.Hour, Version: 2, Sender: ani}},
		"first":   {session.Timer{Duration: time.Hour, Version: 1, Sender: ani}, session.Timer{}},
	} {
		require.Equal(t, c.wins, c.wins.Merge(c.loses), name)
		require.Equal(t, c.wins, c.loses.Merge(c.wins), name)
	}
}

func TestTimerDeadline(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	require.Equal(t, at.Add(time.Hour), session.Timer{Duration: time.Hour}.Deadline(at))
	require.Equal(t, at.Add(math.MaxUint32*time.Second), session.Timer{Duration: math.MaxUint32 * time.Second}.Deadline(at))
	require.Zero(t, session.Timer{Version: 7, Sender: ani}.Deadline(at))
	require.Zero(t, session.Timer{Duration: -time.Hour}.Deadline(at))
}
