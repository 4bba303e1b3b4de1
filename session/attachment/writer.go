package attachment

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// UnknownSize is the size to give to NewWriter where it is not known.
const UnknownSize = -1

// bufSize is how much is encrypted at a time: whole blocks, few enough to stay
// in the processor's cache through three passes.
const bufSize = 64 << 10

// A Writer encrypts an attachment. What was written through it is of use only
// when Close has returned nil. It prints as redacted. The zero value is of no
// use, and a Writer may be used from one goroutine at a time.
type Writer struct {
	wire.Secret

	dst  io.Writer
	size int64 // declared; below 0: not known
	n    int64 // of the plaintext until now

	cbc   cipher.BlockMode
	mac   *etm.Incremental
	sum   hash.Hash
	buf   []byte // the IV at first, and plaintext that was not encrypted yet
	plain int    // where the plaintext begins in it; all before are whole blocks

	out    Pointer
	closed bool
	err    error // of Write, from the first on
	done   error // of Close, once closed
}

// NewWriter returns a Writer for a plaintext of size bytes, which encrypts to
// dst under a fresh key. A size below 0 is one that is not known, UnknownSize;
// the Writer then takes up to MaxSize. The error is ErrTooLarge for a size over
// MaxSize. Nothing is written until there are 64 KiB, or Close is called.
func NewWriter(dst io.Writer, size int64) (*Writer, error) {
	var key [64]byte
	var iv [ivSize]byte
	rand.Read(key[:])
	rand.Read(iv[:])
	return newWriter(dst, size, &key, &iv)
}

// newWriter is NewWriter with its coins, each used for this attachment only.
func newWriter(dst io.Writer, size int64, key *[64]byte, iv *[ivSize]byte) (*Writer, error) {
	chunk := 0
	if size >= 0 {
		blob, err := EncryptedSize(size)
		if err != nil {
			return nil, err
		}
		chunk = etm.ChunkSize(blob)
	}
	w := &Writer{dst: dst, size: size, sum: sha256.New(), out: Pointer{Key: *key}}
	w.cbc = etm.NewEncrypter(w.out.aesKey(), iv)
	w.mac = etm.NewIncremental(w.out.macKey(), chunk)
	w.buf = append(make([]byte, 0, bufSize), iv[:]...)
	w.plain = ivSize
	return w, nil
}

// Write encrypts p. More than was declared is ErrSize, and more than MaxSize is
// ErrTooLarge; neither takes any of p. An error, of the destination too, is final:
// Write and Close repeat it. After Close the error is ErrClosed.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err == nil {
		w.err = w.fits(len(p))
	}
	if w.err != nil {
		return 0, w.err
	}
	for rest := p; len(rest) > 0; {
		n := min(len(rest), bufSize-len(w.buf))
		w.buf = append(w.buf, rest[:n]...)
		if w.err = w.flush(false); w.err != nil {
			return len(p) - len(rest), w.err
		}
		rest = rest[n:]
	}
	w.n += int64(len(p))
	return len(p), nil
}

// fits checks the length of what is written next.
func (w *Writer) fits(n int) error {
	switch {
	case w.size >= 0 && int64(n) > w.size-w.n:
		return fmt.Errorf("%w: more than %d bytes", ErrSize, w.size)
	case int64(n) > MaxSize-w.n:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxSize)
	}
	return nil
}

// flush encrypts and writes what is in the buffer when it is full, or when that
// is the end.
func (w *Writer) flush(end bool) error {
	if len(w.buf) < bufSize && !end {
		return nil
	}
	w.cbc.CryptBlocks(w.buf[w.plain:], w.buf[w.plain:])
	err := w.emit(w.buf)
	w.buf, w.plain = w.buf[:0], 0
	return err
}

// emit writes a piece of the blob.
func (w *Writer) emit(b []byte) error {
	w.mac.Write(b)
	w.sum.Write(b)
	n, err := w.dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// Close pads the plaintext to its bucket and writes the rest of the attachment.
// The destination is not closed. Fewer bytes than were declared are ErrSize: what
// was written is no attachment then, nor after any other error, and there is no
// Pointer to it. Called again, Close answers as before.
func (w *Writer) Close() error {
	if w.closed {
		return w.done
	}
	if w.err == nil {
		w.err = w.finish()
	}
	w.closed, w.done, w.err = true, w.err, ErrClosed
	clear(w.buf[:cap(w.buf)])
	w.cbc, w.mac = nil, nil
	return w.done
}

func (w *Writer) finish() error {
	if w.size >= 0 && w.n != w.size {
		return fmt.Errorf("%w: %d bytes, of %d", ErrSize, w.n, w.size)
	}
	padded := bucket(w.n)
	for left := padded - w.n; left > 0; {
		n := min(left, int64(bufSize-len(w.buf)))
		start := len(w.buf)
		w.buf = w.buf[:start+int(n)]
		clear(w.buf[start:])
		left -= n
		if err := w.flush(false); err != nil {
			return err
		}
	}
	w.buf = etm.Pad(w.buf, int(padded%block)) // fits: full buffers are whole blocks
	if err := w.flush(true); err != nil {
		return err
	}
	mac := w.mac.Sum()
	if err := w.emit(mac[:]); err != nil {
		return err
	}
	w.out.Size = w.n
	w.sum.Sum(w.out.Digest[:0])
	list, chunk := w.mac.List()
	w.out.MACs, w.out.ChunkSize = list, uint32(chunk)
	return nil
}

// Pointer returns what a message has to say of the attachment, a copy each time.
// It is nil until Close has returned nil.
func (w *Writer) Pointer() *Pointer {
	if !w.closed || w.done != nil {
		return nil
	}
	p := w.out
	p.MACs = append([]byte(nil), p.MACs...)
	return &p
}
