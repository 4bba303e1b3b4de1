// Package braid is the key agreement of the sparse post-quantum ratchet: one
// ML-KEM-768 exchange an epoch, cut into chunks that ride on ordinary messages,
// as a machine of eleven states (spqr.md, Sections 3 to 5).
//
// The side that owns the key pair of an epoch, A in odd ones and B in even ones,
// goes through the states on the left, the other through those on the right:
//
//	KeysUnsampled     ── Hdr ──▶   NoHeaderReceived
//	KeysSampled                    HeaderReceived
//	HeaderSent        ◀── Ct1 ──   Ct1Sampled
//	                  ── Ek ───▶   EkReceivedCt1Sampled
//	Ct1Received       ── Ack ──▶   Ct1Acknowledged
//	EkSentCt1Received ◀── Ct2 ──   Ct2Sampled
//
// Then the owner is in NoHeaderReceived of the next epoch and, with the first
// message from there, the other in KeysUnsampled of it.
//
// A Machine is a value: Send and Recv return the next one and leave the receiver
// alone. Big parts are references into the bytes it was parsed from, or into
// what it made, and are never written.
package braid

import (
	"errors"
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// The classes of errors, which package spqr hands on.
var (
	// ErrEpoch reports a message of an epoch that has not begun here.
	ErrEpoch = errors.New("spqr: epoch out of range")
	// ErrExhausted reports the end of the last epoch, 2^64−1.
	ErrExhausted = errors.New("spqr: counter exhausted")
	// ErrCorrupt reports a stored machine that no run of the protocol makes.
	ErrCorrupt = errors.New("spqr: corrupt state")
)

// Coins is the randomness of one Send, of which it uses the first 0, 32 or 64
// bytes, as Machine.Coins says.
type Coins [64]byte

// A Machine is one end of the key agreement. The zero value is none; its methods
// must not be called.
type Machine struct {
	wire.Secret
	state state
}

// A state is a node of the diagram. States are values, behind pointers that are
// never written through: a transition returns the next one and leaves its
// receiver alone. Messages of other epochs never reach a state (Section 5.2, the
// same in all of them: Machine.Recv).
type state interface {
	// send returns the message to send, without its epoch, and what epoch secret
	// that settles, if any.
	send(Coins) (state, message, *[32]byte)
	// recv takes a message of the state's epoch. Those that are not for it change
	// nothing and are no error. It returns what epoch secret that settles, if any.
	recv(message) (state, *[32]byte, error)
	// coins is the number of random bytes that send takes.
	coins() int
	// at returns what every state has.
	at() *core
	// tag is the number in the stored form.
	tag() byte
	// parts returns what only this state has, as the stored form orders it.
	parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder)
}

// A message is what states exchange: kind, chunk and its index.
type message = wire.SPQRMessage

// A core is what every state has.
type core struct {
	epoch uint64
	auth  authenticator
}

func (c *core) at() *core { return c }

func (c *core) coins() int { return 0 } // but for two states

// New returns the machine of a session's beginning: epoch 1, which the initiator
// owns.
func New(authKey *[32]byte, initiator bool) Machine {
	c := core{epoch: 1, auth: newAuthenticator(authKey)}
	if initiator {
		return Machine{state: &keysUnsampled{c}}
	}
	return Machine{state: &noHeaderReceived{c, newHeaderDecoder()}}
}

// Exists reports whether m is not the zero Machine.
func (m Machine) Exists() bool { return m.state != nil }

// Epoch returns the epoch, from 1 on.
func (m Machine) Epoch() uint64 { return m.state.at().epoch }

// Owner reports whether this side owns the key pair of the epoch.
func (m Machine) Owner() bool { return m.state.tag() <= wire.SPQREkSentCt1Received }

// Settled reports whether this side has put out the secret of the epoch already.
func (m Machine) Settled() bool { return m.state.tag() >= wire.SPQRCt1Sampled }

// Sent reports whether this side must have sent a message of the epoch to be
// where it is.
func (m Machine) Sent() bool {
	switch m.state.tag() {
	case wire.SPQRKeysUnsampled, wire.SPQRNoHeaderReceived, wire.SPQRHeaderReceived:
		return false
	}
	return true
}

// Coins returns the number of random bytes that Send needs: 0, 32 or 64.
func (m Machine) Coins() int { return m.state.coins() }

// Send returns the next machine, the message to send, whose version and index
// are left to the caller, and the secret of the message's epoch if the message
// settles it.
func (m Machine) Send(coins Coins) (next Machine, msg wire.SPQRMessage, secret *[32]byte) {
	s, msg, secret := m.state.send(coins)
	msg.Epoch = m.Epoch()
	return Machine{state: s}, msg, secret
}

// CheckEpoch returns the error that Recv would for the epoch of a message alone:
// nil or ErrEpoch.
func (m Machine) CheckEpoch(epoch uint64) error {
	own := m.Epoch()
	if epoch <= own || epoch-1 == own && m.state.tag() == wire.SPQRCt2Sampled {
		return nil
	}
	return fmt.Errorf("%w: got %d, at %d", ErrEpoch, epoch, own)
}

// Recv returns the next machine, and the secret of the message's epoch if the
// message settles it. Messages of past epochs, and those that the state has no
// use for, change nothing.
//
// Errors: ErrEpoch; wire.ErrAuth for an object whose MAC, or an ek whose hash or
// coefficients are wrong; ErrExhausted.
func (m Machine) Recv(msg wire.SPQRMessage) (next Machine, secret *[32]byte, err error) {
	if err := m.CheckEpoch(msg.Epoch); err != nil {
		return Machine{}, nil, err
	}
	s, own := m.state, m.Epoch()
	switch {
	case msg.Epoch > own: // Ct2Sampled, as CheckEpoch found
		s = &keysUnsampled{core{epoch: own + 1, auth: s.at().auth}}
	case msg.Epoch == own:
		if s, secret, err = s.recv(msg); err != nil {
			return Machine{}, nil, err
		}
	}
	return Machine{state: s}, secret, nil
}

// following returns the epoch after e.
func following(e uint64) (uint64, error) {
	if e == math.MaxUint64 {
		return 0, ErrExhausted
	}
	return e + 1, nil
}
