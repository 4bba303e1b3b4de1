package ratchet

import (
	"fmt"
	"math"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// Encrypt returns the next message, a complete SignalMessage (wire-core,
// Section 6.2). On error s is unchanged.
//
//	plaintext  0 to MaxPlaintext bytes
//	addresses  36 bytes, or nil for none (wire-core, Section 6.4)
//
// Errors: ErrTooLarge, ErrExhausted after 2^32−1 messages without an answer,
// ErrCorrupt.
func (s *Session) Encrypt(plaintext, addresses []byte) ([]byte, error) {
	if err := s.checkSend(len(plaintext)); err != nil {
		return nil, err
	}
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	next, pqMessage, salt, err := pq.Send()
	if err != nil {
		return nil, pqError(err)
	}
	return s.encrypt(plaintext, addresses, next, pqMessage, salt), nil
}

// checkSend reports what keeps s from sending n bytes.
func (s *Session) checkSend(n int) error {
	if n > MaxPlaintext {
		return fmt.Errorf("%w: plaintext of %d bytes", ErrTooLarge, n)
	}
	if err := s.check(); err != nil {
		return err
	}
	switch v := s.state.Version; {
	case s.state.Sender == nil:
		return fmt.Errorf("%w: no sending chain", ErrCorrupt)
	case v != 3 && v != version:
		return fmt.Errorf("%w: version %d", ErrCorrupt, v)
	case s.state.Sender.Index == math.MaxUint32: // the index after it would wrap
		return ErrExhausted
	}
	return nil
}

// encrypt is Encrypt after all that can fail. It clears salt.
func (s *Session) encrypt(plaintext, addresses []byte, next *spqr.State, pqMessage []byte, salt *[32]byte) []byte {
	sender := s.state.Sender
	chainKey := (*[32]byte)(sender.Key)
	seed := chainSeed(chainKey)
	var k messageKeys
	k.expand(&seed, salt)
	out := s.seal(plaintext, addresses, pqMessage, &k)

	*chainKey = chainNext(chainKey)
	sender.Index++
	s.pq, s.state.PQRatchet = *next, nil
	clear(seed[:])
	k.clear()
	if salt != nil {
		clear(salt[:])
	}
	return out
}

// seal builds the bytes of one SignalMessage, MAC included.
func (s *Session) seal(plaintext, addresses, pqMessage []byte, k *messageKeys) []byte {
	m := wire.SignalMessage{
		Version:    byte(s.state.Version),
		RatchetKey: s.state.Sender.PublicKey,
		Counter:    s.state.Sender.Index,
		Previous:   s.state.PreviousCounter,
		PQRatchet:  pqMessage,
		Addresses:  addresses,
	}
	out := wire.AppendSignalHead(nil, &m, len(plaintext)/16*16+16) // CBC, padded
	out = etm.EncryptCBC(out, &k.cipher, &k.iv, plaintext)
	out = wire.AppendSignalTail(out, &m)
	mac := etm.MAC(&k.mac, s.state.LocalIdentity, s.state.RemoteIdentity, out)
	return append(out, mac[:wire.MACSize]...)
}

// postQuantum returns the third ratchet, reading its stored form once.
func (s *Session) postQuantum() (*spqr.State, error) {
	if !s.pqRead {
		pq, err := spqr.Parse(s.state.PQRatchet)
		if err != nil {
			return nil, fmt.Errorf("%w: post-quantum ratchet", ErrCorrupt)
		}
		s.pq, s.pqRead = *pq, true
	}
	return &s.pq, nil
}
