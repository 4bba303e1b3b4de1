package spqr

import (
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Defaults of params; a default is stored as 0.
const (
	defaultJump = 25_000
	defaultKept = 2_000
)

// A direction is a side of the session, as the stored form numbers them.
type direction uint32

const (
	a2b direction = 0 // the initiator's
	b2a direction = 1
)

// params are the limits of a chain.
type params struct {
	jump uint32 // how far ahead of the last key an index may be
	kept uint32 // how far behind it a skipped key is kept
}

// trimAt is the number of skipped keys that makes the next jump drop those over
// the limit, and so the most that are ever kept.
func (p params) trimAt() uint64 { return uint64(p.kept)*11/10 + 1 }

// A chain gives each message of an epoch its key (spqr.md, Section 7). Its
// methods change it; whoever wants the old one back copies it first, which is
// enough, since histories are replaced and never written in place.
type chain struct {
	direction direction
	params    params
	current   uint64 // the newest epoch
	sending   uint64 // the epoch last sent in
	root      [32]byte
	links     [wire.SPQRMaxLinks]link // oldest first; the last is of the newest epoch
	count     int                     // of links, at least 1
}

// A link is what a chain keeps of one epoch.
type link struct {
	send, recv half
}

// newChain returns the chain of epoch 0.
func newChain(authKey *[32]byte, d direction, p params) chain {
	c := chain{direction: d, params: p}
	c.extend(nil, authKey, "Signal PQ Ratchet V1 Chain  Start") // two spaces
	return c
}

// add appends the next epoch, whose secret it takes in. On error c is unchanged.
func (c *chain) add(secret *[32]byte) error {
	if c.count == len(c.links) || c.current == math.MaxUint64 {
		return fmt.Errorf("%w: no room for another epoch", ErrCorrupt)
	}
	c.current++
	root := c.root
	c.extend(&root, secret, "Signal PQ Ratchet V1 Chain Add Epoch")
	clear(root[:])
	return nil
}

// extend appends a link.
func (c *chain) extend(salt, secret *[32]byte, info string) {
	var buf [36]byte
	var out [96]byte // root || seed A to B || seed B to A
	kdf.HKDF(out[:], salt, secret[:], append(buf[:0], info...))
	c.root = [32]byte(out[:32])
	l := &c.links[c.count]
	c.count++
	*l = link{}
	ab, ba := [32]byte(out[32:64]), [32]byte(out[64:])
	if l.send.next, l.recv.next = ab, ba; c.direction == b2a {
		l.send.next, l.recv.next = ba, ab
	}
	clear(out[:])
}

// link returns the link of epoch n, or nil.
func (c *chain) link(n uint64) *link {
	if n > c.current || c.current-n >= uint64(c.count) {
		return nil
	}
	return &c.links[uint64(c.count)-1-(c.current-n)]
}

// sendKey returns the next key to send with in epoch n, and its number. It
// drops what is older than the epoch before n, and what could send in that one.
//
// Errors: ErrCorrupt, which the checks of Parse leave no way to; ErrExhausted.
// c is then not usable any more.
func (c *chain) sendKey(n uint64) (key *[32]byte, index uint32, err error) {
	l := c.link(n)
	if l == nil || n < c.sending {
		return nil, 0, fmt.Errorf("%w: sending in epoch %d after %d", ErrCorrupt, n, c.sending)
	}
	if n != c.sending {
		l = c.enter(n)
	}
	if key, err = l.send.step(); err != nil {
		return nil, 0, err
	}
	return key, l.send.counter, nil
}

// enter makes n, an epoch with a link, the one to send in.
func (c *chain) enter(n uint64) *link {
	c.sending = n
	older := c.count - 1 - int(c.current-n)
	if drop := older - 1; drop > 0 {
		copy(c.links[:], c.links[drop:c.count])
		clear(c.links[c.count-drop : c.count])
		c.count -= drop
		older = 1
	}
	for i := range older {
		c.links[i].send.next, c.links[i].send.cleared = [32]byte{}, true
	}
	return &c.links[older]
}

// recvKey returns key i of epoch n, keeping the keys it skips.
//
// Errors: ErrEpoch, and as half.take. c is then not usable any more.
func (c *chain) recvKey(n uint64, i uint32) (*[32]byte, error) {
	l := c.link(n)
	if l == nil {
		return nil, fmt.Errorf("%w: no chain for epoch %d", ErrEpoch, n)
	}
	return l.recv.take(i, c.params)
}
