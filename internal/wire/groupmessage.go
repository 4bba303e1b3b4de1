package wire

import (
	"fmt"
	"slices"
)

// What both messages of a group have in common (sealed-groups-fingerprint,
// Sections 4.2 to 4.4).
const (
	// SignatureSize is the length in bytes of the signature at the end of a
	// SenderKeyMessage.
	SignatureSize = 64

	groupVersion = 3  // the only version of messages, in both nibbles
	minGroup     = 65 // bytes, of either message

)

// The largest messages of groups that are read, in bytes.
const (
	MaxSenderKeyMessage             = MaxPlaintext + 4<<10
	MaxSenderKeyDistributionMessage = 4 << 10
)

// A SenderKeyDistributionMessage gives others a sender key
// (sealed-groups-fingerprint, Section 4.3). It holds the chain key, and travels
// inside a message of a session only.
//
//	version byte ‖ protobuf
type SenderKeyDistributionMessage struct {
	Secret
	Version      byte   // the high nibble of the first byte
	Distribution []byte // 16 bytes
	ChainID      uint32
	Iteration    uint32
	ChainKey     []byte // 32 bytes
	SigningKey   []byte // 33 bytes; the key is not checked here
}

// ParseSenderKeyDistributionMessage reads a message of at most
// MaxSenderKeyDistributionMessage bytes. Errors are ErrTooLarge, ErrVersion and
// ErrMalformed; what is too short is found before the version is looked at.
func ParseSenderKeyDistributionMessage(b []byte) (SenderKeyDistributionMessage, error) {
	var m SenderKeyDistributionMessage
	err := tooLarge(b, MaxSenderKeyDistributionMessage)
	if err == nil {
		m.Version, err = groupMessage(b)
	}
	if err == nil {
		err = m.decode(b[1:])
	}
	return orZero(m, err)
}

// groupMessage checks the length and the version byte, of which the low nibble
// is ignored.
func groupMessage(b []byte) (version byte, _ error) {
	if len(b) < minGroup {
		return 0, fmt.Errorf("%w: group message of %d bytes", ErrMalformed, len(b))
	}
	if v := b[0] >> 4; v != groupVersion {
		return 0, fmt.Errorf("%w: group message of version %d", ErrVersion, v)
	}
	return groupVersion, nil
}

func (m *SenderKeyDistributionMessage) decode(b []byte) error {
	r, f, seen := reader{buf: b}, field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &m.Distribution)
		case 2:
			r.uint32(&f, &m.ChainID)
		case 3:
			r.uint32(&f, &m.Iteration)
		case 4:
			r.bytes(&f, &m.ChainKey)
		case 5:
			r.bytes(&f, &m.SigningKey)
		}
	}
	r.require(seen, 1<<1|1<<2|1<<3|1<<4|1<<5)
	if len(m.Distribution) != DistributionIDSize || len(m.ChainKey) != 32 || len(m.SigningKey) != 33 {
		r.fail("length of a field")
	}
	return r.err
}

// AppendSenderKeyDistributionMessage appends the encoding of m.
func AppendSenderKeyDistributionMessage(dst []byte, m *SenderKeyDistributionMessage) []byte {
	dst = slices.Grow(dst, 1+sizeMustBytes(1, len(m.Distribution))+sizeMustUint(2, uint64(m.ChainID))+
		sizeMustUint(3, uint64(m.Iteration))+sizeMustBytes(4, len(m.ChainKey))+sizeMustBytes(5, len(m.SigningKey)))
	dst = append(dst, groupVersion<<4|groupVersion)
	dst = mustBytes(dst, 1, m.Distribution)
	dst = mustUint(dst, 2, uint64(m.ChainID))
	dst = mustUint(dst, 3, uint64(m.Iteration))
	dst = mustBytes(dst, 4, m.ChainKey)
	return mustBytes(dst, 5, m.SigningKey)
}

// A SenderKeyMessage is a message to a group (sealed-groups-fingerprint,
// Section 4.4):
//
//	version byte ‖ protobuf ‖ signature (64)
type SenderKeyMessage struct {
	Version      byte   // the high nibble of the first byte
	Distribution []byte // 16 bytes
	ChainID      uint32
	Iteration    uint32
	Ciphertext   []byte

	Body      []byte // version byte ‖ protobuf, as received: what the signature covers
	Signature []byte // 64 bytes
}

// ParseSenderKeyMessage reads a message of at most MaxSenderKeyMessage bytes.
// Errors are as with ParseSenderKeyDistributionMessage.
func ParseSenderKeyMessage(b []byte) (SenderKeyMessage, error) {
	var m SenderKeyMessage
	if err := m.parse(b); err != nil {
		return SenderKeyMessage{}, err
	}
	return m, nil
}

func (m *SenderKeyMessage) parse(b []byte) (err error) {
	if err := tooLarge(b, MaxSenderKeyMessage); err != nil {
		return err
	}
	if m.Version, err = groupMessage(b); err != nil {
		return err
	}
	end := len(b) - SignatureSize
	m.Body, m.Signature = b[:end:end], b[end:len(b):len(b)]
	return m.decode(m.Body[1:])
}

func (m *SenderKeyMessage) decode(b []byte) error {
	r, f, seen := reader{buf: b}, field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &m.Distribution)
		case 2:
			r.uint32(&f, &m.ChainID)
		case 3:
			r.uint32(&f, &m.Iteration)
		case 4:
			r.bytes(&f, &m.Ciphertext)
		}
	}
	r.require(seen, 1<<1|1<<2|1<<3|1<<4)
	if len(m.Distribution) != DistributionIDSize {
		r.fail("length of a distribution id")
	}
	return r.err
}

// AppendSenderKeyMessage appends the version byte and the protobuf. The caller
// appends the signature, for which there is room. Body and Signature are not
// read.
func AppendSenderKeyMessage(dst []byte, m *SenderKeyMessage) []byte {
	return append(AppendSenderKeyHead(dst, m, len(m.Ciphertext)), m.Ciphertext...)
}

// AppendSenderKeyHead appends what comes before a ciphertext of n bytes, and
// makes room for all. The caller makes the ciphertext in its place, and then the
// signature.
func AppendSenderKeyHead(dst []byte, m *SenderKeyMessage, n int) []byte {
	dst = slices.Grow(dst, 1+sizeMustBytes(1, len(m.Distribution))+sizeMustUint(2, uint64(m.ChainID))+
		sizeMustUint(3, uint64(m.Iteration))+sizeMustBytes(4, n)+SignatureSize)
	dst = append(dst, groupVersion<<4|groupVersion)
	dst = mustBytes(dst, 1, m.Distribution)
	dst = mustUint(dst, 2, uint64(m.ChainID))
	dst = mustUint(dst, 3, uint64(m.Iteration))
	return mustLen(dst, 4, n)
}
