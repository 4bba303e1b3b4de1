package kem

import (
	"crypto/sha3"
	"crypto/subtle"

	"github.com/cloudflare/circl/pke/kyber/kyber768"
)

// Generate768 derives a decapsulation key from seed, d || z
// (ML-KEM.KeyGen_internal, FIPS 203, Algorithm 16).
//
//	dk  2400 bytes: ŝ 1152 || t̂ 1152 || ρ 32 || H(ek) 32 || z 32
func Generate768(seed *[SeedSize]byte) (dk *[Private768Size]byte) {
	public, private := kyber768.NewKeyFromSeedMLKEM(seed[:32])
	dk = new([Private768Size]byte)
	private.Pack(dk[:1152])
	public.Pack(dk[1152:2336])
	h := sha3.Sum256(dk[1152:2336])
	copy(dk[2336:], h[:])
	copy(dk[2368:], seed[32:])
	*private = kyber768.PrivateKey{}
	fence()
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
// secret and no error, J(z || c). Nothing in dk is checked, as in the official
// library: H(ek) is taken as stored.
func Decaps768(dk, ct1, ct2 []byte) (k [SecretSize]byte) {
	if len(dk) != Private768Size || len(ct1) != Ciphertext1Size || len(ct2) != Ciphertext2Size {
		panic("kem: internal error: length of key or ciphertext")
	}
	var c, again [Ciphertext1Size + Ciphertext2Size]byte
	copy(c[:], ct1)
	copy(c[Ciphertext1Size:], ct2)

	var private kyber768.PrivateKey
	private.Unpack(dk[:1152])
	var m [32]byte
	private.DecryptTo(m[:], c[:])
	kr := hashG(&m, dk[2336:2368])
	var public kyber768.PublicKey
	public.Unpack(dk[1152:2336])
	public.EncryptTo(again[:], m[:], kr[32:])

	xof := sha3.NewSHAKE256() // J
	xof.Write(dk[2368:])
	xof.Write(c[:])
	xof.Read(k[:])
	subtle.ConstantTimeCopy(subtle.ConstantTimeCompare(again[:], c[:]), k[:], kr[:32])
	private = kyber768.PrivateKey{}
	clear(m[:])
	clear(kr[:])
	clear(again[:])
	fence()
	return k
}

// hashG returns (K, r) = G(m || h), h being H of the public key.
func hashG(m *[32]byte, h []byte) [64]byte {
	var b [64]byte
	copy(b[:32], m[:])
	copy(b[32:], h)
	kr := sha3.Sum512(b[:])
	clear(b[:])
	return kr
}
