package session_test

import (
	"flag"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/fleet"
)

var fleetSeed = flag.Uint64("fleet.seed", 0, "first seed of the tests of three people and a server that lies")

// TestLyingServer is three people with three devices each, and a server that
// lies; package fleet says what must be true.
func TestLyingServer(t *testing.T) {
	seeds, steps := 4, 5000
	if testing.Short() || raceEnabled {
		seeds, steps = 2, 150
	}
	counts := make([]map[string]int, seeds)
	t.Run("seeds", func(t *testing.T) {
		for i := range seeds {
			t.Run(fmt.Sprint(*fleetSeed+uint64(i)), func(t *testing.T) {
				t.Parallel()
				counts[i] = fleet.Steps(t, steps, *fleetSeed+uint64(i))
			})
		}
	})
	if testing.Short() || raceEnabled || t.Failed() {
		return
	}
	total := map[string]int{}
	for _, c := range counts {
		for what, n := range c {
			total[what] += n
		}
	}
	for _, what := range fleet.Everything {
		require.NotZero(t, total[what], "%s never happened: %v", what, total)
	}
}

// TestSES_12_Convergence has two devices come to any state that archives, stores
// put back and a bad server bring them to: with an honest one, they are on one
// session within two round trips.
func TestSES_12_Convergence(t *testing.T) {
	seeds := uint64(120)
	if testing.Short() || raceEnabled {
		seeds = 40
	}
	for seed := *fleetSeed; seed < *fleetSeed+seeds && !t.Failed(); seed++ {
		fleet.Converge(t, int(10+seed%60), seed)
	}
}
