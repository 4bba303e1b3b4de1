package kem

// Poly lets tests reach the arithmetic.
type Poly = poly

// The parts, for tests.
var (
	Compress      = compress
	Mul           = mul
	ReduceProduct = reduceProduct
	Reduced       = reduced
	Swapped       = swapped

	Zetas, Gammas = &zetas, &gammas
)

const (
	One, Scale, ScaleZeta, QInverse = one, scale, scaleZeta, qInverse
)

func (f *poly) NTT()                           { f.ntt() }
func (f *poly) InverseNTT()                    { f.inverseNTT() }
func (f *poly) SetCBD(b *[128]byte)            { f.setCBD(b) }
func (f *poly) Compress10(out []byte)          { f.compress10(out) }
func (f *poly) Compress4(out *[128]byte)       { f.compress4(out) }
func (f *poly) AddMessage(m *[32]byte)         { f.addMessage(m) }
func (f *poly) Decode12(b []byte)              { f.decode12(b) }
func (f *poly) Accept(n int, b *[168]byte) int { return f.accept(n, b) }

// Dot is dot with y made ready first.
func Dot(a, y *[3]Poly) Poly {
	f := factor{hat: *y}
	f.prepare()
	return f.dot(a)
}

// SampleFour samples a row of the matrix and one noise polynomial.
func SampleFour(rho, r *[32]byte, i, n byte) (f [4]Poly) {
	sample(&[4]stream{uniform(&f[0], rho, i, 0), uniform(&f[1], rho, i, 1), uniform(&f[2], rho, i, 2), noise(&f[3], r, n)})
	return f
}

// SetFourfold chooses how to sample, and returns the choice before.
func SetFourfold(on bool) (was bool) {
	was, fourfold = fourfold, on
	return was
}

// ParseState reads an encapsulation state and writes it again.
func ParseState(es []byte) []byte {
	var s encapsState
	s.parse(es)
	return s.bytes()[:]
}

// NewState writes an encapsulation state.
func NewState(y *[3]Poly, e2 *Poly, m *[32]byte) []byte {
	s := encapsState{y: factor{hat: *y}, e2: *e2, m: *m}
	return s.bytes()[:]
}
