// Package etm holds the two halves of encrypt-then-MAC as Signal's messages,
// groups, sealed sender and attachments use them: AES-256 in CBC mode with
// PKCS#7 padding, and HMAC-SHA-256.
//
// The caller joins them. Whoever decrypts checks the MAC first, and answers a
// wrong MAC and wrong padding with the same error: padding that is looked at
// before the MAC held is an oracle. Sources: spec/wire-core.md, Sections 3 and
// 6.3.
package etm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// EncryptCBC appends the encryption of plaintext to dst and returns the
// result: AES-256-CBC (NIST SP 800-38A, Section 6.2) after PKCS#7 padding
// (RFC 5652, Section 6.3), len(plaintext)/16*16 + 16 bytes.
//
// Plaintext may lie where the result will, at its first byte, or apart from
// it.
func EncryptCBC(dst []byte, key *[32]byte, iv *[16]byte, plaintext []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, len(plaintext)+aes.BlockSize-len(plaintext)%aes.BlockSize)
	dst = append(dst, plaintext...)
	dst = Pad(dst, len(plaintext))
	NewEncrypter(key, iv).CryptBlocks(dst[start:], dst[start:])
	return dst
}

// Pad appends the PKCS#7 padding (RFC 5652, Section 6.3) of a plaintext of n
// bytes, of which b has the end: 1 to 16 bytes.
func Pad(b []byte, n int) []byte {
	pad := aes.BlockSize - n%aes.BlockSize
	for range pad {
		b = append(b, byte(pad))
	}
	return b
}

// NewEncrypter returns AES-256-CBC for a plaintext that comes in pieces, with
// its padding.
func NewEncrypter(key *[32]byte, iv *[16]byte) cipher.BlockMode {
	first := *iv // the interface takes it to the heap
	return cipher.NewCBCEncrypter(newAES(key), first[:])
}

// DecryptCBC undoes EncryptCBC: it appends the plaintext of ciphertext to dst
// and returns the result.
//
// It returns nil and false for a ciphertext that is empty or no whole number
// of blocks, and for wrong padding. Of wrong padding it finds out in constant
// time; what was written behind dst is cleared, dst itself is as before. The
// answer is for the caller's one opaque error, and nothing else.
//
// Ciphertext may lie where the result will, at its first byte; it is
// overwritten then, by the plaintext or by zeros.
func DecryptCBC(dst []byte, key *[32]byte, iv *[16]byte, ciphertext []byte) ([]byte, bool) {
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, false
	}
	start := len(dst)
	dst = append(slices.Grow(dst, len(ciphertext)), ciphertext...)
	out := dst[start:]
	NewDecrypter(key, iv).CryptBlocks(out, out)
	n, ok := Unpad(out)
	if !ok {
		return nil, false
	}
	return dst[:start+n], true
}

// NewDecrypter returns AES-256-CBC for a ciphertext that comes in pieces. The
// last one is given to Unpad.
func NewDecrypter(key *[32]byte, iv *[16]byte) cipher.BlockMode {
	first := *iv // as above
	return cipher.NewCBCDecrypter(newAES(key), first[:])
}

// Unpad returns how many bytes of b are no padding, and clears the others. B is
// the end of what was decrypted, at least a block. Of wrong padding it finds
// out in constant time; all of b is cleared then.
func Unpad(b []byte) (n int, ok bool) {
	pad, right := padding((*[aes.BlockSize]byte)(b[len(b)-aes.BlockSize:]))
	if right != 1 {
		clear(b)
		return 0, false
	}
	clear(b[len(b)-pad:])
	return len(b) - pad, true
}

// padding reads the PKCS#7 padding off the last block: 1 to 16 bytes, each of
// them its length. It takes the same time for every block. If ok is 0, n means
// nothing.
func padding(last *[aes.BlockSize]byte) (n, ok int) {
	n = int(last[aes.BlockSize-1])
	ok = subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, aes.BlockSize)
	for i, b := range last {
		inside := subtle.ConstantTimeLessOrEq(aes.BlockSize-i, n)
		ok &= (1 ^ inside) | subtle.ConstantTimeByteEq(b, byte(n))
	}
	return n, ok
}

func newAES(key *[32]byte) cipher.Block {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("etm: internal error: " + err.Error()) // 32 bytes are a key
	}
	return b
}

// MAC returns HMAC-SHA-256 (RFC 2104) of the parts, joined, under key. Where
// one part ends and the next begins does not count: a caller whose parts vary
// in length fixes them by other means.
func MAC(key *[32]byte, parts ...[]byte) [sha256.Size]byte {
	var pad [sha256.BlockSize]byte
	copy(pad[:], key[:])
	for i := range pad {
		pad[i] ^= 0x36
	}
	inner := sha256.New()
	inner.Write(pad[:])
	for _, p := range parts {
		inner.Write(p)
	}
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range pad {
		outer[i] = pad[i] ^ 0x36 ^ 0x5c
	}
	inner.Sum(outer[:sha256.BlockSize])
	sum := sha256.Sum256(outer[:])
	clear(pad[:])
	clear(outer[:])
	return sum
}
