package attachment

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"io"

	"github.com/gembok-e2ee/gembok/internal/etm"
)

// A listCheck checks a blob against its incremental MAC, and at the end against
// its MAC and digest.
type listCheck struct {
	chunk  int
	list   *etm.Checker
	sum    hash.Hash
	digest [32]byte
}

func newListCheck(p *Pointer) *listCheck {
	list := append([]byte(nil), p.MACs...)
	return &listCheck{
		chunk: int(p.ChunkSize), list: etm.NewChecker(p.macKey(), int(p.ChunkSize), list),
		sum: sha256.New(), digest: p.Digest,
	}
}

func (c *listCheck) next(b []byte, end bool) (int, error) {
	n := (len(b) - ahead) / c.chunk * c.chunk
	if end {
		n = len(b) - macSize
	}
	c.sum.Write(b[:n])
	switch {
	case !c.list.Write(b[:n]):
		return 0, ErrAuth
	case end:
		return len(b), c.last(b[n:])
	}
	return n, nil
}

// last is given the MAC, when all before it was written.
func (c *listCheck) last(mac []byte) error {
	want := c.list.Sum()
	if subtle.ConstantTimeCompare(want[:], mac) != 1 || !c.list.Write(mac) || !c.list.Last() {
		return ErrAuth
	}
	c.sum.Write(mac)
	return sameDigest(c.sum, &c.digest)
}

func sameDigest(sum hash.Hash, want *[32]byte) error {
	var got [32]byte
	if sum.Sum(got[:0]); subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return ErrDigest
	}
	return nil
}

// The size of a tag, and how many are kept of a first reading: 512 KiB.
const (
	tagSize = 16
	maxTags = 32 << 10
)

// A tagCheck finds out whether a blob is read a second time as it was at first.
// Of each chunk it keeps a GMAC (NIST SP 800-38D) under a key of its own, with
// the chunk's number for a nonce: a small part of what another HMAC of the whole
// would cost.
type tagCheck struct {
	chunk int
	gmac  cipher.AEAD
	at    uint64 // number of the next chunk
	tags  []byte

	nonce [12]byte
	got   []byte // room for a tag
}

func newTagCheck(size int64) *tagCheck {
	var key [32]byte
	rand.Read(key[:])
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("attachment: internal error: " + err.Error()) // 32 bytes are a key
	}
	gcm, err := cipher.NewGCM(b)
	if err != nil {
		panic("attachment: internal error: " + err.Error()) // AES has the right block
	}
	chunk := max(bufSize, (size+maxTags-1)/maxTags)
	return &tagCheck{chunk: int(chunk), gmac: gcm, tags: make([]byte, 0, tagSize*((size+chunk-1)/chunk))}
}

// appendTag appends the tag of the next chunk.
func (c *tagCheck) appendTag(dst, chunk []byte) []byte {
	binary.BigEndian.PutUint64(c.nonce[4:], c.at)
	c.at++
	return c.gmac.Seal(dst, c.nonce[:], nil, chunk)
}

func (c *tagCheck) next(b []byte, end bool) (n int, err error) {
	for n < len(b) && (end || len(b)-n >= c.chunk+ahead) {
		chunk := b[n:min(n+c.chunk, len(b))]
		c.got = c.appendTag(c.got[:0], chunk)
		if len(c.tags) == 0 || subtle.ConstantTimeCompare(c.got, c.tags[:tagSize]) != 1 {
			return 0, ErrAuth
		}
		c.tags = c.tags[tagSize:]
		n += len(chunk)
	}
	if end && len(c.tags) != 0 {
		return 0, ErrAuth
	}
	return n, nil
}

// scan reads the size bytes of a blob from r, checks their MAC and digest, and
// returns what their second reading is held against.
func (p *Pointer) scan(r io.Reader, size int64) (*tagCheck, error) {
	tags := newTagCheck(size)
	mac, sum := hmac.New(sha256.New, p.macKey()[:]), sha256.New()
	buf, trailer := make([]byte, min(int64(tags.chunk), size)), []byte(nil)
	for left := size; left > 0; {
		b := buf[:min(int64(len(buf)), left)]
		switch _, err := io.ReadFull(r, b); {
		case err == io.EOF: // between two chunks is no better a place to end
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		left -= int64(len(b))
		sum.Write(b)
		tags.tags = tags.appendTag(tags.tags, b)
		body := min(int64(len(b)), max(0, int64(len(b))+left-macSize)) // the MAC may lie in two chunks
		mac.Write(b[:body])
		trailer = append(trailer, b[body:]...)
	}
	if !hmac.Equal(mac.Sum(nil), trailer) {
		return nil, ErrAuth
	}
	tags.at = 0
	return tags, sameDigest(sum, &p.Digest)
}
