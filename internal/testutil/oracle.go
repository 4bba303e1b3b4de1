package testutil

import (
	"slices"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// An Expectation is what an Oracle says of a delivery.
type Expectation string

const (
	Readable  Expectation = "readable"  // inside every window, and not read before
	Duplicate Expectation = "duplicate" // read before, its chain still held
	Lost      Expectation = "lost"      // outside a window of design, Section 8
)

// An Oracle, from NewOracle, knows, of one receiver in one session, what design, Section 8
// lets it forget. It computes from public bytes alone: the ratchet key, the
// counter and the post-quantum epoch of messages read and sent.
type Oracle struct {
	chains  []*oracleChain // oldest first, at most 5
	evicted map[string]bool
	sent    uint64 // highest post-quantum epoch of the receiver's own messages
}

type oracleChain struct {
	key     string
	next    uint32
	skipped []uint32 // oldest first, at most 2000
}

// NewOracle returns the oracle of one end of a new session. The initiator's
// chain for the signed prekey counts among the five.
func NewOracle(initiator bool) *Oracle {
	o := &Oracle{evicted: make(map[string]bool)}
	if initiator {
		o.chains = []*oracleChain{{key: "signed prekey"}}
	}
	return o
}

// Sent notes a message that the receiver sends.
func (o *Oracle) Sent(t testing.TB, msg []byte) {
	_, epoch := o.read(t, msg)
	o.sent = max(o.sent, epoch)
}

func (o *Oracle) read(t testing.TB, msg []byte) (wire.SignalMessage, uint64) {
	t.Helper()
	m, err := wire.ParseSignalMessage(Inner(t, msg))
	if err != nil {
		t.Fatal(err)
	}
	var pq wire.SPQRMessage
	if _, err := pq.ParsePreamble(m.PQRatchet); err != nil {
		t.Fatal(err)
	}
	return m, pq.Epoch
}

// Inner returns the SignalMessage in msg, which may be one or wrap one.
func Inner(t testing.TB, msg []byte) []byte {
	t.Helper()
	if outer, err := wire.ParsePreKeySignalMessage(msg); err == nil {
		return outer.MessageBytes
	}
	return msg
}

// Expect says what a delivery of msg must come to.
func (o *Oracle) Expect(t testing.TB, msg []byte) Expectation {
	t.Helper()
	m, epoch := o.read(t, msg)
	c := o.chain(m.RatchetKey)
	switch {
	case c == nil && o.evicted[string(m.RatchetKey)]:
		return Lost // more than 5 receiver chains back
	case c != nil && m.Counter < c.next && !slices.Contains(c.skipped, m.Counter):
		return Duplicate // or older than the newest 2,000: the answer is the same
	case epoch+1 < o.sent:
		return Lost // an epoch two or more behind
	}
	return Readable
}

// Read notes that msg was read.
func (o *Oracle) Read(t testing.TB, msg []byte) {
	t.Helper()
	m, _ := o.read(t, msg)
	c := o.chain(m.RatchetKey)
	if c == nil {
		c = &oracleChain{key: string(m.RatchetKey)}
		o.chains = append(o.chains, c)
		if len(o.chains) > 5 {
			o.evicted[o.chains[0].key] = true
			o.chains = o.chains[1:]
		}
	}
	if m.Counter < c.next {
		c.skipped = slices.DeleteFunc(c.skipped, func(i uint32) bool { return i == m.Counter })
		return
	}
	for ; c.next < m.Counter; c.next++ {
		c.skipped = append(c.skipped, c.next)
	}
	c.next++
	c.skipped = c.skipped[max(0, len(c.skipped)-2000):]
}

func (o *Oracle) chain(key []byte) *oracleChain {
	for _, c := range o.chains {
		if c.key == string(key) {
			return c
		}
	}
	return nil
}
