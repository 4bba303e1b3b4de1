package wire

import "fmt"

// A SealedContent is what a sealed envelope hides: an
// UnidentifiedSenderMessageContent (spec/sealed-groups-fingerprint.md, Section
// 1.4).
type SealedContent struct {
	Type        MessageType // of Content: TypeSignal, TypePreKey, TypeSenderKey or TypePlaintext
	Certificate []byte      // of the sender, not checked here
	Content     []byte      // may be empty
	Hint        uint32      // 0: absent
	Group       []byte      // nil: absent; empty but not nil: present, and not written
}

// sealedTypes are the message types by their number in a SealedContent.
var sealedTypes = [...]MessageType{1: TypePreKey, 2: TypeSignal, 7: TypeSenderKey, 8: TypePlaintext}

// sealedType returns the number of t in a SealedContent, or 0.
func sealedType(t MessageType) uint64 {
	for n, typ := range sealedTypes {
		if typ == t && t != 0 {
			return uint64(n)
		}
	}
	return 0
}

// ParseSealedContent reads a content of at most MaxSealed bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseSealedContent(b []byte) (SealedContent, error) {
	var c SealedContent
	var typ uint32
	r, f, seen := bounded(b, MaxSealed), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 1:
			r.uint32(&f, &typ)
		case 2:
			r.bytes(&f, &c.Certificate)
		case 3:
			r.bytes(&f, &c.Content)
		case 4:
			r.uint32(&f, &c.Hint)
		case 5:
			r.bytes(&f, &c.Group)
		}
	}
	r.require(seen, 1<<1|1<<2|1<<3)
	if typ < uint32(len(sealedTypes)) {
		c.Type = sealedTypes[typ]
	}
	if c.Type == 0 {
		r.fail("type of a sealed message")
	}
	return orZero(c, r.err)
}

// CheckSealedContent returns ErrMalformed for a type that a SealedContent has
// no number for, and ErrTooLarge for more than an envelope that is read can have.
func CheckSealedContent(c *SealedContent) error {
	switch {
	case sealedType(c.Type) == 0:
		return fmt.Errorf("%w: sealing a message of type %d", ErrMalformed, c.Type)
	case c.Size() > maxSealedContent:
		return fmt.Errorf("%w: sealing %d bytes, of at most %d", ErrTooLarge, c.Size(), maxSealedContent)
	}
	return nil
}

// AppendSealedContent appends the encoding of c, Size bytes.
func AppendSealedContent(dst []byte, c *SealedContent) []byte {
	dst = mustUint(dst, 1, sealedType(c.Type))
	dst = mustBytes(dst, 2, c.Certificate)
	dst = mustBytes(dst, 3, c.Content)
	dst = appendUint(dst, 4, enum(c.Hint))
	return appendBytes(dst, 5, c.Group)
}

// Size is the length of c's encoding in bytes.
func (c *SealedContent) Size() int {
	return sizeMustUint(1, sealedType(c.Type)) + sizeMustBytes(2, len(c.Certificate)) +
		sizeMustBytes(3, len(c.Content)) + sizeUint(4, enum(c.Hint)) + sizeBytes(5, len(c.Group))
}

// enum is a number of an enum type as it is written: those from 2^31 on are
// negative there, and take ten bytes.
func enum(v uint32) uint64 { return uint64(int64(int32(v))) }
