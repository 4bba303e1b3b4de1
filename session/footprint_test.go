package session_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An everyone is a store that has for every user what it has for one, and keeps
// nothing of what it is told.
type everyone struct {
	keystore.Store
	one string
}

func (c *everyone) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	same := make([]keystore.Key, len(keys))
	for i, k := range keys {
		if same[i] = k; k.Owner != "-" {
			same[i].Owner = c.one
		}
	}
	recs, err := c.Store.Load(ctx, same...)
	for i := range recs {
		recs[i].Key = keys[i]
	}
	return recs, err
}

func (c *everyone) Commit(context.Context, ...keystore.Change) (uint64, error) { return 1, nil }

// TestOpenSessions has a Device send and receive on 100,000 sessions, over a
// store that takes no memory for them: so the Device takes none either.
func TestOpenSessions(t *testing.T) {
	sessions := 100_000
	if testing.Short() {
		sessions = 2000
	}
	p := friends(t)
	p.goesOnWith(t, "no DH step after this one")
	m := p.alice.send(t, p.bob, "to all")
	d, err := session.Open(ctx, &everyone{p.bob.store, p.alice.Address().User}, p.bob.Address(), p.bob.opts)
	require.NoError(t, err)
	use := func(first, last int) {
		for i := first; i < last; i++ {
			peer := session.Address{User: fmt.Sprint("user ", i), Device: p.alice.Address().Device}
			_, err := d.Encrypt(ctx, peer, []byte("hello"))
			require.NoError(t, err)
			r, err := d.Decrypt(ctx, peer, m, nil)
			require.NoError(t, err)
			require.Equal(t, peer, r.From)
		}
	}
	use(0, 100) // what is made once
	before := heap()
	use(100, 100+sessions)
	grown := heap() - before
	runtime.KeepAlive(d)
	t.Logf("%d bytes of heap more after %d sessions", grown, sessions)
	require.Less(t, grown, int64(64<<10))
}

// heap returns the bytes of heap in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one put aside
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
