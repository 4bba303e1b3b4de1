package hosting_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/market"
)

var marketSeed = flag.Uint64("market.seed", 0, "first seed of the test of customers and a business that moves")

// TestMarket is customers, a business that moves from host to host, and a server that
// lies; package market says what must be true. Stores are put back with every third
// seed, and the business contradicts itself with every third.
func TestMarket(t *testing.T) {
	seeds, steps := uint64(9), 300
	if testing.Short() {
		seeds, steps = 3, 40
	}
	total := map[string]int{}
	for seed := *marketSeed; seed < *marketSeed+seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for what, n := range market.Steps(t, steps, seed) {
				total[what] += n
			}
		})
	}
	if testing.Short() || t.Failed() {
		return
	}
	for _, what := range market.Everything {
		require.NotZero(t, total[what], "%s never happened: %v", what, total)
	}
}
