package kem

import (
	"crypto/sha3"
	"crypto/subtle"

	"github.com/cloudflare/circl/kem/kyber/kyber1024"
)

// Kyber1024Generate derives a key pair from seed, d || z.
//
//	sk  3168 bytes: ŝ 1536 || pk 1568 || H(pk) 32 || z 32
func Kyber1024Generate(seed *[SeedSize]byte) (pk *[Kyber1024PublicSize]byte, sk *[Kyber1024PrivateSize]byte) {
	defer fence()
	_, private := kyber1024.NewKeyFromSeed(seed[:])
	sk = new([Kyber1024PrivateSize]byte)
	private.Pack(sk[:])
	pk = new([Kyber1024PublicSize]byte)
	copy(pk[:], sk[1536:])
	return pk, sk
}

// Kyber1024Valid is the modulus check of FIPS 203, Section 7.2, which gembok
// makes for round 3 too: all coefficients of the encoded vector are below q.
func Kyber1024Valid(pk *[Kyber1024PublicSize]byte) bool {
	return reduced(pk[:1536])
}

// Kyber1024KeyValid checks what can be checked of a private key: the modulus
// check of the public key in it, and that H(pk) beside it is right (as FIPS 203,
// Section 7.3).
func Kyber1024KeyValid(sk *[Kyber1024PrivateSize]byte) bool {
	h := sha3.Sum256(sk[1536:3104])
	return subtle.ConstantTimeCompare(h[:], sk[3104:3136]) == 1 && reduced(sk[1536:3072])
}

// Kyber1024Public returns a copy of the public key in sk.
func Kyber1024Public(sk *[Kyber1024PrivateSize]byte) *[Kyber1024PublicSize]byte {
	pk := [Kyber1024PublicSize]byte(sk[1536:3104])
	return &pk
}

// Kyber1024Encapsulate makes a secret for pk, which Kyber1024Valid has
// accepted, from 32 random bytes used for this call only.
func Kyber1024Encapsulate(pk *[Kyber1024PublicSize]byte, coins *[32]byte) (ct *[Kyber1024CiphertextSize]byte, ss [SecretSize]byte) {
	defer fence()
	var public kyber1024.PublicKey
	public.Unpack(pk[:])
	ct = new([Kyber1024CiphertextSize]byte)
	public.EncapsulateTo(ct[:], ss[:], coins[:])
	return ct, ss
}

// Kyber1024Decapsulate returns the secret in ct. A ciphertext that was not made
// for sk gives an unpredictable secret and no error.
func Kyber1024Decapsulate(sk *[Kyber1024PrivateSize]byte, ct *[Kyber1024CiphertextSize]byte) (ss [SecretSize]byte) {
	defer fence()
	var private kyber1024.PrivateKey
	private.Unpack(sk[:])
	private.DecapsulateTo(ss[:], ct[:])
	return ss
}
