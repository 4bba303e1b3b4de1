// Package perf has the operations whose speed README.md gives, and the floors
// that they are held against. Benchmarks run them one by one, and the program
// internal/cmd/bench all of them.
//
// A floor is the primitives that the specification asks for in an operation, in
// their kind, number and size, the best that there are in Go, and nothing else:
// nothing is parsed, kept or stored. Each floor counts them in its comment.
//
// What goes wrong while measuring is a mistake of ours, and panics.
package perf

import (
	"runtime"
	"testing"
	"time"
)

// An Op is something that can be measured: an operation, or a floor.
type Op struct {
	Name string
	Size int // of the plaintext in bytes; 0 where it does not count
	Runs int // how many make a sample of some milliseconds

	// ahead is how many runs can be prepared before the first of them; 1 if
	// what one leaves behind is needed to prepare the next.
	ahead int
	start func() (prepare func() (run func()))
}

// A Bench is an Op, set up. It is used by one goroutine at a time.
type Bench struct {
	prepare func() func()
	runs    []func()
}

// Start sets o up.
func (o Op) Start() *Bench {
	return &Bench{prepare: o.start(), runs: make([]func(), o.ahead)}
}

// Sample does n runs and returns the mean time of one, in ns. The time of
// preparing them is not in it.
func (b *Bench) Sample(n int) float64 {
	var spent time.Duration
	for left := n; left > 0; left -= len(b.runs) {
		runs := b.runs[:min(left, len(b.runs))]
		for i := range runs {
			runs[i] = b.prepare()
		}
		start := time.Now()
		for _, run := range runs {
			run()
		}
		spent += time.Since(start)
		clear(runs)
	}
	return float64(spent.Nanoseconds()) / float64(n)
}

// Memory does n runs and returns the mean number of allocations and of
// allocated bytes of one.
func (b *Bench) Memory(n int) (allocs, bytes float64) {
	var before, after runtime.MemStats
	for range n {
		run := b.prepare()
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		allocs += float64(after.Mallocs - before.Mallocs)
		bytes += float64(after.TotalAlloc - before.TotalAlloc)
	}
	return allocs / float64(n), bytes / float64(n)
}

// Benchmark runs o as a benchmark, whose figures are those of Sample and
// Memory: they leave out what prepares a run, for which testing.B would have to
// be stopped at each.
func (o Op) Benchmark(b *testing.B) {
	defer Ballast()()
	bench := o.Start()
	allocs, bytes := bench.Memory(min(b.N, o.Runs))
	b.ReportAllocs()
	b.ResetTimer()
	b.ReportMetric(bench.Sample(b.N), "ns/op")
	b.ReportMetric(bytes, "B/op")
	b.ReportMetric(allocs, "allocs/op")
}

// Ballast takes 64 MB until it is released, so that the collector runs as often
// as in a program of that size. Next to nothing in use, it would run every few
// messages, and measure itself.
func Ballast() (release func()) {
	b := make([]byte, 64<<20)
	return func() { runtime.KeepAlive(b) }
}

// must returns v, of a step that cannot fail.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic("perf: " + err.Error())
	}
}
