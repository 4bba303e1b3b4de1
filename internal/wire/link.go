package wire

import "fmt"

// LinkVersion is the version of a Link.
const LinkVersion = 1

// MaxLink is the largest Link that is read, in bytes: with the longest user
// name it has some 1,100.
const MaxLink = 4 << 10

// A Link is what a device seals for a new one of the same account
// (spec/gembok.md, Section 6).
type Link struct {
	Secret
	User     string // 2
	Device   uint32 // 3: the new one
	Identity []byte // 4: IdentityKeyPairRecord
}

// ParseLink reads a Link of at most MaxLink bytes. Errors are ErrTooLarge, ErrMalformed
// and ErrVersion.
func ParseLink(b []byte) (Link, error) {
	var l Link
	version := uint32(0)
	r, f := bounded(b, MaxLink), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &version)
		case 2:
			r.string(&f, &l.User)
		case 3:
			r.uint32(&f, &l.Device)
		case 4:
			r.bytes(&f, &l.Identity)
		}
	}
	if version == 0 {
		r.fail("version of a link")
	}
	if r.err == nil && version != LinkVersion {
		r.err = fmt.Errorf("%w: link of version %d", ErrVersion, version)
	}
	return orZero(l, r.err)
}

// AppendLink appends the encoding of l.
func AppendLink(dst []byte, l *Link) []byte {
	dst = appendUint(dst, 1, LinkVersion)
	dst = appendString(dst, 2, l.User)
	dst = appendUint(dst, 3, uint64(l.Device))
	return appendBytes(dst, 4, l.Identity)
}

// Links is the body of the record "link": the codes by which devices were
// linked lately.
type Links struct {
	Used []UsedLink // 1: oldest first
}

// A UsedLink is a code that was used.
type UsedLink struct {
	Hash []byte // 1, 32 bytes: SHA-256 of the new device's public key
	At   uint64 // 2: milliseconds since 1970
}

// ParseLinks reads a Links of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseLinks(b []byte) (Links, error) {
	var l Links
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		if f.num == 1 {
			u, err := parseUsedLink(r.message(&f))
			r.nested(err)
			l.Used = append(l.Used, u)
		}
	}
	return orZero(l, r.err)
}

func parseUsedLink(b []byte) (UsedLink, error) {
	var u UsedLink
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &u.Hash)
		case 2:
			r.uint64(&f, &u.At)
		}
	}
	if len(u.Hash) != 32 {
		r.fail("hash of a link")
	}
	return orZero(u, r.err)
}

// AppendLinks appends the encoding of l.
func AppendLinks(dst []byte, l *Links) []byte {
	for i := range l.Used {
		u := &l.Used[i]
		dst = mustLen(dst, 1, sizeBytes(1, len(u.Hash))+sizeUint(2, u.At))
		dst = appendBytes(dst, 1, u.Hash)
		dst = appendUint(dst, 2, u.At)
	}
	return dst
}
