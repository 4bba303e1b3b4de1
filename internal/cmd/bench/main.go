// Command bench measures the operations of gembok and their floors.
//
//	go run ./internal/cmd/bench [-table] [-short] [-batches N] [-run REGEXP]
//
// It prints a line of JSON for each operation, to be compared with those of
// other programs, and one for each floor, of kind "floor":
//
//	{"peer":"gembok","kind":"op","op":"jump","size":100,"ns":[…],"allocs":…,"bytes":…}
//
// Size is of the plaintext in bytes; ns has the time of one operation, the
// median of each batch; allocs and bytes are what one allocates, as a mean. With
// -table it prints the medians of all batches as the table of README.md. Floor
// and operation are measured by turns.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
}

// samples is how many make a batch, of which the median counts.
const samples = 5

func run(w io.Writer, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	table := flags.Bool("table", false, "print a table in place of JSON")
	short := flags.Bool("short", false, "do as little as will give every figure, for a test")
	batches := flags.Int("batches", 11, "how often to measure")
	only := flags.String("run", "", "measure only the operations that match `REGEXP`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	switch {
	case err != nil:
		return err
	case flags.NArg() > 0 || *batches < 1:
		return fmt.Errorf("unexpected arguments, or no batch")
	}
	defer perf.Ballast()()
	if *table {
		io.WriteString(w, head)
	}
	for _, r := range perf.Rows() {
		if !pattern.MatchString(r.Name) {
			continue
		}
		op, floor := measure(&r, *batches, *short)
		if *table {
			printRow(w, &r, op, floor)
			continue
		}
		for _, line := range []*line{op, floor} {
			if err := printLine(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// A line is what was measured of one operation or floor.
type line struct {
	Peer   string    `json:"peer"`
	Kind   string    `json:"kind"` // op, floor
	Op     string    `json:"op"`
	Size   int       `json:"size"`
	NS     []float64 `json:"ns"`
	Allocs float64   `json:"allocs"`
	Bytes  float64   `json:"bytes"`

	bench *perf.Bench
	runs  int // in a sample
}

// measure measures an operation and its floor, nil if it has none.
func measure(r *perf.Row, batches int, short bool) (op, floor *line) {
	lines := []*line{start(&r.Op, "op", short)}
	if r.Floor != nil {
		lines = append(lines, start(r.Floor, "floor", short))
		lines[1].Op = r.Name // floors serve several
		floor = lines[1]
	}
	n := samples
	if short {
		n = 1
	}
	for range batches {
		for _, l := range lines {
			l.NS = append(l.NS, 0)
		}
		var ns [2][]float64
		for range n {
			for i, l := range lines {
				ns[i] = append(ns[i], l.bench.Sample(l.runs))
			}
		}
		for i, l := range lines {
			l.NS[len(l.NS)-1] = math.Round(median(ns[i]))
		}
	}
	return lines[0], floor
}

func start(o *perf.Op, kind string, short bool) *line {
	l := &line{Peer: "gembok", Kind: kind, Op: o.Name, Size: o.Size, bench: o.Start(), runs: o.Runs}
	if short {
		l.runs = 1
	} else {
		l.bench.Sample(l.runs) // warm
	}
	l.Allocs, l.Bytes = l.bench.Memory(l.runs)
	l.Allocs, l.Bytes = math.Round(l.Allocs), math.Round(l.Bytes)
	return l
}

func printLine(w io.Writer, l *line) error {
	if l == nil {
		return nil
	}
	return json.NewEncoder(w).Encode(l)
}

// median returns the middle one of values, the upper of two.
func median(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}
