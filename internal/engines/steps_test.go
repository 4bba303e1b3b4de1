package engines_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
)

// A Device does the same over every store there is, plain and encrypted: random
// work, judged by an oracle.
func TestDeviceOverEveryStore(t *testing.T) {
	for i, name := range []string{"memory", "bolt", "sqlite", "postgres"} {
		for _, sealed := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "", true: ", encrypted"}[sealed], func(t *testing.T) {
				place := filepath.Join(t.TempDir(), "store")
				if name == "postgres" {
					var err error
					place, err = engine.ForTest(t).Fresh(ctx)
					require.NoError(t, err)
				}
				s, err := engine.Open(ctx, name, place)
				if sealed {
					s, err = encrypted(s, err)
				}
				require.NoError(t, err)
				crash.Steps(t, s, 500, uint64(i+1))
				require.NoError(t, s.Close())
			})
		}
	}
}
