package wire

import "fmt"

const (
	// maxHosting is the largest record "hosting": three manifests, keys and some
	// numbers.
	maxHosting = 3*MaxManifest + MaxFormerKeys*32 + 256
	// MaxFormerKeys is how many keys of former manifests it has at most.
	MaxFormerKeys = 128
)

// A Hosting is the body of the record "hosting": what is known of who has the
// keys of a user (spec/gembok.md, Section 4). Fields from 7 on are this library's
// own. Times are milliseconds since 1970.
type Hosting struct {
	State       uint32 // 1
	Current     []byte // 2: signed manifest
	Pending     []byte // 3: signed manifest
	Epoch       uint64 // 4: the highest seen
	Conflicting []byte // 5: signed manifest
	Since       uint64 // 6
	Consented   uint64 // 7: to go on without a manifest that is in force
	Claimed     []byte // 8, 32 bytes: hash of the manifest of that epoch, by a message; or none
	Asked       uint64 // 9: when the directory was asked last, and had nothing new
	Told        uint64 // 10: epoch of the own manifest that the user said to have seen last
	Warned      uint64 // 11: when there was a warning last
	Warning     uint32 // 12: and what of
	Unlisted    uint64 // 13: devices of which there was a warning, 0 to 63, a bit each
	UnlistedToo uint64 // 14: 64 to 127
	Former      []byte // 15: of each key of former manifests 32 bytes, in turn
	Disputed    uint64 // 16: the highest epoch that a conflict is about; 0: none
}

// ParseHosting reads a Hosting. Errors are ErrTooLarge and ErrMalformed.
func ParseHosting(b []byte) (*Hosting, error) {
	h, r, f := new(Hosting), bounded(b, maxHosting), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &h.State)
		case 2:
			r.bytes(&f, &h.Current)
		case 3:
			r.bytes(&f, &h.Pending)
		case 4:
			r.uint64(&f, &h.Epoch)
		case 5:
			r.bytes(&f, &h.Conflicting)
		case 6:
			r.uint64(&f, &h.Since)
		case 7:
			r.uint64(&f, &h.Consented)
		case 8:
			r.bytes(&f, &h.Claimed)
		case 9:
			r.uint64(&f, &h.Asked)
		case 10:
			r.uint64(&f, &h.Told)
		case 11:
			r.uint64(&f, &h.Warned)
		case 12:
			r.uint32(&f, &h.Warning)
		case 13:
			r.uint64(&f, &h.Unlisted)
		case 14:
			r.uint64(&f, &h.UnlistedToo)
		case 15:
			r.bytes(&f, &h.Former)
		case 16:
			r.uint64(&f, &h.Disputed)
		}
	}
	if n := len(h.Claimed); n != 0 && n != 32 {
		r.nested(fmt.Errorf("%w: hash of %d bytes", ErrMalformed, n))
	}
	if n := len(h.Former); n%32 != 0 || n > MaxFormerKeys*32 {
		r.nested(fmt.Errorf("%w: former keys", ErrMalformed))
	}
	return orZero(h, r.err)
}

// AppendHosting appends the encoding of h.
func AppendHosting(dst []byte, h *Hosting) []byte {
	dst = appendUint(dst, 1, uint64(h.State))
	dst = appendBytes(dst, 2, h.Current)
	dst = appendBytes(dst, 3, h.Pending)
	dst = appendUint(dst, 4, h.Epoch)
	dst = appendBytes(dst, 5, h.Conflicting)
	dst = appendUint(dst, 6, h.Since)
	dst = appendUint(dst, 7, h.Consented)
	dst = appendBytes(dst, 8, h.Claimed)
	dst = appendUint(dst, 9, h.Asked)
	dst = appendUint(dst, 10, h.Told)
	dst = appendUint(dst, 11, h.Warned)
	dst = appendUint(dst, 12, uint64(h.Warning))
	dst = appendUint(dst, 13, h.Unlisted)
	dst = appendUint(dst, 14, h.UnlistedToo)
	dst = appendBytes(dst, 15, h.Former)
	return appendUint(dst, 16, h.Disputed)
}

// An Evidence is two signed manifests that contradict each other.
type Evidence struct {
	First  []byte // 1
	Second []byte // 2
}

// ParseEvidence reads an Evidence. Errors are ErrTooLarge and ErrMalformed.
func ParseEvidence(b []byte) (*Evidence, error) {
	e, r, f := new(Evidence), bounded(b, 2*MaxManifest+16), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &e.First)
		case 2:
			r.bytes(&f, &e.Second)
		}
	}
	return orZero(e, r.err)
}

// AppendEvidence appends the encoding of e.
func AppendEvidence(dst []byte, e *Evidence) []byte {
	dst = appendBytes(dst, 1, e.First)
	return appendBytes(dst, 2, e.Second)
}
