package storetool_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/keystore"
)

// Whatever a Device has done, its store is sound.
func TestVerifyRandomWork(t *testing.T) {
	b := &bench{stores: map[string]keystore.Store{}}
	n := 2000
	if testing.Short() {
		n = 300
	}
	for seed := range uint64(2) {
		s := keystore.NewMemory()
		crash.Steps(t, s, n, seed)
		b.stores["random"] = s
		b.runs(t, "verify", "memory:random")
		b.runs(t, "move", "memory:random", "memory:moved")
		delete(b.stores, "moved")
	}
}
