package wire

import "slices"

// Limits of gembok's own formats (spec/gembok.md, Sections 1 and 2).
const (
	MaxRegistrationID   = 16380
	MaxDeviceID         = 127
	MaxBundle           = 32 << 10 // bytes, of which a manifest takes up to 8 KiB
	MaxPublication      = 4 << 20  // bytes
	MaxPublishedPreKeys = 1024     // one-time prekeys of each kind in a Publication
)

// A SignedPreKey is the public half of a signed EC prekey or of a KEM prekey.
type SignedPreKey struct {
	ID        uint32
	Key       []byte // 33 bytes, or 1569 with the type byte; not checked here
	Signature []byte // 64 bytes; not checked here
}

// A PreKey is the public half of a one-time EC prekey.
type PreKey struct {
	ID  uint32
	Key []byte // 33 bytes; not checked here
}

// A Bundle is what a directory hands out for one device (spec/gembok.md,
// Section 1). Its keys, but for the one-time prekey, are never empty in a
// bundle that was read.
type Bundle struct {
	RegistrationID uint32 // 1 to MaxRegistrationID
	DeviceID       uint32 // 1 to MaxDeviceID
	IdentityKey    []byte // 33 bytes; not checked here
	SignedPreKey   SignedPreKey
	HasPreKey      bool
	PreKey         PreKey
	KEMPreKey      SignedPreKey
	LastResort     bool   // KEMPreKey is handed out more than once
	Manifest       []byte // signed hosting manifest, opaque here; empty: none
}

// ParseBundle reads a bundle of at most MaxBundle bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseBundle(b []byte) (Bundle, error) {
	var m Bundle
	r := bounded(b, MaxBundle)
	m.decode(&r)
	return orZero(m, r.err)
}

func (m *Bundle) decode(r *reader) {
	f, ids := field{}, uint32(0)
	for r.next(&f) {
		ids |= 1 << f.num & (1<<4 | 1<<7 | 1<<9)
		switch f.num {
		case 1:
			r.uint32(&f, &m.RegistrationID)
		case 2:
			r.uint32(&f, &m.DeviceID)
		case 3:
			r.bytes(&f, &m.IdentityKey)
		case 4:
			r.uint32(&f, &m.SignedPreKey.ID)
		case 5:
			r.bytes(&f, &m.SignedPreKey.Key)
		case 6:
			r.bytes(&f, &m.SignedPreKey.Signature)
		case 7:
			r.uint32(&f, &m.PreKey.ID)
		case 8:
			r.bytes(&f, &m.PreKey.Key)
		case 9:
			r.uint32(&f, &m.KEMPreKey.ID)
		case 10:
			r.bytes(&f, &m.KEMPreKey.Key)
		case 11:
			r.bytes(&f, &m.KEMPreKey.Signature)
		case 12:
			r.bool(&f, &m.LastResort)
		case 13:
			r.bytes(&f, &m.Manifest)
		}
	}
	m.HasPreKey = len(m.PreKey.Key) > 0
	if m.HasPreKey != (ids&(1<<7) != 0) {
		r.fail("one-time prekey id and key must come together")
	}
	r.require(ids, 1<<4|1<<9)
	r.checkIDs(m.RegistrationID, m.DeviceID)
	r.checkKeys(m.IdentityKey, m.SignedPreKey.Key, m.SignedPreKey.Signature, m.KEMPreKey.Key, m.KEMPreKey.Signature)
}

func (r *reader) checkIDs(registration, device uint32) {
	if registration < 1 || registration > MaxRegistrationID {
		r.fail("registration id")
	}
	if device < 1 || device > MaxDeviceID {
		r.fail("device id")
	}
}

// checkKeys fails if one of them is missing.
func (r *reader) checkKeys(keys ...[]byte) {
	for _, k := range keys {
		if len(k) == 0 {
			r.fail("missing key or signature")
		}
	}
}

// AppendBundle appends the encoding of m. The id of a prekey is written
// whenever its key is, also when it is 0.
func AppendBundle(dst []byte, m *Bundle) []byte {
	dst = slices.Grow(dst, 64+len(m.IdentityKey)+len(m.SignedPreKey.Key)+len(m.SignedPreKey.Signature)+
		len(m.PreKey.Key)+len(m.KEMPreKey.Key)+len(m.KEMPreKey.Signature)+len(m.Manifest))
	dst = appendUint(dst, 1, uint64(m.RegistrationID))
	dst = appendUint(dst, 2, uint64(m.DeviceID))
	dst = appendBytes(dst, 3, m.IdentityKey)
	if len(m.SignedPreKey.Key) > 0 {
		dst = mustUint(dst, 4, uint64(m.SignedPreKey.ID))
	}
	dst = appendBytes(dst, 5, m.SignedPreKey.Key)
	dst = appendBytes(dst, 6, m.SignedPreKey.Signature)
	if m.HasPreKey {
		dst = mustUint(dst, 7, uint64(m.PreKey.ID))
		dst = mustBytes(dst, 8, m.PreKey.Key)
	}
	if len(m.KEMPreKey.Key) > 0 {
		dst = mustUint(dst, 9, uint64(m.KEMPreKey.ID))
	}
	dst = appendBytes(dst, 10, m.KEMPreKey.Key)
	dst = appendBytes(dst, 11, m.KEMPreKey.Signature)
	dst = appendBool(dst, 12, m.LastResort)
	return appendBytes(dst, 13, m.Manifest)
}
