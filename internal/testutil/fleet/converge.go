package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/session"
)

// Converge has two devices do n random things to their sessions, mostly what
// sets them at odds: sessions archived and begun at once, stores put back, letters
// lost, doubled and in any order. Then the server is honest, what waits is
// delivered, and after two round trips at most both are on one session. It
// returns what was done.
func Converge(t testing.TB, n int, seed uint64) map[string]int {
	t.Helper()
	w := newWorld(t, seed, everyone[:2], 1, map[string]int{})
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, step %d: %s", seed, w.steps, w.doing)
		}
	}()
	for range n {
		w.steps++
		w.now = w.now.Add(time.Duration(w.r.IntN(20)) * time.Minute)
		w.odds()
	}
	w.finish()
	return w.count
}

// odds is a step of Converge.
func (w *world) odds() {
	at := w.r.IntN(2)
	h, g := w.people[at].handsets[0], w.people[1-at].handsets[0]
	switch n := w.r.IntN(100); {
	case n < 25:
		w.doing = "write"
		for range w.r.IntN(4) {
			w.write(h, g)
		}
	case n < 27:
		w.doing = "write much"
		for range w.r.IntN(32) {
			w.write(h, g)
		}
	case n < 60:
		w.doing = "deliver"
		w.delivers()
	case n < 72:
		w.doing = "archive"
		if h.Archive(background, g.at) == nil && w.chance(2) { // and both begin at once
			w.write(h, g)
			if g.Archive(background, h.at) == nil {
				w.write(g, h)
			}
		}
	case n < 82:
		w.doing = "back up"
		h.save()
	case n < 92:
		w.doing = "put back"
		h.putBack()
	case n < 94:
		w.doing = "replay"
		w.replay()
	case n < 95:
		w.doing = "clock"
		w.clock()
	case n < 97:
		w.doing = "upkeep"
		w.upkeep(h)
	default:
		w.doing = "acknowledge"
		w.acknowledge(h)
	}
}

// write has h send a letter to g's user.
func (w *world) write(h, g *handset) {
	e := &errand{w: w, h: h, users: []string{g.at.User}, text: fmt.Sprint("letter ", len(w.letters)), opts: session.SendOptions{NoOwnDevices: true}}
	e.run(lie{})
}
