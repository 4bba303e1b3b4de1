// Package spqr is the sparse post-quantum ratchet, protocol version 1: beside
// the Double Ratchet it gives each message one more key, from chains that the
// key agreement of package braid renews every epoch (spqr.md).
//
// A State is a value. Send and Recv return the next one and leave their receiver
// alone; whoever drops the next one has changed nothing.
//
// # Versions
//
// A session begins in version 1, and stays there: sessions made here refuse
// version 0. A session imported from a release that made them with minimum
// version 0 falls back to it, for good, if an empty message comes before any
// other. A message of a version above 1, in a session that has not yet received
// one of version 1, has its key looked up and its payload ignored, as the
// official library does; no peer sends such messages today, and one whose
// version was changed on the way fails the MAC of the message around it.
//
// # Stricter than the official library
//
// Index 0, which means "no key", is refused like a wrong MAC wherever the other
// side cannot honestly send it: always, in sessions made here. Stored states are
// checked for lengths, orders and epochs that no run of the protocol makes.
package spqr

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/braid"
)

// The classes of errors. After each of them all is as it was before.
var (
	// ErrCorrupt reports a stored state that no run of the protocol makes.
	ErrCorrupt = braid.ErrCorrupt
	// ErrMalformed reports bytes that are not a message.
	ErrMalformed = wire.ErrMalformed
	// ErrVersion reports a message of a version that the session does not take
	// (any more).
	ErrVersion = wire.ErrVersion
	// ErrEpoch reports an epoch that has not begun here or is no longer kept.
	ErrEpoch = braid.ErrEpoch
	// ErrJump reports an index too far ahead of the last one.
	ErrJump = errors.New("spqr: index too far ahead")
	// ErrTrimmed reports an index so far behind that its key is no longer kept.
	ErrTrimmed = errors.New("spqr: key no longer kept")
	// ErrUsed reports an index whose key was given out before.
	ErrUsed = errors.New("spqr: key already used")
	// ErrAuth reports a wrong MAC or a wrong key of the peer's, and index 0.
	ErrAuth = wire.ErrAuth
	// ErrExhausted reports a counter at its end: no message can follow.
	ErrExhausted = braid.ErrExhausted
)

// version is the version of the protocol.
const version = 1

// A State is one end of the ratchet in one session. The zero value is the
// disabled ratchet, version 0, of sessions from before there was one: its
// messages are empty and there are no keys. A State is never changed and may be
// used from several goroutines.
type State struct {
	_           [0]func()
	machine     braid.Machine // zero: disabled
	chain       chain         // unless count is 0, when it is made from negotiation
	negotiation negotiation
	negotiating bool
}

// A negotiation is kept until the first message of version 1 has come.
type negotiation struct {
	authKey    [32]byte
	direction  direction
	minVersion byte // 0 or 1
	params     params
}

// New returns the state of a session's beginning. Both sides get the same
// authKey from the handshake; the initiator is the one who sent its first
// message. An index may be maxJump ahead of the last one, 0 being 25,000.
func New(authKey *[32]byte, initiator bool, maxJump uint32) *State {
	s := &State{machine: braid.New(authKey, initiator), negotiating: true}
	s.negotiation = negotiation{
		authKey: *authKey, direction: b2a, minVersion: version,
		params: params{jump: maxJump, kept: defaultKept},
	}
	if initiator {
		s.negotiation.direction = a2b
	}
	if maxJump == 0 {
		s.negotiation.params.jump = defaultJump
	}
	return s
}

// Enabled reports whether there is a ratchet. It is not in sessions from before
// there was one, and in imported ones that fell back to version 0.
func (s *State) Enabled() bool { return s.machine.Exists() }

// Send returns the state after sending, the message, and the key of the message
// around it. A disabled ratchet gives an empty message and no key. There is no
// key, either, in an imported session with minimum version 0 that has not
// received yet.
//
// Errors: ErrExhausted. s is the same after an error.
func (s *State) Send() (next *State, msg []byte, key *[32]byte, err error) {
	next = new(State) // here, so that it need not be on the heap
	if msg, key, err = next.sent(s); err != nil {
		next = nil
	}
	return next, msg, key, err
}

// sent makes the zero next the state after s sent.
func (next *State) sent(s *State) (msg []byte, key *[32]byte, err error) {
	if !s.Enabled() {
		return nil, nil, nil
	}
	var coins braid.Coins
	if n := s.machine.Coins(); n > 0 {
		rand.Read(coins[:n]) // never fails
	}
	msg, key, err = next.sentWith(s, coins)
	clear(coins[:])
	return msg, key, err
}

func (next *State) sentWith(s *State, coins braid.Coins) (msg []byte, key *[32]byte, err error) {
	machine, m, secret := s.machine.Send(coins)
	next.follow(s, machine)
	if secret != nil || s.negotiation.minVersion > 0 {
		next.start()
	}
	if secret != nil {
		err = next.chain.add(secret)
		clear(secret[:])
	}
	if err == nil && next.chain.count > 0 {
		key, m.Index, err = next.chain.sendKey(m.Epoch - 1)
	}
	if err != nil {
		next.wipe()
		return nil, nil, err
	}
	m.Version = version
	return m.Append(make([]byte, 0, wire.SPQRMaxMessage)), key, nil
}

// follow makes next a copy of s that has the machine.
func (next *State) follow(s *State, m braid.Machine) {
	*next = *s
	next.machine = m
}

// start makes the chain if there is none.
func (s *State) start() {
	if n := &s.negotiation; s.chain.count == 0 {
		s.chain = newChain(&n.authKey, n.direction, n.params)
	}
}

// wipe clears the secrets of a state that is not handed on, as far as they are
// its own.
func (s *State) wipe() {
	s.chain, s.negotiation = chain{}, negotiation{}
}

// A verdict says what Recv does with a message.
type verdict int

const (
	refuse  verdict = iota
	disable         // drop to version 0, or stay there
	foreign         // a higher version: look the key up, ignore the payload
	regular
)

// Check reports what can be known of msg without deriving anything: syntax,
// version, and whether epoch and index are in the windows. It returns how many
// keys Recv will derive to get at the message's (at most what an int holds).
//
// Errors: ErrMalformed, ErrVersion, ErrAuth for index 0, ErrEpoch, ErrJump,
// ErrTrimmed, ErrUsed.
func (s *State) Check(msg []byte) (steps int, err error) {
	var m wire.SPQRMessage
	_, n, err := s.check(msg, &m)
	return int(min(uint64(n), math.MaxInt)), err
}

func (s *State) check(msg []byte, m *wire.SPQRMessage) (v verdict, steps uint32, err error) {
	rest, err := m.ParsePreamble(msg)
	if err != nil {
		return refuse, 0, err
	}
	v, err = s.judge(m.Version)
	if err != nil || v == disable {
		return v, 0, err
	}
	n := uint64(0) // the chain's epoch
	if v == regular {
		if err := m.ParsePayload(rest); err != nil {
			return refuse, 0, err
		}
		n = m.Epoch - 1
	}
	if m.Index == 0 {
		return s.checkKeyless(v, n)
	}
	if v == regular {
		if err := s.machine.CheckEpoch(m.Epoch); err != nil {
			return refuse, 0, err
		}
	}
	if steps, err = s.look(n, m.Index); err != nil {
		return refuse, 0, err
	}
	return v, steps, nil
}

// judge applies the version rules of spqr.md, Section 6.2, in its order.
func (s *State) judge(got byte) (verdict, error) {
	own := byte(0)
	if s.Enabled() {
		own = version
	}
	least, negotiating := own, own == 0
	if s.negotiating {
		least, negotiating = s.negotiation.minVersion, true
	}
	switch {
	case got < least:
		return refuse, fmt.Errorf("%w: SPQR version %d, at least %d wanted", ErrVersion, got, least)
	case got != own && !negotiating:
		return refuse, fmt.Errorf("%w: SPQR version %d, agreed on %d", ErrVersion, got, own)
	case own == 0 || got < own:
		return disable, nil
	case got > own:
		return foreign, nil
	}
	return regular, nil
}

// checkKeyless judges a message with index 0, "no key", of chain epoch n. A peer
// may send it in epoch 1 only, in a session with minimum version 0, until it has
// received something.
func (s *State) checkKeyless(v verdict, n uint64) (verdict, uint32, error) {
	if s.negotiating && s.negotiation.minVersion == 0 && n == 0 {
		return v, 0, nil
	}
	return refuse, 0, fmt.Errorf("%w: SPQR message without a key", ErrAuth)
}

// look returns the steps to key i of epoch n.
func (s *State) look(n uint64, i uint32) (steps uint32, err error) {
	var h *half
	p := s.chain.params
	switch l := s.chain.link(n); {
	case l != nil:
		h = &l.recv
	case s.chain.count == 0 && n == 0:
		h, p = &half{}, s.negotiation.params
	default:
		return 0, fmt.Errorf("%w: no chain for epoch %d", ErrEpoch, n)
	}
	steps, _, err = h.look(i, p)
	return steps, err
}

// Recv returns the state after msg was received, and the key of the message
// around it. There is none when the ratchet is disabled, is disabled by msg, or
// in an imported session with minimum version 0 in which the peer has none.
//
// The caller keeps next only if the message around msg proves authentic with
// the key: nothing in msg is, before that.
//
// Errors: those of Check, before anything is derived; then ErrAuth, ErrExhausted,
// and ErrCorrupt if the state holds keys that do not belong together. s is the
// same after an error.
func (s *State) Recv(msg []byte) (next *State, key *[32]byte, err error) {
	next = new(State) // as in Send
	if key, err = next.received(s, msg); err != nil {
		next = nil
	}
	return next, key, err
}

// received makes the zero next the state after s received msg.
func (next *State) received(s *State, msg []byte) (key *[32]byte, err error) {
	var m wire.SPQRMessage
	v, _, err := s.check(msg, &m)
	if err != nil || v == disable {
		return nil, err
	}
	machine, n, secret := s.machine, uint64(0), (*[32]byte)(nil)
	if v == regular {
		if machine, secret, err = machine.Recv(m); err != nil {
			return nil, err
		}
		n = m.Epoch - 1
	}
	next.follow(s, machine)
	if key, err = next.receive(n, m.Index, secret); err != nil {
		next.wipe()
		return nil, err
	}
	if v == regular {
		next.negotiation, next.negotiating = negotiation{}, false
	}
	return key, nil
}

// receive does the chain's part: it takes in a new epoch's secret, if any, and
// returns key i of epoch n, none for index 0.
func (s *State) receive(n uint64, i uint32, secret *[32]byte) (*[32]byte, error) {
	s.start()
	if secret != nil {
		err := s.chain.add(secret)
		clear(secret[:])
		if err != nil {
			return nil, err
		}
	}
	if i == 0 {
		return nil, nil
	}
	return s.chain.recvKey(n, i)
}

// A State holds secrets: it prints as nothing else.

// Format answers every verb with "redacted".
func (State) Format(f fmt.State, _ rune) { f.Write([]byte("redacted")) }

// LogValue returns "redacted".
func (State) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalJSON returns "redacted".
func (State) MarshalJSON() ([]byte, error) { return []byte(`"redacted"`), nil }
