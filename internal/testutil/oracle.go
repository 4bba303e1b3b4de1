package testutil

import (
	"maps"
	"slices"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// An Expectation is what an Oracle says of a delivery. All but the first two
// are losses that design, Section 8, allows.
type Expectation string

const (
	Readable  Expectation = "readable"             // inside every window, and not read before
	Duplicate Expectation = "duplicate"            // read before, its chain still held
	NoKey     Expectation = "2,000 keys behind"    // its key had to make room; answered as a duplicate
	NoChain   Expectation = "five chains back"     // its receiver chain is gone
	NoEpoch   Expectation = "two epochs back"      // its post-quantum chain is gone
	NoIndex   Expectation = "2,000 indices behind" // its post-quantum key is gone
	Unsure    Expectation = "perhaps two epochs back"
)

// window is how many skipped keys of a chain, and post-quantum keys of an
// epoch, are kept.
const window = 2000

// An Oracle, from NewOracle, knows, of one end of one session, what design,
// Section 8, lets it forget. It computes from public bytes alone: the ratchet
// keys, counters, and post-quantum epochs and indices of messages read and sent.
type Oracle struct {
	chains   []*oracleChain // oldest first, at most 5
	evicted  map[string]bool
	newest   map[uint64]uint32 // index read, by epoch
	sent     uint64            // highest epoch of its own messages
	own      map[string]uint32 // next counter, by own ratchet key
	ownIndex map[uint64]uint32 // last index, by epoch of own messages
	lost     uint32            // own messages since the last one that was seen
}

type oracleChain struct {
	key     string
	next    uint32
	skipped []uint32 // ascending, at most 2000
	read    map[uint32]bool
}

// A glance is what an Oracle sees of a message.
type glance struct {
	key     string
	counter uint32
	epoch   uint64
	index   uint32
}

// NewOracle returns the oracle of one end of a new session. The initiator's
// chain for the signed prekey counts among the five.
func NewOracle(initiator bool) *Oracle {
	o := &Oracle{evicted: map[string]bool{}, newest: map[uint64]uint32{}, own: map[string]uint32{}, ownIndex: map[uint64]uint32{}}
	if initiator {
		o.extend("signed prekey")
	}
	return o
}

// Clone returns a copy, for an end whose state is put back later.
func (o *Oracle) Clone() *Oracle {
	c := *o
	c.evicted, c.newest, c.own, c.ownIndex = maps.Clone(o.evicted), maps.Clone(o.newest), maps.Clone(o.own), maps.Clone(o.ownIndex)
	c.chains = make([]*oracleChain, len(o.chains))
	for i, chain := range o.chains {
		next := *chain
		next.skipped, next.read = slices.Clone(chain.skipped), maps.Clone(chain.read)
		c.chains[i] = &next
	}
	return &c
}

// Sent notes a message of this end's own. It fails the test if that uses a
// counter or an index again, or passes one over that no lost message had. It
// returns the epoch.
func (o *Oracle) Sent(t testing.TB, msg []byte) (epoch uint64) {
	t.Helper()
	g := look(t, msg)
	if g.counter-o.own[g.key] > o.lost || g.index-o.ownIndex[g.epoch]-1 > o.lost { // below wraps around
		t.Fatalf("testutil: sent with counter %d and index %d, not %d and %d, or %d more", g.counter, g.index, o.own[g.key], o.ownIndex[g.epoch]+1, o.lost)
	}
	o.own[g.key], o.ownIndex[g.epoch], o.lost = g.counter+1, g.index, 0
	o.sent = max(o.sent, g.epoch)
	return g.epoch
}

// Lost notes a message of this end's own that nobody saw: its process ended
// after the commit.
func (o *Oracle) Lost() { o.lost++ }

func look(t testing.TB, msg []byte) glance {
	t.Helper()
	m, err := wire.ParseSignalMessage(Inner(t, msg))
	if err != nil {
		t.Fatal(err)
	}
	var pq wire.SPQRMessage
	if _, err := pq.ParsePreamble(m.PQRatchet); err != nil {
		t.Fatal(err)
	}
	return glance{key: string(m.RatchetKey), counter: m.Counter, epoch: pq.Epoch, index: pq.Index}
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
	g := look(t, msg)
	c := o.chain(g.key)
	switch {
	case c == nil && o.evicted[g.key]:
		return NoChain
	case c != nil && c.read[g.counter]:
		return Duplicate
	case c != nil && g.counter < c.next && !slices.Contains(c.skipped, g.counter):
		return NoKey
	case g.epoch+1 < o.sent:
		return NoEpoch
	case g.epoch+1 < o.sent+uint64(o.lost):
		return Unsure
	case int64(g.index)+window < int64(o.newest[g.epoch]):
		return NoIndex
	}
	return Readable
}

// Read notes that msg was read.
func (o *Oracle) Read(t testing.TB, msg []byte) {
	t.Helper()
	g := look(t, msg)
	o.newest[g.epoch] = max(o.newest[g.epoch], g.index)
	c := o.chain(g.key)
	if c == nil {
		c = o.extend(g.key)
	}
	c.read[g.counter] = true
	if g.counter < c.next {
		c.skipped = slices.DeleteFunc(c.skipped, func(i uint32) bool { return i == g.counter })
		return
	}
	for ; c.next < g.counter; c.next++ {
		c.skipped = append(c.skipped, c.next)
	}
	c.next++
	c.skipped = c.skipped[max(0, len(c.skipped)-window):]
}

func (o *Oracle) chain(key string) *oracleChain {
	for _, c := range o.chains {
		if c.key == key {
			return c
		}
	}
	return nil
}

// extend adds a chain. The oldest of six goes.
func (o *Oracle) extend(key string) *oracleChain {
	c := &oracleChain{key: key, read: map[uint32]bool{}}
	o.chains = append(o.chains, c)
	if len(o.chains) > 5 {
		o.evicted[o.chains[0].key] = true
		o.chains = o.chains[1:]
	}
	return c
}
