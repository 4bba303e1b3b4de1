package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

func output(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, run(&out, args))
	return out.String()
}

func TestLines(t *testing.T) {
	got := bufio.NewScanner(strings.NewReader(output(t, "-short", "-batches", "1")))
	next := func(kind string, o *perf.Row) {
		require.True(t, got.Scan())
		var l line
		d := json.NewDecoder(bytes.NewReader(got.Bytes()))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&l))
		require.Equal(t, []any{"gembok", kind, o.Name, o.Size}, []any{l.Peer, l.Kind, l.Op, l.Size})
		require.Len(t, l.NS, 1)
		for _, ns := range l.NS {
			require.GreaterOrEqual(t, ns, 0.)
		}
	}
	for _, r := range perf.Rows() {
		next("op", &r)
		if r.Floor != nil {
			next("floor", &r)
		}
	}
	require.False(t, got.Scan())
	require.Regexp(t, `"ns":\[\d+,\d+\]`, output(t, "-short", "-batches", "2", "-run", "^ratchet-encrypt$"))
}

// TestReadme keeps the table of README.md to the operations and limits there
// are; its figures are of one machine.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	require.Contains(t, string(readme), "go run ./internal/cmd/bench -table")
	_, rest, ok := strings.Cut(string(readme), head)
	require.True(t, ok, "the head of the table")
	for _, r := range perf.Rows() {
		var row string
		row, rest, _ = strings.Cut(rest, "\n")
		cells := strings.Split(row, " | ")
		require.Len(t, cells, columns, row)
		require.Equal(t, "| "+r.Title, cells[0])
		require.Equal(t, limit(&r), cells[4])
		require.Equal(t, r.Floor != nil, cells[1] != "")
	}
}

func TestTable(t *testing.T) {
	got := strings.Split(output(t, "-short", "-table", "-batches", "1", "-run", "^ratchet-encrypt$"), "\n")
	require.Len(t, got, 5)
	require.Regexp(t, `^\| encrypt 100 B, one way, ratchet alone \| [0-9.]+ [µm]s \| [0-9.]+ [µm]s \| [0-9.]+ \| 1\.5 × floor \| [0-9]+ \| 8 \| (yes|no) \|$`, got[2])

	var out bytes.Buffer
	printRow(&out, &perf.Row{Title: "t", Limit: 13000, Allocs: 2}, &line{NS: []float64{12999, 1, 1e9}, Allocs: 2}, nil)
	printRow(&out, &perf.Row{Title: "t", Limit: 13000, Allocs: 2}, &line{NS: []float64{12999}, Allocs: 3}, nil)
	printRow(&out, &perf.Row{Title: "t", Ratio: 1.5}, &line{NS: []float64{1.6e6}}, &line{NS: []float64{1e6}})
	printRow(&out, &perf.Row{Title: "t"}, &line{NS: []float64{999_499}}, nil)
	require.Equal(t, `| t |  | 13 µs |  | 13 µs | 2 | 2 | yes |
| t |  | 13 µs |  | 13 µs | 3 | 2 | no |
| t | 1 ms | 1.6 ms | 1.60 | 1.5 × floor | 0 |  | no |
| t |  | 999 µs |  |  | 0 |  |  |
`, out.String())
}

func TestArguments(t *testing.T) {
	for _, args := range [][]string{{"-batches", "0"}, {"-run", "("}, {"jump"}, {"-what"}} {
		require.Error(t, run(&bytes.Buffer{}, args), args)
	}
	require.Empty(t, output(t, "-run", "^$"))
}
