package group_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/crowd"
)

var crowdSeed = flag.Uint64("crowd.seed", 0, "first seed of the tests of people who come and go in a group")

// TestGroupModel is people who talk in a group, and come and go, on devices that come
// and go, and stop; package crowd says what must be true.
func TestGroupModel(t *testing.T) {
	sizes, steps := []int{3, 5, 12, 50}, 1200
	if testing.Short() {
		sizes, steps = []int{5}, 150
	}
	total := map[string]int{}
	for i, people := range sizes {
		t.Run(fmt.Sprint(people), func(t *testing.T) {
			for what, n := range crowd.Steps(t, people, steps*5/(people+2), *crowdSeed+uint64(i)) {
				total[what] += n
			}
		})
	}
	if testing.Short() || t.Failed() {
		return
	}
	for _, what := range crowd.Everything {
		require.NotZero(t, total[what], "%s never happened: %v", what, total)
	}
}
