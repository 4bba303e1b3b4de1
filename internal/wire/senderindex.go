package wire

import "slices"

// A SenderKeyIndex is the record of the distribution ids under which a device
// gave its sender keys. Its owner is the user.
type SenderKeyIndex struct {
	Entries []SenderKeyEntry // 1
}

// A SenderKeyEntry is one of these ids.
type SenderKeyEntry struct {
	ID       []byte // 1, DistributionIDSize bytes
	At       uint64 // 2: when a key came last, in milliseconds since 1970
	Identity []byte // 3, 33 bytes: under which identity key of the sender
}

// ParseSenderKeyIndex reads a SenderKeyIndex of at most MaxDeviceRecord bytes.
// Errors are ErrTooLarge and ErrMalformed.
func ParseSenderKeyIndex(b []byte) (SenderKeyIndex, error) {
	var x SenderKeyIndex
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		if f.num != 1 {
			continue
		}
		e, err := parseSenderKeyEntry(r.message(&f))
		r.nested(err)
		x.Entries = append(x.Entries, e)
	}
	return orZero(x, r.err)
}

func parseSenderKeyEntry(b []byte) (SenderKeyEntry, error) {
	var e SenderKeyEntry
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &e.ID)
		case 2:
			r.uint64(&f, &e.At)
		case 3:
			r.bytes(&f, &e.Identity)
		}
	}
	if len(e.ID) != DistributionIDSize {
		r.fail("distribution id")
	}
	return orZero(e, r.err)
}

// AppendSenderKeyIndex appends the encoding of x.
func AppendSenderKeyIndex(dst []byte, x *SenderKeyIndex) []byte {
	n := 0
	for i := range x.Entries {
		n += sizeMustBytes(1, x.Entries[i].size())
	}
	dst = slices.Grow(dst, n)
	for i := range x.Entries {
		e := &x.Entries[i]
		dst = mustLen(dst, 1, e.size())
		dst = appendBytes(dst, 1, e.ID)
		dst = appendUint(dst, 2, e.At)
		dst = appendBytes(dst, 3, e.Identity)
	}
	return dst
}

func (e *SenderKeyEntry) size() int {
	return sizeBytes(1, len(e.ID)) + sizeUint(2, e.At) + sizeBytes(3, len(e.Identity))
}
