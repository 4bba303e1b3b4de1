package perf

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"io"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// attachmentPiece is how much is written, read, or taken by a floor, at a time.
const attachmentPiece = 64 << 10

const attachmentRuns = 2

// AttachmentEncrypt is an attachment of a declared size, digest and incremental
// MAC included, written to nowhere.
func AttachmentEncrypt(size int) Op {
	return always("attachment-encrypt", size, attachmentRuns, func() func() {
		plaintext := make([]byte, size)
		return func() { sealAttachment(io.Discard, plaintext) }
	})
}

func sealAttachment(dst io.Writer, plaintext []byte) *attachment.Pointer {
	w := must(attachment.NewWriter(dst, int64(len(plaintext))))
	for b := plaintext; len(b) > 0; {
		n := must(w.Write(b[:min(len(b), attachmentPiece)]))
		b = b[n:]
	}
	check(w.Close())
	return w.Pointer()
}

// AttachmentDecrypt is decrypting it as it arrives, by its incremental MAC.
func AttachmentDecrypt(size int) Op {
	return openAttachment("attachment-decrypt", size, func(p *attachment.Pointer, blob []byte) (*attachment.Reader, error) {
		return p.Open(bytes.NewReader(blob))
	})
}

// AttachmentDecryptAt is decrypting it from where it lies, read twice.
func AttachmentDecryptAt(size int) Op {
	return openAttachment("attachment-decrypt-at", size, func(p *attachment.Pointer, blob []byte) (*attachment.Reader, error) {
		return p.OpenAt(bytes.NewReader(blob), int64(len(blob)))
	})
}

func openAttachment(name string, size int, open func(*attachment.Pointer, []byte) (*attachment.Reader, error)) Op {
	return always(name, size, attachmentRuns, func() func() {
		var blob bytes.Buffer
		p, buf := sealAttachment(&blob, make([]byte, size)), make([]byte, attachmentPiece)
		return func() {
			r := must(open(p, blob.Bytes()))
			for {
				_, err := r.Read(buf)
				if err == io.EOF {
					return
				}
				check(err)
			}
		}
	})
}

// floorAttachment is AES-CBC, HMAC and SHA-256 of an attachment, padding
// included, by 64 KiB, each in one pass.
func floorAttachment(name string, size int, mode func(*[32]byte, *[16]byte) cipher.BlockMode) Op {
	return always(name, size, attachmentRuns, func() func() {
		f, blob := newFloor(), make([]byte, must(attachment.EncryptedSize(int64(size))))
		return func() {
			cbc, mac, sum := mode(&f.key, &f.iv), hmac.New(sha256.New, f.key[:]), sha256.New()
			for b := blob; len(b) > 0; {
				n := min(len(b), attachmentPiece)
				cbc.CryptBlocks(b[:n], b[:n])
				mac.Write(b[:n])
				sum.Write(b[:n])
				b = b[n:]
			}
			mac.Sum(f.out[:0])
			sum.Sum(f.out[:0])
		}
	})
}

// FloorAttachmentEncrypt is floorAttachment with encryption.
func FloorAttachmentEncrypt(size int) Op {
	return floorAttachment("attachment-encrypt", size, etm.NewEncrypter)
}

// FloorAttachmentDecrypt is floorAttachment with decryption.
func FloorAttachmentDecrypt(size int) Op {
	return floorAttachment("attachment-decrypt", size, etm.NewDecrypter)
}
