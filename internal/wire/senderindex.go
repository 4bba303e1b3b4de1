package wire

import (
	"encoding/binary"
	"slices"
)

// A SenderKeyIndex is the record of the distribution ids under which a device
// gave its sender keys. Its owner is the user.
type SenderKeyIndex struct {
	Entries []SenderKeyEntry // 1
}

// A SenderKeyEntry is one of these ids.
type SenderKeyEntry struct {
	ID       []byte          // 1, DistributionIDSize bytes
	At       uint64          // 2: when a key came last, in milliseconds since 1970
	Identity []byte          // 3, 33 bytes: under which identity key of the sender
	Gone     []SenderKeyGone // 4, the newest last
}

// A SenderKeyGone is where a state was that went out of its record.
//
//	chain id (4, big-endian) ‖ iteration (4)
type SenderKeyGone struct{ ChainID, Iteration uint32 }

const goneSize = 8

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
	var gone []byte
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &e.ID)
		case 2:
			r.uint64(&f, &e.At)
		case 3:
			r.bytes(&f, &e.Identity)
		case 4:
			r.bytes(&f, &gone)
		}
	}
	if len(e.ID) != DistributionIDSize || len(gone)%goneSize != 0 {
		r.fail("length of a field")
	}
	for g := range slices.Chunk(gone, goneSize) {
		if len(g) == goneSize {
			e.Gone = append(e.Gone, SenderKeyGone{binary.BigEndian.Uint32(g), binary.BigEndian.Uint32(g[4:])})
		}
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
		if len(e.Gone) > 0 {
			dst = mustLen(dst, 4, goneSize*len(e.Gone))
			for _, g := range e.Gone {
				dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, g.ChainID), g.Iteration)
			}
		}
	}
	return dst
}

func (e *SenderKeyEntry) size() int {
	return sizeBytes(1, len(e.ID)) + sizeUint(2, e.At) + sizeBytes(3, len(e.Identity)) + sizeBytes(4, goneSize*len(e.Gone))
}
