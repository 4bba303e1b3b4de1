package wire

import "slices"

// MaxKeyRecord is the largest record of a key pair that is read, in bytes. A
// record of a KEM prekey has about 4,900.
const MaxKeyRecord = 16 << 10

// An IdentityKeyPairRecord is an IdentityKeyPairStructure (spec/storage.md,
// Section 1).
type IdentityKeyPairRecord struct {
	Secret
	Public  []byte // 33 bytes
	Private []byte // 32 bytes
}

// ParseIdentityKeyPairRecord reads a record of at most MaxKeyRecord bytes. The
// keys are not checked. Errors are ErrTooLarge and ErrMalformed.
func ParseIdentityKeyPairRecord(b []byte) (IdentityKeyPairRecord, error) {
	var rec IdentityKeyPairRecord
	r, f := bounded(b, MaxKeyRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &rec.Public)
		case 2:
			r.bytes(&f, &rec.Private)
		}
	}
	return orZero(rec, r.err)
}

// AppendIdentityKeyPairRecord appends the encoding of rec.
func AppendIdentityKeyPairRecord(dst []byte, rec *IdentityKeyPairRecord) []byte {
	dst = slices.Grow(dst, sizeBytes(1, len(rec.Public))+sizeBytes(2, len(rec.Private)))
	dst = appendBytes(dst, 1, rec.Public)
	return appendBytes(dst, 2, rec.Private)
}

// A PreKeyRecord is the record of a one-time EC prekey (spec/storage.md,
// Section 2). Id 0 is an id like any other.
type PreKeyRecord struct {
	Secret
	ID      uint32
	Public  []byte // 33 bytes
	Private []byte // 32 bytes
}

// ParsePreKeyRecord reads a record of at most MaxKeyRecord bytes. The keys are
// not checked. Errors are ErrTooLarge and ErrMalformed.
func ParsePreKeyRecord(b []byte) (PreKeyRecord, error) {
	var rec PreKeyRecord
	r, f := bounded(b, MaxKeyRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &rec.ID)
		case 2:
			r.bytes(&f, &rec.Public)
		case 3:
			r.bytes(&f, &rec.Private)
		}
	}
	return orZero(rec, r.err)
}

// AppendPreKeyRecord appends the encoding of rec.
func AppendPreKeyRecord(dst []byte, rec *PreKeyRecord) []byte {
	dst = slices.Grow(dst, sizeUint(1, uint64(rec.ID))+
		sizeBytes(2, len(rec.Public))+sizeBytes(3, len(rec.Private)))
	dst = appendUint(dst, 1, uint64(rec.ID))
	dst = appendBytes(dst, 2, rec.Public)
	return appendBytes(dst, 3, rec.Private)
}

// A SignedPreKeyRecord is the record of a signed EC prekey or of a KEM prekey
// (spec/storage.md, Section 3); the bytes do not tell which.
type SignedPreKeyRecord struct {
	Secret
	ID        uint32
	Public    []byte // 33 bytes, or 1569 with the type byte
	Private   []byte // 32 bytes, or 3169 with the type byte
	Signature []byte // 64 bytes
	Created   uint64 // milliseconds since 1970
}

// ParseSignedPreKeyRecord reads a record of at most MaxKeyRecord bytes. Keys
// and signature are not checked. Errors are ErrTooLarge and ErrMalformed.
func ParseSignedPreKeyRecord(b []byte) (SignedPreKeyRecord, error) {
	var rec SignedPreKeyRecord
	r, f := bounded(b, MaxKeyRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &rec.ID)
		case 2:
			r.bytes(&f, &rec.Public)
		case 3:
			r.bytes(&f, &rec.Private)
		case 4:
			r.bytes(&f, &rec.Signature)
		case 5:
			r.fixed64(&f, &rec.Created)
		}
	}
	return orZero(rec, r.err)
}

// AppendSignedPreKeyRecord appends the encoding of rec.
func AppendSignedPreKeyRecord(dst []byte, rec *SignedPreKeyRecord) []byte {
	dst = slices.Grow(dst, sizeUint(1, uint64(rec.ID))+sizeBytes(2, len(rec.Public))+
		sizeBytes(3, len(rec.Private))+sizeBytes(4, len(rec.Signature))+1+8)
	dst = appendUint(dst, 1, uint64(rec.ID))
	dst = appendBytes(dst, 2, rec.Public)
	dst = appendBytes(dst, 3, rec.Private)
	dst = appendBytes(dst, 4, rec.Signature)
	return appendFixed64(dst, 5, rec.Created)
}
