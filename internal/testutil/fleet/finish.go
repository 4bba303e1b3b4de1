package fleet

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// finish has the server be honest, and all that waits delivered: then everybody
// reads everything, and any two devices are on one session.
func (w *world) finish() {
	w.t.Helper()
	w.honest = true
	for _, h := range w.all() {
		w.doing = "finish: upkeep"
		w.upkeep(h)
	}
	for _, h := range w.all() {
		w.doing = "finish: refresh"
		for _, user := range w.names {
			w.refreshes(h, lie{}, user)
			if user != h.at.User {
				w.blocks(h, user, false)
			}
		}
	}
	w.doing = "finish: what waits"
	w.drain()
	all := w.all()
	for i, h := range all {
		for _, g := range all[:i] {
			w.doing = "finish: two agree"
			w.accepts(h, g.at, g.Identity())
			w.accepts(g, h.at, h.Identity())
			if w.reachable(h, g) {
				w.agree(h, g)
			}
		}
	}
	w.doing = "finish: everybody"
	for _, h := range all {
		w.everybody(h)
	}
	for _, h := range all {
		w.acknowledge(h)
		w.acknowledgeEvents(h)
	}
	for _, l := range w.letters {
		if l.dst != nil && l.fate == "" && !slices.Contains(w.late, l) {
			require.Fail(w.t, "a letter is lost", "letter %d, tried: %t", l.n, l.tried)
		}
		if l.dst != nil {
			w.count["fate: "+l.fate]++
		}
	}
}

// drain delivers all that waits, in order, and what comes of it.
func (w *world) drain() {
	for range 100 {
		any := false
		for _, h := range w.all() {
			e := w.server.entries[h.at]
			for len(e.box) > 0 {
				any = true
				l := e.box[0]
				e.box = e.box[1:]
				w.deliver(h, l)
			}
		}
		if !any {
			return
		}
	}
	require.Fail(w.t, "letters without end")
}

// agree has two devices write to each other twice. Then they are on one session,
// and have read all of the second round trip: a message of the first may be on a
// session that was reset less than an hour ago.
func (w *world) agree(h, g *handset) {
	for trip := range 2 {
		w.writesTo(h, g, trip > 0)
		w.writesTo(g, h, trip > 0)
	}
	a, b := h.current(g.at), g.current(h.at)
	require.NotNil(w.t, a)
	require.NotNil(w.t, b)
	require.Equal(w.t, nameOf(a), nameOf(b), "%d and %d are on two sessions", h.n, g.n)
}

// writesTo has h send a message to g alone, that must be read, perhaps after it
// was sent again.
func (w *world) writesTo(h, g *handset, must bool) {
	e := &errand{w: w, h: h, users: []string{g.at.User}, text: fmt.Sprint("letter ", len(w.letters))}
	e.opts.NoOwnDevices = g.at.User != h.at.User
	for _, user := range []string{h.at.User, g.at.User} {
		for id := range uint32(127) {
			if a := (session.Address{User: user, Device: id + 1}); a != g.at {
				e.opts.Exclude = append(e.opts.Exclude, a)
			}
		}
	}
	require.True(w.t, e.run(lie{}))
	l := e.letters[g.at]
	require.NotNil(w.t, l, "nothing for the one: %v", e.sending.Results)
	w.drain()
	if must {
		require.True(w.t, w.has(g, l), "letter %d, %s, is not read, and not sent again so that it is", l.n, l.fate)
	}
}

// reachable reports whether g believes what h writes: a copy of what another
// device of its own sent must come from the account's own key.
func (w *world) reachable(h, g *handset) bool {
	return !w.content || h.at.User != g.at.User || h.Identity().Equal(g.Identity())
}

// has reports whether g has read a text, if perhaps not in its first letter.
func (w *world) has(g *handset, l *letter) bool {
	for at, r := range g.read {
		if r != nil && at.text == l.text && at.from == l.from {
			return true
		}
	}
	return false
}

// everybody has h send to all, who read it.
func (w *world) everybody(h *handset) {
	e := &errand{w: w, h: h, users: slices.Clone(w.names), text: fmt.Sprint("letter ", len(w.letters))}
	e.opts.Group = "all"
	require.True(w.t, e.run(lie{}))
	w.drain()
	for _, g := range w.all() {
		if g == h {
			continue
		}
		l := e.letters[g.at]
		require.NotNil(w.t, l, "nothing for one of them: %v", e.sending.Results)
		require.True(w.t, !w.reachable(h, g) || w.has(g, l))
	}
}
