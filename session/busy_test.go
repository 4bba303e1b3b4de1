package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

const (
	busySessions = 16
	busyWorkers  = 2 // goroutines at each end of a session
	// busyOpen is how many messages there are from the oldest that is not read
	// on, at most. One that overtook two while it was encrypted, and is overtaken
	// by two while it is not read, is four receiver chains back, which are held.
	busyOpen = 3
)

// TestSTO_06_ConcurrentUse has 64 goroutines at work on 16 sessions, with each
// device open once, and twice, as if in two processes: whatever they do, each
// session behaves as if they had come one after the other.
func TestSTO_06_ConcurrentUse(t *testing.T) {
	for _, devices := range []int{1, 2} {
		t.Run(fmt.Sprint("devices ", devices), func(t *testing.T) { busy(t, keystore.NewMemory(), devices) })
	}
}

// The same over a store that now and then cannot say whether it did what it was
// asked: counters may be passed over, and a message may come again to one who
// never got it, or for the first time to two who ask at once.
func TestSTO_06_ConcurrentUseUnknown(t *testing.T) {
	for _, devices := range []int{1, 2} {
		t.Run(fmt.Sprint("devices ", devices), func(t *testing.T) { busy(t, &vague{Store: keystore.NewMemory()}, devices) })
	}
}

// A vague store answers ErrCommitUnknown to one Commit in ten, of which it made
// half.
type vague struct {
	keystore.Store
	clear atomic.Bool // not yet
}

func (v *vague) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	fate := 2
	if !v.clear.Load() {
		fate = rand.IntN(20)
	}
	if fate == 0 {
		return 0, keystore.ErrCommitUnknown
	}
	version, err := v.Store.Commit(ctx, changes...)
	if fate == 1 && err == nil {
		return 0, keystore.ErrCommitUnknown
	}
	return version, err
}

// A town is a hub and its peers, all in one store.
type town struct {
	t      *testing.T
	clock  moments
	each   int // messages that an end sends
	ways   [busySessions][2]*way
	vague  bool         // the store is
	lost   atomic.Int64 // operations that lost too many races, or had no answer
	failed atomic.Bool
}

// A way is that of messages from one end of a session to the other.
type way struct {
	hub      bool // they are the hub's
	from, to []*session.Device
	mu       sync.Mutex
	mail     []*posted // in the order that their senders began
	taken    int       // by a first reader
	chains   []call[counter]
}

// A posted is a message on its way; m is nil until it is encrypted.
type posted struct {
	text string
	m    *session.Message
	r    *session.Received
	over bool // read, or never sent
	did  []call[string]
}

// A counter is that of a ciphertext in a sending chain.
type counter struct {
	chain string
	n     uint32
}

// delivery is the life of a message at its reader: not read, staged,
// acknowledged.
func delivery(state int, did string) (int, bool) {
	switch did {
	case "read":
		return 1, state == 0
	case "again":
		return 1, state == 1
	case "acknowledged":
		return 2, state > 0
	}
	return state, state == 2 // a duplicate
}

// count is a counter that gives out 0, 1, 2, and so on.
func count(next, got uint32) (uint32, bool) { return next + 1, got == next }

// sending is the order of all that one end sends on one session that nobody
// renews: a chain that was left does not come back.
func sending(last, got counter) (counter, bool) {
	return got, got.chain == last.chain && got.n == last.n+1 || got.chain != last.chain && got.n == 0
}

func busy(t *testing.T, store keystore.Store, devices int) {
	v, isVague := store.(*vague)
	if !isVague {
		v = &vague{}
	}
	v.clear.Store(true)
	w := &town{t: t, each: 60, vague: isVague}
	if testing.Short() {
		w.each = 20
	}
	open := func(user string) (out []*session.Device) {
		a := session.Address{User: user, Device: 1}
		d, err := session.Create(ctx, store, session.Account{Address: a}, nil)
		for len(out) < devices {
			require.NoError(t, err)
			out = append(out, d)
			d, err = session.Open(ctx, store, a, nil)
		}
		return out
	}
	hub := open("hub")
	for i := range w.ways {
		peer := open(fmt.Sprint("peer ", i))
		w.ways[i] = [2]*way{{hub: true, from: hub, to: peer}, {from: peer, to: hub}}
		begin(t, hub[0], peer[0])
		w.send(hub[0], w.ways[i][0])
	}
	v.clear.Store(false)
	var all sync.WaitGroup
	for i := range w.ways {
		for end := range 2 {
			for n := range busyWorkers {
				all.Go(func() { w.work(i, end, rand.New(rand.NewPCG(uint64(i), uint64(2*n+end)))) })
			}
		}
	}
	all.Wait()
	require.False(t, t.Failed())
	for i := range w.ways { // what was sent to those who had stopped
		for _, y := range w.ways[i] {
			for p := y.next(); p != nil; p = y.next() {
				w.read(y.to[0], y, p)
			}
		}
	}
	w.judge()
	if devices == 1 && !w.vague {
		require.Zero(t, w.lost.Load())
	}
	t.Logf("%d moments, %d operations once more", w.clock.last.Load(), w.lost.Load())
}

// renews tells whether session i is begun anew now and then.
func renews(i int) bool { return i%4 == 3 }

// work does what falls to one goroutine at an end of session i.
func (w *town) work(i, end int, rng *rand.Rand) {
	out, in := w.ways[i][end], w.ways[i][1-end]
	for !w.failed.Load() && !(out.full(w.each) && in.settled(w.each)) {
		at := out.from[rng.IntN(len(out.from))]
		switch n := rng.IntN(100); {
		case n < 40:
			w.send(at, out)
		case n < 50 && out.hub:
			w.sendTwo(at, out, w.ways[i^1][0])
		case n < 80:
			w.read(at, in, in.next())
		case n < 88:
			w.read(at, in, in.any(rng))
		case n < 98:
			w.acknowledge(at, in, in.any(rng))
		case n < 99 && out.hub && renews(i):
			w.renew(at, out.to[0], rng.IntN(2) == 0)
		case n < 100 && rng.IntN(4) == 0:
			when := w.persist(func() error { _, err := at.Upkeep(ctx); return err })
			w.check(when.did)
		}
		runtime.Gosched()
	}
}

// check reports what nobody expects, and has all stop.
func (w *town) check(err error) {
	if err != nil {
		w.failed.Store(true)
		w.t.Error(err)
	}
}

// persist does something until others are not in the way, and tells when.
func (w *town) persist(f func() error) (at call[error]) {
	at.from = w.clock.now()
	err := f()
	for again := 0; (conflict(err) || w.vague && errors.Is(err, keystore.ErrCommitUnknown)) && again < 1000; again++ {
		w.lost.Add(1)
		err = f()
	}
	return call[error]{at.from, w.clock.now(), err}
}

func conflict(err error) bool {
	_, ok := errors.AsType[*keystore.ConflictError](err)
	return ok
}

// full tells whether all is sent.
func (y *way) full(n int) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.mail) >= n
}

// settled tells whether all was sent, and read.
func (y *way) settled(n int) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.mail) >= n && y.oldest() == len(y.mail)
}

// oldest is the place of the oldest message that is on its way.
func (y *way) oldest() int {
	for i, p := range y.mail {
		if !p.over {
			return i
		}
	}
	return len(y.mail)
}

// reserve takes a place for a message; nil when those before it must be read
// first.
func (y *way) reserve() *posted {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.mail)-y.oldest() >= busyOpen {
		return nil
	}
	p := &posted{text: fmt.Sprint(len(y.mail))}
	y.mail = append(y.mail, p)
	return p
}

// post puts a message in its place.
func (w *town) post(y *way, p *posted, m *session.Message, at call[error]) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if at.did != nil {
		p.over = true
		if !errors.Is(at.did, session.ErrNoSession) {
			w.check(at.did)
		}
		return
	}
	in := inner(w.t, m)
	y.chains = append(y.chains, call[counter]{at.from, at.to, counter{string(in.RatchetKey), in.Counter}})
	p.m = m
}

func (w *town) send(at *session.Device, y *way) {
	p := y.reserve()
	if p == nil {
		return
	}
	var m *session.Message
	when := w.persist(func() (err error) {
		m, err = at.Encrypt(ctx, y.to[0].Address(), []byte(p.text))
		return err
	})
	w.post(y, p, m, when)
}

// sendTwo sends on two sessions at once. Whoever works on the other one names
// the two the other way round.
func (w *town) sendTwo(at *session.Device, a, b *way) {
	p := a.reserve()
	if p == nil {
		return
	}
	q := b.reserve()
	if q == nil {
		w.post(a, p, nil, call[error]{did: session.ErrNoSession})
		return
	}
	var m, n *session.Message
	to, too := a.to[0].Address(), b.to[0].Address()
	when := w.persist(func() error {
		return at.Update(ctx, []session.Address{to, too}, func(tx *session.Tx) (err error) {
			if m, err = tx.Encrypt(to, []byte(p.text)); err == nil {
				n, err = tx.Encrypt(too, []byte(q.text))
			}
			return err
		})
	})
	w.post(a, p, m, when)
	w.post(b, q, n, when)
}

// next takes the message that nobody reads yet; nil when there is none.
func (y *way) next() *posted {
	y.mu.Lock()
	defer y.mu.Unlock()
	for y.taken < len(y.mail) {
		p := y.mail[y.taken]
		if p.m == nil && !p.over {
			return nil // is being encrypted
		}
		y.taken++
		if p.m != nil {
			return p
		}
	}
	return nil
}

// any returns one of the newest messages that somebody took.
func (y *way) any(rng *rand.Rand) *posted {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.taken == 0 {
		return nil
	}
	if p := y.mail[max(0, y.taken-1-rng.IntN(10))]; p.m != nil {
		return p
	}
	return nil
}

func (w *town) read(at *session.Device, y *way, p *posted) {
	if p == nil {
		return
	}
	var r *session.Received
	when := w.persist(func() (err error) {
		r, err = at.Decrypt(ctx, y.from[0].Address(), p.m, nil)
		return err
	})
	did := "duplicate"
	switch {
	case when.did == nil && r.Redelivered:
		did = "again"
	case when.did == nil:
		did = "read"
	case !errors.Is(when.did, session.ErrDuplicate):
		w.check(when.did)
	}
	if r != nil && string(r.Plaintext) != p.text {
		w.check(errors.New("another text"))
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	p.did = append(p.did, call[string]{when.from, when.to, did})
	p.over = true
	if r != nil {
		p.r = r
	}
}

func (w *town) acknowledge(at *session.Device, y *way, p *posted) {
	if p == nil {
		return
	}
	y.mu.Lock()
	r := p.r
	y.mu.Unlock()
	if r == nil {
		return
	}
	when := w.persist(func() error { return at.Acknowledge(ctx, r) })
	w.check(when.did)
	y.mu.Lock()
	defer y.mu.Unlock()
	p.did = append(p.did, call[string]{when.from, when.to, "acknowledged"})
}

// renew begins the session with a peer anew.
func (w *town) renew(at, peer *session.Device, archive bool) {
	if archive {
		when := w.persist(func() error { return at.Archive(ctx, peer.Address()) })
		if !errors.Is(when.did, session.ErrNoSession) {
			w.check(when.did)
		}
	}
	when := w.persist(func() error {
		b, err := peer.Bundle(ctx)
		if err == nil {
			err = at.Begin(ctx, peer.Address(), b)
		}
		return err
	})
	w.check(when.did)
}

// judge looks at all that was done.
func (w *town) judge() {
	used := map[counter]bool{}
	for i, ends := range w.ways {
		for _, y := range ends {
			y.judge(w, renews(i))
			for _, c := range y.chains {
				require.False(w.t, used[c.did], "counter %d of a chain twice", c.did.n)
				used[c.did] = true
			}
		}
	}
	require.Greater(w.t, len(used), busySessions*w.each) // some had no session to send on, or no room
}

func (y *way) judge(w *town, renewed bool) {
	counting, reading, following := count, delivery, sending
	if w.vague {
		counting = func(next, got uint32) (uint32, bool) { return got + 1, got >= next }
		reading = func(state int, did string) (int, bool) {
			if did == "read" || did == "again" { // two who get the first result look alike
				return 1, state < 2
			}
			return delivery(state, did)
		}
		following = func(last, got counter) (counter, bool) { return got, got.chain != last.chain || got.n > last.n }
	}
	chains := map[string][]call[uint32]{}
	for _, c := range y.chains {
		chains[c.did.chain] = append(chains[c.did.chain], call[uint32]{c.from, c.to, c.did.n})
	}
	for _, calls := range chains {
		require.True(w.t, linearizable(0, calls, counting), "the counters of a chain: %v", calls)
	}
	for _, p := range y.mail {
		if p.m == nil {
			continue
		}
		reads := slices.DeleteFunc(slices.Clone(p.did), func(c call[string]) bool { return c.did != "read" })
		require.True(w.t, len(reads) == 1 || w.vague, "%v", p.did)
		require.True(w.t, linearizable(0, p.did, reading), "what became of a message: %v", p.did)
	}
	if !renewed {
		var start counter
		require.True(w.t, linearizable(start, y.chains, following), "the order of what was sent")
	}
}
