package kem_test

import (
	"crypto/sha3"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// slowSampleNTT is FIPS 203, Algorithm 7. It also returns how many bytes of the
// stream it took.
func slowSampleNTT(rho *[32]byte, j, i byte) (a kem.Poly, taken int) {
	xof := sha3.NewSHAKE128()
	xof.Write(rho[:])
	xof.Write([]byte{j, i})
	for n := 0; n < 256; {
		var c [3]byte
		xof.Read(c[:])
		taken += 3
		d1 := int32(c[0]) + 256*int32(c[1]%16)
		d2 := int32(c[1]/16) + 16*int32(c[2])
		if d1 < q {
			a[n] = d1
			n++
		}
		if d2 < q && n < 256 {
			a[n] = d2
			n++
		}
	}
	return a, taken
}

// slowCBD is FIPS 203, Algorithm 8, for η = 2.
func slowCBD(b []byte) (f kem.Poly) {
	bit := func(i int) int32 { return int32(b[i/8] >> (i % 8) & 1) }
	for i := range f {
		f[i] = bit(4*i) + bit(4*i+1) - bit(4*i+2) - bit(4*i+3)
	}
	return f
}

func TestCBD(t *testing.T) {
	random := newStream(t.Name())
	for range 100 {
		b := [128]byte(random.bytes(128))
		var f kem.Poly
		f.SetCBD(&b)
		require.Equal(t, slowCBD(b[:]), f)
	}
	for x := range 256 { // every byte everywhere
		var b [128]byte
		for i := range b {
			b[i] = byte(x)
		}
		var f kem.Poly
		f.SetCBD(&b)
		require.Equal(t, slowCBD(b[:]), f)
	}
}

// eachSampler runs f for one and for four permutations at a time.
func eachSampler(t *testing.T, f func(t *testing.T)) {
	for name, on := range map[string]bool{"one": false, "four": true} {
		t.Run(name, func(t *testing.T) {
			defer kem.SetFourfold(kem.SetFourfold(on))
			f(t)
		})
	}
}

func checkSample(t *testing.T, rho, r *[32]byte, i, n byte) {
	t.Helper()
	got := kem.SampleFour(rho, r, i, n)
	for j := range byte(3) {
		want, _ := slowSampleNTT(rho, i, j)
		require.Equal(t, want, got[j])
	}
	var b [128]byte
	prf := sha3.NewSHAKE256()
	prf.Write(r[:])
	prf.Write([]byte{n})
	prf.Read(b[:])
	require.Equal(t, slowCBD(b[:]), got[3])
}

func TestSample(t *testing.T) {
	eachSampler(t, func(t *testing.T) {
		random := newStream("sample")
		for range 200 {
			rho, r := [32]byte(random.bytes(32)), [32]byte(random.bytes(32))
			checkSample(t, &rho, &r, byte(random.uint32()), byte(random.uint32()))
		}
	})
}

// TestAccept feeds blocks in which everything, nothing or one number is kept.
func TestAccept(t *testing.T) {
	var none, all [168]byte
	for i := range none {
		none[i] = 0xff
	}
	var f kem.Poly
	require.Equal(t, 0, f.Accept(0, &none))
	require.Equal(t, 112, f.Accept(0, &all))
	for _, n := range []int{0, 143, 144, 145, 254, 255} {
		require.Equal(t, min(n+112, 256), f.Accept(n, &all), n)
		require.Equal(t, n, f.Accept(n, &none), n)
	}
	for d, kept := range map[int]bool{0: true, 3328: true, 3329: false, 4095: false} {
		low, high := none, none
		low[3], low[4] = byte(d), byte(d>>8)|0xf0
		high[4], high[5] = byte(d<<4)|0x0f, byte(d>>4)
		for _, block := range []*[168]byte{&low, &high} {
			for _, n := range []int{0, 254, 255} {
				f = kem.Poly{}
				want := n
				if kept {
					want++
				}
				require.Equal(t, want, f.Accept(n, block), "%d at %d", d, n)
				if kept {
					require.EqualValues(t, d, f[n])
				}
			}
		}
	}
}
