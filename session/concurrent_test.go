package session_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	busySessions = 16
	busyRounds   = 5
	busyEach     = 6 // messages a goroutine sends in a round
)

// A busy session is that of a hub with one of many peers. Each of the two may
// be open more than once, as in several processes.
type busy struct {
	t       *testing.T
	hub     []*session.Device
	peer    []*session.Device
	mu      sync.Mutex
	seen    map[string]bool // chain and counter of each message
	waiting [2][]*session.Message
	read    map[string]int
	sent    int
	lost    int // conflicts that were too many
}

// Many goroutines send and receive on each of many sessions: no counter of a
// chain appears twice, and every message is read once.
func TestConcurrentUse(t *testing.T) { concurrently(t, 1) }

// The same with each device open twice, so that only the store keeps the two
// apart.
func TestConcurrentProcesses(t *testing.T) { concurrently(t, 2) }

func concurrently(t *testing.T, processes int) {
	open := func(s *side) (out []*session.Device) {
		for range processes {
			d, err := session.Open(ctx, s.store, s.Address(), nil)
			require.NoError(t, err)
			out = append(out, d)
		}
		return out
	}
	hub := newSide(t, aliceAddress, nil, nil)
	hubs := open(hub)
	var sessions []*busy
	var all sync.WaitGroup
	for i := range busySessions {
		peer := newSide(t, session.Address{User: fmt.Sprint("peer ", i), Device: 1}, nil, nil)
		b := &busy{t: t, hub: hubs, peer: open(peer), seen: map[string]bool{}, read: map[string]int{}}
		sessions = append(sessions, b)
		all.Go(func() { b.talk(hub, peer) })
	}
	all.Wait()
	conflicts := 0
	for _, b := range sessions {
		require.Equal(t, busyRounds*2*2*busyEach, b.sent)
		require.Len(t, b.seen, b.sent)
		require.Len(t, b.read, b.sent)
		conflicts += b.lost
	}
	for _, r := range hub.list(t, "", "") {
		require.NotEmpty(t, r.Value)
	}
	if processes == 1 {
		require.Zero(t, conflicts)
	}
	t.Logf("%d sessions, %d operations lost too many races", busySessions, conflicts)
}

func (b *busy) talk(hub, peer *side) {
	if err := b.meet(hub, peer); err != nil {
		b.t.Error(err)
		return
	}
	for range busyRounds {
		b.round(b.hub, peer.Address(), 0, busyEach)
		b.round(b.peer, hub.Address(), 1, busyEach)
	}
	b.round(b.hub, peer.Address(), 0, 0)
	b.round(b.peer, hub.Address(), 1, 0)
}

func (b *busy) meet(hub, peer *side) error {
	bundle, err := peer.Bundle(ctx)
	if err != nil {
		return err
	}
	if err := hub.Begin(ctx, peer.Address(), bundle); err != nil {
		return err
	}
	m, err := hub.Encrypt(ctx, peer.Address(), nil)
	if err != nil {
		return err
	}
	_, err = peer.Decrypt(ctx, hub.Address(), m, nil)
	return err
}

// round has four goroutines work at one end: two send each messages, two read
// what the other end sent before.
func (b *busy) round(at []*session.Device, to session.Address, end, each int) {
	mail := b.waiting[end]
	b.waiting[end] = nil
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for n := range each {
				b.send(at[i%len(at)], to, fmt.Sprint(end, i, n), end)
			}
		})
		wg.Go(func() {
			for n := i; n < len(mail); n += 2 {
				b.receive(at[(i+1)%len(at)], to, mail[n])
			}
		})
	}
	wg.Wait()
}

func (b *busy) send(d *session.Device, to session.Address, text string, end int) {
	m, err := d.Encrypt(ctx, to, []byte(text))
	for again := 0; conflict(err) && again < 1000; again++ {
		b.note(&b.lost)
		m, err = d.Encrypt(ctx, to, []byte(text))
	}
	if err != nil {
		b.t.Error(err)
		return
	}
	in := inner(b.t, m)
	b.mu.Lock()
	defer b.mu.Unlock()
	id := fmt.Sprintf("%x %d", in.RatchetKey, in.Counter)
	if b.seen[id] {
		b.t.Errorf("counter %d twice", in.Counter)
	}
	b.seen[id] = true
	b.sent++
	b.waiting[1-end] = append(b.waiting[1-end], m)
}

func (b *busy) receive(d *session.Device, from session.Address, m *session.Message) {
	r, err := d.Decrypt(ctx, from, m, nil)
	for again := 0; conflict(err) && again < 1000; again++ {
		b.note(&b.lost)
		r, err = d.Decrypt(ctx, from, m, nil)
	}
	if err != nil {
		b.t.Error(err)
		return
	}
	in := inner(b.t, m)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read[fmt.Sprintf("%s %x %d", r.Plaintext, in.RatchetKey, in.Counter)]++
}

func (b *busy) note(n *int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*n++
}

func conflict(err error) bool {
	_, ok := errors.AsType[*keystore.ConflictError](err)
	return ok
}

// The same message delivered many times at once is decrypted once, and all the
// others get that result.
func TestConcurrentDuplicates(t *testing.T) {
	p := met(t)
	for round := range 5 {
		m := p.alice.send(t, p.bob, "once")
		second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
		require.NoError(t, err)
		var wg sync.WaitGroup
		var mu sync.Mutex
		results := map[string]int{}
		for i := range 16 {
			d := []*session.Device{p.bob.Device, second}[i%2]
			wg.Go(func() {
				r, err := d.Decrypt(ctx, aliceAddress, m, nil)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && r.Redelivered:
					results["again"]++
				case err == nil:
					results["read"]++
				default:
					results[err.Error()]++
				}
			})
		}
		wg.Wait()
		require.Equal(t, map[string]int{"read": 1, "again": 15}, results, round)
		p.goesOn(t)
	}
}

// Bundles and publications made at once share no prekey.
func TestConcurrentPreKeys(t *testing.T) {
	p := strangers(t)
	second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	oneTime, kem := map[uint32]bool{}, map[uint32]bool{}
	for i := range 12 {
		d := []*session.Device{p.bob.Device, second}[i%2]
		wg.Go(func() {
			b, err := d.Bundle(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if oneTime[b.PreKey.ID] || kem[b.KEMPreKey.ID] {
				t.Error("a prekey twice")
			}
			oneTime[b.PreKey.ID], kem[b.KEMPreKey.ID] = true, true
		})
	}
	wg.Wait()
	require.Len(t, p.bob.list(t, "prekey", "-"), 12)
	require.Len(t, p.bob.list(t, "kem", "-"), 12)
	require.Len(t, p.bob.list(t, "signed", "-"), 1)
}
