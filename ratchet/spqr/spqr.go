// Package spqr is the sparse post-quantum ratchet: a key per message.
package spqr

import (
	"errors"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// The classes of errors.
var (
	ErrMalformed = wire.ErrMalformed
	ErrVersion   = wire.ErrVersion
	ErrAuth      = wire.ErrAuth
	ErrCorrupt   = errors.New("spqr: corrupt state")
	ErrEpoch     = errors.New("spqr: epoch out of range")
	ErrJump      = errors.New("spqr: message index too far ahead")
	ErrTrimmed   = errors.New("spqr: message key no longer kept")
	ErrUsed      = errors.New("spqr: message key already used")
	ErrExhausted = errors.New("spqr: counter exhausted")
)

// A State is one end of the ratchet.
type State struct {
	_ [0]func()
}

// New returns the first state of a session.
func New(authKey *[32]byte, initiator bool, maxJump uint32) *State { return &State{} }

// Parse returns the state in its stored form.
func Parse(b []byte) (*State, error) { return &State{}, nil }

// Append appends the stored form.
func (s *State) Append(dst []byte) []byte { return dst }

// Enabled reports whether the ratchet runs.
func (s *State) Enabled() bool { return false }

// Send returns the next message.
func (s *State) Send() (next *State, msg []byte, key *[32]byte, err error) { return s, nil, nil, nil }

// Check looks at msg without deriving anything.
func (s *State) Check(msg []byte) (steps int, err error) { return 0, nil }

// Recv takes msg.
func (s *State) Recv(msg []byte) (next *State, key *[32]byte, err error) { return s, nil, nil }
