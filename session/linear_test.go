package session_test

import (
	"cmp"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A call is something that was done between two moments, and what came of it.
type call[O any] struct {
	from, to int64
	did      O
}

// moments are a clock that gives each moment once.
type moments struct{ last atomic.Int64 }

func (m *moments) now() int64 { return m.last.Add(1) }

// linearizable reports whether calls have an order in which each could have
// come out as it did, one after the other, and in which a call that ended
// before another began comes first (Wing and Gong, "Testing and Verifying
// Concurrent Objects", 1993). Step tells what a call leads to, and whether it
// may come out so in a state.
func linearizable[S comparable, O any](start S, calls []call[O], step func(S, O) (S, bool)) bool {
	calls = slices.Clone(calls)
	slices.SortFunc(calls, func(a, b call[O]) int { return cmp.Compare(a.from, b.from) })
	type place struct {
		done  string // a byte a call
		state S
	}
	failed := map[place]bool{}
	done := make([]byte, len(calls))
	var search func(first int, state S) bool
	search = func(first int, state S) bool {
		for first < len(calls) && done[first] == 1 {
			first++
		}
		here := place{string(done[min(first, len(done)):]), state}
		if first == len(calls) || failed[here] {
			return first == len(calls)
		}
		ends := calls[first].to // the earliest of those not done
		for i := first; i < len(calls) && calls[i].from < ends; i++ {
			if done[i] == 1 {
				continue
			}
			ends = min(ends, calls[i].to)
			next, ok := step(state, calls[i].did)
			if !ok {
				continue
			}
			done[i] = 1
			if search(first, next) {
				return true
			}
			done[i] = 0
		}
		failed[here] = true
		return false
	}
	return search(0, start)
}

func TestLinearizable(t *testing.T) {
	type c = call[uint32]
	for _, x := range []struct {
		calls []c
		want  bool
	}{
		{nil, true},
		{[]c{{1, 2, 0}, {3, 4, 1}}, true},
		{[]c{{3, 4, 1}, {1, 2, 0}}, true},
		{[]c{{1, 2, 1}, {3, 4, 0}}, false}, // against time
		{[]c{{1, 3, 1}, {2, 4, 0}}, true},  // at once
		{[]c{{1, 2, 0}, {3, 4, 0}}, false}, // one twice
		{[]c{{1, 3, 0}, {2, 4, 0}}, false},
		{[]c{{1, 2, 0}, {3, 4, 2}}, false}, // one left out
		{[]c{{1, 20, 3}, {2, 3, 0}, {4, 5, 1}, {6, 7, 2}, {8, 9, 4}}, true},
		{[]c{{1, 20, 2}, {2, 3, 0}, {4, 5, 1}, {6, 7, 3}, {8, 9, 4}}, true},
		{[]c{{1, 4, 2}, {2, 3, 0}, {5, 6, 1}}, false},
		{[]c{{1, 10, 2}, {2, 11, 1}, {3, 12, 0}, {13, 14, 3}}, true},
	} {
		require.Equal(t, x.want, linearizable(0, x.calls, count), "%v", x.calls)
	}
	var many []c // all at once, in no order that helps
	for i := range int64(60) {
		many = append(many, c{i, 100 + i, uint32(i * 7 % 60)})
	}
	require.True(t, linearizable(0, many, count))
	many[59].did = many[58].did
	require.False(t, linearizable(0, many, count))

	// A message is read once, then it comes again, then it is a duplicate.
	type m = call[string]
	require.True(t, linearizable(0, []m{{1, 5, "again"}, {2, 4, "read"}, {6, 9, "duplicate"}, {7, 8, "acknowledged"}}, delivery))
	for _, calls := range [][]m{
		{{1, 2, "again"}, {3, 4, "read"}},
		{{1, 5, "read"}, {2, 4, "read"}},
		{{1, 2, "read"}, {3, 4, "acknowledged"}, {5, 6, "again"}},
		{{1, 2, "read"}, {3, 6, "duplicate"}, {7, 8, "acknowledged"}},
	} {
		require.False(t, linearizable(0, calls, delivery), "%v", calls)
	}
}
