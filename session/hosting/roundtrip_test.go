package hosting_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A counted store counts its calls, and remembers what the last Commit relied on.
type counted struct {
	keystore.Store
	loads, commits int
	checked        []string
}

func (c *counted) Load(ctx context.Context, ks ...keystore.Key) ([]keystore.Record, error) {
	c.loads++
	return c.Store.Load(ctx, ks...)
}

func (c *counted) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	c.commits++
	c.checked = nil
	for _, change := range changes {
		if change.Op == keystore.Check {
			c.checked = append(c.checked, change.Key.Kind+" "+change.Key.Owner)
		}
	}
	return c.Store.Commit(ctx, changes...)
}

// In state CURRENT the records of a gate come with the one Load of an Encrypt, and
// its Commit expects them as they were.
func TestGateRoundTrips(t *testing.T) {
	w, store := newTown(), &counted{Store: keystore.NewMemory()}
	b := w.addTo(t, store, at(budi, 1), pair(50), &hosting.Options{Providers: known()})
	k := w.add(t, at(toko, 1), deviceKey(1))
	w.bundled[toko] = k.publishes(t, w, follow(t, nil, hosted(1, awan()))).Bytes()
	w.begins(t, b, k)
	b.agrees(t, toko)
	b.says(t, k, "halo")
	k.agrees(t, budi)
	k.says(t, b, "halo")
	require.Equal(t, hosting.State("CURRENT"), b.label(t, toko).State)

	store.loads, store.commits = 0, 0
	m, err := b.encrypts(k, "masih buka?")
	require.NoError(t, err)
	require.Equal(t, [2]int{1, 1}, [2]int{store.loads, store.commits})
	require.Contains(t, store.checked, "hosting "+toko)
	require.Contains(t, store.checked, "hosting "+budi)
	k.reads(t, b, m, "masih buka?")
}
