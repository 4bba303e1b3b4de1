package session

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// maxAttempts bounds how often a mailing begins again, because the Directory
	// had to be asked or the devices were not those remembered. The last attempt
	// makes do with what is there.
	maxAttempts = 6
	// maxWorkers is how many cores a mailing takes at most.
	maxWorkers = 16
	// perWorker is how many devices make a goroutine worth its while.
	perWorker = 4
)

// errAgain says that an attempt found out what is wanting, and did nothing.
var errAgain = errors.New("session: internal error: mailing not finished")

// A mailing is one message on its way to many devices: what Send and Reconcile
// have in common. Each attempt is one operation on records; what it finds wanting
// of the Directory is asked for between two of them, outside of all locks.
type mailing struct {
	wire.Secret

	d       *Device
	s       *Sending
	users   []string             // whose records it is about, in order
	named   []Address            // the devices that it is about, in order; nil: those users have
	address func(*mailing) error // finds the parcels
	settle  func(*mailing) []Result
	give    func(*Tx) // gives out the results

	begins bool // the message is new: there is no copy of it yet

	inquiry inquiry
	claimed *Claim // what the message says of hosting; nil is nothing

	lists    map[string]listing // what the Directory said
	relisted map[string]bool    // of whom it was asked although there was a list
	offers   map[Address]offer
	last     bool // the last attempt
	locked   []Address
	made     map[Address]*parcel // sealed in an attempt that lost
	madeOf   []byte              // of what, before padding
	copied   []byte              // the record "sent" as that attempt would have had it
	unsure   bool                // and may have

	// Of one attempt:
	t       *Tx
	rosters []*roster
	parcels []*parcel // in order
	failed  []Result  // of users as a whole
	unknown []string  // users whose list is wanting
	results []Result  // in order
	// envelope is what SendOptions.Seal made for all devices at once.
	envelope []byte
}

// run makes attempts until one went through.
func (m *mailing) run(ctx context.Context) error {
	m.lists, m.offers, m.inquiry.d = make(map[string]listing), make(map[Address]offer), m.d
	for again := 1; ; again++ {
		m.last = again >= maxAttempts
		err := m.attempt(ctx)
		switch {
		case err == nil:
			m.remember()
			return nil
		case !errors.Is(err, errAgain):
			return err
		}
		if err := m.ask(ctx); err != nil {
			return err
		}
	}
}

// attempt does it all with what is known, or returns errAgain.
func (m *mailing) attempt(ctx context.Context) error {
	m.locked = m.expected()
	unlock, err := m.d.lockAll(ctx, m.locked)
	if err != nil {
		return err
	}
	defer unlock()
	return m.d.rerun(m.d.begin(ctx), m.try)
}

// expected are the devices that the message will go to, as far as is known, in
// order.
func (m *mailing) expected() (out []Address) {
	if m.named != nil {
		return m.named
	}
	for _, user := range m.users {
		ids, ok := m.d.recall(user)
		if !ok {
			for _, p := range m.lists[user].devices {
				ids = append(ids, p.ID)
			}
		}
		for _, id := range ids {
			if a := (Address{User: user, Device: id}); m.mayGet(a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// mayGet reports whether a device is not left out.
func (m *mailing) mayGet(a Address) bool {
	_, excluded := slices.BinarySearchFunc(m.s.exclude, a, Address.compare)
	return a != m.d.address && !excluded
}

// remember keeps the devices of the users for the next time.
func (m *mailing) remember() {
	known := make(map[string][]uint32, len(m.rosters))
	for _, r := range m.rosters {
		known[r.user] = r.ids()
	}
	m.d.hint(known)
}

// ask asks the Directory for what an attempt found wanting. The error is that
// of ctx, or of the store.
func (m *mailing) ask(ctx context.Context) error {
	lists, err := m.d.lists(ctx, m.unknown)
	if err != nil {
		return err
	}
	for user, l := range lists {
		m.lists[user] = l
	}
	var peers []Address
	for _, p := range m.parcels {
		if p.wanting {
			peers = append(peers, p.to)
		}
	}
	offers, err := m.d.offers(ctx, peers)
	for peer, o := range offers {
		m.offers[peer] = o
	}
	if err != nil {
		return err
	}
	return m.inquiry.run(ctx, peers, offers)
}

// try is one attempt on one Tx.
func (m *mailing) try(t *Tx) error {
	m.t, m.rosters, m.parcels, m.failed, m.unknown, m.envelope = t, nil, nil, nil, nil, nil
	m.unsure = m.unsure || t.unsure
	for _, step := range []func() error{m.load, m.find, m.claim, m.open, m.permit, m.seal, m.share, m.post} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// load loads all that is expected to be needed.
func (m *mailing) load() error {
	d := m.d
	keys := append(d.peerKeys(m.users), d.sentKey(m.s.sentAt))
	keys = slices.Grow(keys, 2*len(m.locked))
	keys = d.withGateKeys(keys, m.users)
	for _, a := range m.locked {
		keys = append(keys, d.sessionKey(a), d.identityKey(a))
	}
	for _, k := range m.s.beside {
		keys = append(keys, m.t.own(k))
	}
	return m.t.load(keys...)
}

// find finds the parcels, and loads what is needed for them and was not
// expected; where locks count, it begins again with the right ones.
func (m *mailing) find() error {
	if err := m.address(m); err != nil {
		return err
	}
	var missing []keystore.Key
	for _, p := range m.parcels {
		p.sentAt = m.s.sentAt
		if k := m.d.sessionKey(p.to); m.t.find(k) == nil {
			missing = append(missing, k, m.d.identityKey(p.to))
		}
	}
	if err := m.wonder(); err != nil {
		return err
	}
	if len(m.unknown) > 0 || len(m.inquiry.wanted) > 0 || len(missing) > 0 && !m.last && !joined(m.t.ctx) {
		m.remember()
		return errAgain
	}
	return m.t.load(missing...)
}

// wonder asks the gate whose manifest it wants to see first, of those who are to
// get the message.
func (m *mailing) wonder() error {
	for _, user := range m.unknown {
		if err := m.inquiry.judge(m.t, user); err != nil {
			return err
		}
	}
	for _, p := range m.parcels {
		if p.err != nil {
			continue
		}
		if err := m.inquiry.judge(m.t, p.to.User); err != nil {
			return err
		}
	}
	return nil
}

// claim has the gate say what the message says of hosting. One that went to
// somebody says what it said.
func (m *mailing) claim() (err error) {
	if !m.begins || !m.d.claims() {
		return nil
	}
	c, err := m.t.claim(m.s.to)
	if err != nil {
		return err
	}
	m.claimed = new(*c) // the gate is asked for more
	return m.write(&m.s.content)
}

// write sets what is encrypted of a content.
func (m *mailing) write(c *Content) (err error) {
	s := m.s
	if s.plain, err = m.d.plaintext(c, s.sentAt); err != nil || m.claimed == nil {
		return err
	}
	content, err := wire.ParseContent(s.plain)
	if err != nil {
		return err
	}
	if s.plain, err = m.d.claiming(nil, content, m.claimed, s.to); err != nil {
		return err
	}
	return s.tooLarge(m.d)
}

// open opens all parcels and, where there is no gate to be asked before, seals
// them at once: while a device's records are at hand, and only its own session is
// taken apart.
func (m *mailing) open() error {
	plaintexts, err := m.plaintexts()
	if err != nil {
		return err
	}
	m.resume()
	spread(len(m.parcels), func(i int, room *[]byte) {
		p := m.parcels[i]
		if p.message != nil || p.err != nil {
			return
		}
		if p.shared {
			p.look(m)
			return
		}
		p.open(m)
		if !m.waits() {
			p.seal(plaintexts[p.own(m.d)], room)
		}
	})
	return nil
}

// waits reports whether nothing is sealed before all letters are open.
func (m *mailing) waits() bool { return m.d.opts.Gate != nil || m.s.compose != nil }

// resume takes over what was sealed in an attempt that lost.
func (m *mailing) resume() {
	if len(m.made) == 0 || m.s.compose != nil || !bytes.Equal(m.madeOf, m.s.plain) {
		return
	}
	for i, p := range m.parcels {
		if before := m.made[p.to]; before != nil && before.stands(p, m.t) {
			m.parcels[i] = before
		}
	}
}

// permit asks the gate about each parcel, before any is sealed.
func (m *mailing) permit() error {
	if m.d.opts.Gate == nil {
		return nil
	}
	var refusals []error
	for _, p := range m.parcels {
		if p.err == nil && !p.wanting {
			err := m.inquiry.permit(m.t, p.to, p.letter.remote)
			if errors.Is(err, ErrNoDevice) {
				m.relist(p.to.User)
			}
			refusals = append(refusals, err)
		}
	}
	if len(m.unknown) > 0 {
		return errAgain
	}
	return errors.Join(refusals...)
}

// relist has the Directory be asked, once, for the devices of a user of whom the
// gate says that one is none of his: the list may be an old one.
func (m *mailing) relist(user string) {
	if _, asked := m.lists[user]; asked || !m.begins || m.last || m.d.opts.Directory == nil || slices.Contains(m.unknown, user) {
		return
	}
	if m.unknown = append(m.unknown, user); m.relisted == nil {
		m.relisted = make(map[string]bool)
	}
	m.relisted[user] = true
}

// seal seals all parcels that the gate was asked about, or begins again with
// the bundles that are wanting.
func (m *mailing) seal() error {
	wanting := slices.ContainsFunc(m.parcels, func(p *parcel) bool { return p.wanting })
	if m.waits() && !wanting {
		if err := m.compose(); err != nil {
			return err
		}
		plaintexts, err := m.plaintexts()
		if err != nil {
			return err
		}
		spread(len(m.parcels), func(i int, room *[]byte) {
			p := m.parcels[i]
			p.seal(plaintexts[p.own(m.d)], room)
		})
	}
	m.made, m.madeOf = make(map[Address]*parcel, len(m.parcels)), m.s.plain
	for _, p := range m.parcels {
		if p.message != nil {
			m.made[p.to] = p
		}
	}
	if wanting {
		return errAgain
	}
	return nil
}

// post puts what became of the records.
func (m *mailing) post() error {
	for _, p := range m.parcels {
		if p.message == nil || p.shared { // what that relied on is to be so
			m.t.check(m.d.sessionKey(p.to))
			m.t.check(m.d.identityKey(p.to))
			continue
		}
		if err := p.post(m.t); err != nil {
			return err
		}
	}
	for _, r := range m.rosters {
		r.write()
	}
	m.results = m.settle(m)
	m.copy()
	if err := m.wrap(); err != nil {
		return err
	}
	m.give(m.t)
	return nil
}

// spread calls f with 0 to n−1, on several cores if there is enough to do, one
// call after the other with the same room. It returns when all calls have; a
// panic of one is the caller's.
func spread(n int, f func(i int, room *[]byte)) {
	var next atomic.Int64
	work := func() {
		var room []byte
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i, &room)
		}
	}
	var all sync.WaitGroup
	var bug atomic.Pointer[any]
	for range min(runtime.GOMAXPROCS(0), maxWorkers, n/perWorker) - 1 {
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					bug.Store(&p)
				}
			}()
			erasing(work)
		})
	}
	func() {
		defer all.Wait()
		work()
	}()
	if p := bug.Load(); p != nil {
		panic(*p)
	}
}
