package session_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// A verdict is what the oracle says of a delivery.
type verdict string

const (
	readable  verdict = "readable"             // inside every window, and not read before
	duplicate verdict = "duplicate"            // read before, and its chain is still held
	noSession verdict = "not among 41"         // its session is gone
	noChain   verdict = "five chains back"     // its receiver chain is gone
	noEpoch   verdict = "two epochs back"      // its post-quantum chain is gone
	noIndex   verdict = "2,000 indices behind" // its post-quantum key is gone
)

// An envelope is what can be seen of a message from outside.
type envelope struct {
	kind    session.MessageType
	base    string // of the session; for ordinary messages the oracle knows it
	ratchet string
	counter uint32
	epoch   uint64
	index   uint32
}

func look(t testing.TB, m *session.Message) envelope {
	t.Helper()
	in := inner(t, m)
	var pq wire.SPQRMessage
	_, err := pq.ParsePreamble(in.PQRatchet)
	require.NoError(t, err)
	e := envelope{kind: m.Type, ratchet: string(in.RatchetKey), counter: in.Counter, epoch: pq.Epoch, index: pq.Index}
	if m.Type == session.TypePreKey {
		e.base = string(outerOf(t, m).BaseKey)
	}
	return e
}

// An oracle knows of one device what design, Section 8 lets it forget: which
// sessions it holds, and of each which keys. It computes from the bytes of
// messages, and from what the app did, alone.
type oracle struct {
	current  *line
	archived []*line          // newest first
	all      map[string]*line // by base key, those too that are gone
}

// A line is one end of one session.
type line struct {
	base       string // "" until its first message
	unanswered bool   // an initiator's, before the first answer
	chains     []*chain
	gone       map[string]bool
	sent       uint64            // highest epoch of its own messages
	newest     map[uint64]uint32 // index read, by epoch
	own        map[string]uint32 // next counter, by own ratchet key
	ownIndex   map[uint64]uint32 // last index, by epoch of own messages
}

// A chain is a receiver chain.
type chain struct {
	ratchet string
	next    uint32
	skipped []uint32 // ascending, at most 2,000
}

func newOracle() *oracle { return &oracle{all: map[string]*line{}} }

func newLine(base string, initiator bool) *line {
	l := &line{base: base, unanswered: initiator, gone: map[string]bool{}, newest: map[uint64]uint32{}, own: map[string]uint32{}, ownIndex: map[uint64]uint32{}}
	if initiator { // its chain for the signed prekey counts
		l.chains = []*chain{{ratchet: "signed prekey"}}
	}
	return l
}

// archive moves the current session to the archive.
func (o *oracle) archive() {
	if o.current == nil {
		return
	}
	o.current.unanswered = false
	o.archived = append([]*line{o.current}, o.archived...)
	o.archived = o.archived[:min(len(o.archived), 40)]
	o.current = nil
}

// begins notes that the app began a session.
func (o *oracle) begins() {
	o.archive()
	o.current = newLine("", true)
}

// sends notes a message of the device's own, and requires that it is on the
// current session and uses no counter and no index again.
func (o *oracle) sends(t testing.TB, e *envelope) {
	t.Helper()
	l := o.current
	require.NotNil(t, l)
	if l.unanswered {
		require.Equal(t, session.TypePreKey, e.kind)
		if l.base == "" {
			l.base = e.base
			o.all[l.base] = l
		}
		require.Equal(t, l.base, e.base, "another session")
	} else {
		require.Equal(t, session.TypeSignal, e.kind)
		e.base = l.base
	}
	if _, ok := l.own[e.ratchet]; !ok {
		require.Zero(t, e.counter)
	}
	require.Equal(t, l.own[e.ratchet], e.counter, "a counter twice")
	l.own[e.ratchet]++
	require.Equal(t, l.ownIndex[e.epoch]+1, e.index, "an index twice")
	l.ownIndex[e.epoch]++
	l.sent = max(l.sent, e.epoch)
}

// holds reports whether the device still has l.
func (o *oracle) holds(l *line) bool { return l == o.current || slices.Contains(o.archived, l) }

// expect says what a delivery of e must come to.
func (o *oracle) expect(e *envelope) verdict {
	l := o.all[e.base]
	if l == nil {
		return readable // the first of its session
	}
	if !o.holds(l) {
		return noSession
	}
	c := l.chain(e.ratchet)
	switch {
	case c == nil && l.gone[e.ratchet]:
		return noChain
	case c != nil && e.counter < c.next && !slices.Contains(c.skipped, e.counter):
		return duplicate
	case e.epoch+1 < l.sent:
		return noEpoch
	case int64(e.index)+2000 < int64(l.newest[e.epoch]):
		return noIndex
	}
	return readable
}

// reads notes that e was read.
func (o *oracle) reads(e *envelope) {
	l := o.all[e.base]
	if l == nil {
		l = newLine(e.base, false)
		o.all[e.base] = l
	}
	if l != o.current {
		o.archived = slices.DeleteFunc(slices.Clone(o.archived), func(a *line) bool { return a == l })
		o.archive()
		o.current = l
	}
	l.unanswered = false
	l.newest[e.epoch] = max(l.newest[e.epoch], e.index)
	c := l.chain(e.ratchet)
	if c == nil {
		c = l.extend(e.ratchet)
	}
	if e.counter < c.next {
		c.skipped = slices.DeleteFunc(c.skipped, func(i uint32) bool { return i == e.counter })
		return
	}
	for ; c.next < e.counter; c.next++ {
		c.skipped = append(c.skipped, c.next)
	}
	c.next++
	c.skipped = c.skipped[max(0, len(c.skipped)-2000):]
}

func (l *line) chain(ratchet string) *chain {
	for _, c := range l.chains {
		if c.ratchet == ratchet {
			return c
		}
	}
	return nil
}

func (l *line) extend(ratchet string) *chain {
	c := &chain{ratchet: ratchet}
	l.chains = append(l.chains, c)
	if len(l.chains) > 5 {
		l.gone[l.chains[0].ratchet] = true
		l.chains = l.chains[1:]
	}
	return c
}
