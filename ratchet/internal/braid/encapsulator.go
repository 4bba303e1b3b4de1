package braid

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kem"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// The states of the side that encapsulates to the epoch's key (spqr.md, Section
// 5.4).

// noHeaderReceived: collecting the header and its MAC.
type noHeaderReceived struct {
	core
	hdr erasure.Decoder
}

// headerReceived: the next message to send encapsulates.
type headerReceived struct {
	core
	header *[kem.Header768Size]byte
	ek     erasure.Decoder
}

// ct1Sampled: sending ct1, collecting ek.
type ct1Sampled struct {
	core
	header  *[kem.Header768Size]byte
	es, ct1 []byte // 2080, 960
	enc     erasure.Encoder
	ek      erasure.Decoder
}

// ekReceivedCt1Sampled: ek is complete here, ct1 not yet over there.
type ekReceivedCt1Sampled struct {
	core
	es, ek, ct1 []byte // 2080, 1152, 960
	enc         erasure.Encoder
}

// ct1Acknowledged: ct1 is complete over there, ek not yet here.
type ct1Acknowledged struct {
	core
	header  *[kem.Header768Size]byte
	es, ct1 []byte
	ek      erasure.Decoder
}

// ct2Sampled: sending ct2 and its MAC, until the first message of the next epoch.
type ct2Sampled struct {
	core
	ct2 erasure.Encoder
}

func newHeaderDecoder() erasure.Decoder { return erasure.NewDecoder(headerObject) }

func (s *noHeaderReceived) send(Coins) (state, message, *[32]byte) {
	return s, message{Kind: wire.SPQRNone}, nil
}

func (s *noHeaderReceived) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRHdr {
		return s, nil, nil
	}
	decoder, object := s.hdr.Add(m.ChunkIndex, &m.Chunk)
	if object == nil {
		return &noHeaderReceived{s.core, decoder}, nil, nil
	}
	header := (*[kem.Header768Size]byte)(object)
	if !equal(s.auth.header(s.epoch, header), object[kem.Header768Size:]) {
		return nil, nil, fmt.Errorf("%w: header of epoch %d", wire.ErrAuth, s.epoch)
	}
	return &headerReceived{s.core, header, erasure.NewDecoder(kem.Vector768Size)}, nil, nil
}

func (s *headerReceived) coins() int { return 32 }

// send encapsulates. That takes the header only, and settles the secret before
// the owner has seen anything of it.
func (s *headerReceived) send(coins Coins) (state, message, *[32]byte) {
	es, ct1, k := kem.Encaps1(s.header, (*[32]byte)(coins[:32]))
	clear(coins[:])
	secret := epochSecret(s.epoch, &k)
	next := ct1Sampled{core: s.core, header: s.header, es: es[:], ct1: ct1[:], ek: s.ek}
	next.auth = s.auth.update(s.epoch, secret)
	next.enc = erasure.NewEncoder(ct1[:])
	st, m, _ := next.send(coins)
	return st, m, secret
}

func (s *headerReceived) recv(message) (state, *[32]byte, error) { return s, nil, nil }

func (s *ct1Sampled) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQRCt1}
	next.enc, m.ChunkIndex, m.Chunk = s.enc.Next()
	return &next, m, nil
}

func (s *ct1Sampled) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQREk && m.Kind != wire.SPQREkCt1Ack {
		return s, nil, nil
	}
	decoder, ek := s.ek.Add(m.ChunkIndex, &m.Chunk)
	acknowledged := m.Kind == wire.SPQREkCt1Ack
	switch {
	case ek == nil && !acknowledged:
		next := *s
		next.ek = decoder
		return &next, nil, nil
	case ek == nil:
		return &ct1Acknowledged{s.core, s.header, s.es, s.ct1, decoder}, nil, nil
	}
	if err := s.validate(ek, s.header); err != nil {
		return nil, nil, err
	}
	if acknowledged {
		return s.finish(ek, s.es, s.ct1), nil, nil
	}
	return &ekReceivedCt1Sampled{s.core, s.es, ek, s.ct1, s.enc}, nil, nil
}

func (s *ekReceivedCt1Sampled) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQRCt1}
	next.enc, m.ChunkIndex, m.Chunk = s.enc.Next()
	return &next, m, nil
}

func (s *ekReceivedCt1Sampled) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQRCt1Ack && m.Kind != wire.SPQREkCt1Ack {
		return s, nil, nil
	}
	return s.finish(s.ek, s.es, s.ct1), nil, nil
}

func (s *ct1Acknowledged) send(Coins) (state, message, *[32]byte) {
	return s, message{Kind: wire.SPQRNone}, nil
}

func (s *ct1Acknowledged) recv(m message) (state, *[32]byte, error) {
	if m.Kind != wire.SPQREk && m.Kind != wire.SPQREkCt1Ack {
		return s, nil, nil
	}
	decoder, ek := s.ek.Add(m.ChunkIndex, &m.Chunk)
	if ek == nil {
		next := *s
		next.ek = decoder
		return &next, nil, nil
	}
	if err := s.validate(ek, s.header); err != nil {
		return nil, nil, err
	}
	return s.finish(ek, s.es, s.ct1), nil, nil
}

func (s *ct2Sampled) send(Coins) (state, message, *[32]byte) {
	next := *s
	m := message{Kind: wire.SPQRCt2}
	next.ct2, m.ChunkIndex, m.Chunk = s.ct2.Next()
	return &next, m, nil
}

func (s *ct2Sampled) recv(message) (state, *[32]byte, error) { return s, nil, nil }

// validate reports as an error that ek is not what the header promised.
func (c *core) validate(ek []byte, header *[kem.Header768Size]byte) error {
	if !kem.Valid768(ek, header) {
		return fmt.Errorf("%w: key of epoch %d", wire.ErrAuth, c.epoch)
	}
	return nil
}

// finish computes the second part of the ciphertext, for a valid ek.
func (c *core) finish(ek, es, ct1 []byte) state {
	ct2 := kem.Encaps2(ek, es)
	mac := c.auth.ciphertext(c.epoch, ct1, ct2[:])
	return &ct2Sampled{*c, erasure.NewEncoder(append(ct2[:], mac[:]...))}
}
