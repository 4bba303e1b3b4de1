package spqr

import (
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
)

// SendWith is Send with the coins it takes from draw.
func (s *State) SendWith(draw func(n int) []byte) (next *State, msg []byte, key *[32]byte, err error) {
	if !s.Enabled() {
		return s.Send()
	}
	var coins braid.Coins
	copy(coins[:], draw(s.machine.Coins()))
	next = new(State)
	if msg, key, err = next.sentWith(s, coins); err != nil {
		return nil, nil, nil, err
	}
	return next, msg, key, nil
}

// Epoch returns the machine's epoch, and Sending the chain's, that it last sent
// in.
func (s *State) Epoch() uint64   { return s.machine.Epoch() }
func (s *State) Sending() uint64 { return s.chain.sending }

// AuthKey returns the key that a chain would begin from, while it is kept.
func (s *State) AuthKey() [32]byte { return s.negotiation.authKey }

// A Chain is a chain alone.
type Chain struct{ c chain }

func NewChain(authKey *[32]byte, initiator bool, jump, kept uint32) *Chain {
	d := b2a
	if initiator {
		d = a2b
	}
	return &Chain{newChain(authKey, d, params{jump, kept})}
}

func (c *Chain) Add(secret *[32]byte) error { return c.c.add(secret) }

// SendKey and RecvKey leave c alone on error.
func (c *Chain) SendKey(n uint64) (*[32]byte, uint32, error) {
	next := c.c
	key, index, err := next.sendKey(n)
	if err == nil {
		c.c = next
	}
	return key, index, err
}

func (c *Chain) RecvKey(n uint64, i uint32) (*[32]byte, error) {
	next := c.c
	key, err := next.recvKey(n, i)
	if err == nil {
		c.c = next
	}
	return key, err
}

// Stored returns the chain's stored form, and Parse the chain in one.
func (c *Chain) Stored() *wire.SPQRChain {
	w := new(wire.SPQRChain)
	c.c.store(w)
	return w
}

func (c *Chain) Parse(w *wire.SPQRChain) error { return c.c.parse(w) }

// WithCounters returns c with the counters of its newest link set.
func (c *Chain) WithCounters(send, recv uint32) *Chain {
	next := *c
	l := &next.c.links[next.c.count-1]
	l.send.counter, l.recv.counter = send, recv
	return &next
}
