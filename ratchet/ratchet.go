// Package ratchet is the Triple Ratchet as a state machine without a store:
// the Double Ratchet beside the sparse post-quantum ratchet, whose key salts
// every message key. Bytes go in, bytes come out.
//
// [Initiate] and [Accept] start a [Session] from the secret of a handshake,
// [Parse] takes one up again. The texts followed are "The Double Ratchet
// Algorithm", Revision 4, and the wire-core specification, Sections 7 and 8;
// package spqr has the third ratchet.
//
// # Divergences
//
//   - The text derives the skipped keys of the old receiving chain at a DH step,
//     up to PN. Deployed peers leave the old chain in place and go on with it
//     when a late message arrives (wire-core, Section 7.4), so PN is written and
//     never read. Vector: wire-core-vectors.json, plain_ratchet.
//   - Associated data is what the 8-byte MAC covers: both identity keys, then
//     the message from its version byte on (wire-core, Section 6.3).
//   - The second DH of a DH step and the new ratchet key are made only after
//     the MAC held. The result is the same.
package ratchet

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The classes of bad input.
var (
	ErrMalformed = wire.ErrMalformed
	ErrVersion   = wire.ErrVersion
	ErrTooLarge  = wire.ErrTooLarge
	ErrAuth      = wire.ErrAuth

	// ErrDuplicate reports a message whose key was used before, or is older
	// than what is kept.
	ErrDuplicate = errors.New("ratchet: message already decrypted")
	// ErrTooFar reports a counter too far ahead of the chain.
	ErrTooFar = errors.New("ratchet: message too far in the future")
	// ErrTooExpensive reports a message that would cost more derivations than
	// the budget has left. With a larger budget it may be readable.
	ErrTooExpensive = errors.New("ratchet: message needs too many derivations")
	// ErrExhausted reports a chain that has no counter left.
	ErrExhausted = errors.New("ratchet: chain exhausted")
	// ErrCorrupt reports a stored state that lacks what the operation needs.
	ErrCorrupt = errors.New("ratchet: corrupt session state")
)

// Limits of design and specification (wire-core, Section 7.6).
const (
	// MaxJump is how far ahead of its chain a message may be.
	MaxJump = 25000
	// MaxPlaintext is the largest plaintext in bytes.
	MaxPlaintext = wire.MaxPlaintext

	version = 4 // of the sessions made here
)

// A Session is one end of a conversation. Encrypt and Decrypt change it, only
// on success. The zero value is not usable. A Session is used by one goroutine
// at a time and not copied, as it overwrites keys when they are used up: Append
// and Parse make another one. It holds secrets, and prints as redacted.
type Session struct {
	wire.Secret

	// state is the stored form. Operations that succeed overwrite the root key
	// and those of chains, which are the session's own, and replace the rest,
	// which it may share with what it was parsed from.
	state wire.Session
	// keys has room for the keys of a parsed session: root, sender's private and
	// chain key, a chain key a receiver.
	keys [(3 + wire.MaxReceivers) * 32]byte
	// pq is the third ratchet, once it was read; state.PQRatchet is what it was
	// read from, and nil as soon as it moved on.
	pq     spqr.State
	pqRead bool
}

// Params are the facts that both a handshake and the messages after it need.
// The zero value lacks the keys. They are only read.
type Params struct {
	Local, Remote                             keys.IdentityKey
	LocalRegistrationID, RemoteRegistrationID uint32
	BaseKey                                   keys.PublicKey // the initiator's ephemeral key
	// Self marks a session between two devices of one account, whose
	// post-quantum chains have no limit of their own to a jump (wire-core,
	// Section 7.5): DecryptOptions has one.
	Self bool
}

// A Pending is what an initiator repeats in every message until the first
// answer. The zero value lacks the ciphertext. It holds no secret, and is only
// read.
type Pending struct {
	HasPreKey      bool
	PreKeyID       uint32 // one-time prekey; counts if HasPreKey
	SignedPreKeyID uint32
	KEMPreKeyID    uint32
	KEMCiphertext  []byte // 1,569 bytes
	BaseKey        []byte // 33 bytes; Initiate takes it from Params
	Created        int64  // seconds since 1970
}

// Initiate starts the session of the side that fetched a bundle (wire-core,
// Section 7.3). It draws the first ratchet key.
//
//	secret  96 bytes: root key, chain key, post-quantum key
//	theirs  the signed prekey of the bundle
//
// The error is keys.ErrZeroAgreement when theirs is of small order.
func Initiate(secret *[96]byte, p *Params, theirs keys.PublicKey, pending *Pending) (*Session, error) {
	own, root := keys.GeneratePrivateKey(), [32]byte(secret[:32])
	chainKey, err := rootStep(&root, own, theirs)
	if err != nil {
		return nil, err
	}
	s := newSession(secret, p, true)
	s.state.RootKey = root[:]
	s.state.Sender = newSender(own, own.PublicKey(), &chainKey)
	clear(chainKey[:])
	s.state.Receivers = []wire.Chain{{PublicKey: theirs.Bytes(), Key: bytes.Clone(secret[32:64])}}
	s.state.Pending = &wire.PendingPreKey{
		HasPreKeyID:    pending.HasPreKey,
		PreKeyID:       pending.PreKeyID,
		BaseKey:        p.BaseKey.Bytes(),
		SignedPreKeyID: pending.SignedPreKeyID,
		Created:        uint64(max(0, pending.Created)),
	}
	s.state.PendingKEM = &wire.PendingKEM{PreKeyID: pending.KEMPreKeyID, Ciphertext: bytes.Clone(pending.KEMCiphertext)}
	return s, nil
}

// Accept starts the session of the side whose bundle was used. It draws
// nothing: ours, the pair of the signed prekey, is its first ratchet key.
func Accept(secret *[96]byte, p *Params, ours *keys.PrivateKey, oursPublic keys.PublicKey) *Session {
	s := newSession(secret, p, false)
	s.state.RootKey = bytes.Clone(secret[:32])
	s.state.Sender = newSender(ours, oursPublic, (*[32]byte)(secret[32:64]))
	return s
}

func newSession(secret *[96]byte, p *Params, initiator bool) *Session {
	var jump uint32
	if p.Self {
		jump = 1<<32 - 1
	}
	s := &Session{pq: *spqr.New((*[32]byte)(secret[64:]), initiator, jump), pqRead: true}
	s.state = wire.Session{
		Version:              version,
		LocalIdentity:        p.Local.Bytes(),
		RemoteIdentity:       p.Remote.Bytes(),
		LocalRegistrationID:  p.LocalRegistrationID,
		RemoteRegistrationID: p.RemoteRegistrationID,
		BaseKey:              p.BaseKey.Bytes(),
	}
	return s
}

// Version returns the session version: 4 for what this package makes, 3 for
// imported older sessions.
func (s *Session) Version() uint32 { return s.state.Version }

// LocalIdentity returns the own identity key the session was made with.
func (s *Session) LocalIdentity() (keys.IdentityKey, error) { return identity(s.state.LocalIdentity) }

// RemoteIdentity returns the peer's identity key the session was made with.
func (s *Session) RemoteIdentity() (keys.IdentityKey, error) { return identity(s.state.RemoteIdentity) }

// LocalRegistrationID returns the own registration id at the time of the
// handshake.
func (s *Session) LocalRegistrationID() uint32 { return s.state.LocalRegistrationID }

// RemoteRegistrationID returns the peer's registration id, which nothing
// authenticates.
func (s *Session) RemoteRegistrationID() uint32 { return s.state.RemoteRegistrationID }

// BaseKey returns the initiator's base key (33 bytes) as stored; it names the
// session on both sides. It is empty in sessions from old libraries.
func (s *Session) BaseKey() []byte { return bytes.Clone(s.state.BaseKey) }

// Pending returns what the initiator repeats until the first answer; ok is
// false once that came, and always on the other side.
func (s *Session) Pending() (p Pending, ok bool) {
	w, kem := s.state.Pending, s.state.PendingKEM
	if w == nil {
		return Pending{}, false
	}
	p = Pending{HasPreKey: w.HasPreKeyID, PreKeyID: w.PreKeyID, SignedPreKeyID: w.SignedPreKeyID, BaseKey: bytes.Clone(w.BaseKey), Created: int64(min(w.Created, math.MaxInt64))}
	if kem != nil {
		p.KEMPreKeyID, p.KEMCiphertext = kem.PreKeyID, bytes.Clone(kem.Ciphertext)
	}
	return p, true
}

// ClearPending forgets what Pending returns: an archived session never sends
// prekey messages again (wire-core, Section 10.2).
func (s *Session) ClearPending() {
	s.state.Pending, s.state.PendingKEM = nil, nil
}

// SenderKey returns the public half of the own current ratchet key (33 bytes),
// nil where there is none.
func (s *Session) SenderKey() []byte {
	if s.state.Sender == nil {
		return nil
	}
	return bytes.Clone(s.state.Sender.PublicKey)
}

// Heard reports whether a message was ever read on the session. Else the peer
// may not know of it, and does not learn of it without Pending.
func (s *Session) Heard() bool {
	first := s.state.Receivers
	return len(first) > 1 || len(first) == 1 && first[0].Index > 0 // an initiator begins with an empty one
}

// ReceiverKeys returns the peer's ratchet keys (33 bytes each) for which the
// session holds a chain, oldest first.
func (s *Session) ReceiverKeys() [][]byte {
	var out [][]byte
	for i := range s.state.Receivers {
		out = append(out, bytes.Clone(s.state.Receivers[i].PublicKey))
	}
	return out
}

// HasReceiver reports whether the session holds a chain for the peer's ratchet
// key (33 bytes), so that a message with it needs no DH.
func (s *Session) HasReceiver(ratchetKey []byte) bool { return s.receiver(ratchetKey) >= 0 }

func identity(b []byte) (keys.IdentityKey, error) {
	k, err := keys.ParseIdentityKey(b)
	if err != nil {
		return k, fmt.Errorf("%w: identity key", ErrCorrupt)
	}
	return k, nil
}
