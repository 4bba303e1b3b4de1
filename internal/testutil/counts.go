package testutil

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts has a line for each thing that was counted, in order.
func Counts(count map[string]int) string {
	var out strings.Builder
	for _, what := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(&out, "%7d %s\n", count[what], what)
	}
	return out.String()
}
