package wire

import "google.golang.org/protobuf/encoding/protowire"

// Numbers of the states of the machine in the stored form.
const (
	SPQRKeysUnsampled = 1 + iota
	SPQRKeysSampled
	SPQRHeaderSent
	SPQRCt1Received
	SPQREkSentCt1Received
	SPQRNoHeaderReceived
	SPQRHeaderReceived
	SPQRCt1Sampled
	SPQREkReceivedCt1Sampled
	SPQRCt1Acknowledged
	SPQRCt2Sampled
)

// An SPQRMachine is the state of the key agreement, V1State of spec/spqr.md,
// Section 8.4: the message numbered State, with its parts in one place. Parts a
// state does not have stay zero.
type SPQRMachine struct {
	Secret
	State           byte // 1 to 11
	Epoch           uint64
	RootKey, MACKey []byte    // 32 bytes each, of the authenticator
	Parts           [3][]byte // fields 3, 4 and 5 of the message uc
	Encoder         SPQREncoder
	Decoder         SPQRDecoder
}

// spqrLayout has what differs between the states.
var spqrLayout = [12]struct {
	parts            int              // how many of Parts there are
	encoder, decoder protowire.Number // field numbers; 0: has none
}{
	SPQRKeysSampled:          {2, 2, 0}, // ek, dk
	SPQRHeaderSent:           {1, 2, 3}, // dk
	SPQRCt1Received:          {2, 2, 0}, // dk, ct1
	SPQREkSentCt1Received:    {2, 0, 3}, // dk, ct1
	SPQRNoHeaderReceived:     {0, 0, 2},
	SPQRHeaderReceived:       {1, 0, 2}, // hdr
	SPQRCt1Sampled:           {3, 2, 3}, // hdr, es, ct1
	SPQREkReceivedCt1Sampled: {3, 2, 0}, // es, ek, ct1
	SPQRCt1Acknowledged:      {3, 0, 2}, // hdr, es, ct1
	SPQRCt2Sampled:           {0, 2, 0},
}

func (m *SPQRMachine) parse(outer *reader, b []byte) {
	*m = SPQRMachine{}
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		if f.num <= SPQRCt2Sampled {
			r.bytes(&f, &part)
			m.State = byte(f.num)
			m.parseState(&r, part)
		}
	}
	if m.State == 0 {
		r.fail("no state")
	}
	outer.err = r.err
}

func (m *SPQRMachine) parseState(outer *reader, b []byte) {
	*m = SPQRMachine{State: m.State}
	layout := &spqrLayout[m.State]
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &part)
			m.parseCore(&r, part)
		case layout.encoder:
			r.bytes(&f, &part)
			m.Encoder.parse(&r, part)
		case layout.decoder:
			r.bytes(&f, &part)
			m.Decoder.parse(&r, part)
		}
	}
	outer.err = r.err
}

// parseCore reads the message uc.
func (m *SPQRMachine) parseCore(outer *reader, b []byte) {
	parts := spqrLayout[m.State].parts
	r := reader{buf: b, err: outer.err}
	var f field
	var part []byte
	for r.next(&f) {
		switch num := int(f.num); {
		case num == 1:
			r.uint64(&f, &m.Epoch)
		case num == 2:
			r.bytes(&f, &part)
			m.parseAuthenticator(&r, part)
		case num <= 2+parts:
			r.bytes(&f, &m.Parts[num-3])
		}
	}
	outer.err = r.err
}

func (m *SPQRMachine) parseAuthenticator(outer *reader, b []byte) {
	r := reader{buf: b, err: outer.err}
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &m.RootKey)
		case 2:
			r.bytes(&f, &m.MACKey)
		}
	}
	outer.err = r.err
}

func (m *SPQRMachine) append(dst []byte, num protowire.Number) []byte {
	layout := &spqrLayout[m.State]
	width := 1 // of most length prefixes: only a KeysUnsampled is that short
	if layout.encoder|layout.decoder != 0 {
		width = 2
	}
	dst, outer := openMessage(dst, num, width)
	dst, inner := openMessage(dst, protowire.Number(m.State), width)
	dst = m.appendCore(dst)
	if layout.encoder != 0 {
		dst = m.Encoder.append(dst, layout.encoder)
	}
	if layout.decoder != 0 {
		dst = m.Decoder.append(dst, layout.decoder)
	}
	dst = closeMessage(dst, inner, width)
	return closeMessage(dst, outer, width)
}

func (m *SPQRMachine) appendCore(dst []byte) []byte {
	parts := spqrLayout[m.State].parts
	width := 1
	if parts != 0 {
		width = 2
	}
	dst, core := openMessage(dst, 1, width)
	dst = appendUint(dst, 1, m.Epoch)
	dst, auth := openMessage(dst, 2, 1)
	dst = appendBytes(dst, 1, m.RootKey)
	dst = appendBytes(dst, 2, m.MACKey)
	dst = closeMessage(dst, auth, 1)
	for i, part := range m.Parts[:parts] {
		dst = appendBytes(dst, protowire.Number(3+i), part)
	}
	return closeMessage(dst, core, width)
}

// openMessage begins a sub-message: its tag, and room for a length of width bytes.
// closeMessage, given the place returned, ends it. A length that takes another
// width than foreseen is right, too, at the cost of a move.
func openMessage(dst []byte, num protowire.Number, width int) ([]byte, int) {
	dst = appendTag(dst, num, protowire.BytesType)
	return append(dst, "\x00\x00\x00\x00\x00"[:width]...), len(dst) + width
}

func closeMessage(dst []byte, at, width int) []byte {
	size := len(dst) - at
	need := protowire.SizeVarint(uint64(size))
	if need > width {
		dst = append(dst, "\x00\x00\x00\x00\x00"[:need-width]...)
	}
	if need != width {
		copy(dst[at-width+need:], dst[at:at+size])
		dst = dst[:at-width+need+size]
	}
	appendVarint(dst[:at-width], uint64(size))
	return dst
}
