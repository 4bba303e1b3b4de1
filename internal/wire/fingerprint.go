package wire

import "slices"

// MaxFingerprint is the largest Fingerprint that is read, in bytes. Honest ones
// have 75 at most, and a QR code holds less than 3 KiB.
const MaxFingerprint = 4 << 10

// A Fingerprint is the scannable form of a fingerprint: CombinedFingerprints
// of spec/sealed-groups-fingerprint.md, Section 6.3.
type Fingerprint struct {
	Version uint32 // 1; absent counts as 0
	Local   []byte // 2: of whoever shows it, honestly 32 bytes; nil: absent
	Remote  []byte // 3: of the other, in the same way
}

// ParseFingerprint reads a Fingerprint of at most MaxFingerprint bytes. Errors
// are ErrTooLarge and ErrMalformed. What is missing is for the caller to
// refuse, once it has looked at the version.
func ParseFingerprint(b []byte) (Fingerprint, error) {
	var p Fingerprint
	r, f := bounded(b, MaxFingerprint), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &p.Version)
		case 2:
			r.nested(parseFingerprintHalf(r.message(&f), &p.Local))
		case 3:
			r.nested(parseFingerprintHalf(r.message(&f), &p.Remote))
		}
	}
	return orZero(p, r.err)
}

func parseFingerprintHalf(b []byte, content *[]byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		if f.num == 1 {
			r.bytes(&f, content)
		}
	}
	return r.err
}

// AppendFingerprint appends the encoding of p. The version is always written.
func AppendFingerprint(dst []byte, p *Fingerprint) []byte {
	dst = slices.Grow(dst, 16+len(p.Local)+len(p.Remote))
	dst = mustUint(dst, 1, uint64(p.Version))
	if p.Local != nil {
		dst = mustBytes(mustLen(dst, 2, sizeMustBytes(1, len(p.Local))), 1, p.Local)
	}
	if p.Remote != nil {
		dst = mustBytes(mustLen(dst, 3, sizeMustBytes(1, len(p.Remote))), 1, p.Remote)
	}
	return dst
}
