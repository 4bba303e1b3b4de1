package wire

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Chain is a sending or receiving chain of a session (spec/storage.md,
// Section 4.3).
type Chain struct {
	Secret
	PublicKey  []byte // 33 bytes: own when sending, the peer's when receiving
	PrivateKey []byte // 32 bytes when sending, else empty
	Index      uint32 // of the next message
	Key        []byte // 32 bytes. Nil: no chain key; empty but not nil: one without bytes
	Skipped    Skipped
	Shared     bool // Skipped lies in what was parsed
}

// hasKey tells whether the nested ChainKey is present.
func (c *Chain) hasKey() bool { return c.Key != nil || c.Index != 0 }

func (c *Chain) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for c.takeSkipped(&r); r.next(&f); c.takeSkipped(&r) {
		switch f.num {
		case 1:
			r.bytes(&f, &c.PublicKey)
		case 2:
			r.bytes(&f, &c.PrivateKey)
		case 3:
			r.nested(c.decodeKey(r.message(&f)))
		case 4:
			var k MessageKey
			r.nested(k.decode(r.message(&f)))
			c.Skipped = slices.Grow(c.Skipped, 10+len(f.b)+len(r.buf)).append(&k)
			c.Shared = false
		}
	}
	return r.err
}

// takeSkipped takes the skipped keys that come next and need no other form:
// usually all of them, at once and without a copy.
func (c *Chain) takeSkipped(r *reader) {
	n := standardRun(r.buf, seedTag)
	switch {
	case n == 0:
		return
	case c.Skipped == nil:
		c.Skipped, c.Shared = r.buf[:n:n], true
	default:
		c.Skipped, c.Shared = append(c.Skipped, r.buf[:n]...), false
	}
	r.buf = r.buf[n:]
}

func (c *Chain) decodeKey(b []byte) error {
	if c.Key == nil {
		c.Key = []byte{}
	}
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &c.Index)
		case 2:
			r.bytes(&f, &c.Key)
		}
	}
	return r.err
}

func (c *Chain) keySize() int {
	return sizeUint(1, uint64(c.Index)) + sizeBytes(2, len(c.Key))
}

func (c *Chain) size() int {
	n := sizeBytes(1, len(c.PublicKey)) + sizeBytes(2, len(c.PrivateKey)) + len(c.Skipped)
	if c.hasKey() {
		n += sizeMustBytes(3, c.keySize())
	}
	return n
}

func (c *Chain) append(dst []byte, num protowire.Number) []byte {
	dst = mustLen(dst, num, c.size())
	dst = appendBytes(dst, 1, c.PublicKey)
	dst = appendBytes(dst, 2, c.PrivateKey)
	if c.hasKey() {
		dst = mustLen(dst, 3, c.keySize())
		dst = appendUint(dst, 1, uint64(c.Index))
		dst = appendBytes(dst, 2, c.Key)
	}
	return append(dst, c.Skipped...)
}
