package etm

import (
	"crypto/aes"
	"crypto/cipher"
)

// CTR encrypts buf in place, or decrypts it: AES-256-CTR (NIST SP 800-38A,
// Section 6.5) with an initial counter block of zeros. So a key is for one
// message only.
func CTR(key *[32]byte, buf []byte) {
	var zero [aes.BlockSize]byte
	cipher.NewCTR(newAES(key), zero[:]).XORKeyStream(buf, buf)
}
