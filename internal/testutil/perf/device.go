package perf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var ctx = context.Background()

// A side is a device over a store.
type side struct {
	*session.Device
	store   keystore.Store
	unsaved []*session.Received
}

// newSide makes a device of user number n. Names are service ids, so that
// addresses are bound.
func newSide(n int, store keystore.Store) *side { return newSideWith(n, store, nil) }

func newSideWith(n int, store keystore.Store, o *session.Options) *side {
	a := session.Address{User: userName(n), Device: 1}
	return &side{Device: must(session.Create(ctx, store, session.Account{Address: a}, o)), store: store}
}

func userName(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func (s *side) send(to *side, plaintext []byte) *session.Message {
	return must(s.Encrypt(ctx, to.Address(), plaintext))
}

func (s *side) read(from *side, m *session.Message) {
	s.unsaved = append(s.unsaved, must(s.Decrypt(ctx, from.Address(), m, nil)))
}

// save acknowledges what s has read. It is never part of a run.
func (s *side) save() {
	check(s.Acknowledge(ctx, s.unsaved...))
	clear(s.unsaved)
	s.unsaved = s.unsaved[:0]
}

// say has a message read and acknowledged.
func (s *side) say(to *side) {
	to.read(s, s.send(to, nil))
	to.save()
}

// talk has a message go there and back.
func talk(alice, bob *side) {
	alice.say(bob)
	bob.say(alice)
}

// begin begins a session from a bundle with one-time prekeys.
func (s *side) begin(peer *side) {
	check(s.Begin(ctx, peer.Address(), must(peer.Bundle(ctx))))
}

// friends are two devices in mid-conversation; alice has read last. A nil open
// is the store in memory.
func friends(open func() keystore.Store) (alice, bob *side) {
	if open == nil {
		open = func() keystore.Store { return keystore.NewMemory() }
	}
	alice, bob = newSide(1, open()), newSide(2, open())
	alice.begin(bob)
	for range 2 {
		talk(alice, bob)
	}
	return alice, bob
}

// again returns a device that is where s is, over a copy of its store in
// memory.
func (s *side) again() *side {
	var changes []keystore.Change
	for r, err := range s.store.List(ctx, "", "", "") {
		check(err)
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	store := keystore.NewMemory()
	must(store.Commit(ctx, changes...))
	return &side{Device: must(session.Open(ctx, store, s.Address(), nil)), store: store}
}

// DeviceEncrypt is RatchetEncrypt through a Device: the record loaded and
// stored. A nil open is the store in memory.
func DeviceEncrypt(size int, open func() keystore.Store) Op {
	return always("device-encrypt", size, runsOf(size), func() func() {
		alice, bob := friends(open)
		plaintext := make([]byte, size)
		return func() { alice.send(bob, plaintext) }
	})
}

// DeviceDecrypt is RatchetDecrypt through a Device.
func DeviceDecrypt(size int, open func() keystore.Store) Op {
	return Op{Name: "device-decrypt", Size: size, Runs: runsOf(size), ahead: runsOf(size), start: func() func() func() {
		alice, bob := friends(open)
		alice.say(bob)
		return inOrder(alice, bob, size)
	}}
}

// inOrder is one message of alice's after the other, each a run for bob.
func inOrder(alice, bob *side, size int) (prepare func() func()) {
	plaintext := make([]byte, size)
	return func() func() {
		bob.save()
		m := alice.send(bob, plaintext)
		return func() { bob.read(alice, m) }
	}
}

// PingPong is reading a message that has a DH step, of 100 bytes, in a
// conversation where each side speaks in turn. A sample is two epochs of the
// post-quantum ratchet, so that all its steps have their share.
func PingPong() Op {
	return Op{Name: "ping-pong", Size: 100, Runs: 174, ahead: 1, start: func() func() func() {
		to, from := friends(nil)
		plaintext := make([]byte, 100)
		return func() func() {
			from, to = to, from // whoever read last answers
			from.save()
			m, sender, reader := from.send(to, plaintext), from, to
			return func() { reader.read(sender, m) }
		}
	}}
}

// Begin is beginning a session from a bundle with one-time prekeys, and
// encrypting the first message, of 100 bytes.
func Begin() Op {
	return Op{Name: "begin", Size: 100, Runs: 20, ahead: 20, start: func() func() func() {
		alice, bob := newSide(1, keystore.NewMemory()), newSide(2, keystore.NewMemory())
		plaintext, n := make([]byte, 100), 2
		bundle := must(bob.Bundle(ctx))
		return func() func() { // each time to another, to whom there is no session
			n++
			to := session.Address{User: userName(n), Device: 1}
			return func() {
				check(alice.Begin(ctx, to, bundle))
				must(alice.Encrypt(ctx, to, plaintext))
			}
		}
	}}
}

// Answer is reading the first message, of 100 bytes, of a session that began
// with one-time prekeys.
func Answer() Op {
	return Op{Name: "answer", Size: 100, Runs: 20, ahead: 20, start: func() func() func() {
		bob, plaintext, n := newSide(0, keystore.NewMemory()), make([]byte, 100), 0
		return func() func() { // each time from another, with whom there is no session
			n++
			alice := newSide(n, keystore.NewMemory())
			alice.begin(bob)
			m := alice.send(bob, plaintext)
			return func() { bob.read(alice, m) }
		}
	}}
}

// skipped are two devices of which bob has yet to read m, and n lost messages
// before it.
func skipped(n int) (alice, bob *side, m *session.Message) {
	alice, bob = friends(nil)
	alice.say(bob)
	for range n {
		alice.send(bob, nil)
	}
	return alice, bob, alice.send(bob, make([]byte, 100))
}

// Jump is RatchetJump through a Device.
func Jump(n int) Op {
	return Op{Name: "jump", Size: 100, Runs: 4, ahead: 4, start: func() func() func() {
		alice, bob, m := skipped(n)
		return func() func() {
			bob := bob.again()
			return func() { bob.read(alice, m) }
		}
	}}
}

// NextAfterJump is reading one message of 100 bytes after the other, in order,
// in a session that keeps the keys of n lost ones.
func NextAfterJump(n int) Op {
	name := fmt.Sprintf("next-with-%d-skipped", n)
	return Op{Name: name, Size: 100, Runs: 50, ahead: 50, start: func() func() func() {
		alice, bob, m := skipped(n)
		bob.read(alice, m)
		return inOrder(alice, bob, 100)
	}}
}

// Hostile is refusing a message that is right in all that can be seen, under a
// fresh ratchet key and as far ahead in both chains as may be, when there are 41
// sessions that it could be for.
func Hostile() Op {
	return Op{Name: "hostile-41-sessions", Runs: 1, ahead: 1, start: func() func() func() {
		alice, bob := newSide(1, keystore.NewMemory()), newSide(2, keystore.NewMemory())
		for range 41 {
			alice.begin(bob)
			talk(alice, bob)
		}
		return func() func() {
			m := hostile(25000, 25000)
			return func() {
				if _, err := bob.Decrypt(ctx, alice.Address(), m, nil); !errors.Is(err, session.ErrAuth) {
					panic(fmt.Sprintf("perf: hostile message: %v", err))
				}
			}
		}
	}}
}

// hostile returns a message with a wrong MAC.
func hostile(counter, index uint32) *session.Message {
	pq := wire.SPQRMessage{Version: 1, Epoch: 1, Index: index}
	m := wire.SignalMessage{
		Version: wire.Version, RatchetKey: keys.GeneratePrivateKey().PublicKey().Bytes(), Counter: counter,
		Ciphertext: make([]byte, 16), PQRatchet: pq.Append(nil),
	}
	mac := make([]byte, wire.MACSize)
	rand.Read(mac)
	return &session.Message{Type: session.TypeSignal, Bytes: append(wire.AppendSignalMessage(nil, &m), mac...)}
}
