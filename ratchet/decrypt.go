package ratchet

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Budget is how many derivations, steps of either ratchet's chains, messages
// may still cost. Decrypt takes from it before it derives anything, also when
// it fails later. The zero value allows none. It is used by one goroutine at a
// time.
type Budget struct{ Left uint64 }

// take takes n, or ErrTooExpensive. A nil budget has no bound.
func (b *Budget) take(n uint64) error {
	switch {
	case b == nil:
		return nil
	case n > b.Left:
		return fmt.Errorf("%w: %d, %d left", ErrTooExpensive, n, b.Left)
	}
	b.Left -= n
	return nil
}

// DecryptOptions bounds one Decrypt. Nil and zero fields are the defaults. All
// but the Budget is only read.
type DecryptOptions struct {
	// Addresses is the 36-byte binding that the message must carry if it
	// carries one; nil means that no binding can hold (wire-core, Section 6.4).
	Addresses []byte
	// MaxJump is how far ahead of its chain a message may be, in either
	// ratchet; 0 is MaxJump.
	MaxJump uint32
	// MaxNewJump is how far the first message under a new ratchet key may be in
	// its chain of the Double Ratchet; 0 is the value of MaxJump.
	MaxNewJump uint32
	// Budget is shared among the sessions that one message is tried on; nil is
	// no bound but the jumps.
	Budget *Budget
}

// jumps returns the limits for the two ratchets.
func (o *DecryptOptions) jumps(newKey bool) (chain, pq uint32) {
	chain, pq = o.MaxJump, o.MaxJump
	if pq == 0 {
		chain, pq = MaxJump, MaxJump
	}
	if newKey && o.MaxNewJump != 0 {
		chain = o.MaxNewJump
	}
	return chain, pq
}

// Decrypt returns the plaintext of a SignalMessage. On error s is unchanged.
//
// Checks that cost little come first (wire-core, Section 9.5): version, form of
// the ratchet key, the windows of both chains, the budget. Then come the first
// DH of a DH step, the chains and the MAC, and what the message changes is
// applied when it and the padding held.
//
// Errors: ErrMalformed and ErrTooLarge; ErrVersion for a message of another
// session version; keys.ErrKey and keys.ErrZeroAgreement for the ratchet key;
// ErrDuplicate, ErrTooFar, ErrTooExpensive, ErrExhausted; ErrCorrupt for the
// stored state; ErrAuth for all that depends on a secret, and for whatever is
// wrong with the post-quantum part.
func (s *Session) Decrypt(msg []byte, o *DecryptOptions) ([]byte, error) {
	if o == nil {
		o = &DecryptOptions{}
	}
	m, err := wire.ParseSignalMessage(msg)
	if err != nil {
		return nil, err
	}
	var r receipt
	defer r.clear()
	plaintext, err := s.open(&r, &m, o)
	if err != nil {
		return nil, err
	}
	s.accept(&r)
	return plaintext, nil
}

// open fills r from m, and verifies and decrypts m. It leaves s alone.
func (s *Session) open(r *receipt, m *wire.SignalMessage, o *DecryptOptions) ([]byte, error) {
	if err := s.admit(r, m, o); err != nil {
		return nil, err
	}
	if err := s.derive(r, m); err != nil {
		return nil, err
	}
	plaintext, err := s.verify(&r.keys, m, o.Addresses)
	if err != nil {
		return nil, err
	}
	if r.place < 0 {
		if err := r.turn(); err != nil {
			return nil, err
		}
	}
	return plaintext, nil
}

// admit makes the checks that derive nothing, and takes from the budget what
// the message will cost.
func (s *Session) admit(r *receipt, m *wire.SignalMessage, o *DecryptOptions) (err error) {
	if uint32(m.Version) != s.state.Version { // a stored 0 reads as 2, which no message has
		return fmt.Errorf("%w: message %d, session %d", ErrVersion, m.Version, s.state.Version)
	}
	if r.theirs, err = keys.ParsePublicKey(m.RatchetKey); err != nil {
		return err
	}
	if err := s.checkReceive(); err != nil {
		return err
	}
	pq, err := s.postQuantum()
	if err != nil {
		return err
	}
	if err := s.find(r, m.RatchetKey); err != nil {
		return err
	}
	jump, pqJump := o.jumps(r.place < 0)
	steps, err := r.look(m.Counter, jump)
	if err != nil {
		return err
	}
	pqSteps, err := pq.Check(m.PQRatchet)
	switch {
	case err != nil:
		return pqError(err)
	case uint64(pqSteps) > uint64(pqJump):
		return fmt.Errorf("%w: %d keys of the post-quantum ratchet", ErrTooFar, pqSteps)
	}
	return o.Budget.take(steps + uint64(pqSteps))
}

// checkReceive reports what keeps s from receiving, whatever the message.
func (s *Session) checkReceive() error {
	if len(s.state.RootKey) != 32 {
		return fmt.Errorf("%w: root key", ErrCorrupt)
	}
	return s.check()
}

// verify checks the MAC, then the addresses, then decrypts.
func (s *Session) verify(k *messageKeys, m *wire.SignalMessage, addresses []byte) ([]byte, error) {
	mac := etm.MAC(&k.mac, s.state.RemoteIdentity, s.state.LocalIdentity, m.Body)
	if subtle.ConstantTimeCompare(mac[:wire.MACSize], m.MAC) != 1 {
		return nil, ErrAuth
	}
	if m.Addresses != nil && !bound(m.Addresses, addresses) {
		return nil, ErrAuth
	}
	plaintext, ok := etm.DecryptCBC(nil, &k.cipher, &k.iv, m.Ciphertext)
	if !ok {
		return nil, ErrAuth
	}
	return plaintext, nil
}

// bound reports whether a message's binding is the one that must be.
func bound(got, want []byte) bool {
	return len(want) == 36 && subtle.ConstantTimeCompare(got, want) == 1
}

// pqError folds the answers of the post-quantum ratchet: damage of the own
// state is ErrCorrupt, an exhausted chain ErrExhausted, all else ErrAuth.
func pqError(err error) error {
	switch {
	case errors.Is(err, spqr.ErrCorrupt):
		return fmt.Errorf("%w: post-quantum ratchet", ErrCorrupt)
	case errors.Is(err, spqr.ErrExhausted):
		return ErrExhausted
	}
	return ErrAuth
}
