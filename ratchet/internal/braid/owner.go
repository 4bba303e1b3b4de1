package braid

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kem"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// The states of the side that owns the epoch's key pair (spqr.md, Section 5.3).

// Sizes of the objects that are cut into chunks, in bytes.
const (
	headerObject = kem.Header768Size + macSize   // 96
	ct2Object    = kem.Ciphertext2Size + macSize // 160
)

// keysUnsampled: nothing done yet.
type keysUnsampled struct {
	core
}

// keysSampled: sending the header, until the first chunk of ct1.
type keysSampled struct {
	core
	ek, dk []byte // 1152, 2400
	hdr    erasure.Encoder
}

// headerSent: sending ek, collecting ct1.
type headerSent struct {
	core
	dk  []byte
	ek  erasure.Encoder
	ct1 erasure.Decoder
}

// ct1Received: still sending ek, and that ct1 is complete.
type ct1Received struct {
	core
	dk, ct1 []byte // 2400, 960
	ek      erasure.Encoder
}

// ekSentCt1Received: ek is complete over there; collecting ct2 and its MAC.
type ekSentCt1Received struct {
	core
	dk, ct1 []byte
	ct2     erasure.Decoder
}

func (s *keysUnsampled) coins() int { return kem.SeedSize }

func (s *keysUnsampled) send(coins Coins) (state, message, *[32]byte) {
	dk := kem.Generate768((*[kem.SeedSize]byte)(&coins))
	header := kem.Header768(dk)
	mac := s.auth.header(s.epoch, &header)
	clear(coins[:])
	next := keysSampled{core: s.core, ek: kem.Vector768(dk), dk: dk[:]}
	next.hdr = erasure.NewEncoder(append(header[:], mac[:]...))
	return next.send(coins)
}

func (s *keysUnsampled) recv(message) (state, *[32]byte, error) { return s, nil, nil }

func (s *keysSampled) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQRHdr}
	next.hdr, m.ChunkIndex, m.Chunk = s.hdr.Next()
	return &next, m, nil
}

func (s *keysSampled) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRCt1 {
		return s, nil, nil
	}
	next := headerSent{core: s.core, dk: s.dk, ek: erasure.NewEncoder(s.ek)}
	next.ct1, _ = erasure.NewDecoder(kem.Ciphertext1Size).Add(m.ChunkIndex, &m.Chunk)
	return &next, nil, nil
}

func (s *headerSent) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQREk}
	next.ek, m.ChunkIndex, m.Chunk = s.ek.Next()
	return &next, m, nil
}

func (s *headerSent) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRCt1 {
		return s, nil, nil
	}
	decoder, ct1 := s.ct1.Add(m.ChunkIndex, &m.Chunk)
	if ct1 != nil {
		return &ct1Received{core: s.core, dk: s.dk, ct1: ct1, ek: s.ek}, nil, nil
	}
	next := *s
	next.ct1 = decoder
	return &next, nil, nil
}

func (s *ct1Received) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQREkCt1Ack}
	next.ek, m.ChunkIndex, m.Chunk = s.ek.Next()
	return &next, m, nil
}

func (s *ct1Received) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRCt2 {
		return s, nil, nil
	}
	next := ekSentCt1Received{core: s.core, dk: s.dk, ct1: s.ct1}
	next.ct2, _ = erasure.NewDecoder(ct2Object).Add(m.ChunkIndex, &m.Chunk)
	return &next, nil, nil
}

func (s *ekSentCt1Received) send(Coins) (state, message, *[32]byte) {
	return s, message{Kind: wire.SPQRCt1Ack}, nil
}

func (s *ekSentCt1Received) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRCt2 {
		return s, nil, nil
	}
	decoder, object := s.ct2.Add(m.ChunkIndex, &m.Chunk)
	if object != nil {
		return s.settle(object[:kem.Ciphertext2Size], object[kem.Ciphertext2Size:])
	}
	next := *s
	next.ct2 = decoder
	return &next, nil, nil
}

// settle ends the epoch. A wrong ciphertext gives a wrong secret, and so shows
// as a wrong MAC, which is made with the keys that have taken the secret in.
func (s *ekSentCt1Received) settle(ct2, mac []byte) (state, *[32]byte, error) {
	k := kem.Decaps768(s.dk, s.ct1, ct2)
	secret := epochSecret(s.epoch, &k)
	auth := s.auth.update(s.epoch, secret)
	if !equal(auth.ciphertext(s.epoch, s.ct1, ct2), mac) {
		clear(secret[:])
		return nil, nil, fmt.Errorf("%w: ciphertext of epoch %d", wire.ErrAuth, s.epoch)
	}
	epoch, err := following(s.epoch)
	if err != nil {
		return nil, nil, err
	}
	return &noHeaderReceived{core{epoch, auth}, newHeaderDecoder()}, secret, nil
}
