package group_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// three is a club of three users, of whom budi has two devices, in which ani said
// something.
func three(t testing.TB) (w *town, a *resident) {
	t.Helper()
	w = newTown(t, at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1))
	a = w.of[at(ani, 1)]
	a.set(ani, budi, cici)
	a.says("hello")
	for _, to := range everybody {
		w.heard(to, "hello")
	}
	return w, a
}

var everybody = []session.Address{at(budi, 1), at(budi, 2), at(cici, 1)}

// chain is the chain id of the own sender key.
func (r *resident) chain() uint32 {
	r.town.t.Helper()
	p := &party{Device: r.Device, store: r.store}
	states := p.states(r.town.t, p, r.club().ID)
	require.Len(r.town.t, states, 1, "the old key is dropped")
	return states[0].ChainID
}

// Whatever makes another key due, nothing is sent with the old one, everybody who is
// there then gets the new one, and nobody else can read on.
func TestGRP_06_Rotation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *town, a *resident)
		gets   []session.Address
		not    []session.Address // who must not read
	}{
		"member removed": {func(w *town, a *resident) { a.set(budi) }, everybody[:2], everybody[2:]},
		"device excluded": {func(w *town, a *resident) {
			require.NoError(w.t, a.groups.Set(ctx, club, []string{budi, cici}, everybody[1:2]))
		}, []session.Address{everybody[0], everybody[2]}, everybody[1:2]},
		"user excluded": {func(w *town, a *resident) {
			require.NoError(w.t, a.groups.Set(ctx, club, []string{budi, cici}, []session.Address{at(budi, 0)}))
		}, everybody[2:], everybody[:2]},
		"device gone": {func(w *town, a *resident) {
			w.hidden[at(budi, 2)] = true
			require.NoError(w.t, a.Refresh(ctx, budi))
		}, []session.Address{everybody[0], everybody[2]}, everybody[1:2]},
		"too old":          {func(w *town, a *resident) { w.now = w.now.Add(7 * 24 * time.Hour) }, everybody, nil},
		"clock far behind": {func(w *town, a *resident) { w.now = w.now.Add(-7 * 24 * time.Hour) }, everybody, nil},
		"own key gone":     {func(w *town, a *resident) { a.deletes(a.key()) }, everybody, nil},
		"own key damaged":  {func(w *town, a *resident) { a.puts(a.key(), []byte{1, 0xFF}) }, everybody, nil},
		"another own key":  {func(w *town, a *resident) { a.deletes(a.key()); a.distributes() }, everybody, nil},
		"an older own key": {func(w *town, a *resident) { a.olderKey() }, everybody, nil},
		"store rolled back": {func(w *town, a *resident) {
			require.ErrorIs(w.t, session.CheckGeneration(ctx, a.store, math.MaxUint64), keystore.ErrRolledBack)
			require.NoError(w.t, a.AfterRestore(ctx))
		}, everybody, nil},
		"another identity": {func(w *town, a *resident) {
			w.identity[cici] = nil
			w.add(at(cici, 1))
			require.NoError(w.t, a.Refresh(ctx, cici))
			require.NoError(w.t, a.AcceptIdentity(ctx, at(cici, 1), w.of[at(cici, 1)].Identity()))
		}, everybody, nil},
		"set up anew": {func(w *town, a *resident) {
			w.add(at(cici, 1))
			require.NoError(w.t, a.Refresh(ctx, cici))
		}, everybody, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := three(t)
			old := a.chain()
			before := map[session.Address]*resident{}
			for _, d := range everybody {
				before[d] = w.of[d]
			}
			c.change(w, a)
			a.waits(nil, c.gets...)
			require.Equal(t, c.gets, a.gives())
			require.NotEqual(t, old, a.chain())
			s := a.sends("and on")
			require.Equal(t, c.gets, where(s.Results))
			for _, d := range everybody {
				r := before[d]
				if r != w.of[d] { // set up anew: what was there before cannot
					require.ErrorIs(t, r.hears(a, s.Results[0].Message), group.ErrNoSenderKey)
				}
			}
			w.deliver(a, s)
			for _, d := range c.not {
				require.ErrorIs(t, w.of[d].hears(a, s.Results[0].Message), group.ErrNoSenderKey)
			}
			require.Equal(t, c.gets, a.club().Has)
			require.Nil(t, a.says("and on"))
		})
	}
}

// TestGRP_07_AgeAndCount has a key used for as long and as often as it may be.
func TestGRP_07_AgeAndCount(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1), at(cici, 1))
	w.policy = group.Options{MaxAge: time.Hour, MaxMessages: 3}
	a := w.add(at(ani, 1))
	a.set(budi, cici)
	all := []session.Address{at(budi, 1), at(cici, 1)}
	for range 3 {
		require.Equal(t, all, a.says("1"))
		require.Nil(t, a.says("2"))
		require.Nil(t, a.says("3"))
		a.waits(nil, all...)
	}
	require.Equal(t, all, a.says("1"))
	since := a.club().Since
	w.now = w.now.Add(time.Hour - time.Millisecond)
	require.Nil(t, a.says("2"))
	w.now = w.now.Add(time.Millisecond)
	a.waits(nil, all...)
	require.Equal(t, all, a.says("1"))
	require.Equal(t, since.Add(time.Hour), a.club().Since)

	w.policy = group.Options{} // 7 days and 10,000 messages
	a = w.add(at(ani, 1))
	a.set(budi, cici)
	require.Equal(t, all, a.says("1"))
	p := &party{Device: a.Device, store: a.store}
	p.alters(t, p, a.club().ID, iterated(9_999))
	require.Nil(t, a.gives())
	p.alters(t, p, a.club().ID, iterated(10_000))
	a.waits(nil, all...)
	require.Equal(t, all, a.says("1"))
	w.now = w.now.Add(7*24*time.Hour - time.Millisecond)
	require.Nil(t, a.says("2"))
	w.now = w.now.Add(time.Millisecond)
	a.waits(nil, all...)
}

// A renewed session of the same device says that it may have lost the key: it alone
// gets it again.
func TestSessionRenewed(t *testing.T) {
	w, a := three(t)
	old := a.chain()
	b := w.of[at(budi, 2)]
	bundle, err := a.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, b.Begin(ctx, at(ani, 1), bundle))
	m, err := b.Encrypt(ctx, at(ani, 1), new(session.Content).Bytes())
	require.NoError(t, err)
	require.NoError(t, a.hears(b, m))
	a.waits(nil, at(budi, 2))
	require.Equal(t, everybody[1:2], a.says("again"))
	require.Equal(t, old, a.chain())
	w.heard(at(budi, 2), "again")
}

// TestGRP_06_NewDevice: one that comes to a user gets the key as it is, and reads
// nothing from before; so does a new member.
func TestGRP_06_LateJoin(t *testing.T) {
	w, a := three(t)
	old := a.chain()
	before := a.sends("before")
	w.add(at(budi, 3))
	require.NoError(t, a.Refresh(ctx, budi))
	w.add(at(dewi, 1))
	a.set(budi, cici, dewi)
	joined := []session.Address{at(budi, 3), at(dewi, 1)}
	a.waits(nil, joined...)
	require.Equal(t, joined, a.gives())
	require.Equal(t, old, a.chain())
	for _, d := range joined {
		require.ErrorIs(t, w.of[d].hears(a, before.Results[0].Message), group.ErrNoSenderKey, "from before its time")
	}
	w.deliver(a, before)
	w.deliver(a, a.sends("after"))
	for _, d := range joined {
		w.heard(d, "after")
	}
	for _, d := range everybody {
		w.heard(d, "before", "after")
	}
}

// key is where the own sender key is.
func (r *resident) key() keystore.Key {
	r.town.t.Helper()
	return (&party{Device: r.Device}).senderRecord(r.Address(), r.club().ID)
}

func (r *resident) deletes(k keystore.Key) {
	r.town.t.Helper()
	recs, err := r.store.Load(ctx, k)
	require.NoError(r.town.t, err)
	_, err = r.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: k, Expect: recs[0].Version})
	require.NoError(r.town.t, err)
}

func (r *resident) puts(k keystore.Key, value []byte) {
	r.town.t.Helper()
	recs, err := r.store.Load(ctx, k)
	require.NoError(r.town.t, err)
	_, err = r.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: k, Expect: recs[0].Version, Value: value})
	require.NoError(r.town.t, err)
}

// distributes makes the own sender key, beside the group.
func (r *resident) distributes() {
	r.town.t.Helper()
	_, err := r.groups.Distribution(ctx, r.club().ID)
	require.NoError(r.town.t, err)
}

// olderKey puts the own sender key back that there was before the last rotation.
func (r *resident) olderKey() {
	r.town.t.Helper()
	k := r.key()
	recs, err := r.store.Load(ctx, k)
	require.NoError(r.town.t, err)
	r.set(budi)
	r.gives()
	r.set(ani, budi, cici)
	r.gives()
	r.puts(k, recs[0].Value)
}

// iterated has a sender key used so often.
func iterated(n uint32) func(*wire.SenderKeyState) {
	return func(s *wire.SenderKeyState) { s.Iteration = n }
}
