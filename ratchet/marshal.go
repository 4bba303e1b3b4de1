package ratchet

import (
	"bytes"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Parse takes up a session from its stored form, a SessionStructure (storage,
// Section 4.2), as [Session.Append] and the official library write it. It copies
// b. Keys are looked at when they are used. Errors are ErrMalformed and
// ErrTooLarge.
func Parse(b []byte) (*Session, error) {
	state, err := wire.ParseSession(bytes.Clone(b))
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	return &Session{state: *state}, nil
}

// Append appends the stored form, a SessionStructure. It is secret.
func (s *Session) Append(dst []byte) []byte {
	w := s.state
	if w.PQRatchet == nil && s.pq != nil {
		w.PQRatchet = s.pq.Append(nil)
	}
	return wire.AppendSession(dst, &w)
}
