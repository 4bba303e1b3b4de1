package wire

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// The largest envelopes that are read, in bytes: a PreKeySignalMessage with
// everything around it; and such a one with the keys of some 200,000 recipients.
const (
	MaxSealed     = MaxPreKeySignalMessage + 64<<10
	MaxSealedSent = MaxSealed + 16<<20

	// maxSealedContent is the largest content that is sealed, so that with what is
	// around it, 97 bytes in version 2, and no more in version 1, it is an envelope
	// that is read.
	maxSealedContent = MaxSealed - sealedHead - sealedShared - 16
)

// The version bytes of envelopes as they are written.
const (
	SealedV1       = 0x11
	SealedReceived = 0x22
	SealedSent     = 0x23
	sealedSentACI  = 0x22 // the older sent form
)

// SealedVersion returns the version of an envelope of at most MaxSealed bytes,
// the high nibble of its first byte. It is not checked. Errors are ErrTooLarge,
// and ErrMalformed for an empty one.
func SealedVersion(b []byte) (byte, error) {
	if err := tooLarge(b, MaxSealed); err != nil {
		return 0, err
	}
	if len(b) == 0 {
		return 0, fmt.Errorf("%w: empty envelope", ErrMalformed)
	}
	return b[0] >> 4, nil
}

// A SealedMessage is an envelope of version 1
// (spec/sealed-groups-fingerprint.md, Section 1.1):
//
//	version byte ‖ protobuf
//
// Lengths and types of the fields are not checked here.
type SealedMessage struct {
	Ephemeral []byte // 33 bytes
	Static    []byte // encrypted key of the sender, 33 + 10 bytes
	Message   []byte // encrypted SealedContent, 10 bytes longer
}

// ParseSealedMessage reads an envelope whose version is known to be 1. The error
// is ErrMalformed.
func ParseSealedMessage(b []byte) (SealedMessage, error) {
	var m SealedMessage
	if len(b) == 0 {
		return m, fmt.Errorf("%w: empty envelope", ErrMalformed)
	}
	r, f, seen := reader{buf: b[1:]}, field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &m.Ephemeral)
		case 2:
			r.bytes(&f, &m.Static)
		case 3:
			r.bytes(&f, &m.Message)
		}
	}
	r.require(seen, 1<<1|1<<2|1<<3)
	return orZero(m, r.err)
}

// AppendSealedHead appends what comes before a Message of n bytes, and makes
// room for it: the caller makes it in its place. Message is not read.
func AppendSealedHead(dst []byte, m *SealedMessage, n int) []byte {
	size := 1 + sizeMustBytes(1, len(m.Ephemeral)) + sizeMustBytes(2, len(m.Static)) + sizeMustBytes(3, n)
	dst = append(slices.Grow(dst, size), SealedV1)
	dst = mustBytes(mustBytes(dst, 1, m.Ephemeral), 2, m.Static)
	return mustLen(dst, 3, n)
}

// The lengths of the parts of an envelope of version 2.
const (
	SealedKeySize = 32 + 16           // C ‖ AT
	sealedShared  = 32                // E, at least
	sealedHead    = 1 + SealedKeySize // what comes before it
)

// A SealedShared is an envelope of version 2, as one device gets it (Section
// 3.2), in the parts it is made of:
//
//	version byte ‖ C (32) ‖ AT (16) ‖ E (32) ‖ body
type SealedShared struct {
	Key       *[SealedKeySize]byte // C ‖ AT, of one recipient
	Ephemeral *[32]byte            // E, without type byte
	Body      []byte
}

// ParseSealedShared reads an envelope whose version is known to be 2. The error
// is ErrMalformed.
func ParseSealedShared(b []byte) (SealedShared, error) {
	if len(b) < sealedHead+sealedShared {
		return SealedShared{}, fmt.Errorf("%w: envelope of %d bytes", ErrMalformed, len(b))
	}
	return SealedShared{
		Key:       (*[SealedKeySize]byte)(b[1:]),
		Ephemeral: (*[32]byte)(b[sealedHead:]),
		Body:      b[sealedHead+sealedShared:],
	}, nil
}

// AppendSealedReceived appends an envelope of version 2 as one device gets it.
// Shared is E ‖ body.
func AppendSealedReceived(dst []byte, key *[SealedKeySize]byte, shared []byte) []byte {
	dst = append(slices.Grow(dst, sealedHead+len(shared)), SealedReceived)
	return append(append(dst, key[:]...), shared...)
}

// A SealedEntry is one recipient in a sent form (Section 3.3).
type SealedEntry struct {
	User    ServiceID
	Devices SealedDevices // empty: the recipient is excluded
	Key     int           // where C ‖ AT begins in the whole; 0 for an excluded one
}

// SealedDevices are the devices of a recipient as they are written, 3 bytes
// each: device number ‖ registration id in 14 bits, big-endian; bit 15 says
// that another one follows.
type SealedDevices []byte

// The bits of a device's last two bytes. The one between them is ignored.
const (
	moreDevices        = 0x8000
	registrationIDBits = 0x3FFF
)

// All returns device numbers and registration ids, in their order.
func (d SealedDevices) All() iter.Seq2[uint32, uint32] {
	return func(yield func(device, registrationID uint32) bool) {
		for ; len(d) > 0; d = d[3:] {
			if !yield(uint32(d[0]), uint32(binary.BigEndian.Uint16(d[1:])&registrationIDBits)) {
				return
			}
		}
	}
}

// A SealedUpload is a sent form, taken apart as far as it costs nothing.
type SealedUpload struct {
	Count   uint32 // of the entries
	Entries []byte // all of them
	Shared  int    // where E ‖ body begins in the whole, to whose end it goes
	start   int    // of the entries
	width   int    // of a recipient's id
}

// ParseSealedUpload reads a sent form of at most MaxSealedSent bytes, the
// present one and that before it. It goes through the entries, and allocates
// nothing. Errors are ErrTooLarge, ErrVersion and ErrMalformed.
func ParseSealedUpload(b []byte) (SealedUpload, error) {
	u := SealedUpload{width: 17}
	if err := tooLarge(b, MaxSealedSent); err != nil {
		return SealedUpload{}, err
	}
	if len(b) == 0 {
		return SealedUpload{}, fmt.Errorf("%w: empty envelope", ErrMalformed)
	}
	switch b[0] {
	case SealedSent:
	case sealedSentACI:
		u.width = 16
	default:
		return SealedUpload{}, fmt.Errorf("%w: sent form of version 0x%02x", ErrVersion, b[0])
	}
	n := 0
	u.Count, n = minimalVarint(b[1:])
	if n == 0 {
		return SealedUpload{}, fmt.Errorf("%w: number of recipients", ErrMalformed)
	}
	u.start = 1 + n
	return orZero(u, u.walk(b))
}

// walk finds the end of the entries.
func (u *SealedUpload) walk(b []byte) error {
	rest := b[u.start:]
	var e SealedEntry
	for range u.Count {
		n, ok := e.read(rest, u.width)
		if !ok {
			return fmt.Errorf("%w: recipient of a sent form", ErrMalformed)
		}
		rest = rest[n:]
	}
	if len(rest) < sealedShared {
		return fmt.Errorf("%w: sent form of %d bytes", ErrMalformed, len(b))
	}
	u.Shared = len(b) - len(rest)
	u.Entries = b[u.start:u.Shared]
	return nil
}

// All returns the entries in their order.
func (u *SealedUpload) All() iter.Seq[SealedEntry] {
	return func(yield func(SealedEntry) bool) {
		var e SealedEntry
		for at := 0; at < len(u.Entries); {
			n, ok := e.read(u.Entries[at:], u.width)
			if !ok {
				panic("wire: internal error: an entry that was read cannot be read")
			}
			at += n
			e.Key = 0
			if len(e.Devices) > 0 {
				e.Key = u.start + at - SealedKeySize
			}
			if !yield(e) {
				return
			}
		}
	}
}

// read reads one entry but for Key, and returns its length.
func (e *SealedEntry) read(b []byte, width int) (n int, ok bool) {
	if len(b) < width+1 {
		return 0, false
	}
	e.User = ServiceID{UUID: [16]byte(b[width-16:])}
	if width == 17 {
		if b[0] > 1 {
			return 0, false
		}
		e.User.PNI = b[0] == 1
	}
	if e.Devices = nil; b[width] == 0 {
		return width + 1, true
	}
	n = width
	for more := true; more; n += 3 {
		if len(b)-n < 3 || b[n] < 1 || b[n] > 127 {
			return 0, false
		}
		more = binary.BigEndian.Uint16(b[n+1:])&moreDevices != 0
	}
	e.Devices = b[width:n:n]
	return n + SealedKeySize, len(b)-n >= SealedKeySize
}

// minimalVarint reads a number of 32 bits in its shortest form. On failure n is
// 0. Deployed peers read longer forms, and lose their place behind them.
func minimalVarint(b []byte) (v uint32, n int) {
	wide, n := binary.Uvarint(b)
	if n <= 0 || wide > 1<<32-1 || n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return uint32(wide), n
}

// AppendSealedUpload appends the beginning of a sent form, with the number of
// entries that follow, and makes room for size bytes more.
func AppendSealedUpload(dst []byte, count, size int) []byte {
	dst = append(slices.Grow(dst, 1+binary.MaxVarintLen32+size), SealedSent)
	return binary.AppendUvarint(dst, uint64(count))
}

// AppendSealedUser appends the beginning of an entry. Of a recipient its devices
// follow, and C ‖ AT.
func AppendSealedUser(dst []byte, user ServiceID) []byte {
	b := user.Fixed()
	return append(dst, b[:]...)
}

// AppendSealedDevice appends a device, 1 to 127, and says whether another one
// of this recipient follows. Of the registration id 14 bits are written.
func AppendSealedDevice(dst []byte, device, registrationID uint32, more bool) []byte {
	id := uint16(registrationID & registrationIDBits)
	if more {
		id |= moreDevices
	}
	return binary.BigEndian.AppendUint16(append(dst, byte(device)), id)
}

// AppendSealedExcluded appends the entry of an excluded recipient.
func AppendSealedExcluded(dst []byte, user ServiceID) []byte {
	return append(AppendSealedUser(dst, user), 0)
}
