package market

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// background is that of all that is done.
var ctx = context.Background()

// club is the group of all.
const club = "club"

// customers are the others.
var customers = []string{"budi", "cici"}

// A world is one market.
type world struct {
	t     testing.TB
	rng   *rand.Rand
	now   time.Time
	count map[string]int
	shop  *shop
	all   []*device
	texts []*text
	said  map[string]*text
	at    map[keys.IdentityKey]hosting.Controller // who has which key of the business

	puts, forks bool // stores are put back; the business contradicts itself
	honest      bool

	mu              sync.Mutex // of what the Directory looks at
	of              map[session.Address]*device
	alone, inBundle lie
	picked          int
	told            []string // the last things that were done
}

// A text is what somebody said, and who is to read it.
type text struct {
	body string
	to   map[*device]bool
}

// A letter is a message on its way.
type letter struct {
	from   *device
	m      *session.Message
	sentAt time.Time
	said   *text
}

// A device is one, its app, and what is under way to it.
type device struct {
	*session.Device
	w        *world
	addr     session.Address
	identity *keys.IdentityKeyPair
	gate     *hosting.Gate
	groups   *group.Groups
	store    keystore.Store
	host     int // of the business
	letters  []letter
	requests []letter
	heard    map[string]bool

	shown  []*statement // in this operation
	lied   bool
	memory memory
	backup *backup
}

// A backup is the store of a device, and what was known of it then.
type backup struct {
	records []keystore.Record
	memory  memory
}

func newWorld(t testing.TB, seed uint64, count map[string]int) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1_700_000_000, 0), count: count, of: map[session.Address]*device{},
		said: map[string]*text{}, at: map[keys.IdentityKey]hosting.Controller{}, puts: seed%3 == 1, forks: seed%3 == 2}
	w.shop = &shop{w: w, key: keys.GenerateIdentityKeyPair(), hosts: newHosts(), all: map[[32]byte]*statement{}}
	for i, user := range customers {
		identity := keys.GenerateIdentityKeyPair()
		for n := range 2 - i {
			w.add(session.Address{User: user, Device: uint32(1 + n)}, identity)
		}
	}
	w.shop.open(session.Address{User: toko, Device: 1})
	for _, d := range w.of {
		require.NoError(t, d.groups.Set(ctx, club, append([]string{toko}, customers...), nil))
	}
	return w
}

func (w *world) note(format string, args ...any) {
	w.told = append(w.told[max(0, len(w.told)-60):], fmt.Sprintf(format, args...))
}

// story is what was done last.
func (w *world) story() string {
	if w == nil {
		return ""
	}
	return strings.Join(w.told, "\n")
}

// devices are those that there are, in order.
func (w *world) devices() (out []*device) {
	for _, d := range w.of {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *device) int {
		return cmp.Or(cmp.Compare(a.addr.User, b.addr.User), cmp.Compare(a.addr.Device, b.addr.Device))
	})
	return out
}

// buyers are those of customers.
func (w *world) buyers() []*device {
	return slices.DeleteFunc(w.devices(), func(d *device) bool { return d.addr.User == toko })
}

func (w *world) add(a session.Address, identity *keys.IdentityKeyPair) *device {
	d := &device{w: w, addr: a, identity: identity, store: keystore.NewMemory(), heard: map[string]bool{}, memory: newMemory()}
	d.gate = hosting.NewGate(a.User, &hosting.Options{AllowUnattested: a.User == toko})
	var err error
	d.Device, err = session.Create(ctx, d.store, session.Account{Address: a, Identity: identity, RegistrationID: uint32(1 + len(w.all))}, d.options())
	require.NoError(w.t, err)
	d.groups = group.New(d.Device, nil)
	w.of[a], w.all = d, append(w.all, d)
	return d
}

func (d *device) options() *session.Options {
	return &session.Options{Now: func() time.Time { return d.w.now }, Content: true, Directory: directory{d}, Gate: d.gate,
		PreKeys: session.PreKeyPolicy{OneTime: 4, Low: 2}, RetryFor: 10 * 365 * day}
}

// step does one thing.
func (w *world) step() {
	w.now = w.now.Add(time.Second) // that no SentAt comes again where a store is put back
	w.alone, w.inBundle, w.picked = none, none, w.rng.Int()
	if !w.honest && w.rng.IntN(3) == 0 {
		w.alone = lie(w.rng.IntN(int(numberOfLies)))
	}
	if !w.honest && w.rng.IntN(3) == 0 {
		w.inBundle = lie(w.rng.IntN(int(numberOfLies)))
	}
	d := w.buyers()[w.rng.IntN(3)]
	switch w.rng.IntN(20) {
	case 0:
		w.move()
	case 1:
		w.time()
	case 2:
		d.refresh()
	case 3:
		d.putBack()
	case 4:
		d.wrong()
	case 5, 6:
		d.club()
	case 7, 8:
		w.answer()
	case 9, 10, 11, 12:
		d.write(toko)
	case 13:
		if all := w.shop.devices(); len(all) > 0 {
			d.direct(all[w.rng.IntN(len(all))])
		}
	case 14:
		d.write(toko, customers[w.rng.IntN(2)])
	default:
		for range 4 {
			w.arrive(w.devices()[w.rng.IntN(len(w.of))])
		}
	}
}

// move changes something about the business.
func (w *world) move() {
	switch s := w.shop; {
	case w.rng.IntN(3) == 0:
		s.model = !s.model
		s.publish(true)
	case w.rng.IntN(3) == 0:
		s.publish(false)
	default:
		s.move()
	}
}

// time goes by. The business renews its manifest in time, or not.
func (w *world) time() {
	w.now = w.now.Add([...]time.Duration{time.Minute, 10 * time.Minute, 2 * time.Hour, day, 4 * day, 20 * day}[w.rng.IntN(6)])
	w.note("%s later", w.now)
	if m := w.shop.newest(); m != nil && m.NotAfter.Before(w.now.Add(day)) && (w.honest || w.rng.IntN(4) != 0) {
		w.shop.publish(false)
	} else if m != nil && m.NotAfter.Before(w.now) {
		w.count["renewed late"]++
	}
}

// answer has the business say something to a customer.
func (w *world) answer() {
	if len(w.shop.devices()) == 0 {
		return
	}
	d := w.shop.devices()[w.rng.IntN(len(w.shop.devices()))]
	if d.send([]string{customers[w.rng.IntN(2)]}) {
		w.count["answers"]++
	}
}

// drain brings a device all that is under way to it.
func (w *world) drain(d *device) {
	for len(d.letters) > 0 {
		w.arrive(d)
	}
}

// arrive brings a device its next letter, or somebody's request for one of its own.
func (w *world) arrive(d *device) {
	if len(d.requests) > 0 {
		l := d.requests[0]
		d.requests = d.requests[1:]
		d.resend(l)
		return
	}
	if len(d.letters) == 0 {
		return
	}
	l := d.letters[0]
	d.letters = d.letters[1:]
	if d.read(l) && w.rng.IntN(20) == 0 {
		w.count["came twice"]++
		_, err := d.groups.Decrypt(ctx, l.from.addr, l.m, nil)
		require.ErrorIs(w.t, err, session.ErrDuplicate)
	}
}

// finish has the server be honest, the business go on, and everybody agree: then
// all goes through.
func (w *world) finish() {
	w.honest, w.alone, w.inBundle, w.forks = true, none, none, false
	for _, d := range w.devices() {
		w.drain(d)
	}
	w.now = w.now.Add(2 * time.Hour)
	w.shop.publish(false)
	w.now = w.now.Add(2 * time.Minute)
	for _, d := range w.buyers() {
		sent := false
		for i := 0; i < 8 && !sent; i++ {
			if i == 3 { // what ends a conflict is newer than what it is about
				w.shop.publish(false)
			}
			d.refresh()
			sent = d.send([]string{toko})
			w.now = w.now.Add(2 * time.Minute)
		}
		require.True(w.t, sent, "%v cannot write to the business in the end", d.addr)
		d.settled()
	}
	for range 3 {
		for _, d := range w.devices() {
			for len(d.letters)+len(d.requests) > 0 {
				w.arrive(d)
			}
		}
	}
	for _, x := range w.texts {
		for d := range x.to {
			require.True(w.t, w.puts || d.heard[x.body] || w.of[d.addr] != d, "%v never read %q", d.addr, x.body)
		}
	}
}
