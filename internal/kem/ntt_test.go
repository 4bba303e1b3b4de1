package kem_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// slowNTT is FIPS 203, Algorithm 9, word for word.
func slowNTT(f kem.Poly) kem.Poly {
	i := 1
	for n := 128; n >= 2; n /= 2 {
		for start := 0; start < 256; start += 2 * n {
			zeta := power(17, bitRev7(i))
			i++
			for j := start; j < start+n; j++ {
				t := zeta * int64(f[j+n])
				f[j+n] = centred(int64(f[j]) - t)
				f[j] = centred(int64(f[j]) + t)
			}
		}
	}
	return f
}

// schoolbook returns a·b mod X²⁵⁶ + 1, centred.
func schoolbook(a, b *kem.Poly) (c kem.Poly) {
	var sum [256]int64
	for i := range a {
		for j := range b {
			p := int64(a[i]) * int64(b[j])
			if i+j < 256 {
				sum[i+j] += p
			} else {
				sum[i+j-256] -= p
			}
		}
	}
	for i := range c {
		c[i] = centred(sum[i])
	}
	return c
}

// edgePolys are random and extreme polynomials from low to high.
func edgePolys(name string, low, high int32, n int) (fs []kem.Poly) {
	random := newStream(name)
	for range n {
		fs = append(fs, random.poly(low, high))
	}
	extreme := [4]kem.Poly{}
	for i := range 256 {
		extreme[0][i], extreme[1][i] = low, high
		extreme[2][i] = []int32{low, high}[i%2]
		extreme[3][i] = []int32{low, high}[random.uint32()%2]
	}
	return append(fs, extreme[:]...)
}

func TestNTT(t *testing.T) {
	for _, high := range []int32{2, 1664, q} {
		for _, f := range edgePolys(t.Name(), -high, high, 40) {
			got := f
			got.NTT()
			require.Equal(t, slowNTT(f), got)
		}
	}
}

// TestInverseNTT: NTT⁻¹(NTT(f)) is f, but for the factor that dot puts in.
func TestInverseNTT(t *testing.T) {
	for _, f := range edgePolys(t.Name(), -q/2, q/2, 60) {
		g := f
		g.NTT()
		g.InverseNTT()
		for i := range g {
			require.Equal(t, centred(int64(f[i])*minusR%q), g[i])
		}
	}
	for _, f := range edgePolys(t.Name(), -q/2, q/2, 60) { // any NTT, extremes too
		g := f
		g.InverseNTT()
		g.NTT()
		for i := range g {
			require.Equal(t, centred(int64(f[i])*minusR%q), g[i])
		}
	}
}

// TestMultiply compares products by NTT with the schoolbook's.
func TestMultiply(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 6
	}
	as := edgePolys(t.Name()+"a", -q/2, q/2, n)
	ys := edgePolys(t.Name()+"y", -2, 2, n)
	for i := range as {
		var a, y [3]kem.Poly
		var want kem.Poly
		for k := range 3 {
			a[k], y[k] = as[(i+k)%len(as)], ys[(i+2*k)%len(ys)]
			p := schoolbook(&a[k], &y[k])
			for j := range want {
				want[j] = centred(int64(want[j] + p[j]))
			}
			a[k].NTT()
			y[k].NTT()
			for j, x := range a[k] { // as sampled: 0 … q−1
				a[k][j] = int32(mod(int64(x)))
			}
		}
		got := kem.Dot(&a, &y)
		got.InverseNTT()
		require.Equal(t, want, got)
	}
}

// TestDotExtremes has the largest sums that dot can meet: what decode12 gives
// of a vector that nobody checked, times the largest residues.
func TestDotExtremes(t *testing.T) {
	for _, a0 := range []int32{0, 3328, 4095} {
		for _, y0 := range []int32{-1664, 1664} {
			var a, y [3]kem.Poly
			for k := range 3 {
				for j := range 256 {
					a[k][j], y[k][j] = a0, y0
				}
			}
			h := kem.Dot(&a, &y)
			for j := range 128 {
				gamma := power(17, 2*bitRev7(j)+1)
				p := int64(a0) * int64(y0)
				even := mod(3 * (p + p%q*gamma))
				require.Equal(t, even, mod(int64(h[2*j])*mod(minusR)))
				require.Equal(t, mod(6*p), mod(int64(h[2*j+1])*mod(minusR)))
			}
		}
	}
}
