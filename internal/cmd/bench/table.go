package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

// columns of the table.
const columns = 8

var head = "| operation | floor | measured | ratio | at most | allocations | at most | reached |\n" +
	"|" + strings.Repeat("---|", columns) + "\n"

// printRow prints a row of the table; floor may be nil.
func printRow(w io.Writer, r *perf.Row, op, floor *line) {
	ns := median(op.NS)
	cells := []string{r.Title, "", duration(ns), "", limit(r), fmt.Sprint(op.Allocs), "", "yes"}
	if floor != nil {
		cells[1] = duration(median(floor.NS))
		cells[3] = fmt.Sprintf("%.2f", ns/median(floor.NS))
	}
	if r.Allocs != 0 {
		cells[6] = fmt.Sprint(r.Allocs)
	}
	switch {
	case r.Ratio == 0 && r.Over == 0 && r.Limit == 0 && r.Allocs == 0:
		cells[7] = ""
	case missed(r, op, floor):
		cells[7] = "no"
	}
	fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
}

func missed(r *perf.Row, op, floor *line) bool {
	ns := median(op.NS)
	return r.Ratio != 0 && ns > r.Ratio*median(floor.NS) ||
		r.Over != 0 && ns > float64(r.Over)+median(floor.NS) ||
		r.Limit != 0 && ns > float64(r.Limit) ||
		r.Allocs != 0 && op.Allocs > float64(r.Allocs)
}

func limit(r *perf.Row) string {
	switch {
	case r.Ratio != 0:
		return fmt.Sprintf("%g × floor", r.Ratio)
	case r.Over != 0:
		return "floor + " + duration(float64(r.Over))
	case r.Limit != 0:
		return duration(float64(r.Limit))
	}
	return ""
}

// duration writes ns with three digits.
func duration(ns float64) string {
	if ns < 999.5*float64(time.Microsecond) {
		return fmt.Sprintf("%.3g µs", ns/1e3)
	}
	return fmt.Sprintf("%.3g ms", ns/1e6)
}
