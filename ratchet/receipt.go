package ratchet

import (
	"bytes"
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A receipt is what one message changes in a Session. It is filled in without
// a change to the session, and applied by accept.
type receipt struct {
	theirs keys.PublicKey // the message's ratchet key
	place  int            // of its receiving chain; −1: a DH step begins one
	old    wire.Chain     // that chain before the message; parts of the session
	late   int            // where in old.Skipped the message key stands; −1: the chain moves on
	stored wire.MessageKey

	keys   messageKeys
	pq     spqr.State // after the message
	index  uint32     // the chain after the message, if it moves on,
	chain  [32]byte   // and its key
	passed [][32]byte // seeds of the newest messages passed on the way, index−2 the last
	root   [32]byte   // after a DH step
	sender *wire.Chain
}

// clear overwrites what is not in use any more, be r applied or dropped.
func (r *receipt) clear() {
	r.keys.clear()
	clear(r.chain[:])
	clear(r.passed)
	clear(r.root[:])
}

// find finds the chain of a ratchet key.
func (s *Session) find(r *receipt, ratchetKey []byte) error {
	r.place = s.receiver(ratchetKey)
	if r.place >= 0 {
		r.old = s.state.Receivers[r.place]
	} else if s.state.Sender == nil {
		return fmt.Errorf("%w: no sending chain", ErrCorrupt)
	}
	return nil
}

// look finds out how the chain gets to counter c, and in how many steps.
//
// Errors: ErrDuplicate, ErrTooFar, ErrExhausted, and ErrCorrupt when the chain
// has no key.
func (r *receipt) look(c, limit uint32) (steps uint64, err error) {
	r.late = -1
	i := r.old.Index
	switch {
	case c < i:
		if r.stored, r.late = r.old.Skipped.Find(c); r.late < 0 {
			return 0, fmt.Errorf("%w: counter %d, chain at %d", ErrDuplicate, c, i)
		}
		return 0, nil
	case c-i > limit:
		return 0, fmt.Errorf("%w: counter %d, chain at %d", ErrTooFar, c, i)
	case c == math.MaxUint32: // the index after it would wrap
		return 0, ErrExhausted
	case r.place >= 0 && len(r.old.Key) != 32:
		return 0, fmt.Errorf("%w: receiving chain", ErrCorrupt)
	}
	return uint64(c-i) + 1, nil
}

// derive makes the message keys, by way of the chain and of the post-quantum
// ratchet. Nothing that it makes is trusted before the MAC held.
func (s *Session) derive(r *receipt, m *wire.SignalMessage) error {
	seed, expanded, err := s.seed(r, m.Counter)
	if err != nil {
		return err
	}
	defer clear(seed[:])
	next, salt, err := s.pq.Recv(m.PQRatchet)
	if err != nil {
		return pqError(err)
	}
	r.pq = *next
	switch {
	case !expanded:
		r.keys.expand(&seed, salt)
	case salt != nil:
		return fmt.Errorf("%w: expanded message key beside a post-quantum key", ErrCorrupt)
	default:
		r.keys.read(&r.stored)
	}
	if salt != nil {
		clear(salt[:])
	}
	return nil
}

// seed returns the seed of the message keys: a stored one, if there is not the
// expanded form instead, or one that the chain moves on to.
func (s *Session) seed(r *receipt, c uint32) (seed [32]byte, expanded bool, err error) {
	switch {
	case r.late >= 0:
		return storedSeed(&r.stored)
	case r.place >= 0:
		r.chain = [32]byte(r.old.Key)
	default:
		if err := s.begin(r); err != nil {
			return seed, false, err
		}
	}
	return r.advance(c), false, nil
}

// storedSeed reads a skipped key.
func storedSeed(k *wire.MessageKey) (seed [32]byte, expanded bool, err error) {
	expanded, err = k.Expanded()
	switch {
	case err != nil, !expanded && len(k.Seed) != 32:
		return seed, false, fmt.Errorf("%w: skipped message key", ErrCorrupt)
	case !expanded:
		seed = [32]byte(k.Seed)
	}
	return seed, expanded, nil
}

// begin is the first half of a DH step: the chain of the peer's new key.
func (s *Session) begin(r *receipt) error {
	own, err := keys.NewPrivateKey(s.state.Sender.PrivateKey)
	if err != nil {
		return fmt.Errorf("%w: ratchet key", ErrCorrupt)
	}
	r.root = [32]byte(s.state.RootKey)
	r.chain, err = rootStep(&r.root, own, r.theirs)
	return err
}

// turn is the second half, after the MAC held: it draws the own new ratchet
// key and makes its chain.
func (r *receipt) turn() error {
	own := keys.GeneratePrivateKey()
	chainKey, err := rootStep(&r.root, own, r.theirs)
	if err != nil {
		return err
	}
	r.sender = newSender(own, own.PublicKey(), &chainKey)
	clear(chainKey[:])
	return nil
}

// advance moves the chain past counter c and returns c's seed. Of the messages
// passed on the way it derives the seeds of the newest wire.MaxSkipped alone.
func (r *receipt) advance(c uint32) (seed [32]byte) {
	i, ck := r.old.Index, r.chain
	for ; c-i > wire.MaxSkipped; i++ {
		ck = chainNext(&ck)
	}
	if c > i {
		r.passed = make([][32]byte, 0, c-i)
	}
	for ; i < c; i++ {
		r.passed = append(r.passed, chainSeed(&ck))
		ck = chainNext(&ck)
	}
	seed = chainSeed(&ck)
	r.index, r.chain = c+1, chainNext(&ck)
	clear(ck[:])
	return seed
}

// accept applies r. Nothing in it can fail. What it replaces is overwritten, if
// it is the session's own.
func (s *Session) accept(r *receipt) {
	if r.place < 0 {
		s.step(r)
	}
	c := &s.state.Receivers[r.place]
	old := *c
	switch {
	case r.late >= 0:
		c.Skipped, c.Shared = old.Skipped.Remove(r.late), false
		forgetSkipped(&old)
	case len(r.passed) > 0:
		c.Skipped, c.Shared = old.Skipped.Prepend(r.index-1-uint32(len(r.passed)), r.passed), false
		forgetSkipped(&old)
	}
	if r.late < 0 {
		c.Index = r.index
		copy(c.Key, r.chain[:])
	}
	s.pq, s.state.PQRatchet = r.pq, nil
	s.ClearPending()
}

// step is a DH step: a new receiving chain, whose place it puts in r, the
// oldest making room; a new sending chain; a new root key.
func (s *Session) step(r *receipt) {
	w := &s.state
	if len(w.Receivers) == wire.MaxReceivers {
		forget(&w.Receivers[0])
		w.Receivers = w.Receivers[:copy(w.Receivers, w.Receivers[1:])]
	}
	r.place = len(w.Receivers)
	w.Receivers = append(w.Receivers, wire.Chain{PublicKey: r.theirs.Bytes(), Key: bytes.Clone(r.chain[:])})
	w.PreviousCounter = max(1, w.Sender.Index) - 1
	forget(w.Sender)
	w.Sender = r.sender
	copy(w.RootKey, r.root[:])
}
