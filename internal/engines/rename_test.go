package engines_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
)

// Over every store, plain and encrypted, all that there is of a user goes under
// another name and back, and nothing is left of one who is forgotten.
func TestRenameOverEveryStore(t *testing.T) {
	for _, name := range []string{"memory", "bolt", "sqlite", "postgres"} {
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
				w := rich.Fill(t, s)
				own, user := w.Own[0], rich.Peers[0].User
				under := func(user string) (n int) {
					for _, r := range testutil.Records(t, s) {
						if r.Key.Owner == user && r.Key.Kind != "draft" { // of an app
							n++
						}
					}
					return n
				}
				n := under(user)
				require.Greater(t, n, 5)
				require.NoError(t, own.Rename(ctx, user, "ani"))
				require.Zero(t, under(user))
				require.Equal(t, n, under("ani"))
				require.NoError(t, own.Rename(ctx, "ani", user))
				require.Equal(t, n, under(user))
				for _, p := range w.Peers[:3] {
					rich.Talk(t, p, own)
				}
				require.NoError(t, own.Forget(ctx, user))
				require.Zero(t, under(user))
				for _, p := range w.Peers[1:3] {
					rich.Talk(t, p, own)
				}
				require.NoError(t, s.Close())
			})
		}
	}
}
