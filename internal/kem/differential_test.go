package kem_test

import (
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha3"
	"encoding/hex"
	"flag"
	"testing"

	"github.com/cloudflare/circl/kem/kyber/kyber1024"
	"github.com/cloudflare/circl/kem/mlkem/mlkem768"
	"github.com/cloudflare/circl/pke/kyber/kyber768"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

var million = flag.Bool("million", false, "run a million accumulated cases")

// cases returns how many cases to run.
func cases(short, full int) int {
	if testing.Short() {
		return short
	}
	return full
}

// ekOf returns ek, 1184 bytes, of a decapsulation key.
func ekOf(dk *[2400]byte) []byte { return dk[1152:2336] }

// TestAccumulated hashes everything that ML-KEM-768 in halves gives for seeds,
// messages and random ciphertexts from SHAKE128 of nothing, each secret being
// decapsulated by the standard library too.
//
// The first hash is over ek, ciphertext and both secrets, in the form in which
// the Go project publishes it for FIPS 203 in the tests of crypto/mlkem. The
// second is our own: over dk and the state between the halves, so that every
// processor writes the same one.
func TestAccumulated(t *testing.T) {
	n, published, own := 10_000, "8a518cc63da366322a8e7a818c7a0d63483cb3528d34a4cf42f35d5ad73f22fc", "ce06c55720d66bd4e96af70f7e5d146e0451164bf4013a51aa34160a1109b8d6"
	switch {
	case *million:
		n, published, own = 1_000_000, "424bf8f0e8ae99b78d788a6e2e8e9cdaf9773fc0c08a6f433507cb559edfd0f0", ""
	case testing.Short():
		n, published, own = 100, "1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415", "599fa2e2bf2a8ea6dcb3d522b9667c39657390be8025037cfeec9ccfa93691db"
	}
	in, out, states := sha3.NewSHAKE128(), sha3.NewSHAKE128(), sha3.NewSHAKE128()
	for range n {
		var seed [64]byte
		in.Read(seed[:])
		dk := kem.Generate768(&seed)
		out.Write(ekOf(dk))

		var m [32]byte
		in.Read(m[:])
		header := kem.Header768(dk)
		require.True(t, kem.Valid768(kem.Vector768(dk), &header))
		es, ct1, k := kem.Encaps1(&header, &m)
		ct2 := kem.Encaps2(kem.Vector768(dk), es[:])
		out.Write(ct1[:])
		out.Write(ct2[:])
		out.Write(k[:])
		states.Write(dk[:])
		states.Write(es[:])

		require.Equal(t, k, kem.Decaps768(dk[:], ct1[:], ct2[:]))
		std, err := mlkem.NewDecapsulationKey768(seed[:])
		require.NoError(t, err)
		kStd, err := std.Decapsulate(append(ct1[:], ct2[:]...))
		require.NoError(t, err)
		require.Equal(t, k[:], kStd)

		var ct [1088]byte
		in.Read(ct[:])
		k = kem.Decaps768(dk[:], ct[:960], ct[960:])
		out.Write(k[:])
	}
	require.Equal(t, published, hexOf(out))
	if own != "" {
		require.Equal(t, own, hexOf(states))
	}
}

func hexOf(s *sha3.SHAKE) string {
	var sum [32]byte
	s.Read(sum[:])
	return hex.EncodeToString(sum[:])
}

// TestSplitEqualsCircl compares the halves with circl: the whole ciphertext
// and secret with its ML-KEM-768; ct1 with its encryption under ρ and a vector
// of zeros, which cannot have used t; ct2 with that under the real key.
func TestSplitEqualsCircl(t *testing.T) {
	random := newStream(t.Name())
	for range cases(200, 2000) {
		dk := kem.Generate768((*[64]byte)(random.bytes(64)))
		m := [32]byte(random.bytes(32))
		header := kem.Header768(dk)
		es, ct1, k := kem.Encaps1(&header, &m)
		ct2 := kem.Encaps2(kem.Vector768(dk), es[:])

		var public mlkem768.PublicKey
		require.NoError(t, public.Unpack(ekOf(dk)))
		var ct [1088]byte
		var ss [32]byte
		public.EncapsulateTo(ct[:], ss[:], m[:])
		require.Equal(t, ct[:960], ct1[:])
		require.Equal(t, ct[960:], ct2[:])
		require.Equal(t, ss, k)

		kr := sha3.Sum512(append(m[:], header[32:]...))
		var zero, real kyber768.PublicKey
		zero.Unpack(append(make([]byte, 1152), header[:32]...))
		zero.EncryptTo(ct[:], m[:], kr[32:])
		require.Equal(t, ct[:960], ct1[:])
		real.Unpack(ekOf(dk))
		real.EncryptTo(ct[:], m[:], kr[32:])
		require.Equal(t, ct[960:], ct2[:])
	}
}

// TestSplitEqualsStandard compares the halves with crypto/mlkem.
func TestSplitEqualsStandard(t *testing.T) {
	random := newStream(t.Name())
	for range cases(100, 1000) {
		checkStandard(t, [64]byte(random.bytes(64)), [32]byte(random.bytes(32)))
	}
}

func checkStandard(t *testing.T, seed [64]byte, m [32]byte) {
	std, err := mlkem.NewDecapsulationKey768(seed[:])
	require.NoError(t, err)
	dk := kem.Generate768(&seed)
	require.Equal(t, std.EncapsulationKey().Bytes(), ekOf(dk))
	k, ct, err := mlkemtest.Encapsulate768(std.EncapsulationKey(), m[:])
	require.NoError(t, err)

	header := kem.Header768(dk)
	es, ct1, got := kem.Encaps1(&header, &m)
	require.Equal(t, k, got[:])
	require.Equal(t, ct[:960], ct1[:])
	require.Equal(t, ct[960:], kem.Encaps2(kem.Vector768(dk), es[:])[:])
	got = kem.Decaps768(dk[:], ct[:960], ct[960:])
	require.Equal(t, k, got[:])
}

// TestKyber1024EqualsCircl compares with circl's own Kyber-1024, ciphertexts
// that decapsulate and ciphertexts that do not.
func TestKyber1024EqualsCircl(t *testing.T) {
	random := newStream(t.Name())
	for range cases(100, 1000) {
		seed, coins := [64]byte(random.bytes(64)), [32]byte(random.bytes(32))
		public, private := kyber1024.NewKeyFromSeed(seed[:])
		pk, sk := kem.Kyber1024Generate(&seed)
		var wantPK [1568]byte
		var wantSK [3168]byte
		public.Pack(wantPK[:])
		private.Pack(wantSK[:])
		require.Equal(t, &wantPK, pk)
		require.Equal(t, &wantSK, sk)

		ct, ss := kem.Kyber1024Encapsulate(pk, &coins)
		var wantCT [1568]byte
		var want [32]byte
		public.EncapsulateTo(wantCT[:], want[:], coins[:])
		require.Equal(t, &wantCT, ct)
		require.Equal(t, want, ss)
		require.Equal(t, want, kem.Kyber1024Decapsulate(sk, ct))

		ct[random.uint32()%1568] ^= byte(random.between(1, 255))
		private.DecapsulateTo(want[:], ct[:])
		require.Equal(t, want, kem.Kyber1024Decapsulate(sk, ct))
		private.DecapsulateTo(want[:], pk[:]) // any bytes are a ciphertext
		require.Equal(t, want, kem.Kyber1024Decapsulate(sk, pk))
	}
}

// TestKyber1024NonCanonical: what encapsulation does with a key that fails the
// modulus check does not matter, but it does not panic.
func TestKyber1024NonCanonical(t *testing.T) {
	var pk [1568]byte
	for i := range pk {
		pk[i] = 0xff
	}
	require.False(t, kem.Kyber1024Valid(&pk))
	kem.Kyber1024Encapsulate(&pk, new([32]byte))
}

func TestWrongLengthsPanic(t *testing.T) {
	dk, ek, es, ct1, ct2 := make([]byte, 2400), make([]byte, 1152), make([]byte, 2080), make([]byte, 960), make([]byte, 128)
	require.Panics(t, func() { kem.Decaps768(dk[1:], ct1, ct2) })
	require.Panics(t, func() { kem.Decaps768(dk, ct1[1:], ct2) })
	require.Panics(t, func() { kem.Decaps768(dk, ct1, ct2[1:]) })
	require.Panics(t, func() { kem.Encaps2(ek[1:], es) })
	require.Panics(t, func() { kem.Encaps2(ek, es[1:]) })
	require.NotPanics(t, func() { kem.Decaps768(dk, ct1, ct2); kem.Encaps2(ek, es) })
	require.False(t, kem.Valid768(ek[1:], new([64]byte)))
}
