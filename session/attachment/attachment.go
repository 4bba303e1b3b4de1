// Package attachment encrypts files of any size up to 32 GiB for a store that
// learns little of them, and decrypts them as they arrive. It keeps one chunk in
// memory.
//
// A sender writes into a Writer, which encrypts into whatever carries the file
// away, and then puts its Pointer into a message. A receiver opens the Pointer
// on what comes back:
//
//	Pointer.Open    an io.Reader; each chunk is checked against the incremental
//	                MAC in the Pointer before a byte of it is let through
//	Pointer.OpenAt  an io.ReaderAt; all is checked before the first byte, and
//	                once more while it is read
//
// What a Reader returned is authentic, but it is the whole file only when io.EOF
// has come. Until then it belongs into a file of another name, which is renamed
// after io.EOF, and deleted after any other error.
//
// The bytes are those of Signal's attachments: sealed-groups-fingerprint,
// Sections 7.1 to 7.3.
//
//	blob = IV ‖ AES-256-CBC(plaintext ‖ zeros up to a bucket) ‖ HMAC-SHA-256
//
// The store learns the bucket: sizes grow by about 5 % from one to the next.
//
// # Divergences
//
//   - The size in a Pointer has 64 bits. Deployed peers read its low 32 bits,
//     so that they take 4 GiB at most.
//   - Deployed peers take a chunk of any size. Here it is 2 MiB at most, which is
//     the largest that the rule of Section 7.1 yields: a peer does not choose how
//     much a receiver keeps in memory.
//   - Where the length is not known when the first byte is written, the chunk
//     size is a power of two close to what the rule yields. Receivers take it from
//     the Pointer.
//   - A digest is required. What peers keep without one, stickers and the copies in
//     backups, is not read.
//   - Deployed validators go on after a wrong chunk, and fail at the end. Here the
//     first failure is the last answer.
//
// As in deployed peers, that the padding is zeros, and that it reaches to the
// bucket, is not checked: other senders pad otherwise, or not at all. What is
// behind the declared size is never let through.
package attachment

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

var (
	// ErrMalformed reports what is no attachment or no Pointer: a length that
	// none has, a key that is not of 64 bytes, a list that is no number of MACs.
	ErrMalformed = wire.ErrMalformed
	// ErrTooLarge reports a size over MaxSize, a chunk over 2 MiB, or a Pointer
	// over 640 KiB.
	ErrTooLarge = wire.ErrTooLarge
	// ErrAuth reports that the attachment is not what its sender encrypted, or
	// that it ends too early or too late.
	ErrAuth = wire.ErrAuth
	// ErrDigest reports that an attachment is not the one that was uploaded,
	// although its MAC holds, or that a Pointer has no digest of 32 bytes.
	ErrDigest = errors.New("attachment: wrong digest")
	// ErrSize reports fewer or more bytes than were declared.
	ErrSize = errors.New("attachment: not of the declared size")
	// ErrNoList reports that a Pointer without an incremental MAC was opened on
	// an io.Reader: what arrives cannot be checked before all of it is there.
	ErrNoList = errors.New("attachment: no incremental MAC, needs an io.ReaderAt")
	// ErrClosed reports a use after Close.
	ErrClosed = errors.New("attachment: closed")
)

// The parts of a blob, in bytes.
const (
	ivSize  = 16
	block   = 16
	macSize = sha256.Size

	// overhead is what a blob has beside the padded plaintext and its last 1 to
	// 16 bytes of padding; minBlob is the shortest.
	overhead = ivSize + macSize
	minBlob  = overhead + block
)

// A Pointer is what a message says of an attachment: whoever has it can read the
// attachment, and nobody else. It prints as redacted. The zero value points to
// nothing. It may be used from several goroutines that do not change it.
//
// An incremental MAC has 32 bytes a chunk, 8 KiB for most attachments. A sender
// who does not want it in the message sets ChunkSize and MACs to zero; a receiver
// then needs OpenAt.
type Pointer struct {
	wire.Secret

	Key       [64]byte // AES key ‖ MAC key
	Size      int64    // of the plaintext in bytes, at most MaxSize
	Digest    [32]byte // SHA-256 of the blob
	ChunkSize uint32   // of the incremental MAC in bytes, at most 2 MiB; 0: there is none
	MACs      []byte   // the incremental MAC, 32 bytes each; empty: there is none
}

// Bytes returns the encoding of p: protobuf, the fields with the numbers that
// they have in Signal's content, so that it may be read as the AttachmentPointer
// there, to which others can be added.
func (p *Pointer) Bytes() []byte {
	return wire.AppendAttachmentPointer(nil, &wire.AttachmentPointer{
		Key: p.Key[:], Size: uint64(p.Size), Digest: p.Digest[:], ChunkSize: p.ChunkSize, MACs: p.MACs,
	})
}

// ParsePointer reads what Bytes returned, or an AttachmentPointer of a peer, of
// which other fields are ignored. Errors are ErrMalformed, ErrTooLarge, and
// ErrDigest where there is no digest of 32 bytes. B is not kept.
func ParsePointer(b []byte) (*Pointer, error) {
	w, err := wire.ParseAttachmentPointer(b)
	switch {
	case err != nil:
		return nil, err
	case len(w.Key) != 64:
		return nil, fmt.Errorf("%w: key of %d bytes", ErrMalformed, len(w.Key))
	case len(w.Digest) != sha256.Size:
		return nil, fmt.Errorf("%w: %d bytes", ErrDigest, len(w.Digest))
	case w.Size > uint64(MaxSize):
		return nil, fmt.Errorf("%w: attachment of %d bytes", ErrTooLarge, w.Size)
	}
	p := &Pointer{
		Key: [64]byte(w.Key), Size: int64(w.Size), Digest: [32]byte(w.Digest),
		ChunkSize: w.ChunkSize, MACs: append([]byte(nil), w.MACs...),
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// check says what of p, as the app may have changed it, cannot be opened.
func (p *Pointer) check() error {
	switch {
	case p.Size < 0 || len(p.MACs)%macSize != 0:
		return fmt.Errorf("%w: size of %d bytes, incremental MAC of %d", ErrMalformed, p.Size, len(p.MACs))
	case len(p.MACs) != 0 && p.ChunkSize == 0:
		return fmt.Errorf("%w: chunks of 0 bytes", ErrMalformed)
	case p.Size > MaxSize || p.ChunkSize > etm.MaxChunk:
		return fmt.Errorf("%w: attachment of %d bytes, chunks of %d", ErrTooLarge, p.Size, p.ChunkSize)
	}
	return nil
}

func (p *Pointer) aesKey() *[32]byte { return (*[32]byte)(p.Key[:32]) }
func (p *Pointer) macKey() *[32]byte { return (*[32]byte)(p.Key[32:]) }
