package wire

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// A Publication is what a device uploads to its directory (spec/gembok.md,
// Section 2). A signed prekey or KEM prekey without a key is absent; each of
// those in the lists has one.
type Publication struct {
	RegistrationID uint32 // 1 to MaxRegistrationID
	DeviceID       uint32 // 1 to MaxDeviceID
	IdentityKey    []byte // 33 bytes; not checked here
	SignedPreKey   SignedPreKey
	LastResort     SignedPreKey   // KEM
	PreKeys        []PreKey       // one-time; at most MaxPublishedPreKeys
	KEMPreKeys     []SignedPreKey // one-time; at most MaxPublishedPreKeys
	Manifest       []byte         // signed hosting manifest, opaque here; empty: none
}

// ParsePublication reads a publication of at most MaxPublication bytes.
// Errors are ErrTooLarge and ErrMalformed.
func ParsePublication(b []byte) (*Publication, error) {
	if err := tooLarge(b, MaxPublication); err != nil {
		return nil, err
	}
	ec, kem := countEntries(b, 6), countEntries(b, 7)
	if max(ec, kem) > MaxPublishedPreKeys {
		return nil, fmt.Errorf("%w: over %d prekeys", ErrTooLarge, MaxPublishedPreKeys)
	}
	m := &Publication{PreKeys: make([]PreKey, 0, ec), KEMPreKeys: make([]SignedPreKey, 0, kem)}
	return orZero(m, m.decode(b))
}

// countEntries counts the fields of a number, as far as b reads. Those too
// short for a key do not count, as decode fails at the first of them: a few
// bytes of input are not to make room for many keys.
func countEntries(b []byte, num protowire.Number) (n int) {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		if f.num == num && len(f.b) > 2 {
			n++
		}
	}
	return n
}

func (m *Publication) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &m.RegistrationID)
		case 2:
			r.uint32(&f, &m.DeviceID)
		case 3:
			r.bytes(&f, &m.IdentityKey)
		case 4:
			r.nested(m.SignedPreKey.decode(r.message(&f)))
		case 5:
			r.nested(m.LastResort.decode(r.message(&f)))
		case 6, 7:
			m.decodeOneTime(&r, &f)
		case 13:
			r.bytes(&f, &m.Manifest)
		}
	}
	r.checkIDs(m.RegistrationID, m.DeviceID)
	r.checkKeys(m.IdentityKey)
	r.checkPreKey(&m.SignedPreKey)
	r.checkPreKey(&m.LastResort)
	return r.err
}

// decodeOneTime reads one more one-time prekey.
func (m *Publication) decodeOneTime(r *reader, f *field) {
	var k SignedPreKey
	r.nested(k.decode(r.message(f)))
	r.checkKeys(k.Key)
	if f.num == 6 {
		m.PreKeys = append(m.PreKeys, PreKey{k.ID, k.Key})
	} else {
		r.checkKeys(k.Signature)
		m.KEMPreKeys = append(m.KEMPreKeys, k)
	}
}

// checkPreKey fails unless k has all of its parts or none.
func (r *reader) checkPreKey(k *SignedPreKey) {
	if (len(k.Key) == 0) != (len(k.Signature) == 0) || k.ID != 0 && len(k.Key) == 0 {
		r.fail("incomplete prekey")
	}
}

func (k *SignedPreKey) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &k.ID)
		case 2:
			r.bytes(&f, &k.Key)
		case 3:
			r.bytes(&f, &k.Signature)
		}
	}
	return r.err
}

func (k *SignedPreKey) size() int {
	return sizeUint(1, uint64(k.ID)) + sizeBytes(2, len(k.Key)) + sizeBytes(3, len(k.Signature))
}

func (k *SignedPreKey) append(dst []byte, num protowire.Number) []byte {
	dst = mustLen(dst, num, k.size())
	dst = appendUint(dst, 1, uint64(k.ID))
	dst = appendBytes(dst, 2, k.Key)
	return appendBytes(dst, 3, k.Signature)
}

// AppendPublication appends the encoding of m.
func AppendPublication(dst []byte, m *Publication) []byte {
	dst = slices.Grow(dst, m.size())
	dst = appendUint(dst, 1, uint64(m.RegistrationID))
	dst = appendUint(dst, 2, uint64(m.DeviceID))
	dst = appendBytes(dst, 3, m.IdentityKey)
	if len(m.SignedPreKey.Key) > 0 {
		dst = m.SignedPreKey.append(dst, 4)
	}
	if len(m.LastResort.Key) > 0 {
		dst = m.LastResort.append(dst, 5)
	}
	for _, k := range m.PreKeys {
		dst = (&SignedPreKey{ID: k.ID, Key: k.Key}).append(dst, 6)
	}
	for i := range m.KEMPreKeys {
		dst = m.KEMPreKeys[i].append(dst, 7)
	}
	return appendBytes(dst, 13, m.Manifest)
}

// size is what AppendPublication appends, or a little more.
func (m *Publication) size() int {
	n := 32 + len(m.IdentityKey) + m.SignedPreKey.size() + m.LastResort.size() + len(m.Manifest)
	for _, k := range m.PreKeys {
		n += 8 + 4 + len(k.Key)
	}
	for i := range m.KEMPreKeys {
		n += sizeMustBytes(7, m.KEMPreKeys[i].size())
	}
	return n
}
