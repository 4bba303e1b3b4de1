package interop_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A circle is a group whose members have devices of both kinds. Each device has
// a sender key of its own, which it gives to the others within sessions.
type circle struct {
	*sealedTown
	sealed  bool // all goes in envelopes
	r       *rand.Rand
	name    string
	members []string
	hands   map[session.Address]*hand
	said    int // messages so far, which is the time
	window  int // messages within which the order is any
	waiting []posted
	read    map[postedID]bool
	given   map[[2]session.Address]int // when the last key arrives, from and to whom
	counts  map[string]int
}

// A hand is what an app over the official library knows of its sender key: its
// id, and who has it, with the registration id of then.
type hand struct {
	id  group.DistributionID
	has map[session.Address]uint32
}

// A posted is a mail and when it arrives. Without a text, it gives a sender key.
type posted struct {
	mail
	text   string
	due    int
	reader *citizen // which may be another one when it arrives
}

// A postedID is who reads which bytes.
type postedID struct {
	to  session.Address
	msg string
}

var circleUsers = []string{aliceName, bobName, "3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7", "e80f7bbe-5b94-471e-bd8c-2173654ea3d1", "5b94471e-e80f-4bbe-8d8c-2173654ea3d1"}

const circleGroup = "what envelopes say it is"

func newCircle(t *testing.T, sealed bool) *circle {
	c := &circle{sealedTown: newSealedTown(t), sealed: sealed, r: random(t), name: "the circle", members: slices.Clone(circleUsers[:3]),
		hands: make(map[session.Address]*hand), read: make(map[postedID]bool),
		given: make(map[[2]session.Address]int), counts: make(map[string]int)}
	for i, user := range circleUsers {
		id := keys.GenerateIdentityKeyPair()
		for device := range uint32(2 - i/3) { // the later two have one device each
			c.join(session.Address{User: user, Device: device + 1}, id, (i+int(device))%2 == 1)
		}
	}
	return c
}

// join brings in a device.
func (c *circle) join(a session.Address, id *keys.IdentityKeyPair, official bool) *citizen {
	c.hands[a] = &hand{id: group.DistributionID(randomBytes(c.r, 16)), has: make(map[session.Address]uint32)}
	return c.settleAs(a, id, official)
}

// Whatever arrives is read, once, by all who were members when it was sent, and by
// nobody else: of 2,000 messages some are lost, some come twice, and all in
// another order, while members come and go and keys are changed.
func TestInteropCircle(t *testing.T) { newCircle(t, false).talk(cases(2000)) }

func (c *circle) talk(n int) {
	t := c.town.t
	c.settle()
	c.window = min(200, n/10)
	for range n {
		c.said++
		if c.said%max(20, n/22) == 0 {
			c.change()
		}
		c.speak(c.anyone())
		c.arrive(c.said)
	}
	c.arrive(c.said + 1<<20)
	require.Empty(t, c.waiting)
	t.Logf("%v", c.counts)
	for _, what := range []string{"read", "read again", "lost", "keys", "too early", "not for them", "came", "went", "new device"} {
		require.True(t, n < 2000 || c.counts[what] > 0, what)
	}
}

// change has a member go, somebody come, or a device be another one.
func (c *circle) change() {
	switch dice := c.r.IntN(3); {
	case dice == 0 && len(c.members) > 2 || len(c.members) == len(circleUsers):
		c.counts["went"]++
		at := c.r.IntN(len(c.members))
		c.members = slices.Delete(c.members, at, at+1)
	case dice == 1:
		c.counts["new device"]++
		old := c.anyone()
		c.join(session.Address{User: old.address.User, Device: 3}, old.identity, c.r.IntN(2) == 0)
	default:
		c.counts["came"]++
		others := slices.DeleteFunc(slices.Clone(circleUsers), func(u string) bool { return slices.Contains(c.members, u) })
		c.members = append(c.members, pick(c.r, others...))
	}
	c.settle()
}

// settle tells the devices of gembok who the members are.
func (c *circle) settle() {
	for _, user := range circleUsers {
		for _, a := range c.addresses(user) {
			if d := c.of(a.User, a.Device); d.groups != nil {
				require.NoError(c.town.t, d.groups.Set(context.Background(), c.name, c.members, nil))
			}
		}
	}
}

// anyone is a device of a member.
func (c *circle) anyone() *citizen {
	all := c.addresses(pick(c.r, c.members...))
	a := pick(c.r, all...)
	return c.of(a.User, a.Device)
}

// others are the devices of the other members.
func (c *circle) others(from *citizen) []session.Address {
	var out []session.Address
	for _, user := range c.members {
		if user != from.address.User {
			out = append(out, c.addresses(user)...)
		}
	}
	return out
}

// otherMembers are the users that a device writes to.
func (c *circle) otherMembers(from *citizen) []string {
	return slices.DeleteFunc(slices.Clone(c.members), func(u string) bool { return u == from.address.User })
}

func (c *circle) speak(from *citizen) {
	text := fmt.Sprint("message ", c.said)
	var mails []mail
	if from.party != nil {
		mails = c.speakByHand(from, text)
	} else {
		mails = c.speakOurs(from, text)
	}
	var want, got []session.Address
	for _, m := range mails {
		got = append(got, m.to)
		c.send(posted{mail: m, text: text})
	}
	want = slices.DeleteFunc(append(c.others(from), c.addresses(from.address.User)...), func(a session.Address) bool { return a == from.address })
	require.ElementsMatch(c.town.t, want, got)
	c.overhear(mails, text)
}

// overhear shows a group message to a device that it is not for.
func (c *circle) overhear(mails []mail, text string) {
	user := pick(c.r, circleUsers...)
	if slices.Contains(c.members, user) {
		return
	}
	for _, m := range mails {
		if c.sealed && m.to.User != m.from.User {
			a := pick(c.r, c.addresses(user)...)
			_, err := c.open(c.of(a.User, a.Device), posted{mail: m})
			require.Error(c.town.t, err)
			c.counts["not for them"]++
			return
		}
		if m.msg.Type == interop.SenderKey {
			m.to = pick(c.r, c.addresses(user)...)
			got, err := c.of(m.to.User, m.to.Device).groupRead(m.from, m.msg.Bytes)
			require.Error(c.town.t, err, "%v reads %q of %v", m.to, got, m.from)
			require.True(c.town.t, unreadable(err), "%v", err)
			c.counts["not for them"]++
			return
		}
	}
}

// unreadable says whether there is no sender key for a message, of either kind.
func unreadable(err error) bool {
	pe, ok := errors.AsType[*interop.PeerError](err)
	return errors.Is(err, group.ErrNoSenderKey) || ok && containsVerdict(pe.Message, group.ErrNoSenderKey)
}

func isDuplicate(err error) bool {
	pe, ok := errors.AsType[*interop.PeerError](err)
	return errors.Is(err, session.ErrDuplicate) || ok && pe.Name == "DuplicatedMessage"
}

// speakOurs sends a message on a device of gembok, which gives its key first to
// those who lack it.
func (c *circle) speakOurs(from *citizen, text string) []mail {
	ctx := context.Background()
	for range 8 {
		s, err := from.groups.Send(ctx, c.name, &session.Content{Body: []byte(text)}, c.options(from))
		if waiting, ok := errors.AsType[*group.WaitingError](err); ok {
			require.NotEmpty(c.town.t, waiting.Devices)
			c.give(from)
			continue
		}
		require.NoError(c.town.t, err)
		if c.settled(from, s, true) {
			return c.posted(from, s)
		}
	}
	c.town.t.Fatalf("%v cannot send", from.address)
	return nil
}

// settled goes on with a Sending until the server takes it, or it has to be
// made anew. One that is not for everybody misses nobody.
func (c *circle) settled(from *citizen, s *session.Sending, everybody bool) bool {
	ctx := context.Background()
	for {
		said := c.judge(from, s, c.otherMembers(from)...)
		if !everybody {
			for i := range said {
				said[i].Missing = nil
			}
			said = slices.DeleteFunc(said, func(d session.Difference) bool { return len(d.Extra)+len(d.Stale) == 0 })
		}
		if len(said) == 0 {
			break
		}
		c.counts["reconciled"]++
		err := from.groups.Reconcile(ctx, s, said...)
		if errors.Is(err, session.ErrUnsettled) {
			c.counts["encrypted anew"]++
			return false
		}
		require.NoError(c.town.t, err)
	}
	require.NoError(c.town.t, from.groups.Accept(ctx, s))
	return true
}

// give gives the own sender key to all who lack it.
func (c *circle) give(from *citizen) {
	s, err := from.groups.Distribute(context.Background(), c.name, c.options(from))
	require.NoError(c.town.t, err)
	require.NotNil(c.town.t, s)
	if c.settled(from, s, false) {
		for _, m := range c.posted(from, s) {
			c.counts["keys"]++
			c.send(posted{mail: m})
		}
	}
}

// speakByHand is what an app over the official library does.
func (c *circle) speakByHand(from *citizen, text string) []mail {
	h, now := c.hands[from.address], make(map[session.Address]uint32)
	to := c.others(from)
	for _, a := range to {
		now[a] = c.of(a.User, a.Device).regID
	}
	for a, id := range h.has {
		if now[a] != id { // who had the key is gone
			require.NoError(c.town.t, from.party.SetSenderKey(from.remote(), h.id.String(), nil))
			h.has = make(map[session.Address]uint32)
			break
		}
	}
	for _, a := range to {
		if h.has[a] == 0 {
			d, err := from.party.SenderKeyDistribution(h.id.String())
			require.NoError(c.town.t, err)
			c.counts["keys"]++
			c.send(posted{mail: c.keyByHand(from, a, d)})
			h.has[a] = now[a]
		}
	}
	c.clock++
	out := c.groupByHand(from, h.id, to, wire.AppendContent(nil, &wire.Content{Body: []byte(text), SentAt: c.clock}))
	for _, a := range c.addresses(from.address.User) {
		if a != from.address {
			out = append(out, c.copyByHand(from, a, text))
		}
	}
	return out
}

// send puts a letter on its way: late, perhaps twice, or never. One that gives a
// key is never lost, nor overtaken by one that gives it from a later message on:
// of two such, the first counts.
func (c *circle) send(l posted) {
	dice := c.r.IntN(100)
	if l.text != "" && dice < 4 {
		c.counts["lost"]++
		return
	}
	window := c.window
	if l.msg.Type != interop.SenderKey && l.text == "" || l.from.User == l.to.User {
		window = min(20, window) // five receiver chains are not many
	}
	l.due, l.reader = c.said+c.r.IntN(window), c.of(l.to.User, l.to.Device)
	if l.text == "" {
		way := [2]session.Address{l.from, l.to}
		l.due = max(l.due, c.given[way])
		c.given[way] = l.due
	}
	c.waiting = append(c.waiting, l)
	if dice > 95 {
		l.due += c.r.IntN(window)
		c.waiting = append(c.waiting, l)
	}
}

// arrive delivers what is due by a time, in that order.
func (c *circle) arrive(now int) {
	slices.SortStableFunc(c.waiting, func(a, b posted) int { return a.due - b.due })
	for len(c.waiting) > 0 && c.waiting[0].due <= now {
		l := c.waiting[0]
		c.waiting = c.waiting[1:]
		if !c.deliver(l) {
			c.counts["too early"]++
			l.due = l.due + 1 + c.r.IntN(c.window)
			at, _ := slices.BinarySearchFunc(c.waiting, l, func(a, b posted) int { return a.due - b.due })
			c.waiting = slices.Insert(c.waiting, at, l)
		}
	}
}

// deliver has a letter read; it is false when its sender key is still to come.
func (c *circle) deliver(l posted) bool {
	to, id := c.of(l.to.User, l.to.Device), postedID{l.to, string(l.msg.Bytes)}
	if to != l.reader {
		c.counts["gone"]++
		return true
	}
	got, err := c.open(to, l)
	switch {
	case c.read[id]:
		require.True(c.town.t, isDuplicate(err), "%v to %v: %v", l.from, l.to, err)
		c.counts["read again"]++
		return true
	case l.text != "" && unreadable(err):
		return false
	}
	require.NoError(c.town.t, err, "%v to %v, %q", l.from, l.to, l.text)
	c.read[id] = true
	if l.text != "" {
		want := said{text: l.text}
		if l.from.User == l.to.User {
			want.syncTo = c.name
		}
		require.Equal(c.town.t, want, got)
		c.counts["read"]++
	}
	return true
}

// open decrypts a letter of any type, and takes in a key that is in it.
func (c *circle) open(to *citizen, l posted) (said, error) {
	from := interop.Address{Name: l.from.User, Device: l.from.Device}
	switch {
	case l.msg.Type == int(session.TypeSealed):
		return c.openSealed(to, l)
	case to.groups != nil:
		r, err := to.groups.Decrypt(context.Background(), l.from, l.gembok(), nil)
		if err != nil {
			return said{}, err
		}
		require.NoError(c.town.t, to.device.Acknowledge(context.Background(), r))
		require.EqualValues(c.town.t, l.sentAt, r.Content.SentAt.UnixMilli())
		return said{string(r.Content.Body), r.Content.SyncTo}, nil
	case l.msg.Type == interop.SenderKey:
		text, err := to.groupRead(l.from, l.msg.Bytes)
		return said{text: text}, err
	}
	b, err := to.party.Decrypt(from, l.msg)
	if err != nil {
		return said{}, err
	}
	content, err := wire.ParseContent(unpad(c.town.t, b))
	require.NoError(c.town.t, err)
	if content.Distribution != nil {
		require.NoError(c.town.t, to.party.ProcessSenderKey(from, content.Distribution))
	}
	return c.opened(l.mail, b), nil
}
