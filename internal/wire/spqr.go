package wire

import "fmt"

// Kinds of SPQR messages (spec/spqr.md, Section 5.1).
const (
	SPQRNone     = 0
	SPQRHdr      = 1 // a chunk of header || MAC
	SPQREk       = 2 // a chunk of the ek vector
	SPQREkCt1Ack = 3 // the same, and "ct1 is complete"
	SPQRCt1Ack   = 4 // "ct1 is complete" alone
	SPQRCt1      = 5 // a chunk of ct1
	SPQRCt2      = 6 // a chunk of ct2 || MAC
)

// SPQRChunkSize is the length of a chunk.
const SPQRChunkSize = 32

// SPQRMaxMessage is the length of the longest message that is written.
const SPQRMaxMessage = 1 + 10 + 5 + 1 + 3 + SPQRChunkSize

// An SPQRMessage is one message of the sparse post-quantum ratchet, of version 1
// (spec/spqr.md, Section 6.1). The kinds without a chunk leave both fields of it
// zero. The zero value is what an empty message means: version 0.
//
//	version 1 || varint epoch || varint index || kind 1 || varint chunk index || chunk 32
type SPQRMessage struct {
	Version    byte
	Kind       byte
	ChunkIndex uint16
	Index      uint32
	Epoch      uint64
	Chunk      [SPQRChunkSize]byte
}

// SPQRHasChunk reports whether messages of that kind carry a chunk.
func SPQRHasChunk(kind byte) bool {
	return kind != SPQRNone && kind != SPQRCt1Ack
}

// ParsePreamble reads what messages of every version begin with, version, epoch
// and index, and returns what follows them. An empty message is version 0.
//
// Errors: ErrMalformed.
func (m *SPQRMessage) ParsePreamble(b []byte) (rest []byte, err error) {
	*m = SPQRMessage{}
	if len(b) == 0 {
		return nil, nil
	}
	m.Version = b[0]
	epoch, rest, ok := spqrVarint(b[1:])
	if !ok || epoch == 0 {
		return nil, fmt.Errorf("%w: SPQR epoch", ErrMalformed)
	}
	index, rest, ok := spqrVarint(rest)
	if !ok || index > 1<<32-1 {
		return nil, fmt.Errorf("%w: SPQR index", ErrMalformed)
	}
	m.Epoch, m.Index = epoch, uint32(index)
	return rest, nil
}

// ParsePayload reads what follows the preamble in version 1. Bytes after its end
// are ignored: they are for extensions.
//
// Errors: ErrMalformed.
func (m *SPQRMessage) ParsePayload(rest []byte) error {
	if len(rest) == 0 || rest[0] > SPQRCt2 {
		return fmt.Errorf("%w: SPQR kind", ErrMalformed)
	}
	m.Kind = rest[0]
	if !SPQRHasChunk(m.Kind) {
		return nil
	}
	index, rest, ok := spqrVarint(rest[1:])
	if !ok || index > 1<<16-1 || len(rest) < SPQRChunkSize {
		return fmt.Errorf("%w: SPQR chunk", ErrMalformed)
	}
	m.ChunkIndex = uint16(index)
	copy(m.Chunk[:], rest)
	return nil
}

// Append appends m, whose version must be 1.
func (m *SPQRMessage) Append(dst []byte) []byte {
	dst = append(dst, m.Version)
	dst = appendSPQRVarint(dst, m.Epoch)
	dst = appendSPQRVarint(dst, uint64(m.Index))
	dst = append(dst, m.Kind)
	if !SPQRHasChunk(m.Kind) {
		return dst
	}
	dst = appendSPQRVarint(dst, uint64(m.ChunkIndex))
	return append(dst, m.Chunk[:]...)
}

// spqrVarint reads a varint of at most ten bytes. It need not be minimal, and
// bits from the 64th on are dropped, where protobuf refuses them: that is how
// deployed peers read.
func spqrVarint(b []byte) (v uint64, rest []byte, ok bool) {
	for i := 0; i < 10 && i < len(b); i++ {
		v |= uint64(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}

func appendSPQRVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}
