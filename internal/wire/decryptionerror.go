package wire

import (
	"fmt"
	"slices"
)

// MaxPlaintextContent is the largest PlaintextContent, and the largest
// DecryptionErrorMessage, that is read, in bytes. Honest ones have about 60.
const MaxPlaintextContent = 4 << 10

// The bytes around the Content in a PlaintextContent.
const (
	plaintextMarker = 0xC0
	paddingMarker   = 0x80
)

// A DecryptionErrorMessage asks the sender of a message that could not be
// decrypted for another one (spec/wire-core.md, Section 11).
type DecryptionErrorMessage struct {
	RatchetKey []byte // of the failed message, 33 bytes, not checked here; nil: absent
	Timestamp  uint64 // of the failed message, milliseconds since 1970
	Device     uint32 // that sent the failed message; any number
}

// NewDecryptionErrorMessage describes the failed message original, of type
// typ, sent by device at timestamp. A message of a session is parsed, and its
// errors are returned; that of a group is not looked at. Any other type is
// ErrMalformed. The ratchet key points into original.
func NewDecryptionErrorMessage(original []byte, typ MessageType, timestamp uint64, device uint32) (DecryptionErrorMessage, error) {
	m := DecryptionErrorMessage{Timestamp: timestamp, Device: device}
	switch typ {
	case TypeSignal:
		failed, err := ParseSignalMessage(original)
		if err != nil {
			return DecryptionErrorMessage{}, err
		}
		m.RatchetKey = failed.RatchetKey
	case TypePreKey:
		failed, err := ParsePreKeySignalMessage(original)
		if err != nil {
			return DecryptionErrorMessage{}, err
		}
		m.RatchetKey = failed.Message.RatchetKey
	case TypeSenderKey:
	default:
		return DecryptionErrorMessage{}, fmt.Errorf("%w: message type %d", ErrMalformed, typ)
	}
	return m, nil
}

// ParseDecryptionErrorMessage reads a message of at most MaxPlaintextContent
// bytes. Errors are ErrTooLarge and ErrMalformed.
func ParseDecryptionErrorMessage(b []byte) (DecryptionErrorMessage, error) {
	var m DecryptionErrorMessage
	r, f, seen := bounded(b, MaxPlaintextContent), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &m.RatchetKey)
		case 2:
			r.uint64(&f, &m.Timestamp)
		case 3:
			r.uint32(&f, &m.Device)
		}
	}
	r.require(seen, 1<<2)
	return orZero(m, r.err)
}

// AppendDecryptionErrorMessage appends the encoding of m. Timestamp and
// device are always written.
func AppendDecryptionErrorMessage(dst []byte, m *DecryptionErrorMessage) []byte {
	dst = slices.Grow(dst, m.size())
	if m.RatchetKey != nil {
		dst = mustBytes(dst, 1, m.RatchetKey)
	}
	dst = mustUint(dst, 2, m.Timestamp)
	return mustUint(dst, 3, uint64(m.Device))
}

func (m *DecryptionErrorMessage) size() int {
	n := sizeMustUint(2, m.Timestamp) + sizeMustUint(3, uint64(m.Device))
	if m.RatchetKey != nil {
		n += sizeMustBytes(1, len(m.RatchetKey))
	}
	return n
}

// ParsePlaintextContent reads the one message that travels unencrypted, of at
// most MaxPlaintextContent bytes:
//
//	0xC0 ‖ Content ‖ 0x80
//
// The Content must hold a DecryptionErrorMessage and nothing else: whoever
// carries the message could have written the rest. Errors are ErrTooLarge,
// ErrVersion for another first byte, and ErrMalformed.
func ParsePlaintextContent(b []byte) (DecryptionErrorMessage, error) {
	if err := tooLarge(b, MaxPlaintextContent); err != nil {
		return DecryptionErrorMessage{}, err
	}
	if len(b) == 0 {
		return DecryptionErrorMessage{}, fmt.Errorf("%w: empty message", ErrMalformed)
	}
	if b[0] != plaintextMarker {
		return DecryptionErrorMessage{}, fmt.Errorf("%w: not a plaintext content", ErrVersion)
	}
	last := len(b) - 1 // of one byte it is the marker, and no padding
	if b[last] != paddingMarker {
		return DecryptionErrorMessage{}, fmt.Errorf("%w: padding", ErrMalformed)
	}
	var raw []byte
	r, f := reader{buf: b[1:last]}, field{}
	for r.next(&f) {
		if f.num != 8 {
			r.fail("field beside the decryption error")
			break
		}
		r.bytes(&f, &raw)
	}
	if r.err != nil {
		return DecryptionErrorMessage{}, r.err
	}
	return ParseDecryptionErrorMessage(raw) // fails if there was none
}

// AppendPlaintextContent appends a PlaintextContent that holds m.
func AppendPlaintextContent(dst []byte, m *DecryptionErrorMessage) []byte {
	dst = slices.Grow(dst, 1+sizeMustBytes(8, m.size())+1)
	dst = append(dst, plaintextMarker)
	dst = mustLen(dst, 8, m.size())
	return append(AppendDecryptionErrorMessage(dst, m), paddingMarker)
}
