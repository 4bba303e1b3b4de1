package crowd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	club = "club"
	// speakers is how many people speak; the others listen.
	speakers = 3
	// maxDevices is how many devices somebody has at most.
	maxDevices = 3
)

var ctx = context.Background()

// A world is people, their server, and what is true of them.
type world struct {
	t       testing.TB
	rng     *rand.Rand
	now     time.Time // what all clocks show
	people  []string
	members []string                    // of the club, in order
	of      map[session.Address]*device // that there are now
	all     []*device                   // that there ever were
	deaf    map[session.Address]bool    // of which the server has no bundle
	keys    map[string]*keys.IdentityKeyPair
	texts   []*text
	said    map[string]*text
	honest  bool // nothing is lost any more, and nobody stops
	count   map[string]int
}

// A text is something said to the club that the server took.
type text struct {
	body   string
	from   *device
	sentAt time.Time
	shared *session.Message // what all got alike; nil where nobody did
	to     map[*device]bool // whom the sender encrypted it for
	became map[*device][]string
}

// note keeps what became of a text for a device, for who has to find a fault.
func (x *text) note(d *device, what ...any) {
	if x != nil {
		x.became[d] = append(x.became[d], fmt.Sprint(what...))
	}
}

func newWorld(t testing.TB, people int, seed uint64, count map[string]int) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_700_000_000, 0), of: map[session.Address]*device{},
		deaf: map[session.Address]bool{}, keys: map[string]*keys.IdentityKeyPair{}, said: map[string]*text{}, count: count}
	for i := range people {
		user := fmt.Sprintf("user%02d", i)
		w.people = append(w.people, user)
		w.keys[user] = keys.GenerateIdentityKeyPair()
		for n := range 1 + w.rng.IntN(2) {
			w.add(session.Address{User: user, Device: uint32(1 + n)})
		}
	}
	w.members = slices.Clone(w.people[:max(2, people*3/4)])
	for _, d := range w.devices() {
		w.tell(d)
	}
	return w
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

// speaking are the devices of those who speak.
func (w *world) speaking() (out []*device) {
	for _, d := range w.devices() {
		if slices.Index(w.people, d.addr.User) < speakers {
			out = append(out, d)
		}
	}
	return out
}

// add makes a device, in the place of one of that address.
func (w *world) add(a session.Address) *device {
	if old := w.of[a]; old != nil {
		old.gone = true
	}
	d := &device{w: w, addr: a, store: &brittle{Store: keystore.NewMemory(), left: -1}, exclude: map[session.Address]bool{},
		heard: map[string]bool{}, ids: map[session.MessageID]bool{}}
	var err error
	registration := uint32(1 + len(w.all)%16000)
	d.Device, err = session.Create(ctx, d.store, session.Account{Address: a, Identity: w.keys[a.User], RegistrationID: registration}, d.options())
	require.NoError(w.t, err)
	d.groups = group.New(d.Device, nil)
	w.of[a], w.all = d, append(w.all, d)
	return d
}

// tell has a device know who is in the club.
func (w *world) tell(d *device) {
	d.members = slices.Clone(w.members)
	d.set()
}

func (w *world) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	for n := uint32(1); n <= 127; n++ {
		if d := w.of[session.Address{User: user, Device: n}]; d != nil {
			out = append(out, session.PeerDevice{Device: n, RegistrationID: d.RegistrationID()})
		}
	}
	return out, nil
}

var errDeaf = errors.New("no bundle")

func (w *world) Bundle(_ context.Context, a session.Address) (*x3dh.Bundle, error) {
	if d := w.of[a]; d != nil && !w.deaf[a] {
		return d.Bundle(ctx)
	}
	return nil, errDeaf
}

func (w *world) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// step does something.
func (w *world) step() {
	w.now = w.now.Add(time.Second)
	switch dice := w.rng.IntN(1000); {
	case dice < 180:
		w.speak(pick(w.rng, w.speaking()))
	case dice < 220:
		w.distribute(pick(w.rng, w.speaking()))
	case dice < 800:
		for range 1 + w.rng.IntN(len(w.people)) {
			w.arrive(pick(w.rng, w.devices()))
		}
	case dice < 860:
		for _, d := range w.speaking() {
			w.answer(d)
		}
	case dice < 890:
		w.change()
	case dice < 930:
		w.tell(pick(w.rng, w.speaking()))
	case dice < 950:
		w.move()
	case dice < 960:
		a := pick(w.rng, w.devices()).addr
		w.deaf[a] = !w.deaf[a]
	case dice < 970:
		d := pick(w.rng, w.speaking())
		clear(d.exclude)
		d.set()
	case dice < 990:
		w.stranger()
	default:
		w.now = w.now.Add(time.Duration(w.rng.IntN(200)) * time.Hour)
	}
}

// change has somebody join the club, or leave it. One of those who speak hears of
// it at once.
func (w *world) change() {
	user := pick(w.rng, w.people)
	if i, in := slices.BinarySearch(w.members, user); in && len(w.members) > 2 {
		w.members = slices.Delete(w.members, i, i+1)
		w.count["left"]++
	} else if !in {
		w.members = slices.Insert(w.members, i, user)
		w.count["joined"]++
	}
	w.tell(pick(w.rng, w.speaking()))
}

// move has a device come or go, or be set up anew.
func (w *world) move() {
	d := pick(w.rng, w.devices())
	list, _ := w.Devices(ctx, d.addr.User)
	free := session.Address{User: d.addr.User}
	for free.Device = 1; w.of[free] != nil; free.Device++ {
	}
	switch dice := w.rng.IntN(10); {
	case dice < 3 && len(list) < maxDevices:
		w.tell(w.add(free))
		w.count["device came"]++
	case dice < 6 && len(list) > 1:
		d.gone = true
		delete(w.of, d.addr)
		w.count["device went"]++
	case dice < 8:
		w.tell(w.add(d.addr))
		w.count["set up anew"]++
	case len(list) == 1: // all devices of an account share a key
		w.keys[d.addr.User] = keys.GenerateIdentityKeyPair()
		w.tell(w.add(d.addr))
		w.count["set up anew under another key"]++
	}
}

// stranger shows a text to a device that it was not for, whatever became of it: it
// cannot be read.
func (w *world) stranger() {
	if len(w.texts) > 0 {
		w.tries(pick(w.rng, w.all), pick(w.rng, w.texts))
	}
}

func (w *world) tries(d *device, x *text) {
	if x.shared == nil || x.to[d] || d == x.from {
		return
	}
	r, err := d.groups.Decrypt(ctx, x.from.addr, x.shared, nil)
	require.Error(w.t, err, "%v read %q", d.addr, x.body)
	require.Nil(w.t, r)
	w.count["unreadable to strangers"]++
}
