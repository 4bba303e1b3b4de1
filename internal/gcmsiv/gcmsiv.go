// Package gcmsiv is AES-256-GCM-SIV, RFC 8452: authenticated encryption that
// stays safe, but for telling which messages are equal, when a nonce is used
// again.
//
// The arithmetic here takes the same time for all plaintexts and keys, on
// processors that multiply in constant time; what crypto/aes does takes the same
// time where there are instructions for AES.
package gcmsiv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

// Overhead is the length of the tag, by which a ciphertext is longer than its
// plaintext, in bytes.
const Overhead = 16

// maxLen is how long a plaintext, and additional data, may be: 2^36 bytes (RFC
// 8452, Section 6).
const maxLen = 1 << 36

// Seal appends the encryption of plaintext, and the tag over it and the
// additional data, to dst and returns the result.
//
// Plaintext may lie where the result will, at its first byte, or apart from
// it. Seal panics if plaintext or ad are over 2^36 bytes.
func Seal(dst []byte, key *[32]byte, nonce *[12]byte, plaintext, ad []byte) []byte {
	if uint64(len(plaintext)) > maxLen || uint64(len(ad)) > maxLen {
		panic("gcmsiv: message too large")
	}
	s := newState(key, nonce)
	defer s.clear()
	s.setTag(plaintext, ad)
	start := len(dst)
	dst = append(slices.Grow(dst, len(plaintext)+Overhead), plaintext...)
	s.xor(dst[start:])
	return append(dst, s.tag[:]...)
}

// Open undoes Seal: it appends the plaintext of ciphertext to dst and returns
// the result.
//
// It returns nil and false if the ciphertext is shorter than a tag or the tag
// is wrong. What was decrypted behind dst is cleared then, dst itself is as
// before.
//
// Ciphertext may lie where the result will, at its first byte; it is
// overwritten then, by the plaintext or by zeros.
func Open(dst []byte, key *[32]byte, nonce *[12]byte, ciphertext, ad []byte) ([]byte, bool) {
	n := len(ciphertext) - Overhead
	if n < 0 || uint64(n) > maxLen || uint64(len(ad)) > maxLen {
		return nil, false
	}
	s := newState(key, nonce)
	defer s.clear()
	got := [Overhead]byte(ciphertext[n:])
	s.tag = got
	start := len(dst)
	dst = append(slices.Grow(dst, n), ciphertext[:n]...)
	s.xor(dst[start:])
	s.setTag(dst[start:], ad)
	if subtle.ConstantTimeCompare(got[:], s.tag[:]) != 1 {
		clear(dst[start:])
		return nil, false
	}
	return dst, true
}

// A state is what encryption and decryption of one message share. It is one
// value, because what is handed to a cipher.Block goes to the heap.
type state struct {
	hash  polyval
	block cipher.Block // under the message-encryption key
	nonce [12]byte
	tag   [Overhead]byte
	buf   [8 * aes.BlockSize]byte
}

func newState(key *[32]byte, nonce *[12]byte) *state {
	s := &state{nonce: *nonce}
	auth, enc := s.deriveKeys(key)
	s.hash = newPolyval(&auth)
	s.block = newAES(&enc)
	clear(auth[:])
	clear(enc[:])
	return s
}

// deriveKeys returns the message-authentication key and the message-encryption
// key for the nonce (RFC 8452, Section 4): the first 8 bytes each of six
// blocks, which encrypt a number and the nonce.
func (s *state) deriveKeys(key *[32]byte) (auth [16]byte, enc [32]byte) {
	block, in, out := newAES(key), s.buf[:16], s.buf[16:32]
	copy(in[4:], s.nonce[:])
	for i := range 6 {
		in[0] = byte(i)
		block.Encrypt(out, in)
		if i < 2 {
			copy(auth[8*i:], out[:8])
		} else {
			copy(enc[8*(i-2):], out[:8])
		}
	}
	return auth, enc
}

// clear removes what a message could be learned from, as far as it is ours:
// best effort, as crypto/aes keeps its keys.
func (s *state) clear() { *s = state{} }

// setTag sets the tag to that of plaintext and ad: the encryption of their
// hash, lengths in bits included, with the nonce added and the top bit clear.
func (s *state) setTag(plaintext, ad []byte) {
	s.hash.add(ad)
	s.hash.add(plaintext)
	s.hash.addBlock(uint64(len(ad))*8, uint64(len(plaintext))*8)
	sum := s.hash.sum()
	subtle.XORBytes(sum[:12], sum[:12], s.nonce[:])
	sum[15] &= 0x7F
	s.tag = sum
	s.block.Encrypt(s.tag[:], s.tag[:])
	clear(sum[:])
}

// xor encrypts or decrypts b in place, by AES in counter mode from the tag with
// the top bit set. The counter is the first 4 bytes, little endian; past its
// largest value it goes on at 0, and no other byte changes. Eight blocks of key
// stream are made at a time, so that the processor works on several.
func (s *state) xor(b []byte) {
	first := s.tag
	first[15] |= 0x80
	n := binary.LittleEndian.Uint32(first[:4])
	for len(b) > 0 {
		stream := s.buf[:min(len(s.buf), (len(b)+15)&^15)]
		for i := 0; i < len(stream); i += aes.BlockSize {
			copy(stream[i:], first[:])
			binary.LittleEndian.PutUint32(stream[i:], n)
			n++
		}
		for i := 0; i < len(stream); i += aes.BlockSize {
			s.block.Encrypt(stream[i:], stream[i:])
		}
		b = b[subtle.XORBytes(b, b, stream):]
	}
}

func newAES(key *[32]byte) cipher.Block {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("gcmsiv: internal error: " + err.Error()) // 32 bytes are a key
	}
	return b
}
