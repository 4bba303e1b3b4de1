package kem

import (
	"crypto/sha3"
	"crypto/subtle"

	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
)

// Generate768 derives a decapsulation key from seed, d || z
// (ML-KEM.KeyGen_internal, FIPS 203, Algorithm 16).
//
//	dk  2400 bytes: ŝ 1152 || t̂ 1152 || ρ 32 || H(ek) 32 || z 32
func Generate768(seed *[SeedSize]byte) (dk *[Private768Size]byte) {
	defer fence()
	_, private := mlkem768.NewKeyFromSeed(seed[:])
	dk = new([Private768Size]byte)
	private.Pack(dk[:])
	return dk
}

// Header768 returns the header in dk, ρ || H(ek).
func Header768(dk *[Private768Size]byte) [Header768Size]byte {
	return [Header768Size]byte(dk[2304:2368])
}

// Vector768 returns the vector t̂ in dk, 1152 bytes, which are not copied.
func Vector768(dk *[Private768Size]byte) []byte {
	return dk[1152:2304:2304]
}

// Valid768 reports whether ek, 1152 bytes, is the vector that header promised:
// the modulus check of FIPS 203, Section 7.2, and H(ek || ρ).
func Valid768(ek []byte, header *[Header768Size]byte) bool {
	if len(ek) != Vector768Size || !reduced(ek) {
		return false
	}
	h := sha3.New256()
	h.Write(ek)
	h.Write(header[:32])
	var sum [32]byte
	h.Sum(sum[:0])
	return subtle.ConstantTimeCompare(sum[:], header[32:]) == 1
}

// Decaps768 returns the secret in ct1 || ct2 (ML-KEM.Decaps_internal, FIPS 203,
// Algorithm 18), dk being 2400, ct1 960 and ct2 128 bytes long; it panics on
// other lengths. A ciphertext that was not made for dk gives an unpredictable
// secret and no error. Nothing in dk is checked, as in the official library.
func Decaps768(dk, ct1, ct2 []byte) (k [SecretSize]byte) {
	defer fence()
	if len(dk) != Private768Size || len(ct1) != Ciphertext1Size || len(ct2) != Ciphertext2Size {
		panic("kem: internal error: length of key or ciphertext")
	}
	var private mlkem768.PrivateKey
	private.Unpack(dk)
	var ct [Ciphertext1Size + Ciphertext2Size]byte
	copy(ct[:], ct1)
	copy(ct[Ciphertext1Size:], ct2)
	private.DecapsulateTo(k[:], ct[:])
	return k
}
