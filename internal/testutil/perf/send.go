package perf

import (
	"context"
	"fmt"
	"runtime"
	"strconv"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A crowd is whom one message is sent to: users with the same number of devices
// each, of which all are one device in truth. It is a Directory, too.
type crowd struct {
	users   []string
	devices []session.PeerDevice
	bundle  x3dh.Bundle
}

// crowdOf makes a crowd of users with some devices each out of a device.
func crowdOf(s *side, users, devices int) *crowd {
	c := &crowd{bundle: *must(s.Bundle(ctx))}
	for i := range users {
		c.users = append(c.users, userName(1000+i))
	}
	for i := range devices {
		c.devices = append(c.devices, session.PeerDevice{Device: uint32(1 + i), RegistrationID: c.bundle.RegistrationID})
	}
	return c
}

// Devices implements [session.Directory].
func (c *crowd) Devices(_ context.Context, user string) ([]session.PeerDevice, error) {
	if user < userName(1000) {
		return nil, nil // the sender's own
	}
	return c.devices, nil
}

// Bundle implements [session.Directory].
func (c *crowd) Bundle(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
	b := c.bundle
	b.DeviceID = peer.Device
	return &b, nil
}

// Manifest implements [session.Directory].
func (c *crowd) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// meet gives s's store the sessions that it has with peer with each device of c.
func (c *crowd) meet(s, peer *side) {
	var changes []keystore.Change
	for r, err := range s.store.List(ctx, "", "", peer.Address().User) {
		check(err)
		if r.Key.Kind != "session" && r.Key.Kind != "identity" {
			continue
		}
		for _, user := range c.users {
			for _, d := range c.devices {
				k := r.Key
				k.Owner, k.Name = user, strconv.Itoa(int(d.Device))
				changes = append(changes, keystore.Change{Op: keystore.Put, Key: k, Value: r.Value})
			}
		}
	}
	must(s.store.Commit(ctx, changes...))
}

// with returns s with a Directory.
func (s *side) with(d session.Directory) *side {
	return &side{Device: must(session.Open(ctx, s.store, s.Address(), &session.Options{Directory: d})), store: s.store}
}

// post sends to everybody in c, and sees that all get it.
func (s *side) post(c *crowd, plaintext []byte, o *session.SendOptions) {
	sending := must(s.Send(ctx, c.users, &session.Content{Body: plaintext}, o))
	if len(sending.Results) != len(c.users)*len(c.devices) {
		panic(fmt.Sprintf("perf: %d results", len(sending.Results)))
	}
	for i := range sending.Results {
		check(sending.Results[i].Err)
	}
}

// Send is one Send of 1 KiB to users with some devices each, with all of whom
// there are sessions. Its floor is FloorSend. A nil open is the store in memory.
func Send(users, devices int, open func() keystore.Store) Op {
	return sendWith("send", users, devices, open, nil)
}

func sendWith(name string, users, devices int, open func() keystore.Store, o *session.SendOptions) Op {
	return always(fmt.Sprintf("%s-%dx%d", name, users, devices), 1024, 1, func() func() {
		alice, bob := friends(open)
		c := crowdOf(bob, users, devices)
		c.meet(alice, bob)
		alice, plaintext := alice.with(c), make([]byte, 1024)
		alice.post(c, plaintext, o) // asks for the lists
		return func() { alice.post(c, plaintext, o) }
	})
}

// SendShared is Send of what all get alike, and costs nothing to encrypt.
func SendShared(users, devices int, open func() keystore.Store) Op {
	return sendWith("send-shared", users, devices, open, &session.SendOptions{
		Shared: func(*session.Tx, []session.Result, []byte) (*session.Message, error) {
			return &session.Message{Type: session.TypeSenderKey}, nil
		},
	})
}

// FloorSend is FloorEncrypt n times, on one core.
func FloorSend(n int) Op {
	return always("send", 1024, 1, func() func() {
		f, plaintext := newFloor(), make([]byte, 1024)
		return func() {
			for range n {
				f.keys()
				f.seal(plaintext)
			}
		}
	})
}

// SendCold is one Send of 1 KiB to users with some devices each, of which
// nothing is known: their lists and bundles, with one-time prekeys, come from a
// Directory that answers at once.
func SendCold(users, devices int) Op {
	return Op{Name: fmt.Sprintf("send-cold-%dx%d", users, devices), Size: 1024, Runs: 1, ahead: 1, start: func() func() func() {
		c := crowdOf(newSide(2, keystore.NewMemory()), users, devices)
		plaintext := make([]byte, 1024)
		return func() func() {
			alice := newSide(1, keystore.NewMemory()).with(c)
			return func() { alice.post(c, plaintext, nil) }
		}
	}}
}

// A watched store finds the most that lives beside what lived before: when what
// was loaded is there, and when all is that is to be committed.
type watched struct {
	keystore.Store
	before, most uint64
}

// live are the bytes of the heap that are in use.
func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one swept
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (w *watched) watch() {
	if w.before == 0 {
		return
	}
	if now := live(); now > w.before {
		w.most = max(w.most, now-w.before)
	}
}

// Load implements [keystore.Store].
func (w *watched) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	recs, err := w.Store.Load(ctx, keys...)
	w.watch()
	runtime.KeepAlive(recs)
	return recs, err
}

// Commit implements [keystore.Store].
func (w *watched) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	w.watch()
	return w.Store.Commit(ctx, changes...)
}

// SendLive returns the most that lives at once during a Send, or a SendCold, in
// bytes a device: without what the store keeps, and what lived before.
func SendLive(users, devices int, cold bool) float64 {
	alice, bob := friends(nil)
	c := crowdOf(bob, users, devices)
	if !cold {
		c.meet(alice, bob)
	}
	w := &watched{Store: alice.store}
	alice.store = w
	alice, plaintext := alice.with(c), make([]byte, 1024)
	if !cold {
		alice.post(c, plaintext, nil)
	}
	w.before = live()
	alice.post(c, plaintext, nil)
	return float64(w.most) / float64(users*devices)
}
