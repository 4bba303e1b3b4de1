package braid

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kem"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

func (*keysUnsampled) tag() byte        { return wire.SPQRKeysUnsampled }
func (*keysSampled) tag() byte          { return wire.SPQRKeysSampled }
func (*headerSent) tag() byte           { return wire.SPQRHeaderSent }
func (*ct1Received) tag() byte          { return wire.SPQRCt1Received }
func (*ekSentCt1Received) tag() byte    { return wire.SPQREkSentCt1Received }
func (*noHeaderReceived) tag() byte     { return wire.SPQRNoHeaderReceived }
func (*headerReceived) tag() byte       { return wire.SPQRHeaderReceived }
func (*ct1Sampled) tag() byte           { return wire.SPQRCt1Sampled }
func (*ekReceivedCt1Sampled) tag() byte { return wire.SPQREkReceivedCt1Sampled }
func (*ct1Acknowledged) tag() byte      { return wire.SPQRCt1Acknowledged }
func (*ct2Sampled) tag() byte           { return wire.SPQRCt2Sampled }

// Store puts m into its stored form, which shares m's parts.
func (m Machine) Store(w *wire.SPQRMachine) {
	c := m.state.at()
	*w = wire.SPQRMachine{
		State: m.state.tag(), Epoch: c.epoch, RootKey: c.auth.root[:], MACKey: c.auth.mac[:],
	}
	parts, e, d := m.state.parts()
	w.Parts = parts
	if e != nil {
		e.Store(&w.Encoder)
	}
	if d != nil {
		d.Store(&w.Decoder)
	}
}

func (*keysUnsampled) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{}, nil, nil
}

func (s *keysSampled) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.ek, s.dk}, &s.hdr, nil
}

func (s *headerSent) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.dk}, &s.ek, &s.ct1
}

func (s *ct1Received) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.dk, s.ct1}, &s.ek, nil
}

func (s *ekSentCt1Received) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.dk, s.ct1}, nil, &s.ct2
}

func (s *noHeaderReceived) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{}, nil, &s.hdr
}

func (s *headerReceived) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.header[:]}, nil, &s.ek
}

func (s *ct1Sampled) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.header[:], s.es, s.ct1}, &s.enc, &s.ek
}

func (s *ekReceivedCt1Sampled) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.es, s.ek, s.ct1}, &s.enc, nil
}

func (s *ct1Acknowledged) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{s.header[:], s.es, s.ct1}, nil, &s.ek
}

func (s *ct2Sampled) parts() ([3][]byte, *erasure.Encoder, *erasure.Decoder) {
	return [3][]byte{}, &s.ct2, nil
}

// Sizes of parts and objects, in bytes.
const (
	dkSize  = kem.Private768Size
	hdrSize = kem.Header768Size
	ekSize  = kem.Vector768Size
	esSize  = kem.EncapsStateSize
	ct1Size = kem.Ciphertext1Size
)

// partSizes has the lengths of the Parts of each state.
var partSizes = [12][3]int{
	wire.SPQRKeysSampled:          {ekSize, dkSize},
	wire.SPQRHeaderSent:           {dkSize},
	wire.SPQRCt1Received:          {dkSize, ct1Size},
	wire.SPQREkSentCt1Received:    {dkSize, ct1Size},
	wire.SPQRHeaderReceived:       {hdrSize},
	wire.SPQRCt1Sampled:           {hdrSize, esSize, ct1Size},
	wire.SPQREkReceivedCt1Sampled: {esSize, ekSize, ct1Size},
	wire.SPQRCt1Acknowledged:      {hdrSize, esSize, ct1Size},
}

// Parse returns the machine in w, and refers to w's parts. It checks all that
// Send and Recv rely on (spqr.md, Section 8.5); what keys and ciphertexts mean
// is left to them.
//
// Errors: ErrCorrupt.
func Parse(w *wire.SPQRMachine) (Machine, error) {
	if w.State < wire.SPQRKeysUnsampled || w.State > wire.SPQRCt2Sampled {
		return Machine{}, fmt.Errorf("%w: state %d", ErrCorrupt, w.State)
	}
	if w.Epoch == 0 || len(w.RootKey) != 32 || len(w.MACKey) != 32 {
		return Machine{}, fmt.Errorf("%w: epoch or key length", ErrCorrupt)
	}
	for i, part := range w.Parts {
		if len(part) != partSizes[w.State][i] {
			return Machine{}, fmt.Errorf("%w: length of part %d of state %d", ErrCorrupt, i, w.State)
		}
	}
	p := parser{w: w}
	s := p.state(core{w.Epoch, authenticator{(*[32]byte)(w.RootKey), (*[32]byte)(w.MACKey)}})
	if p.failed {
		return Machine{}, fmt.Errorf("%w: chunks of state %d", ErrCorrupt, w.State)
	}
	return Machine{state: s}, nil
}

// A parser reads the encoder and the decoder of a state.
type parser struct {
	w      *wire.SPQRMachine
	failed bool
}

func (p *parser) encoder(size int) erasure.Encoder {
	e, ok := erasure.ParseEncoder(&p.w.Encoder, size)
	p.failed = p.failed || !ok
	return e
}

func (p *parser) decoder(size int) erasure.Decoder {
	d, ok := erasure.ParseDecoder(&p.w.Decoder, size)
	p.failed = p.failed || !ok
	return d
}

func (p *parser) header() *[hdrSize]byte { return (*[hdrSize]byte)(p.w.Parts[0]) }

func (p *parser) state(c core) state {
	a, b, ct1 := p.w.Parts[0], p.w.Parts[1], p.w.Parts[2]
	switch p.w.State {
	case wire.SPQRKeysUnsampled:
		return &keysUnsampled{c}
	case wire.SPQRKeysSampled:
		return &keysSampled{c, a, b, p.encoder(headerObject)}
	case wire.SPQRHeaderSent:
		return &headerSent{c, a, p.encoder(ekSize), p.decoder(ct1Size)}
	case wire.SPQRCt1Received:
		return &ct1Received{c, a, b, p.encoder(ekSize)}
	case wire.SPQREkSentCt1Received:
		return &ekSentCt1Received{c, a, b, p.decoder(ct2Object)}
	case wire.SPQRNoHeaderReceived:
		return &noHeaderReceived{c, p.decoder(headerObject)}
	case wire.SPQRHeaderReceived:
		return &headerReceived{c, p.header(), p.decoder(ekSize)}
	case wire.SPQRCt1Sampled:
		return &ct1Sampled{c, p.header(), b, ct1, p.encoder(ct1Size), p.decoder(ekSize)}
	case wire.SPQREkReceivedCt1Sampled:
		return &ekReceivedCt1Sampled{c, a, b, ct1, p.encoder(ct1Size)}
	case wire.SPQRCt1Acknowledged:
		return &ct1Acknowledged{c, p.header(), b, ct1, p.decoder(ekSize)}
	}
	return &ct2Sampled{c, p.encoder(ct2Object)}
}
