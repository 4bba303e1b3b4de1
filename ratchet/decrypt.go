package ratchet

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Budget is how many derivations, steps of either chain, messages may still
// cost. Decrypt takes from it what it derived, also when it fails.
type Budget struct{ Left uint64 }

// DecryptOptions bounds one Decrypt. Zero fields are the defaults.
type DecryptOptions struct {
	// Addresses is the 36-byte binding that the message must carry if it
	// carries one; nil means that no binding can hold (wire-core, Section 6.4).
	Addresses []byte
	// MaxJump is how far ahead of its chain the counter may be; 0 is MaxJump.
	MaxJump uint32
	// MaxNewJump is the same for the first message under a new ratchet key; 0
	// is the value of MaxJump.
	MaxNewJump uint32
	// Budget is shared among the sessions that one message is tried on; nil is
	// no bound but the jumps.
	Budget *Budget
}

// Decrypt returns the plaintext of a SignalMessage. On error s is unchanged.
//
// Errors: ErrMalformed; ErrVersion for a message of another session version;
// ErrDuplicate; ErrTooFar; ErrTooExpensive; ErrCorrupt; keys.ErrKey and
// keys.ErrZeroAgreement for the ratchet key; ErrAuth for all that depends on a
// secret.
func (s *Session) Decrypt(msg []byte, o *DecryptOptions) ([]byte, error) {
	if o == nil {
		o = &DecryptOptions{}
	}
	m, err := wire.ParseSignalMessage(msg)
	if err != nil {
		return nil, err
	}
	r, err := s.open(&m, o)
	if err != nil {
		return nil, err
	}
	defer r.clear()
	if r.isNew {
		if err := r.turn(s); err != nil {
			return nil, err
		}
	}
	s.accept(r)
	return r.plaintext, nil
}

// A receipt is what an opened message changes, before it is applied.
type receipt struct {
	wire.Secret
	plaintext []byte
	place     int  // of the receiver chain, if not isNew
	isNew     bool // a DH step
	chain     wire.Chain
	root      [32]byte
	theirs    keys.PublicKey
	sender    *wire.Chain
	pq        *spqr.State
}

func (r *receipt) clear() { clear(r.root[:]) }

// open verifies and decrypts m on values, cheap checks first: version, key
// form, counter window, post-quantum window, budget; then DH, then chains,
// then the MAC (wire-core, Section 9.5).
func (s *Session) open(m *wire.SignalMessage, o *DecryptOptions) (*receipt, error) {
	if uint32(m.Version) != s.state.Version { // a stored 0 reads as 2, which no message has
		return nil, fmt.Errorf("%w: message %d, session %d", ErrVersion, m.Version, s.state.Version)
	}
	theirs, err := keys.ParsePublicKey(m.RatchetKey)
	if err != nil {
		return nil, err
	}
	if len(s.state.LocalIdentity) != 33 || len(s.state.RemoteIdentity) != 33 {
		return nil, fmt.Errorf("%w: identity key", ErrCorrupt)
	}
	r := &receipt{theirs: theirs, place: s.receiver(m.RatchetKey)}
	r.isNew = r.place < 0
	if !r.isNew {
		r.chain = s.state.Receivers[r.place]
	}
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	if err := r.admit(m, pq, o); err != nil {
		return nil, err
	}
	if r.isNew {
		if err := r.begin(s); err != nil {
			return nil, err
		}
	}
	seed, legacy, err := r.advance(m.Counter)
	if err != nil {
		return nil, err
	}
	defer clear(seed[:])
	nextPQ, salt, err := pq.Recv(m.PQRatchet)
	if err != nil {
		return nil, pqError(err)
	}
	r.pq = nextPQ
	k := legacy
	if k == nil {
		k = &messageKeys{}
		k.expand(&seed, salt)
	} else if salt != nil {
		return nil, fmt.Errorf("%w: expanded message key beside a post-quantum key", ErrCorrupt)
	}
	defer k.clear()
	if r.plaintext, err = s.verify(m, k, o.Addresses); err != nil {
		return nil, err
	}
	return r, nil
}

// admit makes the checks that cost no derivation, and takes from the budget
// what the message will cost.
func (r *receipt) admit(m *wire.SignalMessage, pq *spqr.State, o *DecryptOptions) error {
	limit := o.MaxJump
	if limit == 0 {
		limit = MaxJump
	}
	if r.isNew && o.MaxNewJump != 0 {
		limit = o.MaxNewJump
	}
	var steps uint64
	if c, i := m.Counter, r.chain.Index; c >= i {
		switch {
		case c == math.MaxUint32: // the index after it would wrap
			return ErrExhausted
		case c-i > limit:
			return fmt.Errorf("%w: counter %d, chain at %d", ErrTooFar, c, i)
		}
		steps = uint64(c-i) + 1
	} else if _, at := r.chain.Skipped.Find(c); at < 0 {
		return fmt.Errorf("%w: counter %d, chain at %d", ErrDuplicate, c, i)
	}
	n, err := pq.Check(m.PQRatchet)
	if err != nil {
		return pqError(err)
	}
	steps += uint64(n)
	if o.Budget == nil {
		return nil
	}
	if steps > o.Budget.Left {
		return fmt.Errorf("%w: %d, %d left", ErrTooExpensive, steps, o.Budget.Left)
	}
	o.Budget.Left -= steps
	return nil
}

// begin is the first half of a DH step: the chain of the peer's new key.
func (r *receipt) begin(s *Session) error {
	root, err := key32(s.state.RootKey, "root key")
	if err != nil {
		return err
	}
	own, err := s.senderPrivate()
	if err != nil {
		return err
	}
	chainKey, err := rootStep(&root, own, r.theirs)
	if err != nil {
		return err
	}
	r.root = root
	r.chain = wire.Chain{PublicKey: r.theirs.Bytes(), Key: bytesOf(chainKey[:])}
	return nil
}

// turn is the second half, after the MAC held: it draws the own new ratchet
// key and makes its chain.
func (r *receipt) turn(s *Session) error {
	own := keys.GeneratePrivateKey()
	chainKey, err := rootStep(&r.root, own, r.theirs)
	if err != nil {
		return err
	}
	r.sender = senderChain(own, own.PublicKey(), &chainKey)
	clear(chainKey[:])
	return nil
}

// advance finds the seed for counter c and moves the chain in r past it,
// keeping the newest MaxSkipped seeds it passes. A key in the legacy expanded
// form comes back as legacy.
func (r *receipt) advance(c uint32) (seed [32]byte, legacy *messageKeys, err error) {
	ch := &r.chain
	if c < ch.Index {
		k, at := ch.Skipped.Find(c)
		if at < 0 {
			panic("ratchet: internal error: skipped key not admitted")
		}
		seed, legacy, err = skippedKey(&k)
		ch.Skipped = ch.Skipped.Remove(at)
		return seed, legacy, err
	}
	ck, err := key32(ch.Key, "receiver chain key")
	if err != nil {
		return seed, nil, err
	}
	var passed [][32]byte
	first := ch.Index
	if c-first > wire.MaxSkipped {
		first = c - wire.MaxSkipped
	}
	for i := ch.Index; i < c; i++ {
		if i >= first {
			if passed == nil {
				passed = make([][32]byte, 0, c-first)
			}
			passed = append(passed, chainSeed(&ck))
		}
		ck = chainNext(&ck)
	}
	seed = chainSeed(&ck)
	ck = chainNext(&ck)
	if len(passed) > 0 {
		ch.Skipped = ch.Skipped.Prepend(first, passed)
	}
	ch.Index, ch.Key = c+1, bytesOf(ck[:])
	clear(ck[:])
	clear(passed)
	return seed, nil, nil
}

// skippedKey reads a stored skipped key: the seed if there is one, else the
// expanded form of old records (storage, Section 4.3).
func skippedKey(k *wire.MessageKey) (seed [32]byte, legacy *messageKeys, err error) {
	expanded, err := k.Expanded()
	if err != nil {
		return seed, nil, fmt.Errorf("%w: expanded message key", ErrCorrupt)
	}
	if !expanded {
		seed, err = key32(k.Seed, "message seed")
		return seed, nil, err
	}
	return seed, &messageKeys{cipher: [32]byte(k.CipherKey), mac: [32]byte(k.MACKey), iv: [16]byte(k.IV)}, nil
}

// verify checks the MAC, then the addresses, then decrypts.
func (s *Session) verify(m *wire.SignalMessage, k *messageKeys, addresses []byte) ([]byte, error) {
	mac := etm.MAC(&k.mac, s.state.RemoteIdentity, s.state.LocalIdentity, m.Body)
	if subtle.ConstantTimeCompare(mac[:8], m.MAC) != 1 {
		return nil, ErrAuth
	}
	if m.Addresses != nil && (addresses == nil || subtle.ConstantTimeCompare(m.Addresses, addresses) != 1) {
		return nil, ErrAuth
	}
	plaintext, ok := etm.DecryptCBC(nil, &k.cipher, &k.iv, m.Ciphertext)
	if !ok {
		return nil, ErrAuth
	}
	if plaintext == nil {
		plaintext = []byte{}
	}
	return plaintext, nil
}

// accept applies a receipt; nothing in it can fail.
func (s *Session) accept(r *receipt) {
	next := append(make([]wire.Chain, 0, wire.MaxReceivers+1), s.state.Receivers...)
	if !r.isNew {
		if r.chain.Index != next[r.place].Index { // else the key is still in use
			clear(next[r.place].Key)
		}
		next[r.place] = r.chain
	} else {
		next = append(next, r.chain)
		next = next[max(0, len(next)-wire.MaxReceivers):]
		if s.state.Sender != nil {
			s.state.PreviousCounter = max(1, s.state.Sender.Index) - 1
		}
		clear(s.state.RootKey)
		s.state.RootKey, s.state.Sender = bytesOf(r.root[:]), r.sender
	}
	s.state.Receivers = next
	s.pq = r.pq
	s.ClearPending()
}

// senderPrivate returns the own ratchet key's private half.
func (s *Session) senderPrivate() (*keys.PrivateKey, error) {
	if s.state.Sender == nil {
		return nil, fmt.Errorf("%w: sender chain", ErrCorrupt)
	}
	k, err := keys.NewPrivateKey(s.state.Sender.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("%w: ratchet key", ErrCorrupt)
	}
	return k, nil
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
