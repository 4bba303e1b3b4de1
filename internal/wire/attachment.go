package wire

import "slices"

// MaxAttachmentPointer is the largest AttachmentPointer that is read, in bytes:
// the list of an attachment of 32 GiB with its padding, and room for the rest.
const MaxAttachmentPointer = 5 << 17

// An AttachmentPointer is what a message says of an attachment
// (sealed-groups-fingerprint, Section 7.2), of the fields that Signal's content
// has those that decrypt. Where it lies, and what it is, are others.
type AttachmentPointer struct {
	Key       []byte // 3: 64 bytes: AES key ‖ MAC key
	Size      uint64 // 4: of the plaintext in bytes; peers read the low 32 bits
	Digest    []byte // 6: SHA-256 of all that was uploaded, 32 bytes; nil: absent
	ChunkSize uint32 // 17: of the incremental MAC; 0: absent
	MACs      []byte // 19: the incremental MAC, 32 bytes each
}

// ParseAttachmentPointer reads a pointer of at most MaxAttachmentPointer bytes,
// with a key and a size. Errors are ErrTooLarge and ErrMalformed.
func ParseAttachmentPointer(b []byte) (AttachmentPointer, error) {
	var p AttachmentPointer
	r, f, seen := bounded(b, MaxAttachmentPointer), field{}, uint32(0)
	for r.next(&f) {
		seen |= 1 << f.num
		switch f.num {
		case 3:
			r.bytes(&f, &p.Key)
		case 4:
			r.uint64(&f, &p.Size)
		case 6:
			r.bytes(&f, &p.Digest)
		case 17:
			r.uint32(&f, &p.ChunkSize)
		case 19:
			r.bytes(&f, &p.MACs)
		}
	}
	r.require(seen, 1<<3|1<<4)
	return orZero(p, r.err)
}

// AppendAttachmentPointer appends the encoding of p. Key and size are always
// written.
func AppendAttachmentPointer(dst []byte, p *AttachmentPointer) []byte {
	dst = slices.Grow(dst, p.size())
	dst = mustBytes(dst, 3, p.Key)
	dst = mustUint(dst, 4, p.Size)
	if p.Digest != nil {
		dst = mustBytes(dst, 6, p.Digest)
	}
	dst = appendUint(dst, 17, uint64(p.ChunkSize))
	return appendBytes(dst, 19, p.MACs)
}

func (p *AttachmentPointer) size() int {
	n := sizeMustBytes(3, len(p.Key)) + sizeMustUint(4, p.Size)
	if p.Digest != nil {
		n += sizeMustBytes(6, len(p.Digest))
	}
	return n + sizeUint(17, uint64(p.ChunkSize)) + sizeBytes(19, len(p.MACs))
}
