package wire

import (
	"fmt"
	"slices"
)

// Version is the newest version of messages, and the low nibble of the
// version byte of every message that is written.
const Version = 4

// MACSize is the length in bytes of the MAC at the end of a SignalMessage.
const MACSize = 8

// The largest plaintext, and the largest messages that are read. A
// ciphertext is at most 16 bytes longer than its plaintext; what is left of
// each limit is far more than all other fields take.
const (
	MaxPlaintext           = 64 << 20
	MaxSignalMessage       = MaxPlaintext + 4<<10
	MaxPreKeySignalMessage = MaxSignalMessage + 4<<10
)

// A MessageType tells what kind of message bytes hold. It travels beside
// them (spec/wire-core.md, Section 6.6).
type MessageType byte

// The message types.
const (
	TypeSignal    MessageType = 2
	TypePreKey    MessageType = 3
	TypeSenderKey MessageType = 7
	TypePlaintext MessageType = 8
)

// A SignalMessage is a message of an established session
// (spec/wire-core.md, Section 6.2):
//
//	version byte ‖ protobuf ‖ MAC (8)
type SignalMessage struct {
	Version    byte   // session version: the high nibble of the first byte
	RatchetKey []byte // 33 bytes; length and type are not checked here
	Counter    uint32
	Previous   uint32 // ignored by receivers; absent reads as 0
	Ciphertext []byte
	PQRatchet  []byte // nil or empty: absent
	Addresses  []byte // 36 bytes, not checked here; nil: absent; empty but not nil: present

	Body []byte // version byte ‖ protobuf, as received: what the MAC covers
	MAC  []byte // 8 bytes
}

// messageVersion is the rule of Section 6.1: the low nibble is ignored.
func messageVersion(b byte) (byte, error) {
	v := b >> 4
	if v < 3 || v > Version {
		return 0, fmt.Errorf("%w: message of version %d", ErrVersion, v)
	}
	return v, nil
}

// ParseSignalMessage reads a message of version 3 or 4, at most
// MaxSignalMessage bytes. Errors are ErrTooLarge, ErrVersion and
// ErrMalformed.
func ParseSignalMessage(b []byte) (SignalMessage, error) {
	var m SignalMessage
	if err := m.parse(b); err != nil {
		return SignalMessage{}, err
	}
	return m, nil
}

func (m *SignalMessage) parse(b []byte) (err error) {
	if err := tooLarge(b, MaxSignalMessage); err != nil {
		return err
	}
	if len(b) < 1+MACSize {
		return fmt.Errorf("%w: message of %d bytes", ErrMalformed, len(b))
	}
	if m.Version, err = messageVersion(b[0]); err != nil {
		return err
	}
	end := len(b) - MACSize
	m.Body, m.MAC = b[:end:end], b[end:len(b):len(b)]
	return m.decode(m.Body[1:])
}

func (m *SignalMessage) decode(b []byte) error {
	r, f, seen := reader{buf: b}, field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.bytes(&f, &m.RatchetKey)
		case 2:
			r.uint32(&f, &m.Counter)
		case 3:
			r.uint32(&f, &m.Previous)
		case 4:
			r.bytes(&f, &m.Ciphertext)
		case 5:
			r.bytes(&f, &m.PQRatchet)
		case 6:
			r.bytes(&f, &m.Addresses)
		}
	}
	r.require(seen, 1<<1|1<<2|1<<4)
	return r.err
}

// AppendSignalMessage appends the version byte and the protobuf. The caller
// appends the MAC, for which there is room. Body and MAC are not read.
func AppendSignalMessage(dst []byte, m *SignalMessage) []byte {
	dst = AppendSignalHead(dst, m, len(m.Ciphertext))
	dst = append(dst, m.Ciphertext...)
	return AppendSignalTail(dst, m)
}

// AppendSignalHead appends what comes before a ciphertext of n bytes, and makes
// room for all. The caller makes the ciphertext in its place and goes on with
// AppendSignalTail: together they are AppendSignalMessage without a copy.
func AppendSignalHead(dst []byte, m *SignalMessage, n int) []byte {
	dst = slices.Grow(dst, m.size(n)+MACSize)
	dst = append(dst, m.Version<<4|Version)
	dst = mustBytes(dst, 1, m.RatchetKey)
	dst = mustUint(dst, 2, uint64(m.Counter))
	dst = mustUint(dst, 3, uint64(m.Previous))
	return mustLen(dst, 4, n)
}

// AppendSignalTail appends what comes after the ciphertext.
func AppendSignalTail(dst []byte, m *SignalMessage) []byte {
	dst = appendBytes(dst, 5, m.PQRatchet)
	if m.Addresses != nil {
		dst = mustBytes(dst, 6, m.Addresses)
	}
	return dst
}

// size is what AppendSignalMessage appends with a ciphertext of n bytes, or up
// to 2 bytes more.
func (m *SignalMessage) size(n int) int {
	return 1 + sizeMustBytes(1, len(m.RatchetKey)) +
		sizeMustUint(2, uint64(m.Counter)) + sizeMustUint(3, uint64(m.Previous)) +
		sizeMustBytes(4, n) + sizeBytes(5, len(m.PQRatchet)) +
		sizeMustBytes(6, len(m.Addresses))
}

// A PreKeySignalMessage begins a session (spec/wire-core.md, Section 6.5):
//
//	version byte ‖ protobuf
//
// It has no MAC of its own: only the inner message has.
type PreKeySignalMessage struct {
	Version        byte // the high nibble of the first byte; Message has its own
	RegistrationID uint32
	HasPreKeyID    bool // a one-time prekey was used; 0 is an id like any other
	PreKeyID       uint32
	SignedPreKeyID uint32
	HasKEM         bool // always so in version 4
	KEMPreKeyID    uint32
	KEMCiphertext  []byte // 1569 bytes, type byte included; not checked here
	BaseKey        []byte // 33 bytes; length and type are not checked here
	IdentityKey    []byte // 33 bytes; length and type are not checked here

	Message      SignalMessage // the inner message; not read when writing
	MessageBytes []byte        // the inner message, MAC included
}

// ParsePreKeySignalMessage reads a message of version 3 or 4, at most
// MaxPreKeySignalMessage bytes, with the message inside. Errors are
// ErrTooLarge, ErrVersion and ErrMalformed; the order of checks is that of
// Section 6.5.
func ParsePreKeySignalMessage(b []byte) (PreKeySignalMessage, error) {
	var m PreKeySignalMessage
	if err := m.parse(b); err != nil {
		return PreKeySignalMessage{}, err
	}
	return m, nil
}

func (m *PreKeySignalMessage) parse(b []byte) (err error) {
	if err := tooLarge(b, MaxPreKeySignalMessage); err != nil {
		return err
	}
	if len(b) == 0 {
		return fmt.Errorf("%w: empty message", ErrMalformed)
	}
	if m.Version, err = messageVersion(b[0]); err != nil {
		return err
	}
	if err := m.decode(b[1:]); err != nil {
		return err
	}
	return m.Message.parse(m.MessageBytes)
}

func (m *PreKeySignalMessage) decode(b []byte) error {
	r, f, seen := reader{buf: b}, field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.uint32(&f, &m.PreKeyID)
		case 2:
			r.bytes(&f, &m.BaseKey)
		case 3:
			r.bytes(&f, &m.IdentityKey)
		case 4:
			r.bytes(&f, &m.MessageBytes)
		case 5:
			r.uint32(&f, &m.RegistrationID)
		case 6:
			r.uint32(&f, &m.SignedPreKeyID)
		case 7:
			r.uint32(&f, &m.KEMPreKeyID)
		case 8:
			r.bytes(&f, &m.KEMCiphertext)
		}
	}
	r.require(seen, 1<<2|1<<3|1<<4|1<<6)
	m.HasPreKeyID = seen&(1<<1) != 0
	kem := seen & (1<<7 | 1<<8)
	m.HasKEM = kem != 0
	if kem == 1<<7 || kem == 1<<8 {
		r.fail("KEM prekey id and ciphertext must come together")
	}
	if !m.HasKEM && m.Version > 3 {
		r.fail("no KEM prekey")
	}
	return r.err
}

// AppendPreKeySignalMessage appends the encoding of m, with MessageBytes as
// the inner message.
func AppendPreKeySignalMessage(dst []byte, m *PreKeySignalMessage) []byte {
	dst = slices.Grow(dst, m.size())
	dst = append(dst, m.Version<<4|Version)
	if m.HasPreKeyID {
		dst = mustUint(dst, 1, uint64(m.PreKeyID))
	}
	dst = mustBytes(dst, 2, m.BaseKey)
	dst = mustBytes(dst, 3, m.IdentityKey)
	dst = mustBytes(dst, 4, m.MessageBytes)
	dst = mustUint(dst, 5, uint64(m.RegistrationID))
	dst = mustUint(dst, 6, uint64(m.SignedPreKeyID))
	if m.HasKEM {
		dst = mustUint(dst, 7, uint64(m.KEMPreKeyID))
		dst = mustBytes(dst, 8, m.KEMCiphertext)
	}
	return dst
}

// size is what AppendPreKeySignalMessage appends, or a little more.
func (m *PreKeySignalMessage) size() int {
	return 1 + sizeMustUint(1, uint64(m.PreKeyID)) +
		sizeMustBytes(2, len(m.BaseKey)) + sizeMustBytes(3, len(m.IdentityKey)) +
		sizeMustBytes(4, len(m.MessageBytes)) + sizeMustUint(5, uint64(m.RegistrationID)) +
		sizeMustUint(6, uint64(m.SignedPreKeyID)) + sizeMustUint(7, uint64(m.KEMPreKeyID)) +
		sizeMustBytes(8, len(m.KEMCiphertext))
}
