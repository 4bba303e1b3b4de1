// Package crowd has up to fifty people with a few devices each talk in one group, and
// holds what they read against what must be true. Only tests and programs import it.
//
// # What is done
//
// At random: texts said to the group, and the key for it handed out; people who join
// and leave it, of which some hear late; devices that come, go and are set up anew,
// with the account's identity key or another; devices without a bundle, which apps
// exclude by name; messages in any order, some of them twice, some with a key never;
// what cannot be read asked for, and sent again; the clock moved, by minutes or a
// week; processes that stop at any call of their store, before or after that did what
// it was to, and begin again.
//
// The server is honest about devices, and gives every message to whoever wants it:
// what a Distribute encrypted for a device that it says is gone, that device gets.
//
// # What is checked
//
//   - no text that the server took can be read on a device that its sender did not
//     take for one of a member's then: not on one of those who left, not on one from
//     before it was set up anew, not on one that came later;
//   - every text that the server took is read on each device of all who were members
//     for its sender then, unless one of the two devices is gone before it is; nothing
//     comes as new twice;
//   - in the end everybody who is in the group can speak, and all hear it.
package crowd

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
	return fmt.Sprintf("%d steps, %d texts, %d read, %d keys, %d sent again, %d crashes, %d refused to strangers, %.0f steps/s", r.Steps,
		r.Count["texts"], r.Count["read"], r.Count["keys"], r.Count["sent again"], r.Count["crashes"], r.Count["unreadable to strangers"],
		float64(r.Steps)/r.Took.Seconds())
}

// Details has a line for each thing that was counted.
func (r *Report) Details() string { return testutil.Counts(r.Count) }

// worldSteps is how long one crowd talks.
const worldSteps = 2000

// Run does o.Steps steps, in crowds of 3 to 50, or as many as there is time for until
// ctx ends. The error says what was found, and with which seed.
func Run(ctx context.Context, o *Options) (*Report, error) {
	start := time.Now()
	report := &Report{Count: map[string]int{}}
	shown := start
	for seed := o.Seed; report.Steps < o.Steps; seed++ {
		at := 0
		err := testutil.Try("crowd", func(t testing.TB) {
			w := newWorld(t, 3+int(seed*17%48), seed, report.Count)
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

// Steps has people do n steps that follow from seed, and come to an end, and returns
// what came of it.
func Steps(t testing.TB, people, n int, seed uint64) map[string]int {
	w := newWorld(t, people, seed, map[string]int{})
	for range n {
		w.step()
	}
	w.finish()
	return w.count
}

// Everything is what happens when there are many steps.
var Everything = []string{"texts", "read", "keys", "waiting", "joined", "left", "device came", "device went", "set up anew",
	"set up anew under another key", "excluded", "crashes", "asked", "sent again", "keys lost", "came twice", "taken back",
	"reconciled", "unreadable to strangers", "given to one that is gone"}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
