package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// pniPrefix stands before the UUID in the string of a PNI.
const pniPrefix = "PNI:"

var errServiceID = fmt.Errorf("%w: service id", ErrMalformed)

// A ServiceID names an account: by its ACI, or, with PNI set, by the identity
// of its phone number (spec/wire-core.md, Section 4). It is comparable; the
// zero value is the ACI of the nil UUID, an id like any other.
type ServiceID struct {
	PNI  bool
	UUID [16]byte
}

// ParseServiceID reads the string form: a UUID with hyphens, its digits in
// either case, for a PNI behind the prefix "PNI:". Anything else is
// ErrMalformed, and no ServiceID.
func ParseServiceID(s string) (ServiceID, error) {
	var id ServiceID
	if len(s) == len(pniPrefix)+36 && s[:len(pniPrefix)] == pniPrefix {
		id.PNI, s = true, s[len(pniPrefix):]
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ServiceID{}, errServiceID
	}
	var digits [32]byte
	n := copy(digits[:], s[:8])
	n += copy(digits[n:], s[9:13])
	n += copy(digits[n:], s[14:18])
	n += copy(digits[n:], s[19:23])
	copy(digits[n:], s[24:])
	if _, err := hex.Decode(id.UUID[:], digits[:]); err != nil {
		return ServiceID{}, errServiceID
	}
	return id, nil
}

// String returns the one canonical string form, in lower case.
func (id ServiceID) String() string {
	var buf [len(pniPrefix) + 36]byte
	return string(id.append(buf[:0]))
}

// Is reports whether s is what String returns.
func (id ServiceID) Is(s string) bool {
	var buf [len(pniPrefix) + 36]byte
	return string(id.append(buf[:0])) == s
}

func (id ServiceID) append(b []byte) []byte {
	if id.PNI {
		b = append(b, pniPrefix...)
	}
	u := &id.UUID
	b = append(hex.AppendEncode(b, u[:4]), '-')
	b = append(hex.AppendEncode(b, u[4:6]), '-')
	b = append(hex.AppendEncode(b, u[6:8]), '-')
	b = append(hex.AppendEncode(b, u[8:10]), '-')
	return hex.AppendEncode(b, u[10:])
}

// Fixed returns the form of fixed width: 0x00, or 0x01 for a PNI, ‖ UUID.
func (id ServiceID) Fixed() [17]byte {
	var b [17]byte
	if id.PNI {
		b[0] = 1
	}
	copy(b[1:], id.UUID[:])
	return b
}

// Binary returns the form of variable width: the UUID, for a PNI behind 0x01.
func (id ServiceID) Binary() []byte {
	b := id.Fixed()
	if id.PNI {
		return b[:]
	}
	return b[1:]
}

// ParseFixedServiceID reads what Fixed returns. The error is ErrMalformed.
func ParseFixedServiceID(b []byte) (ServiceID, error) {
	if len(b) != 17 || b[0] > 1 {
		return ServiceID{}, errServiceID
	}
	return ServiceID{PNI: b[0] == 1, UUID: [16]byte(b[1:])}, nil
}

// ParseBinaryServiceID reads what Binary returns: an ACI has no prefix, not
// even 0x00. The error is ErrMalformed.
func ParseBinaryServiceID(b []byte) (ServiceID, error) {
	switch {
	case len(b) == 16:
		return ServiceID{UUID: [16]byte(b)}, nil
	case len(b) == 17 && b[0] == 1:
		return ServiceID{PNI: true, UUID: [16]byte(b[1:])}, nil
	}
	return ServiceID{}, errServiceID
}

// Compare orders by kind, ACI first, then by the bytes of the UUID.
func (id ServiceID) Compare(other ServiceID) int {
	a, b := id.Fixed(), other.Fixed()
	return bytes.Compare(a[:], b[:])
}

// AppendAddressBinding appends the 36 bytes of field 6 of a SignalMessage
// (spec/wire-core.md, Section 6.4). Of a device only the low byte is written:
// devices that take part are 1 to 127.
func AppendAddressBinding(dst []byte, sender ServiceID, senderDevice uint32, recipient ServiceID, recipientDevice uint32) []byte {
	s, r := sender.Fixed(), recipient.Fixed()
	dst = append(append(dst, s[:]...), byte(senderDevice))
	return append(append(dst, r[:]...), byte(recipientDevice))
}
