package crowd

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
)

// finish has everything come to its end, and looks at all that was said.
func (w *world) finish() {
	w.honest = true
	clear(w.deaf)
	w.settle()
	for _, x := range w.texts {
		for d := range x.to {
			require.True(w.t, d.heard[x.body] || d.gone || x.from.gone, "%v never read %q of %v: %q", d.addr, x.body, x.from.addr, x.became[d])
		}
		for range 5 {
			w.tries(pick(w.rng, w.all), x)
		}
	}
	for _, d := range w.speaking() {
		w.lastWords(d)
	}
	w.settle()
	for _, x := range w.texts[max(0, len(w.texts)-len(w.speaking())):] {
		for d := range x.to {
			require.True(w.t, d.heard[x.body], "%v never read the last words of %v", d.addr, x.from.addr)
		}
		for _, d := range w.all {
			require.Equal(w.t, !d.gone && d != x.from && (slices.Contains(w.members, d.addr.User) || d.addr.User == x.from.addr.User), x.to[d], "%v, of %v", d.addr, x.from.addr)
			w.tries(d, x)
		}
	}
}

// settle brings all letters, and answers all requests.
func (w *world) settle() {
	for round := 0; ; round++ {
		busy := false
		for _, d := range w.devices() {
			for len(d.letters) > 0 {
				w.arrive(d)
				busy = true
			}
		}
		for _, d := range w.devices() {
			busy = busy || len(d.requests) > 0
			w.answer(d)
		}
		if !busy {
			return
		}
		require.Less(w.t, round, 100, "it does not come to an end")
		w.now = w.now.Add(time.Hour)
	}
}

// lastWords has somebody say something to all who are in the club.
func (w *world) lastWords(d *device) {
	clear(d.exclude)
	w.tell(d)
	for range 8 {
		if w.speak(d) {
			return
		}
	}
	require.Fail(w.t, "cannot speak", "%v", d.addr)
}
