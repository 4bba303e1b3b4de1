package kem

// A poly is a polynomial of 256 coefficients modulo q, or its NTT in the index
// order of FIPS 203, Algorithm 9. Each function says how large coefficients are.
type poly [256]int32

// ntt is NTT (FIPS 203, Algorithm 9) in place, but for the reduction: with
// |f[i]| ≤ b going in, |f[i]| ≤ b + 7·1664 coming out, as each of the seven
// layers adds one centred residue.
func (f *poly) ntt() {
	k := 1
	for n := 128; n >= 2; n /= 2 {
		for start := 0; start < 256; start += 2 * n {
			zeta := zetas[k&127]
			k++
			lo, hi := f[start:start+n], f[start+n:start+2*n]
			for j := range lo {
				t := mul(hi[j], zeta)
				hi[j] = lo[j] - t
				lo[j] += t
			}
		}
	}
}

// inverseNTT is NTT⁻¹ (FIPS 203, Algorithm 10) in place of a polynomial out of
// reduceProduct: the last multiplication takes out its factor −2⁻³² as well.
// Centred residues go in and come out; sums double in each of seven layers, to
// 2⁷·1664 at most, which is within the bound of mul.
func (f *poly) inverseNTT() {
	k := 127
	for n := 2; n <= 128; n *= 2 {
		for start := 0; start < 256; start += 2 * n {
			zeta := zetas[k&127]
			k--
			lo, hi := f[start:start+n], f[start+n:start+2*n]
			for j := range lo {
				t := lo[j]
				lo[j] = t + hi[j]
				hi[j] = mul(hi[j]-t, zeta)
			}
		}
	}
	for i := range f {
		f[i] = mul(f[i], scale)
	}
}

// reduce brings every coefficient into the centred range.
func (f *poly) reduce() {
	for i := range f {
		f[i] = mul(f[i], one)
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
		for j := range y.gamma[i] {
			y.gamma[i][j] = mul(y.hat[i][2*j+1], gammas[j])
		}
	}
}

// dot returns the sum of MultiplyNTTs(a[i], y[i]) (FIPS 203, Algorithms 11 and
// 12), times −2⁻³². Coefficients of a are between 0 and 4095. Products are
// summed first, |sum| ≤ 6·4095·1664 < 2²⁶, and reduced once.
func (y *factor) dot(a *[3]poly) (h poly) {
	for j := range 128 {
		var even, odd int32
		for i := range 3 {
			a0, a1 := a[i][2*j], a[i][2*j+1]
			b0, b1 := y.hat[i][2*j], y.hat[i][2*j+1]
			even += a0*b0 + a1*y.gamma[i][j]
			odd += a0*b1 + a1*b0
		}
		h[2*j], h[2*j+1] = reduceProduct(even), reduceProduct(odd)
	}
	return h
}
