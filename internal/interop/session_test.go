package interop_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// errDuplicate is what either end answers to a message that was read before.
var errDuplicate = errors.New("duplicate")

// An end is one side of a conversation with one peer.
type end interface {
	bundle(t *testing.T, oneTime bool) *x3dh.Bundle
	begin(t *testing.T, b *x3dh.Bundle)
	encrypt(t *testing.T, plaintext []byte) interop.Message
	decrypt(m interop.Message) ([]byte, error)
	record(t *testing.T) []byte
}

// A gembokEnd is a Device; party, when set, is a party of the official library
// with the same identity, to which the session can move and from which it can
// come back.
type gembokEnd struct {
	device *session.Device
	peer   session.Address
	party  *officialEnd
	away   bool
	// published is what a directory has left of the device's prekeys.
	published *x3dh.Publication
}

type officialEnd struct {
	party *interop.Party
	peer  interop.Address
}

func toSession(a interop.Address) session.Address {
	return session.Address{User: a.Name, Device: a.Device}
}

// newGembok makes a Device, and its double inside the official library.
func newGembok(t *testing.T, p *interop.Peer, own, peer interop.Address) *gembokEnd {
	t.Helper()
	id := keys.GenerateIdentityKeyPair()
	d, err := session.Create(context.Background(), keystore.NewMemory(),
		session.Account{Address: toSession(own), Identity: id, RegistrationID: 4711}, nil)
	require.NoError(t, err)
	party, err := p.NewParty(interop.PartyOptions{Name: own.Name, Device: own.Device, RegistrationID: 4711, Identity: id.PrivateBytes()})
	require.NoError(t, err)
	return &gembokEnd{device: d, peer: toSession(peer), party: &officialEnd{party, peer}}
}

func newOfficial(t *testing.T, p *interop.Peer, own, peer interop.Address) *officialEnd {
	t.Helper()
	party, err := p.NewParty(interop.PartyOptions{Name: own.Name, Device: own.Device, RegistrationID: 1147})
	require.NoError(t, err)
	return &officialEnd{party, peer}
}

func (e *gembokEnd) bundle(t *testing.T, oneTime bool) *x3dh.Bundle {
	if e.published == nil {
		var err error
		e.published, err = e.device.Publish(context.Background())
		require.NoError(t, err)
	}
	if oneTime {
		return e.published.Take()
	}
	lasting := *e.published
	lasting.PreKeys, lasting.KEMPreKeys = nil, nil
	return lasting.Take()
}

func (e *gembokEnd) begin(t *testing.T, b *x3dh.Bundle) {
	require.NoError(t, e.device.Begin(context.Background(), e.peer, b))
}

func (e *gembokEnd) encrypt(t *testing.T, plaintext []byte) interop.Message {
	if e.away {
		return e.party.encrypt(t, plaintext)
	}
	m, err := e.device.Encrypt(context.Background(), e.peer, plaintext)
	require.NoError(t, err)
	return interop.Message{Type: int(m.Type), Bytes: m.Bytes}
}

func (e *gembokEnd) decrypt(m interop.Message) ([]byte, error) {
	if e.away {
		return e.party.decrypt(m)
	}
	r, err := e.device.Decrypt(context.Background(), e.peer, &session.Message{Type: session.MessageType(m.Type), Bytes: m.Bytes}, nil)
	if errors.Is(err, session.ErrDuplicate) {
		return nil, errDuplicate
	}
	if err != nil {
		return nil, err
	}
	return r.Plaintext, e.device.Acknowledge(context.Background(), r)
}

func (e *gembokEnd) record(t *testing.T) []byte {
	if e.away {
		return e.party.record(t)
	}
	rec, err := e.device.ExportSession(context.Background(), e.peer)
	require.NoError(t, err)
	return rec
}

// move takes the session to the official library, or back.
func (e *gembokEnd) move(t *testing.T) {
	rec := e.record(t)
	if e.away {
		require.NoError(t, e.device.ImportSession(context.Background(), e.peer, rec))
	} else {
		require.NoError(t, e.party.party.SetSession(e.party.peer, rec))
	}
	e.away = !e.away
	require.Equal(t, rec, e.record(t))
}

func (e *officialEnd) bundle(t *testing.T, oneTime bool) *x3dh.Bundle {
	b, err := e.party.MakeBundle(interop.BundleOptions{OneTime: oneTime, LastResort: !oneTime})
	require.NoError(t, err)
	out, err := b.ToBundle()
	require.NoError(t, err)
	return out
}

func (e *officialEnd) begin(t *testing.T, b *x3dh.Bundle) {
	require.NoError(t, e.party.ProcessBundle(e.peer, interop.FromBundle(b), time.Time{}))
}

func (e *officialEnd) encrypt(t *testing.T, plaintext []byte) interop.Message {
	m, err := e.party.Encrypt(e.peer, plaintext, time.Time{})
	require.NoError(t, err)
	return m
}

func (e *officialEnd) decrypt(m interop.Message) ([]byte, error) {
	got, err := e.party.Decrypt(e.peer, m)
	var pe *interop.PeerError
	if errors.As(err, &pe) && pe.Name == "DuplicatedMessage" {
		return nil, errDuplicate
	}
	return got, err
}

func (e *officialEnd) record(t *testing.T) []byte {
	rec, err := e.party.Session(e.peer)
	require.NoError(t, err)
	return rec
}

// pqState names the state of a record's post-quantum machine by its number in
// spqr.md, Section 8.4.
func pqState(t *testing.T, record []byte) int {
	t.Helper()
	rec, err := wire.ParseSessionRecord(record)
	require.NoError(t, err)
	s, err := wire.ParseSession(rec.Current)
	require.NoError(t, err)
	var st wire.SPQRState
	require.NoError(t, st.Parse(s.PQRatchet))
	return int(st.Machine.State)
}

// A schedule sends, loses, doubles and reorders messages between two ends, and
// holds every delivery against the oracle of its receiver.
type schedule struct {
	t       *testing.T
	rng     *rand.Rand
	ends    [2]end
	oracles [2]*testutil.Oracle
	queues  [2][]delivery // to the end of that number
	sent    [2]int
	counts  map[string]int
	after   func() // after each step
}

type delivery struct {
	msg  interop.Message
	text string
	read *bool
}

const (
	lossPercent      = 15
	duplicatePercent = 10
	reorderWithin    = 60
)

// run sends n messages in each direction. Every so often one end sends a
// burst, so that post-quantum epochs pass within few turns.
func (s *schedule) run(n int) {
	s.counts = make(map[string]int)
	for s.sent[0] < n || s.sent[1] < n {
		from := s.rng.IntN(2)
		if s.sent[from] >= n {
			from = 1 - from
		}
		burst := 1
		if s.rng.IntN(12) == 0 {
			burst = 1 + s.rng.IntN(50)
		}
		for range min(burst, n-s.sent[from]) {
			s.send(from)
		}
		s.deliver(s.rng.IntN(2), 1+s.rng.IntN(2*burst))
	}
	for i := range s.queues {
		s.deliver(i, len(s.queues[i]))
	}
}

func (s *schedule) send(from int) {
	text := fmt.Sprintf("%d/%d", from, s.sent[from])
	m := s.ends[from].encrypt(s.t, []byte(text))
	s.oracles[from].Sent(s.t, m.Bytes)
	s.sent[from]++
	s.step()
	// The first messages arrive, so that there is a session to lose from.
	if s.sent[from] > 1 && s.rng.IntN(100) < lossPercent {
		s.counts["dropped"]++
		return
	}
	f := delivery{msg: m, text: text, read: new(bool)}
	s.enqueue(1-from, f)
	if s.rng.IntN(100) < duplicatePercent {
		s.enqueue(1-from, f)
	}
}

// enqueue puts f at most reorderWithin places before the end of the queue.
func (s *schedule) enqueue(to int, f delivery) {
	q := s.queues[to]
	at := len(q) - s.rng.IntN(min(len(q), reorderWithin)+1)
	q = append(q, delivery{})
	copy(q[at+1:], q[at:])
	q[at] = f
	s.queues[to] = q
}

func (s *schedule) deliver(to, n int) {
	for range min(n, len(s.queues[to])) {
		f := s.queues[to][0]
		s.queues[to] = s.queues[to][1:]
		s.receive(to, f)
		s.step()
	}
}

func (s *schedule) receive(to int, f delivery) {
	o := s.oracles[to]
	want := o.Expect(s.t, f.msg.Bytes)
	got, err := s.ends[to].decrypt(f.msg)
	s.counts[string(want)]++
	switch want {
	case testutil.Readable:
		require.NoError(s.t, err, "message %s", f.text)
		require.Equal(s.t, f.text, string(got))
		require.False(s.t, *f.read, "message %s was read twice", f.text)
		*f.read = true
		o.Read(s.t, f.msg.Bytes)
	case testutil.Duplicate:
		require.ErrorIs(s.t, err, errDuplicate, "message %s", f.text)
		require.True(s.t, *f.read, "message %s is a duplicate and was never read", f.text)
	default:
		require.Error(s.t, err, "message %s", f.text)
	}
}

func (s *schedule) step() {
	if s.after != nil {
		s.after()
	}
}

// newSchedule makes a gembok end, number 0, and an official one, number 1, and
// begins a session.
func newSchedule(t *testing.T, p *interop.Peer, seed uint64, gembokBegins, oneTime, serviceIDs bool) (*schedule, *gembokEnd) {
	t.Helper()
	own, peer := interop.Address{Name: "ani", Device: 1}, interop.Address{Name: "budi", Device: 3}
	if serviceIDs {
		own.Name, peer.Name = aliceName, "PNI:"+bobName
	}
	g, o := newGembok(t, p, own, peer), newOfficial(t, p, peer, own)
	if gembokBegins {
		g.begin(t, o.bundle(t, oneTime))
	} else {
		o.begin(t, g.bundle(t, oneTime))
	}
	s := &schedule{t: t, rng: rand.New(rand.NewPCG(seed, 1)), ends: [2]end{g, o},
		oracles: [2]*testutil.Oracle{testutil.NewOracle(gembokBegins), testutil.NewOracle(!gembokBegins)}}
	// Only the initiator can send until its first message was read.
	from := 1
	if gembokBegins {
		from = 0
	}
	s.counts = make(map[string]int)
	s.send(from)
	s.deliver(1-from, 1)
	return s, g
}

func TestInteropRandomSchedule(t *testing.T) {
	p := interop.Start(t)
	n := 5000
	if testing.Short() {
		n = 300
	}
	for seed := range uint64(8) {
		gembokBegins, oneTime, serviceIDs := seed&1 == 0, seed&2 == 0, seed&4 == 0
		name := fmt.Sprintf("seed=%d/gembok begins=%t/one-time=%t/service ids=%t", seed, gembokBegins, oneTime, serviceIDs)
		t.Run(name, func(t *testing.T) {
			s, _ := newSchedule(t, p, seed, gembokBegins, oneTime, serviceIDs)
			s.run(n)
			require.Positive(t, s.counts["readable"])
			require.Positive(t, s.counts["duplicate"])
			t.Logf("%v", s.counts)
		})
	}
}

// TestInteropRecordMoves moves gembok's session record to the official library
// and back in mid-conversation, at every state of the post-quantum machine.
func TestInteropRecordMoves(t *testing.T) {
	p := interop.Start(t)
	for seed, gembokBegins := range []bool{true, false} {
		t.Run(fmt.Sprintf("gembok begins=%t", gembokBegins), func(t *testing.T) {
			s, g := newSchedule(t, p, uint64(100+seed), gembokBegins, true, true)
			moved := map[bool]map[int]int{true: {}, false: {}}
			s.after = func() {
				if s.rng.IntN(6) != 0 {
					return
				}
				moved[g.away][pqState(t, g.record(t))]++
				g.move(t)
			}
			s.run(1500)
			for away, states := range moved {
				require.Len(t, states, 11, "moves from official=%t by state: %v", away, states)
			}
			t.Logf("%v; moves by state %v", s.counts, moved)
		})
	}
}
