package fleet

import (
	"context"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// everyone is the people: two with service ids, one without.
var everyone = []string{"6f2c1f0e-8f0b-4a52-9d7a-0c6f5a1b2c3d", "9c1d2e3f-0a1b-4c2d-8e3f-4a5b6c7d8e9f", "+62 811 000 333"}

// A world is three people, their devices, and a server.
type world struct {
	t       testing.TB
	r       *rand.Rand
	now     time.Time
	server  *server
	content bool
	names   []string
	people  []*person
	made    int // handsets

	letters []*letter
	used    map[string]*letter   // by ratchet key and counter
	begun   map[string]*handset  // who began a session, by base key
	owners  map[string]*handset  // whose bundle it began with
	forked  map[string]bool      // sessions that began at one end a second time, after it was put back
	late    []*letter            // to be delivered much later, or again
	resets  map[resets]time.Time // when the newest was
	count   map[string]int
	honest  bool // the server is, from now on
	steps   int
	doing   string
}

// A person has devices with one identity key.
type person struct {
	user     string
	identity *keys.IdentityKeyPair
	handsets []*handset // in the order of their ids
}

// newWorld makes a world of some people with as many devices each.
func newWorld(t testing.TB, seed uint64, people []string, devices uint32, count map[string]int) *world {
	w := &world{

		t: t, r: random(seed), now: time.Unix(1_700_000_000, 0), server: newServer(), content: seed%2 == 1, names: people,
		used: map[string]*letter{}, forked: map[string]bool{}, begun: map[string]*handset{}, owners: map[string]*handset{}, resets: map[resets]time.Time{}, count: count,
	}
	for _, user := range people {
		p := &person{user: user, identity: keys.GenerateIdentityKeyPair()}
		for device := range devices {
			p.handsets = append(p.handsets, w.install(session.Address{User: user, Device: device + 1}, p.identity))
		}
		w.people = append(w.people, p)
	}
	return w
}

// chance is true once in n times, about.
func (w *world) chance(n int) bool { return n > 0 && w.r.IntN(n) == 0 }

func (w *world) person() *person { return w.people[w.r.IntN(len(w.people))] }

// handset is any that is registered.
func (w *world) handset() *handset {
	p := w.person()
	return p.handsets[w.r.IntN(len(p.handsets))]
}

// all are those that are registered.
func (w *world) all() (out []*handset) {
	for _, p := range w.people {
		out = append(out, p.handsets...)
	}
	return out
}

// peer is any device but h: mostly one that is there.
func (w *world) peer(h *handset) session.Address {
	for {
		if g := w.handset(); g != h {
			return g.at
		}
	}
}

// step does one thing.
func (w *world) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.r.IntN(20000)) * time.Millisecond)
	n := w.r.IntN(1000)
	at := slices.IndexFunc(steps, func(s step) bool { n -= s.weight; return n < 0 })
	if at < 0 { // what is left of the thousand
		w.doing = "deliver"
		w.delivers()
		return
	}
	w.doing = steps[at].name
	w.count["step: "+w.doing]++
	steps[at].do(w)
}

// A step is one of the things that may happen, in so many of a thousand steps.
type step struct {
	name   string
	weight int
	do     func(*world)
}

var steps = []step{
	{"send", 130, func(w *world) { w.send(w.handset()) }},
	{"acknowledge", 60, func(w *world) { w.acknowledge(w.handset()) }},
	{"acknowledge events", 10, func(w *world) { w.acknowledgeEvents(w.handset()) }},
	{"upkeep", 12, func(w *world) { w.upkeep(w.handset()) }},
	{"archive", 20, (*world).archive},
	{"back up", 8, func(w *world) { w.handset().save() }},
	{"put back", 6, func(w *world) { w.handset().putBack() }},
	{"refresh", 12, (*world).refresh},
	{"block", 4, (*world).block},
	{"accept", 20, (*world).accept},
	{"verify", 6, (*world).verify},
	{"remove", 2, (*world).remove},
	{"add", 3, (*world).add},
	{"register", 4, (*world).register},
	{"clock", 12, (*world).clock},
	{"reopen", 6, (*world).reopen},
	{"replay", 15, (*world).replay},
	{"forge", 8, (*world).forge},
}

// delivers takes a letter out of a box: the oldest, or another one, and perhaps
// loses or doubles it, or keeps it for much later.
func (w *world) delivers() {
	h := w.handset()
	e := w.server.entries[h.at]
	if len(e.box) == 0 {
		return
	}
	at := 0
	if w.chance(3) {
		at = w.r.IntN(len(e.box))
	}
	l := e.box[at]
	e.box = slices.Delete(e.box, at, at+1)
	switch luck := w.r.IntN(100); {
	case luck < 4:
		w.count["lie: dropped"]++
		if l.fate == "" {
			l.fate = "dropped"
		}
		return
	case luck < 8:
		w.count["lie: late"]++
		w.late = append(w.late, l)
		return
	case luck < 12:
		w.count["lie: doubled"]++
		e.box = slices.Insert(e.box, w.r.IntN(len(e.box)+1), l)
	}
	if at > 0 {
		w.count["lie: reordered"]++
	}
	w.deliver(h, l)
}

// replay delivers a letter from long ago, again or at last.
func (w *world) replay() {
	if len(w.late) > 0 && w.chance(2) {
		at := w.r.IntN(len(w.late))
		l := w.late[at]
		w.late = slices.Delete(w.late, at, at+1)
		if e := w.server.entries[l.to]; e != nil {
			w.deliver(e.h, l)
		} else if l.fate == "" {
			l.fate = "removed"
		}
		return
	}
	if len(w.letters) == 0 {
		return
	}
	if l := w.letters[w.r.IntN(len(w.letters))]; l.tried {
		if e := w.server.entries[l.to]; e != nil {
			w.count["lie: replayed"]++
			w.deliver(e.h, l)
		}
	}
}

// acknowledge acknowledges some of what a device has read.
func (w *world) acknowledge(h *handset) {
	var told []*session.Received
	h.staged = slices.DeleteFunc(h.staged, func(l *letter) bool {
		r := h.read[l]
		if w.chance(4) && !w.honest {
			return false
		}
		told, r.acked = append(told, r.got), w.now
		return true
	})
	require.NoError(w.t, h.Acknowledge(background, told...))
	if w.chance(10) || w.honest {
		w.unacknowledged(h)
	}
}

// unacknowledged requires that all that was read and not acknowledged is there,
// and nothing else.
func (w *world) unacknowledged(h *handset) {
	want, got := map[session.MessageID]bool{}, map[session.MessageID]bool{}
	for _, l := range h.staged {
		want[h.read[l].got.ID] = true
	}
	for r, err := range h.Unacknowledged(background) {
		require.NoError(w.t, err)
		got[r.ID] = true
	}
	require.Equal(w.t, want, got)
}

// archive archives a session.
func (w *world) archive() {
	h := w.handset()
	peer := w.peer(h)
	had := h.index(peer).Current != nil
	err := h.Archive(background, peer)
	if !had {
		require.ErrorIs(w.t, err, session.ErrNoSession)
		return
	}
	require.NoError(w.t, err)
	require.Nil(w.t, h.index(peer).Current)
}

// accept accepts the key that a device saw last, or that it really is.
func (w *world) accept() {
	h := w.handset()
	peer := w.peer(h)
	key := h.trust(peer).Seen
	if g := w.server.entries[peer].h; key.IsZero() || w.chance(2) {
		key = g.Identity()
	}
	w.accepts(h, peer, key)
}

func (w *world) accepts(h *handset, peer session.Address, key keys.IdentityKey) {
	before := h.trust(peer)
	require.NoError(w.t, h.AcceptIdentity(background, peer, key))
	now := h.trust(peer)
	require.True(w.t, now.Accepted.Equal(key) && now.Seen.Equal(key))
	if !before.Accepted.Equal(key) {
		require.False(w.t, now.Verified)
		w.count["accepted another key"]++
	}
}

// verify sets or takes away the mark of a device.
func (w *world) verify() {
	h := w.handset()
	peer, yes := w.peer(h), w.chance(2)
	id, before := h.trust(peer), h.generation()
	key := id.Accepted
	if w.chance(4) {
		key = w.handset().Identity()
	}
	if err := h.Verify(background, peer, key, yes); err != nil {
		require.False(w.t, !id.Accepted.IsZero() && key.Equal(id.Accepted), "%v", err)
		w.quiet(err)
		require.Equal(w.t, before, h.generation())
		return
	}
	require.True(w.t, key.Equal(id.Accepted))
	require.Equal(w.t, yes, h.trust(peer).Verified)
}

// block blocks somebody, or no longer.
func (w *world) block() {
	h := w.handset()

	user := w.names[w.r.IntN(len(w.names))]
	if user != h.at.User {
		w.blocks(h, user, w.chance(2))
	}
}

func (w *world) blocks(h *handset, user string, yes bool) {
	require.NoError(w.t, h.Block(background, user, yes))
	p, err := h.Peer(background, user)
	require.NoError(w.t, err)
	require.Equal(w.t, yes, p != nil && p.Blocked)
}

// remove takes a device out of use.
func (w *world) remove() {
	p := w.person()
	if len(p.handsets) < 3 {
		return
	}
	h := p.handsets[w.r.IntN(len(p.handsets))]
	w.leavesUse(h)
	w.server.remove(h.at)
	p.handsets = slices.DeleteFunc(p.handsets, func(g *handset) bool { return g == h })
}

// leavesUse notes that nobody reads what waits for h any more.
func (w *world) leavesUse(h *handset) {
	h.gone = true
	for _, l := range w.server.entries[h.at].box {
		if l.fate == "" {
			l.fate = "removed"
		}
	}
}

// add adds a device where one is free.
func (w *world) add() {
	p := w.person()
	for device := range uint32(4) {
		a := session.Address{User: p.user, Device: device + 1}
		if len(p.handsets) < 4 && w.server.entries[a] == nil {
			p.handsets = append(p.handsets, w.install(a, p.identity))
			slices.SortFunc(p.handsets, func(a, b *handset) int { return compare(a.at, b.at) })
			return
		}
	}
}

// register puts a new device in the place of an old one: mostly with the same
// identity key.
func (w *world) register() {
	p := w.person()
	at := w.r.IntN(len(p.handsets))
	h := p.handsets[at]
	w.leavesUse(h)
	identity := p.identity
	if w.chance(4) {
		identity = nil
	}
	p.handsets[at] = w.install(h.at, identity)
}

// clock moves it, mostly by hours.
func (w *world) clock() {
	const hour = time.Hour
	switch n := w.r.IntN(40); {
	case n == 0:
		w.now = w.now.Add(31 * 24 * hour)
	case n < 4:
		w.now = w.now.Add(8 * 24 * hour)
	case n < 7:
		w.now = w.now.Add(-hour)
	default:
		w.now = w.now.Add(time.Duration(w.r.IntN(12*3600)) * time.Second)
	}
}

// reopen opens a device from its store again.
func (w *world) reopen() {
	h := w.handset()
	d, err := session.Open(background, h.store, h.at, w.options(h))
	require.NoError(w.t, err)
	require.Equal(w.t, h.RegistrationID(), d.RegistrationID())
	h.Device = d
}

// upkeep does what is due, and uploads what there is.
func (w *world) upkeep(h *handset) {
	due, err := h.Due(background)
	require.NoError(w.t, err)
	p, err := h.Upkeep(background)
	require.NoError(w.t, err)
	var want []owed
	if due.TopUp {
		want = append(want, owed{kind: session.PreKeysLow})
	}
	w.owes(h, want)
	if p == nil || h.gone {
		return
	}
	require.NoError(w.t, p.Verify())
	if w.chance(20) && !w.honest {
		w.count["lie: upload lost"]++
		return
	}
	w.server.entries[h.at].upload(p)
	require.NoError(w.t, h.MarkPublished(background, p))
}

// An owed event is one that must come.
type owed struct {
	kind session.EventKind
	at   session.Address
}

// owes requires that just these events are new, and that those before them are
// still there unless they are older than a week.
func (w *world) owes(h *handset, want []owed) {
	w.t.Helper()
	var got []owed
	found := map[session.EventID]bool{}
	for e, err := range h.Events(background) {
		require.NoError(w.t, err)
		require.False(w.t, found[e.ID])
		found[e.ID] = true
		if old, known := h.events[e.ID]; known {
			require.Equal(w.t, old, e)
			continue
		}
		h.events[e.ID] = e
		got = append(got, owed{e.Kind, e.Address})
		w.count["event: "+eventNames[e.Kind]]++
	}
	require.ElementsMatch(w.t, want, got, "events")
	for _, id := range slices.Collect(maps.Keys(h.events)) {
		if !found[id] {
			require.Greater(w.t, w.now.Sub(h.events[id].At), week, "an event is lost")
			delete(h.events, id)
		}
	}
}

var eventNames = map[session.EventKind]string{
	session.IdentityChanged: "identity changed", session.SessionRenewed: "session renewed", session.PreKeysLow: "prekeys low",
	session.DeviceAdded: "device added", session.DeviceRemoved: "device removed",
}

// acknowledgeEvents acknowledges some events.
func (w *world) acknowledgeEvents(h *handset) {
	w.owes(h, nil)
	var told []session.Event
	for _, e := range h.events {
		told = append(told, e)
	}
	slices.SortFunc(told, func(a, b session.Event) int { return strings.Compare(string(a.ID[:]), string(b.ID[:])) })
	told = told[:len(told)-len(told)/3]
	require.NoError(w.t, h.AcknowledgeEvents(background, told...))
	for _, e := range told {
		delete(h.events, e.ID)
	}
	w.owes(h, nil)
}

var longHex = regexp.MustCompile(`[0-9a-fA-F]{16}`)

// quiet requires that the text of an error has no address and no key in it.
func (w *world) quiet(err error) {
	w.t.Helper()
	text := err.Error()
	require.NotRegexp(w.t, longHex, text)
	for _, user := range w.names {
		require.NotContains(w.t, text, user)
	}
}

// under is a context that ends when a call of the Directory hangs.
func (h *handset) under(l lie) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(background)
	h.line.lie, h.line.hung = l, cancel
	return ctx, cancel
}
