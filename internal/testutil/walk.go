package testutil

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"
)

// A Walk has one world after the other do what is random, each under a seed of its
// own.
type Walk struct {
	Name  string
	Steps int // of a world
	// Begin makes a world, which counts what comes of everything: its step, its end,
	// in which all is held against what must be true, and what is told of it when
	// something is wrong.
	Begin func(t testing.TB, seed uint64, count map[string]int) (step, finish func(), story func() string)
	// Line is what was counted, in a few words.
	Line func(count map[string]int) string
}

// WalkOptions say how much is done. The zero WalkOptions do nothing.
type WalkOptions struct {
	Steps    int
	Seed     uint64
	Progress io.Writer // a line now and then; nil: none
}

// A WalkReport says what was done. The zero WalkReport is of nothing.
type WalkReport struct {
	Steps int
	Count map[string]int // what came of everything
	Took  time.Duration

	line  func(map[string]int) string
	shown time.Time
}

// String is one line.
func (r *WalkReport) String() string {
	return fmt.Sprintf("%d steps, %s, %.0f steps/s", r.Steps, r.line(r.Count), float64(r.Steps)/r.Took.Seconds())
}

// Details has a line for each thing that was counted.
func (r *WalkReport) Details() string { return Counts(r.Count) }

// show writes a line, now and then.
func (r *WalkReport) show(w io.Writer, start time.Time) {
	if w != nil && time.Since(r.shown) > 2*time.Second {
		r.shown, r.Took = time.Now(), time.Since(start)
		fmt.Fprintln(w, r)
	}
}

// Run does o.Steps steps, or as many as there is time for until ctx ends. The error
// says what was found, and with which seed: the same seed has the same steps.
func (w *Walk) Run(ctx context.Context, o *WalkOptions) (*WalkReport, error) {
	start := time.Now()
	report := &WalkReport{Count: map[string]int{}, line: w.Line, shown: start}
	for seed := o.Seed; report.Steps < o.Steps; seed++ {
		at, story := 0, func() string { return "" }
		err := Try(w.Name, func(t testing.TB) {
			var step, finish func()
			step, finish, story = w.Begin(t, seed, report.Count)
			for at = 0; at < w.Steps && report.Steps < o.Steps && ctx.Err() == nil; at++ {
				step()
				report.Steps++
				report.show(o.Progress, start)
			}
			finish()
		})
		report.Took = time.Since(start)
		if err != nil {
			return report, fmt.Errorf("seed %d, step %d: %w%s", seed, at, err, story())
		}
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
	}
	return report, nil
}
