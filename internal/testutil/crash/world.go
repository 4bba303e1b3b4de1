package crash

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

const (
	// lifetime is how long a world lasts, by its clock: shorter than anything
	// is kept that the oracles do not see go.
	lifetime = 20 * 24 * time.Hour
	markTime = 7 * 24 * time.Hour // for which acknowledged messages are known
)

// A world is a Device, in a process that may end at any time, and all that it
// has to do with, which stays.
type world struct {
	t      testing.TB
	r      *rand.Rand
	exec   executor
	mirror *mirror
	start  time.Time
	now    time.Time // what all clocks show
	pace   time.Duration
	count  map[string]int

	created  bool
	marked   bool   // CheckGeneration found it rolled back
	identity []byte // the Device's; nil before it is known
	dead     bool   // the process has ended
	doubt    bool   // an operation failed
	greet    bool   // the conversation is to go on
	peers    []*peer

	waiting     []*letter // on the way to the Device
	unconfirmed []*letter // delivered, and the relay does not know what came of it
	staged      map[session.MessageID]*letter
	pending     []*letter // saved by the app, to be acknowledged
	parcels     []*parcel // on the way from the Device
	used        map[string]bool
	letters     int

	directory *Directory
	unmarked  []byte // publication that was uploaded, and not marked
	unseen    bool   // prekeys were made that nobody was told of
	looked    []keystore.Record
	events    map[session.EventID]event
	fresh     []time.Time // when events were made that nobody has seen yet
	perhaps   int         // events that may have been
	late      []*letter   // acknowledged when past their time
	updates   uint64

	blocked map[string]bool // users
	known   map[string]bool // users whose devices the Device knows
	sending *sending        // the newest, while the process runs that made it
	sends   int             // copies that were made, at most
	stamps  map[int64]bool  // times of Sendings
	copied  []*parcel       // of Sendings
	song    uint64          // the newest count of a message to all alike
}

// A peer is another device, of which nothing is ever lost.
type peer struct {
	*session.Device
	a    session.Address
	mine *Oracle // the Device's, of this one
	its  *Oracle // this one's, of the Device
	// fresh says that it was installed anew, with another identity key, which
	// is not accepted; seen, that the Device knows.
	fresh, seen bool
	old         []byte // identity key, before it was installed anew
	verified    bool
	gone        bool               // the Device knows that it is none of its user's
	reset       time.Time          // when a request renewed the session; zero: never
	given       map[string]*answer // to requests, by nameOf
}

var peerAddresses = []session.Address{
	{User: "0b7d7f0c-53a4-4d7e-8f67-2f5a7c1d9e10", Device: 1},
	{User: "0b7d7f0c-53a4-4d7e-8f67-2f5a7c1d9e10", Device: 2},
	{User: "carol", Device: 3},
}

func newWorld(t testing.TB, exec executor, r *rand.Rand) *world {
	t.Helper()
	w := &world{
		t: t, r: r, exec: exec, start: time.UnixMilli(1_700_000_000_000).UTC(), pace: 10 * time.Minute, count: map[string]int{}, dead: true,
		staged: map[session.MessageID]*letter{}, used: map[string]bool{}, directory: NewDirectory(), events: map[session.EventID]event{},
		blocked: map[string]bool{}, known: map[string]bool{}, stamps: map[int64]bool{},
	}
	w.now = w.start
	exec.look(t, func(s keystore.Store) {
		newest, records := everything(t, s)
		require.Empty(t, records, "the store is not empty")
		w.mirror = newMirror(t, newest)
	})
	for _, a := range peerAddresses {
		p := &peer{a: a, mine: NewOracle(), given: map[string]*answer{}}
		w.installs(p)
		w.peers = append(w.peers, p)
	}
	return w
}

// installs makes a new device of a peer.
func (w *world) installs(p *peer) {
	d, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: p.a, RegistrationID: 1000 + p.a.Device}, &session.Options{Now: func() time.Time { return w.now }})
	require.NoError(w.t, err)
	p.Device, p.its = d, NewOracle()
}

// old reports whether the world is at its end.
func (w *world) old() bool { return w.now.Sub(w.start) > lifetime }

// chance is true once in n times, about.
func (w *world) chance(n int) bool { return w.r.IntN(n) == 0 }

// some is a time shorter than d, in whole milliseconds, as records have it.
func (w *world) some(d time.Duration) time.Duration {
	return time.Duration(w.r.Int64N(d.Milliseconds())) * time.Millisecond
}

func (w *world) peer() *peer { return w.peers[w.r.IntN(len(w.peers))] }

// do has the Device carry out a command. No reply says that the process ended
// before it gave one, or that the store failed; made is how many Commits were
// made all the same, or together with the reply.
func (w *world) do(c command) (r *reply, made int) {
	w.t.Helper()
	w.settles()
	w.ready()
	return w.doOnce(c)
}

// settles holds the prekeys that were found against those that there must be,
// once it is known what became of the operation before that.
func (w *world) settles() {
	w.t.Helper()
	if w.looked != nil {
		w.directory.Check(w.t, w.looked, w.unseen)
		w.looked = nil
	}
}

// ready has a process run.
func (w *world) ready() {
	w.t.Helper()
	for w.dead || w.doubt {
		w.starts()
	}
}

func (w *world) doOnce(c command) (r *reply, made int) {
	w.t.Helper()
	c.Now = w.now
	r, err := w.exec.do(&c, w.mirror.hears)
	switch {
	case errors.Is(err, errKilled):
		w.ended()
		return nil, w.mirror.take()
	case err != nil:
		w.t.Fatal(err)
	}
	if r.Err == failed || r.Err == "unknown" {
		if !w.exec.breaks() {
			w.t.Fatalf("%s: %s", c.Op, r.Detail)
		}
		w.count["failed"]++
		w.doubt = true
		w.look()
		return nil, w.mirror.take()
	}
	if !w.mirror.sure() {
		w.look()
	}
	w.count[c.Op]++
	return r, w.mirror.take()
}

// ended notes that the process was killed, and looks at what it left.
func (w *world) ended() {
	w.dead, w.sending = true, nil
	w.mirror.ends()
	w.look()
}

// look holds the store against what it must hold.
func (w *world) look() {
	w.t.Helper()
	w.exec.look(w.t, func(s keystore.Store) {
		newest, records := everything(w.t, s)
		w.mirror.finds(newest, records)
		w.looked = records
	})
}

// starts starts the next process, if there is none. The app saves what is not
// acknowledged, and has the relay send what that knows nothing of.
func (w *world) starts() {
	w.settles()
	if w.dead {
		w.dead, w.doubt = false, false
		if err := w.exec.start(); errors.Is(err, errKilled) {
			w.ended()
			return
		} else if err != nil {
			w.t.Fatal(err)
		}
		if !w.opens() {
			return
		}
	}
	w.doubt = false
	w.pending = nil
	w.waiting, w.unconfirmed = append(w.waiting, w.unconfirmed...), nil
	if !w.created || w.marked && !w.takesUp() {
		return
	}
	if w.greet = w.unacknowledged(); w.greet {
		w.listEvents()
	}
}

// opens opens the Device, or finds none where none was made.
func (w *world) opens() bool {
	r, _ := w.doOnce(command{Op: "open"})
	switch {
	case r == nil:
		return false
	case !w.created:
		require.Equal(w.t, "none", r.Err)
	default:
		w.is(r)
	}
	return true
}

// is requires that the Device is who it was.
func (w *world) is(r *reply) {
	w.t.Helper()
	require.Empty(w.t, r.Err)
	if w.identity != nil {
		require.Equal(w.t, w.identity, r.Identity)
	}
	w.identity = r.Identity
}

func (w *world) create() {
	r, made := w.do(command{Op: "create"})
	if w.created = made > 0; r != nil {
		require.True(w.t, w.created)
		w.is(r)
	}
}

// A step is what may happen, and the operation of the Device in it.
type step struct {
	op     string
	weight int
	do     func(*world)
}

var steps = []step{
	{"decrypt", 30, (*world).deliver}, {"encrypt", 18, func(w *world) { w.send(w.peer()) }}, {"update", 5, (*world).update},
	{"acknowledge", 9, (*world).acknowledge}, {"unacknowledged", 1, func(w *world) { w.unacknowledged() }},
	{"begin", 2, func(w *world) { w.begin(w.peer()) }}, {"archive", 1, (*world).archive}, {"move", 1, (*world).move}, {"accept", 1, (*world).accept}, {"identity", 1, (*world).knows},
	{"check", 1, (*world).check}, {"restore", 0, (*world).check},
	{"publish", 1, (*world).publish}, {"upkeep", 3, (*world).upkeep}, {"mark published", 3, (*world).markPublished},
	{"bundle", 1, func(w *world) { w.bundle() }}, {"events", 1, (*world).listEvents}, {"acknowledge events", 1, (*world).acknowledgeEvents},
	{"", 24, func(w *world) { w.writes(w.peer()) }}, {"", 16, (*world).arrive}, {"", 2, func(w *world) { w.begins(w.peer()) }},
	{"send", 8, (*world).sendMany}, {"reconcile", 2, (*world).reconcile}, {"taken", 1, (*world).taken}, {"refresh", 1, (*world).refresh},
	{"resend", 4, (*world).resend}, {"request", 1, (*world).request}, {"block", 1, (*world).block}, {"verify", 1, (*world).verify},
	{"rename", 1, (*world).rename}, {"forget", 1, (*world).forget}, {"sing", 2, (*world).sing},
	{"", 1, (*world).reinstall}, {"", 1, (*world).restart},
}

// step does one thing: what is to be killed next, if there is such, half of the
// time.
func (w *world) step() {
	w.now = w.now.Add(w.some(2 * w.pace))
	w.count["step"]++
	w.ready()
	switch want := w.exec.wants(); {
	case !w.created:
		w.create()
	case w.greet:
		w.greet = false
		w.converse(w.peer())
	case want != "" && w.chance(2):
		i := slices.IndexFunc(steps, func(s step) bool { return s.op == want })
		steps[i].do(w)
	default:
		w.pick().do(w)
	}
}

func (w *world) pick() *step {
	total := 0
	for i := range steps {
		total += steps[i].weight
	}
	n := w.r.IntN(total)
	for i := range steps {
		if n -= steps[i].weight; n < 0 {
			return &steps[i]
		}
	}
	return nil
}

// restart ends the process in peace.
func (w *world) restart() {
	if w.dead {
		return
	}
	if err := w.exec.stop(); err != nil {
		w.t.Fatal(err)
	}
	w.dead, w.sending = true, nil
	w.look()
}

// publish has the Device make prekeys, and the app upload them.
func (w *world) publish() { w.publishes("publish") }

// upkeep has it do its upkeep, which may report that prekeys are low.
func (w *world) upkeep() { w.publishes("upkeep") }

func (w *world) publishes(op string) {
	r, made := w.do(command{Op: op})
	if r == nil {
		w.unseen = w.unseen || made > 0
		w.perhaps += made
		return
	}
	require.Empty(w.t, r.Err)
	switch {
	case r.Due && len(w.directory.made) > 0:
		w.fresh = append(w.fresh, w.now)
	case r.Due && w.unseen: // else there never were any, which is no event
		w.perhaps++
	}
	if len(r.Bytes) == 0 {
		return
	}
	p, err := x3dh.ParsePublication(r.Bytes)
	require.NoError(w.t, err)
	w.directory.Published(w.t, p)
	w.directory.Uploads(p)
	w.unmarked = r.Bytes
}

func (w *world) markPublished() {
	if w.unmarked == nil {
		w.publish()
	}
	if w.unmarked == nil {
		return
	}
	if r, _ := w.do(command{Op: "mark published", Bytes: w.unmarked}); r != nil {
		require.Empty(w.t, r.Err)
		w.unmarked = nil
	}
}

// bundle is one of the Device's, made for it or from the directory; nil when
// its process ended.
func (w *world) bundle() *x3dh.Bundle {
	if w.directory.Has == nil {
		w.publish()
		if w.directory.Has == nil {
			return nil
		}
	}
	if !w.chance(3) {
		return w.directory.Has.Take()
	}
	r, made := w.do(command{Op: "bundle"})
	if r == nil {
		w.unseen = w.unseen || made > 0
		return nil
	}
	require.Empty(w.t, r.Err)
	b, err := x3dh.ParseBundle(r.Bytes)
	require.NoError(w.t, err)
	w.directory.Bundled(w.t, b)
	return b
}

// listEvents requires that all events are there that nobody acknowledged and
// that are not past their time, and no others.
func (w *world) listEvents() {
	r, _ := w.do(command{Op: "events"})
	if r == nil {
		return
	}
	require.Empty(w.t, r.Err)
	records, seen, fresh := w.mirror.names("event"), map[session.EventID]event{}, 0
	for _, e := range r.Events {
		require.True(w.t, records[hexName(e.ID[:])] || w.mirror.blind)
		if old, known := w.events[e.ID]; known {
			require.Equal(w.t, old, e)
		} else if !w.outlives(&e) {
			fresh++
		}
		seen[e.ID] = e
	}
	require.LessOrEqual(w.t, fresh, len(w.fresh)+w.perhaps, "events from nowhere")
	w.fresh = slices.DeleteFunc(w.fresh, func(at time.Time) bool { return w.now.Sub(at) >= markTime })
	require.GreaterOrEqual(w.t, fresh, len(w.fresh), "events are lost")
	for id, e := range w.events {
		_, ok := seen[id]
		require.True(w.t, ok || w.now.Sub(e.At) >= markTime, "an event is lost")
	}
	w.events, w.fresh, w.perhaps = seen, nil, 0
}

// outlives reports whether an event is one of a message's that was past its time
// before it was acknowledged. No other is of those kinds.
func (w *world) outlives(e *event) bool {
	if e.Kind != session.IdentityChanged && e.Kind != session.SessionRenewed {
		return false
	}
	of := func(one event) bool { return one.Kind == e.Kind }
	for _, l := range slices.AppendSeq(slices.Clone(w.late), maps.Values(w.staged)) {
		if w.expired(l) && l.p.a == e.Address && !l.outlived[e.Kind] && (!l.whole || slices.ContainsFunc(l.first.Events, of)) {
			l.outlived[e.Kind] = true
			return true
		}
	}
	return false
}

func (w *world) acknowledgeEvents() {
	c := command{Op: "acknowledge events"}
	for _, e := range w.events { // any half of them
		if 2*len(c.Events) <= len(w.events) {
			c.Events = append(c.Events, e)
		}
	}
	r, made := w.do(c)
	if r != nil {
		require.Empty(w.t, r.Err)
	}
	if r != nil || made > 0 {
		for _, e := range c.Events {
			delete(w.events, e.ID)
		}
	}
}
