package keystoretest

import (
	"cmp"
	"fmt"
	"slices"
	"sort"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A call is one that was made while others were, and what came of it: the
// records of a Load, the version or the conflicts of a Commit, or what
// Generation told.
//
// Times are numbers of one counter, so that what ended before something else
// began has a smaller one.
type call struct {
	start, end int64

	method     string
	loaded     []keystore.Record
	changes    []keystore.Change
	version    uint64
	conflicts  []keystore.Key
	generation uint64

	first int // the oldest state that it may have seen, known once it begins
	makes int // the state that its Commit made; 0: none
}

// A history is calls that were made on an empty store, and the states that its
// Commits made of it.
//
// The contract spares the search for an order that takes time without bound
// elsewhere. Commits that change something are ordered by their versions, so
// that the i-th makes state i; state 0 is the empty store. Any other call needs
// one state that explains its answer: none before one that was complete, or
// seen, when the call began, and none that was begun after it had ended.
type history struct {
	made   uint64 // the generation of state 0
	calls  []*call
	writes []*call // that changed something, by version
	became map[keystore.Key][]became
}

// A became is what a state made of a record.
type became struct {
	state int
	now   stored
}

func newHistory(made uint64, calls []*call) *history {
	h := &history{made: made, calls: calls, became: map[keystore.Key][]became{}}
	for _, c := range calls {
		if c.version != 0 {
			h.writes = append(h.writes, c)
		}
	}
	slices.SortFunc(h.writes, func(a, b *call) int { return cmp.Compare(a.version, b.version) })
	for i, w := range h.writes {
		w.makes = i + 1
		for _, c := range w.changes {
			switch c.Op {
			case keystore.Put:
				h.became[c.Key] = append(h.became[c.Key], became{w.makes, stored{w.version, string(c.Value)}})
			case keystore.Delete:
				h.became[c.Key] = append(h.became[c.Key], became{state: w.makes})
			}
		}
	}
	return h
}

// record returns what was under k in a state.
func (h *history) record(k keystore.Key, state int) stored {
	all := h.became[k]
	later := sort.Search(len(all), func(i int) bool { return all[i].state > state })
	if later == 0 {
		return stored{}
	}
	return all[later-1].now
}

func (h *history) generation(state int) uint64 {
	if state == 0 {
		return h.made
	}
	return h.writes[state-1].version
}

// explains tells whether c's answer is right in a state.
func (h *history) explains(c *call, state int) bool {
	for _, r := range c.loaded {
		if h.record(r.Key, state) != (stored{r.Version, string(r.Value)}) {
			return false
		}
	}
	var failed []keystore.Key
	for _, change := range c.changes {
		if h.record(change.Key, state).version != change.Expect {
			failed = append(failed, change.Key)
		}
	}
	return slices.Equal(failed, c.conflicts) && (c.method != "Generation" || c.generation == h.generation(state))
}

// check looks for an order of the calls, one after the other, in which each
// gets the answer that it got, and which has no call before one that had ended
// when it began. If there is one, the store is linearizable.
func (h *history) check() error {
	times := make(map[int64]*call, 2*len(h.calls))
	order := make([]int64, 0, 2*len(h.calls))
	for _, c := range h.calls {
		times[c.start], times[c.end] = c, c
		order = append(order, c.start, c.end)
	}
	slices.Sort(order)
	seen := 0 // the newest state that a call which has ended made or saw
	for _, now := range order {
		c := times[now]
		if now == c.start {
			c.first = seen
			continue
		}
		state, err := h.place(c)
		if err != nil {
			return err
		}
		seen = max(seen, state)
	}
	return nil
}

// place returns the state that c made, or the oldest that explains it, which
// leaves the most to the calls after it.
func (h *history) place(c *call) (int, error) {
	if c.makes > 0 {
		switch {
		case c.makes < len(h.writes) && h.writes[c.makes].version == c.version:
			return 0, fmt.Errorf("version %d was given twice", c.version)
		case c.first >= c.makes:
			return 0, fmt.Errorf("a Commit got version %d, and began after version %d was seen", c.version, h.generation(c.first))
		case !h.explains(c, c.makes-1):
			return 0, fmt.Errorf("the Commit of version %d was made, but what it expects was not so after version %d", c.version, h.generation(c.makes-1))
		}
		return c.makes, nil
	}
	for state := c.first; ; state++ {
		if h.explains(c, state) {
			return state, nil
		}
		if state == len(h.writes) || h.writes[state].start > c.end {
			return 0, fmt.Errorf("a %s answered what was not so at any moment from version %d to %d", c.method, h.generation(c.first), h.generation(state))
		}
	}
}
