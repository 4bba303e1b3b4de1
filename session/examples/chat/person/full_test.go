package person

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A cramped store has no room until it is given some.
type cramped struct {
	keystore.Store
	full atomic.Bool
}

func (s *cramped) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if s.full.Load() {
		return 0, keystore.ErrFull
	}
	return s.Store.Commit(ctx, changes...)
}

// Where there is no room, no prekeys of others are used up, and it is said once; once
// there is, everything goes on.
func TestFullWhileSending(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	store := &cramped{Store: ani.store}
	ani = newTestPerson(t, ani1, r, store)
	require.NoError(t, ani.Write(t.Context(), "budi", "one"))
	store.full.Store(true)
	bundles := &counted{to: ani.relay.transport, what: "keys"}
	ani.relay.transport = bundles
	for range 5 {
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	require.ErrorIs(t, ani.next(t, WaitsEvent).Err, keystore.ErrFull)
	ani.silent(t)
	require.LessOrEqual(t, bundles.n, 2, "a list of devices and a bundle")
	require.Equal(t, "waiting", ani.with(t, "budi").Last.State)
	require.ErrorIs(t, ani.Write(t.Context(), "budi", "two"), keystore.ErrFull)

	store.full.Store(false)
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	budi.hears(t, ReadEvent, "one")
}

// counted counts the requests for something.
type counted struct {
	to   Transport
	what string
	n    int
}

func (c *counted) Do(ctx context.Context, r *Request) (int, []byte, error) {
	if r.Path[0] == c.what {
		c.n++
	}
	return c.to.Do(ctx, r)
}

// What was received when there was no room to save it is saved once there is, without a
// new start.
func TestFullWhileStarting(t *testing.T) {
	r, ani, budi := twoFriends(t)
	budi.sends(t, "ani", "three")
	stop := &stopping{Store: ani.store, after: 1, err: keystore.ErrFull} // it is decrypted, and not saved
	ani = newTestPerson(t, ani1, r, stop)
	require.Error(t, ani.receiveSome(t.Context()))

	store := &cramped{Store: stop.Store}
	store.full.Store(true)
	ani = newTestPerson(t, ani1, r, store)
	ani.live(t)
	require.ErrorIs(t, ani.next(t, TroubleEvent).Err, keystore.ErrFull)
	store.full.Store(false)
	require.Equal(t, "three", ani.until(t, ReadEvent).Text)
}

// A relay that answers at once that there is nothing is not asked all the time.
func TestRelayWithoutPatience(t *testing.T) {
	r, ani, _ := twoPeople(t)
	nothing := &impatient{to: direct{r}}
	ani.relay.transport = nothing
	stop := ani.live(t)
	ani.next(t, ReadyEvent)
	require.Never(t, func() bool { return nothing.n.Load() > 5 }, 3*retryAfter/2, retryAfter/10)
	stop()
}

// impatient answers every reader at once, with nothing.
type impatient struct {
	to Transport
	n  atomic.Int64
}

func (i *impatient) Do(ctx context.Context, r *Request) (int, []byte, error) {
	if r.Path[0] == "mail" {
		i.n.Add(1)
		return 200, []byte("{}"), nil
	}
	return i.to.Do(ctx, r)
}
