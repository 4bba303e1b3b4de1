// Package fleet has three people with three devices each write to each other
// through a server that lies, and holds what comes of it against what must be
// true. Only tests and programs import it.
//
// # What is done
//
// At random: sends to some people, with devices left out, and what the server
// says of them reconciled and accepted; deliveries, and acknowledgements; what
// cannot be read asked for again, and sent again; sessions archived; stores put
// back from a backup, noticed and taken up; lists refreshed; people blocked; keys
// accepted and verified; devices removed, added and registered anew, with the
// account's identity key or another; prekeys made and uploaded; the clock moved,
// by seconds or a month.
//
// # The lies
//
// A list that is old, empty, malformed, lacks a device, or has one that is not
// there or that the server made up; a bundle of another user or device, with a bad
// signature, a wrong registration id, or handed out before; differences that are
// false or malformed; errors, hangs and panics; messages that are lost, doubled,
// reordered, late, and delivered again long after.
//
// # What is checked
//
// What is known independently of the code under test: who was told of which
// devices and given which bundles; the bytes of messages; of each session at each
// end what it may have forgotten (testutil's Oracle, the loss windows of design,
// Section 8); and what the apps did. So:
//
//   - nothing goes to a device that the server never named, or to a key that was
//     not given for that device;
//   - a message that the server took is read once on each device it is for, with
//     its text and sender, or is in a loss window that has a name;
//   - no chain counter is used twice, and no session that was put back is sent on;
//   - every event that must come, comes, no other one does, and it stays until it
//     is acknowledged;
//   - what fails changes nothing;
//   - once the server is honest, any two devices are on one session within two
//     round trips, and everybody reads everything.
package fleet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// Options say how much is done. The zero Options do nothing.
type Options struct {
	Steps    int
	Seed     uint64
	Progress io.Writer // a line now and then; nil: none
}

// A Report says what was done. The zero Report is of nothing.
type Report struct {
	Steps int
	Count map[string]int // what came of everything
	Took  time.Duration
}

// String is one line.
func (r *Report) String() string {
	return fmt.Sprintf("%d steps, %d sends, %d letters, %d read, %d sent again, %d lies, %.0f steps/s", r.Steps, r.Count["sends"],
		r.Count["letters"], r.Count["delivered: readable"], r.Count["sent again"], r.Count["lies"], float64(r.Steps)/r.Took.Seconds())
}

// Details has a line for each thing that was counted.
func (r *Report) Details() string { return testutil.Counts(r.Count) }

// worldSteps is how long three people live.
const worldSteps = 5000

// Run does o.Steps steps, or as many as there is time for until ctx ends. The
// error says what was found, and with which seed: the same seed has the same
// done.
func Run(ctx context.Context, o *Options) (*Report, error) {
	start := time.Now()
	report := &Report{Count: map[string]int{}}
	shown := start
	for seed := o.Seed; report.Steps < o.Steps; seed++ {
		at := 0
		err := testutil.Try("fleet", func(t testing.TB) {
			w := newWorld(t, seed, everyone, 3, report.Count)
			for at = 0; at < worldSteps && report.Steps < o.Steps && ctx.Err() == nil; at++ {
				w.step()
				report.Steps++
				if o.Progress != nil && time.Since(shown) > 2*time.Second {
					shown, report.Took = time.Now(), time.Since(start)
					fmt.Fprintln(o.Progress, report)
				}
			}
			w.finish()
		})
		report.Took = time.Since(start)
		if err != nil {
			return report, fmt.Errorf("seed %d, step %d: %w", seed, at, err)
		}
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
	}
	return report, nil
}

// Steps does n steps that follow from seed, has everything come to its end, and
// returns what was done.
func Steps(t testing.TB, n int, seed uint64) map[string]int {
	t.Helper()
	w := newWorld(t, seed, everyone, 3, map[string]int{})
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, step %d: %s", seed, w.steps, w.doing)
		}
	}()
	for range n {
		w.step()
	}
	w.finish()
	return w.count
}

// random is the source of all that is drawn from a seed.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }

// Everything is what must have happened in a long test.
var Everything = append([]string{"sent again", "sessions reset", "put back", "unsettled"}, lies...)
