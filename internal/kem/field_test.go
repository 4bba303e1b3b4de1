package kem_test

import (
	"crypto/sha3"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

const q = 3329

// A stream of bytes that is the same in every run.
type stream struct{ *sha3.SHAKE }

func newStream(name string) stream {
	s := sha3.NewSHAKE128()
	s.Write([]byte(name))
	return stream{s}
}

func (s stream) bytes(n int) []byte {
	b := make([]byte, n)
	s.Read(b)
	return b
}

func (s stream) uint32() uint32 { return binary.LittleEndian.Uint32(s.bytes(4)) }

// between returns a number from low to high, both included.
func (s stream) between(low, high int32) int32 {
	return low + int32(s.uint32()%uint32(high-low+1))
}

func (s stream) poly(low, high int32) (f kem.Poly) {
	b := s.bytes(4 * len(f))
	for i := range f {
		f[i] = low + int32(binary.LittleEndian.Uint32(b[4*i:])%uint32(high-low+1))
	}
	return f
}

// mod returns x mod q, 0 … q−1.
func mod(x int64) int64 { return (x%q + q) % q }

// centred returns the residue of x from −1664 to +1664.
func centred(x int64) int32 {
	x = mod(x)
	if x > q/2 {
		x -= q
	}
	return int32(x)
}

func power(base int64, n int) int64 {
	x := int64(1)
	for range n {
		x = mod(x * base)
	}
	return x
}

// bitRev7 is BitRev₇ (FIPS 203, Section 4.3).
func bitRev7(i int) (r int) {
	for b := range 7 {
		r |= i >> b & 1 << (6 - b)
	}
	return r
}

const minusR = -(1 << 32) // −2³²

// constant returns what mul takes for b: (−2³²·b mod q)·q⁻¹ mod 2³².
func constant(b int64) uint32 {
	return uint32(mod(mod(b)*mod(minusR))) * kem.QInverse
}

func TestConstants(t *testing.T) {
	inverse := uint32(kem.QInverse)
	require.EqualValues(t, 1, q*inverse)
	require.EqualValues(t, constant(1), uint32(kem.One))
	const inverse128 = 3303 // FIPS 203, Algorithm 10
	require.EqualValues(t, 1, mod(inverse128*128))
	scale := mod(inverse128 * mod(minusR))
	require.Equal(t, constant(scale), uint32(kem.Scale))
	require.Equal(t, constant(scale*power(17, 64)), uint32(kem.ScaleZeta))
	for i := range 128 {
		require.Equal(t, constant(power(17, bitRev7(i))), kem.Zetas[i])
		require.Equal(t, constant(power(17, 2*bitRev7(i)+1)), kem.Gammas[i])
	}
}

// TestMul compares mul with the remainder of a division: near the ends of its
// range and where NTT⁻¹ gets for every constant, and in between by steps.
func TestMul(t *testing.T) {
	step := int32(1)
	if testing.Short() {
		step = 97
	}
	const bound, top = 7 << 16, 128 * 1664
	check := func(a int32, b int64, z uint32) {
		if got, want := kem.Mul(a, z), centred(int64(a)*b); got != want {
			require.Equal(t, want, got, "%d times %d", a, b)
		}
	}
	for i := range 128 {
		for _, b := range []int64{power(17, bitRev7(i)), power(17, 2*bitRev7(i)+1)} {
			z := constant(b)
			for a := int32(-top); a <= top; a += step {
				check(a, b, z)
			}
			for a := int32(bound - 500); a <= bound; a++ {
				check(a, b, z)
				check(-a, b, z)
			}
		}
	}
	for a := int32(-bound); a <= bound; a++ {
		check(a, 1, kem.One)
	}
}

func TestReduceProduct(t *testing.T) {
	const bound = 7 << 16 * q
	r := mod(minusR)
	check := func(x int32) {
		got := kem.ReduceProduct(x)
		require.LessOrEqual(t, max(got, -got), int32(q/2))
		require.Equal(t, mod(int64(x)), mod(int64(got)*r), "%d", x)
	}
	for i := range int32(5000) {
		check(i)
		check(-i)
		check(bound - i)
		check(i - bound)
	}
	random := newStream(t.Name())
	for range 20000 {
		check(random.between(-bound, bound))
	}
}
