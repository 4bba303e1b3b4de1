package storetool

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A table is rows of cells below a head. A column whose name begins with "<"
// stands at the left, the others at the right.
type table [][]string

func (t *table) add(cells ...string) { *t = append(*t, cells) }

// print prints t, and nothing if it has only a head.
func (t table) print(w io.Writer) {
	if len(t) < 2 {
		return
	}
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(strings.TrimPrefix(cell, "<")))
		}
	}
	for n, row := range t {
		var line strings.Builder
		for i, cell := range row {
			left := strings.HasPrefix(t[0][i], "<")
			if n == 0 {
				cell = strings.TrimPrefix(cell, "<")
			}
			line.WriteString(pad(cell, width[i], left) + "  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintln(w)
}

func pad(cell string, width int, left bool) string {
	space := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(cell)))
	if left {
		return cell + space
	}
	return space + cell
}

// count prints a number with a comma before every third digit.
func count[N int | int64 | uint64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// age prints how long ago a time was, in milliseconds since 1970; 0 is none.
func age(now time.Time, ms uint64) string {
	if ms == 0 {
		return "-"
	}
	d := now.Sub(time.UnixMilli(int64(ms)))
	switch {
	case d < 0:
		return "ahead"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
