package ratchet

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Parse takes up a session from its stored form, a SessionStructure (storage,
// Section 4.2), as [Session.Append] and the official library write it. It keeps
// b, which must not be changed as long as the session is used, and is not
// changed by it. Keys are looked at when they are used. Errors are ErrMalformed
// and ErrTooLarge.
func Parse(b []byte) (*Session, error) {
	s := new(Session)
	if err := s.state.Parse(b); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	s.own()
	return s, nil
}

// own copies the keys that operations overwrite.
func (s *Session) own() {
	buf := s.keys[:0]
	own := func(key *[]byte) {
		if *key != nil {
			at := len(buf)
			buf = append(buf, *key...)
			*key = buf[at:len(buf):len(buf)]
		}
	}
	w := &s.state
	own(&w.RootKey)
	if w.Sender != nil {
		own(&w.Sender.PrivateKey)
		own(&w.Sender.Key)
	}
	for i := range w.Receivers {
		own(&w.Receivers[i].Key)
	}
}

// Append appends the stored form, a SessionStructure, growing dst at most once.
// It is secret.
func (s *Session) Append(dst []byte) []byte {
	w := s.state
	if w.PQRatchet == nil && s.pqRead {
		w.PQ = new(wire.SPQRState)
		s.pq.Store(w.PQ)
	}
	return wire.AppendSession(dst, &w)
}
