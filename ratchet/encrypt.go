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
	pq, err := s.postQuantum()
	if err != nil {
		return nil, err
	}
	nextPQ, pqMessage, salt, err := pq.Send()
	if err != nil {
		return nil, pqError(err)
	}
	return s.encrypt(plaintext, addresses, nextPQ, pqMessage, salt)
}

// encrypt is Encrypt after the post-quantum ratchet's step.
func (s *Session) encrypt(plaintext, addresses []byte, nextPQ *spqr.State, pqMessage []byte, salt *[32]byte) ([]byte, error) {
	if len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("%w: plaintext of %d bytes", ErrTooLarge, len(plaintext))
	}
	sender := s.state.Sender
	if sender == nil || len(sender.PublicKey) != 33 {
		return nil, fmt.Errorf("%w: sender chain", ErrCorrupt)
	}
	if sender.Index == math.MaxUint32 {
		return nil, ErrExhausted
	}
	chainKey, err := key32(sender.Key, "sender chain key")
	if err != nil {
		return nil, err
	}
	if len(s.state.LocalIdentity) != 33 || len(s.state.RemoteIdentity) != 33 {
		return nil, fmt.Errorf("%w: identity key", ErrCorrupt)
	}
	seed := chainSeed(&chainKey)
	var k messageKeys
	k.expand(&seed, salt)
	defer k.clear()

	out := s.message(plaintext, addresses, pqMessage, &k)
	next := chainNext(&chainKey)
	clear(sender.Key)
	moved := *sender
	moved.Key, moved.Index = bytesOf(next[:]), sender.Index+1
	s.state.Sender, s.pq = &moved, nextPQ
	clear(chainKey[:])
	clear(next[:])
	clear(seed[:])
	return out, nil
}

// message builds the bytes of one SignalMessage, MAC included.
func (s *Session) message(plaintext, addresses, pqMessage []byte, k *messageKeys) []byte {
	m := wire.SignalMessage{
		Version:    byte(s.state.Version),
		RatchetKey: s.state.Sender.PublicKey,
		Counter:    s.state.Sender.Index,
		Previous:   s.state.PreviousCounter,
		Ciphertext: etm.EncryptCBC(nil, &k.cipher, &k.iv, plaintext),
		PQRatchet:  pqMessage,
		Addresses:  addresses,
	}
	out := wire.AppendSignalMessage(make([]byte, 0, len(m.Ciphertext)+160), &m)
	mac := etm.MAC(&k.mac, s.state.LocalIdentity, s.state.RemoteIdentity, out)
	return append(out, mac[:8]...)
}

// postQuantum returns the third ratchet, reading its stored form once.
func (s *Session) postQuantum() (*spqr.State, error) {
	if s.pq == nil {
		pq, err := spqr.Parse(s.state.PQRatchet)
		if err != nil {
			return nil, fmt.Errorf("%w: post-quantum ratchet", ErrCorrupt)
		}
		s.pq = pq
	}
	return s.pq, nil
}
