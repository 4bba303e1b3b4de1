package group

import (
	"bytes"
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	// maxJump is how far ahead of its chain a message may be.
	maxJump = 25000
	// version is that of the states that are made here, and of all messages.
	version = 3
)

// newState returns a sender key of one's own, at its first message.
//
//	chainID   31 random bits: deployed peers read it as a signed number
//	chainKey  32 random bytes
func newState(chainID uint32, chainKey *[32]byte, signing *keys.SigningKey) wire.SenderKeyState {
	return wire.SenderKeyState{
		ChainID: chainID & math.MaxInt32, ChainKey: bytes.Clone(chainKey[:]),
		SigningPublic: signing.Public().Bytes(), SigningPrivate: signing.PrivateBytes(), Version: version,
	}
}

// distributed returns the state that a distribution message brings, under the
// identity key (33 bytes) of the message of a session that it was in. The error
// is keys.ErrKey for a signing key that is out of range or of small order, with
// which others could sign.
func distributed(m *wire.SenderKeyDistributionMessage, identity []byte) (wire.SenderKeyState, error) {
	if _, err := keys.ParseVerifyKey(m.SigningKey); err != nil {
		return wire.SenderKeyState{}, fmt.Errorf("signing key: %w", err)
	}
	return wire.SenderKeyState{
		ChainID: m.ChainID, Iteration: m.Iteration, ChainKey: m.ChainKey,
		SigningPublic: m.SigningKey, Version: uint32(m.Version), Identity: identity, First: m.Iteration,
	}, nil
}

// tell is the distribution message of a state, from its next message on.
func tell(s *wire.SenderKeyState, id DistributionID) ([]byte, error) {
	if err := whole(s); err != nil {
		return nil, err
	}
	return wire.AppendSenderKeyDistributionMessage(nil, &wire.SenderKeyDistributionMessage{
		Distribution: id[:], ChainID: s.ChainID, Iteration: s.Iteration, ChainKey: s.ChainKey, SigningKey: s.SigningPublic,
	}), nil
}

// whole reports a stored state without what every operation needs.
func whole(s *wire.SenderKeyState) error {
	if len(s.ChainKey) != 32 || len(s.SigningPublic) != 33 {
		return fmt.Errorf("%w: sender key", session.ErrCorrupt)
	}
	return nil
}

// seal returns the next message of a state, complete, and the state after it
// (Section 4.6). Key is that of the state.
//
// Errors: ErrTooLarge, ErrExhausted after 2^32−1 messages, ErrCorrupt.
func seal(s *wire.SenderKeyState, id DistributionID, plaintext []byte, key *keys.SigningKey) ([]byte, wire.SenderKeyState, error) {
	var none wire.SenderKeyState
	if len(plaintext) > wire.MaxPlaintext {
		return nil, none, fmt.Errorf("%w: plaintext of %d bytes", session.ErrTooLarge, len(plaintext))
	}
	if err := whole(s); err != nil {
		return nil, none, err
	}
	if s.Iteration == math.MaxUint32 { // the one after it would wrap
		return nil, none, session.ErrExhausted
	}
	chainKey := [32]byte(s.ChainKey)
	out := body(s, id, plaintext, &chainKey)
	out = append(out, key.Sign(out)...)

	next := *s
	chainKey = chainNext(&chainKey)
	next.ChainKey, next.Iteration = bytes.Clone(chainKey[:]), s.Iteration+1
	clear(chainKey[:])
	return out, next, nil
}

// body builds what is signed of one message.
func body(s *wire.SenderKeyState, id DistributionID, plaintext []byte, chainKey *[32]byte) []byte {
	seed := chainSeed(chainKey)
	var k messageKeys
	k.expand(&seed)
	m := wire.SenderKeyMessage{Distribution: id[:], ChainID: s.ChainID, Iteration: s.Iteration}
	out := wire.AppendSenderKeyHead(nil, &m, len(plaintext)/16*16+16) // CBC, padded
	out = etm.EncryptCBC(out, &k.cipher, &k.iv, plaintext)
	clear(seed[:])
	k.clear()
	return out
}

// A receipt is what one message changes in a state.
type receipt struct {
	wire.Secret

	late   int        // where in Skipped the message's seed stands; −1: the chain moves on
	seed   [32]byte   // of the message
	chain  [32]byte   // key of the chain after it, if that moves on
	passed [][32]byte // seeds of the newest messages passed on the way
}

// clear overwrites what is not in use any more, once the state after the message
// is stored, or is not to be.
func (r *receipt) clear() {
	clear(r.seed[:])
	clear(r.chain[:])
	clear(r.passed)
}

// open returns the plaintext of a message, with its padding, and the state after
// it (Section 4.6, "Decrypt", steps 4 to 8). Nothing is derived for a message that
// the state's key did not sign.
//
// Errors: ErrVersion, keys.ErrSignature, ErrDuplicate, ErrTooFar, ErrExhausted,
// ErrCorrupt, and ErrAuth for what was encrypted in no way that is known.
//
// R is for this message alone; the state after it points into it.
func open(r *receipt, c *signing, s *wire.SenderKeyState, m *wire.SenderKeyMessage) ([]byte, wire.SenderKeyState, error) {
	var none wire.SenderKeyState
	if err := verify(c, s, m); err != nil {
		return nil, none, err
	}
	if err := r.look(s, m.Iteration); err != nil {
		return nil, none, err
	}
	if r.late < 0 {
		r.advance(s, m.Iteration)
	}
	var k messageKeys
	k.expand(&r.seed)
	clear(r.seed[:])
	plaintext, ok := etm.DecryptCBC(nil, &k.cipher, &k.iv, m.Ciphertext)
	k.clear()
	if !ok {
		return nil, none, session.ErrAuth
	}
	return plaintext, r.apply(s, m.Iteration), nil
}

// verify checks the version of a message, then its signature.
func verify(c *signing, s *wire.SenderKeyState, m *wire.SenderKeyMessage) error {
	if s.Version != uint32(m.Version) && (s.Version != 0 || m.Version != version) {
		return fmt.Errorf("%w: message %d, sender key %d", session.ErrVersion, m.Version, s.Version)
	}
	signed, err := c.verifier(s)
	if err != nil {
		return err
	}
	return signed(m.Signature, m.Body)
}

// look finds the seed of iteration i among the skipped ones, or finds that the
// chain can move on to it.
//
// Errors: ErrNoSenderKey, ErrDuplicate, ErrTooFar, ErrExhausted, ErrCorrupt.
func (r *receipt) look(s *wire.SenderKeyState, i uint32) error {
	r.late = -1
	switch {
	case i < s.Iteration:
		return r.find(s, i)
	case i-s.Iteration > maxJump:
		return fmt.Errorf("%w: iteration %d, chain at %d", session.ErrTooFar, i, s.Iteration)
	case i == math.MaxUint32: // the one after it would wrap
		return session.ErrExhausted
	}
	return whole(s)
}

func (r *receipt) find(s *wire.SenderKeyState, i uint32) error {
	k, at := s.Skipped.Find(i)
	switch {
	case i < s.First: // it was not read, and may be asked for
		return fmt.Errorf("%w: iteration %d, given from %d", ErrNoSenderKey, i, s.First)
	case at < 0:
		return fmt.Errorf("%w: iteration %d, chain at %d", session.ErrDuplicate, i, s.Iteration)
	case len(k.Seed) != len(r.seed):
		return fmt.Errorf("%w: skipped message key", session.ErrCorrupt)
	}
	r.late, r.seed = at, [32]byte(k.Seed)
	return nil
}

// advance moves the chain past iteration i. Of the messages passed on the way it
// derives the seeds of the newest wire.MaxSkipped alone.
func (r *receipt) advance(s *wire.SenderKeyState, i uint32) {
	at, ck := s.Iteration, [32]byte(s.ChainKey)
	for ; i-at > wire.MaxSkipped; at++ {
		ck = chainNext(&ck)
	}
	if i > at {
		r.passed = make([][32]byte, 0, i-at)
	}
	for ; at < i; at++ {
		r.passed = append(r.passed, chainSeed(&ck))
		ck = chainNext(&ck)
	}
	r.seed, r.chain = chainSeed(&ck), chainNext(&ck)
	clear(ck[:])
}

// apply returns the state after the message of iteration i. Nothing in it can
// fail.
func (r *receipt) apply(s *wire.SenderKeyState, i uint32) wire.SenderKeyState {
	next := *s
	if r.late >= 0 {
		next.Skipped = s.Skipped.Remove(r.late)
		return next
	}
	if len(r.passed) > 0 {
		next.Skipped = s.Skipped.Append(i-uint32(len(r.passed)), r.passed)
	}
	next.ChainKey, next.Iteration = r.chain[:], i+1
	return next
}
