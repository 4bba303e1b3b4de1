package kem_test

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// slowCompress is Compress_d (FIPS 203, Equation 4.7) in exact fractions: the
// nearest integer to 2ᵈ/q·x, halves up, modulo 2ᵈ.
func slowCompress(x int64, d int) uint32 {
	y := big.NewRat(mod(x)<<d, q)
	y.Add(y, big.NewRat(1, 2))
	n := new(big.Int).Div(y.Num(), y.Denom()).Int64()
	return uint32(n % (1 << d))
}

// TestCompress tries every coefficient in the range that compress promises.
func TestCompress(t *testing.T) {
	for _, d := range []int{4, 10} {
		for x := int32(-q); x < 3*q; x++ {
			require.Equal(t, slowCompress(int64(x), d), kem.Compress(x, uint(d)), "Compress_%d(%d)", d, x)
		}
	}
}

// byteEncode is ByteEncode_d (FIPS 203, Algorithm 5).
func byteEncode(f []uint32, d int) []byte {
	out := make([]byte, len(f)*d/8)
	for i, x := range f {
		for j := range d {
			out[(i*d+j)/8] |= byte(x>>j&1) << ((i*d + j) % 8)
		}
	}
	return out
}

func TestCompressEncode(t *testing.T) {
	for _, f := range edgePolys(t.Name(), -1666, 3331, 30) {
		ten, four := make([]uint32, 256), make([]uint32, 256)
		for i, x := range f {
			ten[i], four[i] = slowCompress(int64(x), 10), slowCompress(int64(x), 4)
		}
		var got [320]byte
		f.Compress10(got[:])
		require.Equal(t, byteEncode(ten, 10), got[:])
		var got4 [128]byte
		f.Compress4(&got4)
		require.Equal(t, byteEncode(four, 4), got4[:])
	}
}

// TestMessage: Decompress₁ is 0 or 1665, the nearest integers to bit·q/2.
func TestMessage(t *testing.T) {
	random := newStream(t.Name())
	for range 50 {
		m := [32]byte(random.bytes(32))
		f := random.poly(-1666, 1666)
		got := f
		got.AddMessage(&m)
		for i := range f {
			require.Equal(t, f[i]+1665*int32(m[i/8]>>(i%8)&1), got[i])
		}
	}
}

func TestDecode12(t *testing.T) {
	random := newStream(t.Name())
	for range 50 {
		x := make([]uint32, 256)
		for i := range x {
			x[i] = random.uint32() % 4096
		}
		var f kem.Poly
		f.Decode12(byteEncode(x, 12))
		for i := range x {
			require.EqualValues(t, x[i], f[i])
		}
	}
}

func TestReduced(t *testing.T) {
	x := make([]uint32, 256)
	for i := range x {
		x[i] = q - 1
	}
	require.True(t, kem.Reduced(byteEncode(x, 12)))
	for i := range x {
		for _, bad := range []uint32{q, 4095} {
			x[i] = bad
			require.False(t, kem.Reduced(byteEncode(x, 12)), i)
		}
		x[i] = q - 1
	}
}
