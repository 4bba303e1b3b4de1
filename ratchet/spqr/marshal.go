package spqr

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
)

// Parse returns the state whose stored form is b (spqr.md, Section 8), of which
// it keeps parts: b must not be changed as long as the state, or one that came
// from it, is used. An empty b, and one without the part of version 1, is the
// disabled ratchet. Unknown fields are dropped.
//
// Errors: ErrCorrupt.
func Parse(b []byte) (*State, error) {
	s := new(State) // here, so that it need not be on the heap
	if err := s.parse(b); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *State) parse(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	var w wire.SPQRState
	if err := w.Parse(b); err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if w.HasNegotiation {
		if err := s.parseNegotiation(&w.Negotiation); err != nil {
			return err
		}
	}
	if w.HasChain {
		if err := s.chain.parse(&w.Chain); err != nil {
			return err
		}
	}
	if !w.HasMachine {
		return nil
	}
	var err error
	if s.machine, err = braid.Parse(&w.Machine); err != nil {
		return err
	}
	return s.consistent()
}

func (s *State) parseNegotiation(w *wire.SPQRNegotiation) error {
	if len(w.AuthKey) != 32 || w.Direction > 1 || w.MinVersion > version || !validParams(w.Params) {
		return fmt.Errorf("%w: negotiation", ErrCorrupt)
	}
	s.negotiating = true
	s.negotiation = negotiation{
		authKey: [32]byte(w.AuthKey), direction: direction(w.Direction),
		minVersion: byte(w.MinVersion), params: parseParams(w.Params),
	}
	return nil
}

// consistent checks that the parts of an enabled state belong to one another.
func (s *State) consistent() error {
	m, c := s.machine, &s.chain
	d := c.direction
	switch {
	case c.count == 0 && !s.negotiating:
		return fmt.Errorf("%w: neither chain nor negotiation", ErrCorrupt)
	case c.count == 0:
		d = s.negotiation.direction
	case s.negotiating && d != s.negotiation.direction:
		return fmt.Errorf("%w: two directions", ErrCorrupt)
	}
	if m.Owner() != (m.Epoch()%2 == 1 == (d == a2b)) {
		return fmt.Errorf("%w: not the owner's epoch", ErrCorrupt)
	}
	// A message of epoch e takes its key from the chain's epoch e−1.
	e, current := m.Epoch()-1, c.current
	if m.Settled() {
		current-- // 0 − 1 is no epoch of any chain
	}
	if current != e || c.sending > e || e-c.sending > 1 || m.Sent() && c.sending != e {
		return fmt.Errorf("%w: chain at epoch %d, sending in %d, machine at %d", ErrCorrupt, c.current, c.sending, e+1)
	}
	return nil
}

func (c *chain) parse(w *wire.SPQRChain) error {
	count := uint64(w.LinkCount)
	if w.Direction > 1 || len(w.NextRoot) != 32 || !validParams(w.Params) || count == 0 || count-1 > w.CurrentEpoch {
		return fmt.Errorf("%w: chain", ErrCorrupt)
	}
	*c = chain{
		direction: direction(w.Direction), params: parseParams(w.Params), root: [32]byte(w.NextRoot),
		current: w.CurrentEpoch, sending: w.SendEpoch, count: w.LinkCount,
	}
	oldest := c.current - (count - 1)
	if c.sending < oldest || c.sending > c.current || c.sending-oldest > 1 {
		return fmt.Errorf("%w: epochs of the chain", ErrCorrupt)
	}
	for i := range c.links[:count] {
		l, past := &c.links[i], oldest+uint64(i) < c.sending
		if !l.send.parse(&w.Links[i].Send, c.params) || l.send.cleared && !past {
			return fmt.Errorf("%w: sending half of link %d", ErrCorrupt, i)
		}
		if !l.recv.parse(&w.Links[i].Recv, c.params) || l.recv.cleared {
			return fmt.Errorf("%w: receiving half of link %d", ErrCorrupt, i)
		}
	}
	return nil
}

func (h *half) parse(w *wire.SPQRHalf, p params) bool {
	entries := len(w.History) / entrySize
	if !w.Present || len(w.History) != entries*entrySize || uint64(entries) > p.trimAt() {
		return false
	}
	h.counter, h.history, h.cleared = w.Counter, w.History, len(w.Next) == 0
	return h.cleared || copy(h.next[:], w.Next) == len(w.Next) && len(w.Next) == 32
}

// maxKept is the most keys that a stored state may say to keep behind the last.
// Deployed peers all say 2,000.
const maxKept = 1 << 16

func validParams(w wire.SPQRParams) bool { return w.Present && w.MaxKept <= maxKept }

func parseParams(w wire.SPQRParams) params {
	p := params{jump: w.MaxJump, kept: w.MaxKept}
	if p.jump == 0 {
		p.jump = defaultJump
	}
	if p.kept == 0 {
		p.kept = defaultKept
	}
	return p
}

// Append appends the stored form of s, which is empty for a disabled ratchet.
func (s *State) Append(dst []byte) []byte {
	var w wire.SPQRState
	s.Store(&w)
	return w.Append(dst)
}

// Store puts s into its stored form, which shares s's parts: w is zero before.
func (s *State) Store(w *wire.SPQRState) {
	if w.HasNegotiation = s.negotiating; w.HasNegotiation {
		n := &s.negotiation
		w.Negotiation = wire.SPQRNegotiation{
			AuthKey: n.authKey[:], Direction: uint32(n.direction),
			MinVersion: uint32(n.minVersion), Params: n.params.store(),
		}
	}
	if w.HasChain = s.chain.count > 0; w.HasChain {
		s.chain.store(&w.Chain)
	}
	if w.HasMachine = s.Enabled(); w.HasMachine {
		s.machine.Store(&w.Machine)
	}
}

func (c *chain) store(w *wire.SPQRChain) {
	*w = wire.SPQRChain{
		Direction: uint32(c.direction), CurrentEpoch: c.current, SendEpoch: c.sending,
		NextRoot: c.root[:], Params: c.params.store(), LinkCount: c.count,
	}
	for i := range c.links[:c.count] {
		w.Links[i] = wire.SPQRLink{Send: c.links[i].send.store(), Recv: c.links[i].recv.store()}
	}
}

func (h *half) store() wire.SPQRHalf {
	w := wire.SPQRHalf{Present: true, Counter: h.counter, History: h.history}
	if !h.cleared {
		w.Next = h.next[:]
	}
	return w
}

func (p params) store() wire.SPQRParams {
	w := wire.SPQRParams{Present: true, MaxJump: p.jump, MaxKept: p.kept}
	if p.jump == defaultJump {
		w.MaxJump = 0
	}
	if p.kept == defaultKept {
		w.MaxKept = 0
	}
	return w
}
