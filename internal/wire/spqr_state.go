package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The stored form of the sparse post-quantum ratchet (spec/spqr.md, Section 8).
// Fields are written in ascending order; a parsed field that is absent is zero.
// A message that comes again replaces the one before and is not merged with it:
// nobody writes one twice, and so no state has parts of two.

// An SPQRState is the whole, PqRatchetState of Section 8.1.
type SPQRState struct {
	Secret
	Negotiation    SPQRNegotiation
	Chain          SPQRChain
	Machine        SPQRMachine
	HasNegotiation bool
	HasChain       bool
	HasMachine     bool
}

// An SPQRNegotiation is kept until the first message of the same version.
type SPQRNegotiation struct {
	Secret
	AuthKey    []byte // 32 bytes; lengths are not checked here
	Direction  uint32 // 0: A to B, 1: B to A
	MinVersion uint32
	Params     SPQRParams
}

// SPQRParams are the limits of a chain; 0 is the default of either.
type SPQRParams struct {
	Present bool // always, in what is written
	MaxJump uint32
	MaxKept uint32
}

// SPQRMaxLinks is the most links that a chain has: the epoch sent in before and
// that one, the next to send in, and the one being agreed on.
const SPQRMaxLinks = 4

// An SPQRChain is the symmetric part (Section 8.2).
type SPQRChain struct {
	Secret
	Direction    uint32
	CurrentEpoch uint64
	SendEpoch    uint64
	NextRoot     []byte // 32 bytes
	Params       SPQRParams
	Links        [SPQRMaxLinks]SPQRLink // oldest first; the last is of CurrentEpoch
	LinkCount    int
}

// An SPQRLink is what a chain keeps of one epoch.
type SPQRLink struct {
	Secret
	Send, Recv SPQRHalf
}

// An SPQRHalf is one direction of a link, an EpochDirection.
type SPQRHalf struct {
	Secret
	Present bool // always, in what is written
	Counter uint32
	Next    []byte // 32 bytes, or none when cleared
	History []byte // field prev: 36-byte entries
}

// Parse reads the stored form; b is not empty. Unknown fields are dropped.
//
// Errors: ErrMalformed.
func (s *SPQRState) Parse(b []byte) error {
	*s = SPQRState{}
	r := reader{buf: b}
	var f field
	var part []byte
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &part)
			s.HasNegotiation = true
			s.Negotiation.parse(&r, part)
		case 2:
			r.bytes(&f, &part)
			s.HasChain = true
			s.Chain.parse(&r, part)
		case 3:
			r.bytes(&f, &part)
			s.HasMachine = true
			s.Machine.parse(&r, part)
		}
	}
	return r.err
}

// room is at least the length of the stored form, and little more; 0 for an
// empty one.
func (s *SPQRState) room() int {
	if !s.HasNegotiation && !s.HasChain && !s.HasMachine {
		return 0
	}
	n := 400 + len(s.Machine.Encoder.Points.encoded) + len(s.Machine.Encoder.Coefficients.encoded) +
		len(s.Machine.Decoder.Points.encoded)
	for _, part := range s.Machine.Parts {
		n += len(part)
	}
	for i := range s.Chain.Links[:s.Chain.LinkCount] {
		n += 112 + s.Chain.Links[i].skipped()
	}
	return n
}

// Append appends the stored form, growing dst at most once.
func (s *SPQRState) Append(dst []byte) []byte {
	dst = slices.Grow(dst, s.room())
	if s.HasNegotiation {
		dst = s.Negotiation.append(dst, 1)
	}
	if s.HasChain {
		dst = s.Chain.append(dst, 2)
	}
	if s.HasMachine {
		dst = s.Machine.append(dst, 3)
	}
	return dst
}

func (n *SPQRNegotiation) parse(outer *reader, b []byte) {
	*n = SPQRNegotiation{}
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &n.AuthKey)
		case 2:
			r.uint32(&f, &n.Direction)
		case 3:
			r.uint32(&f, &n.MinVersion)
		case 4:
			r.bytes(&f, &part)
			n.Params.parse(&r, part)
		}
	}
	outer.err = r.err
}

func (n *SPQRNegotiation) append(dst []byte, num protowire.Number) []byte {
	dst, at := openMessage(dst, num, 1)
	dst = appendBytes(dst, 1, n.AuthKey)
	dst = appendUint(dst, 2, uint64(n.Direction))
	dst = appendUint(dst, 3, uint64(n.MinVersion))
	dst = n.Params.append(dst, 4)
	return closeMessage(dst, at, 1)
}

func (p *SPQRParams) parse(outer *reader, b []byte) {
	*p = SPQRParams{Present: true}
	r := reader{buf: b, err: outer.err}
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &p.MaxJump)
		case 2:
			r.uint32(&f, &p.MaxKept)
		}
	}
	outer.err = r.err
}

func (p *SPQRParams) append(dst []byte, num protowire.Number) []byte {
	dst, at := openMessage(dst, num, 1)
	dst = appendUint(dst, 1, uint64(p.MaxJump))
	dst = appendUint(dst, 2, uint64(p.MaxKept))
	return closeMessage(dst, at, 1)
}

func (c *SPQRChain) parse(outer *reader, b []byte) {
	*c = SPQRChain{}
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &c.Direction)
		case 2:
			r.uint64(&f, &c.CurrentEpoch)
		case 3:
			r.bytes(&f, &part)
			c.addLink(&r, part)
		case 4:
			r.bytes(&f, &c.NextRoot)
		case 5:
			r.uint64(&f, &c.SendEpoch)
		case 6:
			r.bytes(&f, &part)
			c.Params.parse(&r, part)
		}
	}
	outer.err = r.err
}

func (c *SPQRChain) addLink(r *reader, b []byte) {
	if c.LinkCount == SPQRMaxLinks {
		r.fail("too many links")
		return
	}
	c.Links[c.LinkCount].parse(r, b)
	c.LinkCount++
}

func (c *SPQRChain) append(dst []byte, num protowire.Number) []byte {
	n := 200
	for i := range c.Links[:c.LinkCount] {
		n += c.Links[i].skipped()
	}
	width := protowire.SizeVarint(uint64(n))
	dst, at := openMessage(dst, num, width)
	dst = appendUint(dst, 1, uint64(c.Direction))
	dst = appendUint(dst, 2, c.CurrentEpoch)
	for i := range c.Links[:c.LinkCount] {
		dst = c.Links[i].append(dst, 3)
	}
	dst = appendBytes(dst, 4, c.NextRoot)
	dst = appendUint(dst, 5, c.SendEpoch)
	dst = c.Params.append(dst, 6)
	return closeMessage(dst, at, width)
}

func (l *SPQRLink) parse(outer *reader, b []byte) {
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &part)
			l.Send.parse(&r, part)
		case 2:
			r.bytes(&f, &part)
			l.Recv.parse(&r, part)
		}
	}
	outer.err = r.err
}

func (l *SPQRLink) append(dst []byte, num protowire.Number) []byte {
	width := protowire.SizeVarint(uint64(80 + l.skipped()))
	dst, at := openMessage(dst, num, width)
	dst = l.Send.append(dst, 1)
	dst = l.Recv.append(dst, 2)
	return closeMessage(dst, at, width)
}

// skipped is the length of both histories.
func (l *SPQRLink) skipped() int { return len(l.Send.History) + len(l.Recv.History) }

func (h *SPQRHalf) parse(outer *reader, b []byte) {
	*h = SPQRHalf{Present: true}
	r := reader{buf: b, err: outer.err}
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &h.Counter)
		case 2:
			r.bytes(&f, &h.Next)
		case 3:
			r.bytes(&f, &h.History)
		}
	}
	outer.err = r.err
}

func (h *SPQRHalf) append(dst []byte, num protowire.Number) []byte {
	width := protowire.SizeVarint(uint64(38 + len(h.History)))
	dst, at := openMessage(dst, num, width)
	dst = appendUint(dst, 1, uint64(h.Counter))
	dst = appendBytes(dst, 2, h.Next)
	dst = appendBytes(dst, 3, h.History)
	return closeMessage(dst, at, width)
}
