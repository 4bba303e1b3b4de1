package kem

import (
	"crypto/sha3"
	"crypto/subtle"

	"github.com/cloudflare/circl/pke/kyber/kyber1024"
)

// Kyber1024Generate derives a key pair from seed, d || z.
//
//	sk  3168 bytes: ŝ 1536 || pk 1568 || H(pk) 32 || z 32
func Kyber1024Generate(seed *[SeedSize]byte) (pk *[Kyber1024PublicSize]byte, sk *[Kyber1024PrivateSize]byte) {
	public, private := kyber1024.NewKeyFromSeed(seed[:32])
	pk = new([Kyber1024PublicSize]byte)
	public.Pack(pk[:])
	h := sha3.Sum256(pk[:])
	sk = new([Kyber1024PrivateSize]byte)
	private.Pack(sk[:1536])
	copy(sk[1536:], pk[:])
	copy(sk[3104:], h[:])
	copy(sk[3136:], seed[32:])
	*private = kyber1024.PrivateKey{}
	fence()
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
	return reduced(sk[1536:3072]) && subtle.ConstantTimeCompare(h[:], sk[3104:3136]) == 1
}

// Kyber1024Public returns a copy of the public key in sk.
func Kyber1024Public(sk *[Kyber1024PrivateSize]byte) *[Kyber1024PublicSize]byte {
	pk := new([Kyber1024PublicSize]byte)
	copy(pk[:], sk[1536:])
	return pk
}

// Kyber1024Encapsulate makes a secret for pk, which Kyber1024Valid has
// accepted, from 32 random bytes used for this call only (wire-core.md, Section
// 2.1): m = H(coins), (K̄, r) = G(m || H(pk)), ct = Enc(pk, m, r).
func Kyber1024Encapsulate(pk *[Kyber1024PublicSize]byte, coins *[32]byte) (ct *[Kyber1024CiphertextSize]byte, ss [SecretSize]byte) {
	m, h := sha3.Sum256(coins[:]), sha3.Sum256(pk[:])
	kr := hashG(&m, h[:])
	ct = new([Kyber1024CiphertextSize]byte)
	kyber1024Encrypt(ct, pk[:], &m, kr[32:])
	ss = kyber1024Secret(&kr, ct)
	clear(m[:])
	clear(kr[:])
	fence()
	return ct, ss
}

// Kyber1024Decapsulate returns the secret in ct. A ciphertext that was not made
// for sk gives an unpredictable secret and no error: SHAKE256(z || H(ct)).
func Kyber1024Decapsulate(sk *[Kyber1024PrivateSize]byte, ct *[Kyber1024CiphertextSize]byte) (ss [SecretSize]byte) {
	var private kyber1024.PrivateKey
	private.Unpack(sk[:1536])
	var m [32]byte
	private.DecryptTo(m[:], ct[:])
	kr := hashG(&m, sk[3104:3136])
	var again [Kyber1024CiphertextSize]byte
	kyber1024Encrypt(&again, sk[1536:3104], &m, kr[32:])
	equal := subtle.ConstantTimeCompare(again[:], ct[:])
	subtle.ConstantTimeCopy(1-equal, kr[:32], sk[3136:])
	ss = kyber1024Secret(&kr, ct)
	private = kyber1024.PrivateKey{}
	clear(m[:])
	clear(kr[:])
	clear(again[:])
	fence()
	return ss
}

func kyber1024Encrypt(ct *[Kyber1024CiphertextSize]byte, pk []byte, m *[32]byte, r []byte) {
	var public kyber1024.PublicKey
	public.Unpack(pk)
	public.EncryptTo(ct[:], m[:], r)
}

// kyber1024Secret returns SHAKE256(K̄ || H(ct)); it overwrites r in kr.
func kyber1024Secret(kr *[64]byte, ct *[Kyber1024CiphertextSize]byte) (ss [SecretSize]byte) {
	h := sha3.Sum256(ct[:])
	copy(kr[32:], h[:])
	xof := sha3.NewSHAKE256()
	xof.Write(kr[:])
	xof.Read(ss[:])
	return ss
}
