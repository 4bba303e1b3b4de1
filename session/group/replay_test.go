package group_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A request that is about something from before the key that a device has says
// nothing of that key: whoever carries messages cannot have the key given out again
// and again with one request.
func TestOldRequests(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1))
	a, b := w.of[at(ani, 1)], w.of[at(budi, 1)]
	a.set(budi)
	key, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, a.groups.Accept(ctx, key)) // and it is lost
	s := []*session.Sending{a.sends("one"), a.sends("two")}
	first := b.asks(a, s[0], s[0].Results[0].Message)
	a.answers(b, first)
	require.Equal(t, []session.Address{at(budi, 1)}, a.says("three"))
	for range 10 {
		a.answers2(b, first)
		require.Empty(t, a.gives())
	}
	a.answers(b, b.asks(a, s[1], s[1].Results[0].Message))
	require.Empty(t, a.says("four"))
	w.heard(at(budi, 1), "one", "three", "two", "four")

	s = []*session.Sending{a.sends("five")} // what comes after says it again
	b.deletes((&party{Device: b.Device}).senderRecord(at(ani, 1), idOf(t, s[0])))
	a.answers(b, b.asks(a, s[0], s[0].Results[0].Message))
	require.Equal(t, []session.Address{at(budi, 1)}, a.says("six"))
	w.heard(at(budi, 1), "five", "six")

	w.now = w.now.Add(-time.Hour) // and so when the clock was wrong
	a = a.restarted(a.store)
	s = []*session.Sending{a.sends("seven")}
	b.deletes((&party{Device: b.Device}).senderRecord(at(ani, 1), idOf(t, s[0])))
	a.answers(b, b.asks(a, s[0], s[0].Results[0].Message))
	require.Equal(t, []session.Address{at(budi, 1)}, a.gives())
}

// A sender key that went out for newer ones does not come back with its message,
// so that what was read under it is read once.
func TestReplayedKey(t *testing.T) {
	all := parties(t, "alice", "bob")
	alice, bob := all[0], all[1]
	key := alice.says(t, bob, &session.Content{Distribution: alice.key(t, room)})
	bob.reads(t, alice, key)
	m := alice.tells(t, room, "once")
	bob.saved(t, alice, m)
	for range 5 {
		require.NoError(t, alice.groups.Rotate(ctx, room))
		alice.gives(t, room, bob)
	}
	before := bob.states(t, alice, room)
	require.True(t, bob.reads(t, alice, key).Redelivered)
	require.Equal(t, before, bob.states(t, alice, room))
	require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
	again := alice.says(t, bob, &session.Content{Distribution: bob.reads(t, alice, key).Content.Distribution}) // as Resend does
	bob.saved(t, alice, again)
	require.Equal(t, before, bob.states(t, alice, room))
	require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
}

// One that went out because older ones came late is taken in again from where the
// sender is.
func TestKeyComesBack(t *testing.T) {
	all := parties(t, "alice", "bob")
	alice, bob := all[0], all[1]
	var late []*session.Message
	for range 5 {
		late = append(late, alice.says(t, bob, &session.Content{Distribution: alice.key(t, room)}))
		require.NoError(t, alice.groups.Rotate(ctx, room))
	}
	alice.gives(t, room, bob)
	old := alice.tells(t, room, "hello")
	bob.saved(t, alice, old)
	for _, m := range late {
		bob.saved(t, alice, m)
	}
	require.ErrorIs(t, bob.decrypt(t, alice, alice.tells(t, room, "?"), nil), group.ErrNoSenderKey)
	alice.gives(t, room, bob)
	bob.hears(t, alice, alice.tells(t, room, "again"), "again")
	require.ErrorIs(t, bob.decrypt(t, alice, old, nil), session.ErrDuplicate)
}

// However many messages a group may send under one key, nobody falls behind so far
// that he could not read the next one.
func TestMaxMessagesIsBounded(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1))
	w.policy = group.Options{MaxMessages: 1 << 20, MaxAge: 1 << 60}
	a := w.add(at(ani, 1))
	a.set(budi)
	require.NotEmpty(t, a.says("one"))
	(&party{Device: a.Device, store: a.store}).alters(t, &party{Device: a.Device}, a.club().ID, iterated(25_000))
	require.NotEmpty(t, a.says("two"))
	w.heard(at(budi, 1), "one", "two")
}

// Nobody has the key for that a Sending is accepted again, or late, of which he said
// meanwhile that he could not read it.
func TestAcceptedAfterRequest(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1))
	a, b := w.of[at(ani, 1)], w.of[at(budi, 1)]
	a.set(budi)
	key, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, a.groups.Accept(ctx, key)) // and it is lost
	s := a.sends("one")
	a.answers(b, b.asks(a, s, s.Results[0].Message))
	a.waits(nil, at(budi, 1))
	require.NoError(t, a.groups.Accept(ctx, key))
	a.waits(nil, at(budi, 1))
	require.Equal(t, []session.Address{at(budi, 1)}, a.says("two"))
	w.heard(at(budi, 1), "one", "two")
}

// A group message gives no sender key.
func TestSendWithoutDistribution(t *testing.T) {
	_, a := three(t)
	before := testutil.StoreDigest(t, a.store)
	refused(t, second(a.groups.Send(ctx, club, &session.Content{Distribution: []byte("key")}, nil)), session.ErrMalformed)
	require.Equal(t, before, testutil.StoreDigest(t, a.store))
}

// An age below 0 is the one that holds without any.
func TestNoNegativeAge(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1))
	w.policy.MaxAge = -1
	a := w.add(at(ani, 1))
	a.set(budi)
	require.NotEmpty(t, a.says("one"))
	w.now = w.now.Add(7*24*time.Hour - 1)
	require.Empty(t, a.says("two"))
	w.now = w.now.Add(time.Minute)
	require.NotEmpty(t, a.says("three"))
}

// Whoever sits between two people keeps no key out: that one of its chain went out
// says nothing of it.
func TestGRP_03_GoneIsOnesOwn(t *testing.T) {
	alice, bob, mallory := between(t)
	d := alice.key(t, another)
	give := func(d []byte) {
		bob.saved(t, mallory, mallory.says(t, bob, &session.Content{Distribution: d}))
	}
	give(changed(t, d, func(m *wire.SenderKeyDistributionMessage) { m.Iteration = math.MaxUint32 }))
	for chain := range uint32(5) {
		give(mallory.another(t, another, chain))
	}
	alice.gives(t, another, bob)
	bob.hears(t, alice, alice.tells(t, another, "hello"), "hello")
}

var another = group.DistributionID{4}

// A message that comes again does not make its key older than it is.
func TestIndexKeepsTime(t *testing.T) {
	e := wire.SenderKeyEntry{ID: another[:], At: 9, Identity: []byte{1}}
	old := e
	old.At = 5
	next, out, ok := group.Enter([]wire.SenderKeyEntry{e}, &old, e.Identity)
	require.True(t, ok)
	require.Nil(t, out)
	require.Equal(t, []wire.SenderKeyEntry{e}, next)
}
