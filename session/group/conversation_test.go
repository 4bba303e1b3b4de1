package group_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A talk is a conversation of parties who each have a sender key, over a network
// that loses, repeats and reorders within a window.
type talk struct {
	t       testing.TB
	choose  func(n int) int // 0 to n−1
	members []*member
	way     []*parcel // on their way, the oldest first
	window  int
	read    int
	lost    int
}

// A member knows what it must be able to read: the sender keys that came, each from
// the message on after which it was given.
type member struct {
	*party
	sent  int            // under the current key
	epoch int            // of that
	has   map[string]int // by sender and epoch: the first message that it can read
	seen  map[string]bool
}

// A parcel is a copy of a message for one member.
type parcel struct {
	from, to *member
	m        *session.Message
	epoch    int
	n        int // of a group message; −1: the sender key, from the message key on
	key      int
	text     string
}

// window is how far messages overtake each other here.
const window = 200

func newTalk(t testing.TB, n int, choose func(int) int) *talk {
	k := &talk{t: t, choose: choose, window: window}
	c := newClock()
	for i := range n {
		p := &member{party: newParty(t, fmt.Sprintf("user %d", i), c, nil), has: map[string]int{}, seen: map[string]bool{}}
		for _, q := range k.members {
			p.meet(t, q.party)
		}
		p.key(t, room)
		k.members = append(k.members, p)
	}
	return k
}

func (p *parcel) name() string { return fmt.Sprintf("%s %d", p.from.Address(), p.epoch) }

// step does one thing at random.
func (k *talk) step() {
	from := k.members[k.choose(len(k.members))]
	switch k.choose(20) {
	case 0, 1, 2: // gives the key to somebody, who may have it
		to := k.members[k.choose(len(k.members))]
		if to != from {
			m := from.says(k.t, to.party, &session.Content{Distribution: from.party.key(k.t, room)})
			k.way = append(k.way, &parcel{from: from, to: to, m: m, epoch: from.epoch, n: -1, key: from.sent})
		}
	case 3:
		if k.choose(8) == 0 {
			require.NoError(k.t, from.groups.Rotate(ctx, room))
			from.sent, from.epoch = 0, from.epoch+1
		}
	case 4: // another process takes over
		from.party = from.restarted(k.t)
	case 5, 6, 7, 8, 9, 10:
		text := fmt.Sprintf("%s %d %d", from.Address(), from.epoch, from.sent)
		m := from.tells(k.t, room, text)
		for _, to := range k.members {
			if to != from {
				k.way = append(k.way, &parcel{from: from, to: to, m: m, epoch: from.epoch, n: from.sent, text: text})
			}
		}
		from.sent++
	default:
		k.arrive()
	}
}

// arrive takes one of the oldest parcels off the way, and loses it, or delivers it,
// perhaps again later.
func (k *talk) arrive() {
	if len(k.way) == 0 {
		return
	}
	i := k.choose(min(len(k.way), k.window))
	p := k.way[i]
	k.way = slices.Delete(k.way, i, i+1)
	switch k.choose(10) {
	case 0:
		k.lost++
		return
	case 1, 2:
		k.way = append(k.way, p)
	}
	p.to.deliver(k, p)
}

// deliver checks that p is read if and only if it must be.
func (m *member) deliver(k *talk, p *parcel) {
	id := fmt.Sprintf("%s %d", p.name(), p.n)
	r, err := m.groups.Decrypt(ctx, p.from.Address(), p.m, nil)
	if p.n < 0 {
		if err == nil {
			if first, has := m.has[p.name()]; !has || r.Redelivered && p.key < first {
				m.has[p.name()] = p.key
			}
			require.NoError(k.t, m.Acknowledge(ctx, r))
		} else {
			require.ErrorIs(k.t, err, session.ErrDuplicate)
		}
		return
	}
	first, has := m.has[p.name()]
	switch {
	case m.seen[id]:
		require.ErrorIs(k.t, err, session.ErrDuplicate, id)
	case !has || p.n < first:
		require.ErrorIs(k.t, err, group.ErrNoSenderKey, id)
	case p.from.epoch-p.epoch > 4 && errors.Is(err, group.ErrNoSenderKey): // five keys are kept
	default:
		require.NoError(k.t, err, id)
		require.Equal(k.t, p.text, string(r.Content.Body))
		require.Equal(k.t, p.from.Identity(), r.Identity)
		if k.choose(3) > 0 { // else it comes again
			require.NoError(k.t, m.Acknowledge(ctx, r))
			m.seen[id] = true
			k.read++
		}
	}
}

func TestConversation(t *testing.T) {
	steps := 3000
	if testing.Short() {
		steps = 200
	}
	r := rand.New(rand.NewPCG(8, 0))
	k := newTalk(t, 5, r.IntN)
	for range steps {
		k.step()
	}
	for len(k.way) > 0 {
		k.arrive()
	}
	require.Greater(t, k.read, steps/8)
	require.NotZero(t, k.lost)
}

func TestConversations(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := newTalk(t, 3, func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "choice") })
		k.window = rapid.SampledFrom([]int{1, 5, 50, window}).Draw(rt, "window")
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			k.step()
		}
	})
}

// FuzzF28GroupDecrypt gives bytes to a device that has two sender keys, one with
// skipped messages: as a message of the group, or of a session.
func FuzzF28GroupDecrypt(f *testing.F) {
	alice, bob, _ := told(f)
	bob.hears(f, alice, alice.tells(f, room, "first"), "first")
	late := alice.tells(f, room, "late")
	require.NoError(f, alice.groups.Rotate(ctx, room))
	alice.gives(f, room, bob)
	for _, m := range []*session.Message{late, alice.tells(f, room, "next"), alice.tells(f, room, "after it")} {
		f.Add(byte(m.Type), m.Bytes)
	}
	key := alice.says(f, bob, &session.Content{Distribution: alice.key(f, group.DistributionID{2})})
	f.Add(byte(key.Type), key.Bytes)
	for _, name := range []string{"skm_0", "skdm"} {
		f.Add(byte(session.TypeSenderKey), bytesOf(f, "main", name))
	}
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		p := bob.over(t, bob.copied(t))
		if p.decrypt(t, alice, &session.Message{Type: session.MessageType(kind), Bytes: b}, nil) == nil {
			p.reads(t, alice, &session.Message{Type: session.MessageType(kind), Bytes: b})
		}
	})
}

// copied is a copy of the store of p.
func (p *party) copied(t testing.TB) keystore.Store {
	t.Helper()
	var changes []keystore.Change
	for r, err := range p.store.List(ctx, "", "", "") {
		require.NoError(t, err)
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	store := keystore.NewMemory()
	_, err := store.Commit(ctx, changes...)
	require.NoError(t, err)
	return store
}
