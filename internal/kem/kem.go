// Package kem has the two key encapsulation mechanisms of the protocol as
// functions from bytes to bytes: Kyber-1024 of NIST round 3, which is type 0x08
// of handshakes (wire-core.md, Section 2), and ML-KEM-768 of FIPS 203 in the two
// halves that the sparse post-quantum ratchet sends apart (spqr.md, Section 3).
//
// Kyber-1024, and key generation and decapsulation of ML-KEM-768, are circl's.
// Encapsulation in halves is written here from FIPS 203 (August 2024).
//
// No step branches, indexes or divides by a secret. Keys, seeds and ciphertexts
// are raw bytes; coins come from the caller.
package kem

import "crypto/sha512"

// Sizes in bytes.
const (
	Kyber1024PublicSize     = 1568
	Kyber1024PrivateSize    = 3168
	Kyber1024CiphertextSize = 1568

	Private768Size  = 2400 // ByteEncode₁₂(ŝ) 1152 || ek 1184 || H(ek) 32 || z 32
	Header768Size   = 64   // ρ || H(ek)
	Vector768Size   = 1152 // ByteEncode₁₂(t̂); ek is this || ρ
	EncapsStateSize = 2080
	Ciphertext1Size = 960
	Ciphertext2Size = 128

	SeedSize   = 64 // d || z
	SecretSize = 32
)

// fence ends every use of circl, whose vector code leaves the upper halves of
// the registers dirty: on many processors SHA-256 and other code then runs up to
// a hundred times slower until something clears them. Sum512 of the standard
// library clears them. BenchmarkFence guards this.
func fence() {
	var block [1]byte
	sha512.Sum512(block[:])
}
