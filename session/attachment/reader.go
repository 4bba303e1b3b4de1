package attachment

import (
	"crypto/cipher"
	"fmt"
	"io"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A Reader decrypts an attachment. It prints as redacted. The zero value is of no
// use, and a Reader may be used from one goroutine at a time.
type Reader struct {
	wire.Secret

	in     input
	key    [32]byte // AES
	cbc    cipher.BlockMode
	plain  []byte // decrypted, not returned yet; lies in in.buf
	left   int64  // of the declared size, not decrypted yet
	closed bool
	err    error // the final one, io.EOF among them
}

// Open returns a Reader of the attachment that r carries. Each chunk is checked
// against the incremental MAC before a byte of it is returned, and with the last
// one the MAC and the digest of all.
//
// Errors are those of ParsePointer, and ErrNoList where p has no incremental MAC.
// R is read as the Reader is, at most a chunk and 64 KiB ahead, and not closed.
func (p *Pointer) Open(r io.Reader) (*Reader, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if len(p.MACs) == 0 {
		return nil, ErrNoList
	}
	return p.newReader(r, int(p.ChunkSize), newListCheck(p)), nil
}

// OpenAt returns a Reader of the attachment in the first size bytes of r; whether
// p has an incremental MAC does not matter. R is read twice: by OpenAt, which
// checks the MAC and the digest, and by the Reader, which holds each chunk against
// a tag of that first reading. So nothing is ever returned of an r that changed
// in between, but what had not changed.
//
// Errors are those of ParsePointer and of r; ErrMalformed for a size that no
// attachment has, ErrTooLarge for one beyond those of MaxSize, ErrAuth and
// ErrDigest.
func (p *Pointer) OpenAt(r io.ReaderAt, size int64) (*Reader, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	largest, _ := EncryptedSize(MaxSize)
	switch {
	case size < minBlob || (size-overhead)%block != 0:
		return nil, fmt.Errorf("%w: attachment of %d bytes", ErrMalformed, size)
	case size > largest:
		return nil, fmt.Errorf("%w: attachment of %d bytes", ErrTooLarge, size)
	}
	tags, err := p.scan(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, err
	}
	return p.newReader(io.NewSectionReader(r, 0, size), tags.chunk, tags), nil
}

func (p *Pointer) newReader(r io.Reader, chunk int, c checker) *Reader {
	return &Reader{in: input{src: r, chunk: chunk, check: c}, key: *p.aesKey(), left: p.Size}
}

// Read returns the next bytes of the plaintext, all of them checked. It returns
// io.EOF only after the last one, when all checks of the whole have passed.
//
// Any other error means that the file is not what its sender encrypted, or is not
// all there, and what was returned before should be thrown away: ErrAuth,
// ErrDigest, ErrSize for a plaintext shorter than declared, ErrMalformed for less
// than any attachment has, ErrClosed, or that of the source. Each is final.
func (r *Reader) Read(b []byte) (int, error) {
	if r.closed {
		return 0, ErrClosed
	}
	for len(r.plain) == 0 && len(b) > 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.err = r.advance()
	}
	n := copy(b, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// advance decrypts what is checked, or else checks more. It is called when all
// plaintext was returned. Of an error nothing is left to return but io.EOF.
func (r *Reader) advance() error {
	switch {
	case r.cbc == nil && r.in.ready() >= ivSize:
		r.cbc = etm.NewDecrypter(&r.key, (*[ivSize]byte)(r.in.take(ivSize)))
		clear(r.key[:])
		return nil
	case r.cbc != nil && r.in.ready() >= block:
		b := r.in.take(min(r.in.ready(), bufSize) / block * block)
		r.cbc.CryptBlocks(b, b)
		r.release(b)
		return nil
	case r.in.ended:
		return r.finish()
	}
	return r.in.advance()
}

// release hands out b, as far as it is within the declared size.
func (r *Reader) release(b []byte) {
	r.plain = b[:min(int64(len(b)), r.left)]
	r.left -= int64(len(r.plain))
}

// finish decrypts the rest, all of which is checked: ciphertext with at least one
// block, and the MAC.
func (r *Reader) finish() error {
	b := r.in.rest()
	if len(b) < block || len(b)%block != 0 {
		return fmt.Errorf("%w: part of a block", ErrMalformed)
	}
	r.cbc.CryptBlocks(b, b)
	n, ok := etm.Unpad(b)
	switch {
	case !ok:
		return ErrAuth
	case int64(n) < r.left:
		clear(b)
		return fmt.Errorf("%w: %d bytes are missing", ErrSize, r.left-int64(n))
	}
	r.release(b[:n])
	return io.EOF
}

// Close ends the use of r and clears what it kept. It says nothing of the
// attachment: only io.EOF from Read does. Called again, it does nothing. The error
// is always nil.
func (r *Reader) Close() error {
	if !r.closed {
		clear(r.in.buf)
		clear(r.key[:])
		*r = Reader{closed: true}
	}
	return nil
}
