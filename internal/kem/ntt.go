package kem

// A poly is a polynomial of 256 coefficients modulo q, or its NTT in the index
// order of FIPS 203, Algorithm 9. Each function says how large coefficients are.
type poly [256]int32

// ntt is NTT (FIPS 203, Algorithm 9) in place; |f[i]| ≤ q going in, centred
// residues coming out. Nothing is reduced on the way: each of the seven layers
// adds one centred residue, so that |f[i]| ≤ 5q before the last multiplication.
func (f *poly) ntt() {
	f.twoLayers(64, 1)
	f.twoLayers(16, 4)
	f.twoLayers(4, 16)
	for i, zeta := range zetas[64:] {
		g := (*[4]int32)(f[4*i:])
		t2, t3 := mul(g[2], zeta), mul(g[3], zeta)
		g[0], g[2] = mul(g[0]+t2, one), mul(g[0]-t2, one)
		g[1], g[3] = mul(g[1]+t3, one), mul(g[1]-t3, one)
	}
}

// twoLayers does the layers len = 2n and len = n of Algorithm 9 at once; k is
// the first index into zetas of the former.
func (f *poly) twoLayers(n, k int) {
	for g := f[:]; len(g) >= 4*n; g = g[4*n:] {
		z1, z2, z3 := zetas[k&127], zetas[2*k&127], zetas[(2*k+1)&127]
		k++
		g0, g1, g2, g3 := g[:n], g[n:][:n], g[2*n:][:n], g[3*n:][:n]
		for j := range g0 {
			t2, t3 := mul(g2[j], z1), mul(g3[j], z1)
			a0, a1, a2, a3 := g0[j]+t2, g1[j]+t3, g0[j]-t2, g1[j]-t3
			t1, t3 := mul(a1, z2), mul(a3, z3)
			g0[j], g1[j], g2[j], g3[j] = a0+t1, a0-t1, a2+t3, a2-t3
		}
	}
}

// inverseNTT is NTT⁻¹ (FIPS 203, Algorithm 10) in place of what comes out of
// dot: the last layer takes out its factor −2⁻³² too. Centred residues go in and
// come out. Sums double in each of six layers before that, and differences are
// as large, so that 2⁷·1664 is the largest number that is multiplied.
func (f *poly) inverseNTT() {
	f.twoInverseLayers(2, 127)
	f.twoInverseLayers(8, 31)
	f.twoInverseLayers(32, 7)
	lo, hi := f[:128], f[128:]
	for j, t := range lo {
		lo[j] = mul(t+hi[j], scale)
		hi[j] = mul(hi[j]-t, scaleZeta)
	}
}

// twoInverseLayers does the layers len = n and len = 2n of Algorithm 10 at once;
// k is the first (the highest) index into zetas of the former.
func (f *poly) twoInverseLayers(n, k int) {
	for g := f[:]; len(g) >= 4*n; g = g[4*n:] {
		z0, z1, z2 := zetas[k&127], zetas[(k-1)&127], zetas[k/2&127]
		k -= 2
		g0, g1, g2, g3 := g[:n], g[n:][:n], g[2*n:][:n], g[3*n:][:n]
		for j := range g0 {
			a0, a1 := g0[j]+g1[j], mul(g1[j]-g0[j], z0)
			a2, a3 := g2[j]+g3[j], mul(g3[j]-g2[j], z1)
			g0[j], g2[j] = a0+a2, mul(a2-a0, z2)
			g1[j], g3[j] = a1+a3, mul(a3-a1, z2)
		}
	}
}

// add adds g to f.
func (f *poly) add(g *poly) {
	for i := range f {
		f[i] += g[i]
	}
}

// A factor is a vector of three NTTs made ready to be multiplied several times:
// as they are, and with each odd coefficient times the γ of its pair.
type factor struct {
	hat   [3]poly // centred
	gamma [3][128]int32
}

func (y *factor) prepare() {
	for i := range y.hat {
		hat, gamma := &y.hat[i], &y.gamma[i]
		for j := range gamma {
			gamma[j] = mul(hat[2*j+1], gammas[j])
		}
	}
}

// dot returns the sum of MultiplyNTTs(a[i], y[i]) (FIPS 203, Algorithms 11 and
// 12) times −2⁻³², centred. Coefficients of a are between 0 and 4095. Products
// are summed first, |sum| ≤ 6·4095·1664 < 2²⁶, and reduced once.
func (y *factor) dot(a *[3]poly) (h poly) {
	y0, y1, y2 := &y.hat[0], &y.hat[1], &y.hat[2]
	a0, a1, a2 := &a[0], &a[1], &a[2]
	for j := range y.gamma[0] {
		e, o := 2*j, 2*j+1
		even := a0[e]*y0[e] + a0[o]*y.gamma[0][j] +
			a1[e]*y1[e] + a1[o]*y.gamma[1][j] +
			a2[e]*y2[e] + a2[o]*y.gamma[2][j]
		odd := a0[e]*y0[o] + a0[o]*y0[e] +
			a1[e]*y1[o] + a1[o]*y1[e] +
			a2[e]*y2[o] + a2[o]*y2[e]
		h[e], h[o] = reduceProduct(even), reduceProduct(odd)
	}
	return h
}
