package kem

// Arithmetic on integers modulo q. Every function here is straight-line code:
// no branch, no division, no index that depends on a value.

const (
	q = 3329

	// qInverse is q⁻¹ mod 2³².
	qInverse = 0x6ba8f301

	// one is constant(1): mul by it reduces.
	one = 0x0013afb8

	// scale is constant(−2³²·128⁻¹): what ends NTT⁻¹ after reduceProduct.
	// scaleZeta is the same times ζ⁶⁴, the power in the last layer.
	scale     = 0x912fe8a0
	scaleZeta = 0x94921c26
)

// plantard returns the centred residue, −1664 … +1664, of −x·2⁻³² mod q, where
// p is x·q⁻¹ mod 2³² and |x| ≤ 7·2¹⁶·q (about 1.5·10⁹).
//
// It is Plantard's reduction for word size 16 in signed arithmetic (T. Plantard,
// "Efficient Word Size Modular Arithmetic", 2021; J. Huang et al., "Improved
// Plantard Arithmetic for Lattice-based Cryptography", 2022, with α = 3).
//
// Why it holds: p·q ≡ x mod 2³², so r = (p·q − x)/2³² is an integer congruent
// to −x·2⁻³². With p = p₁·2¹⁶ + p₀, the result below is the floor of
//
//	(p₁ + 8)·q/2¹⁶ = r + (x − p₀·q)/2³² + 8q/2¹⁶
//
// where 0 ≤ p₀·q/2³² < q/2¹⁶, so that the bound on x keeps what follows r in
// [0, 1). As |p| ≤ 2³¹ and |x| < 2³¹, |r| < (q + 1)/2.
func plantard(p uint32) int32 {
	return ((int32(p)>>16 + 8) * q) >> 16
}

// mul returns the centred residue of a·b mod q, where z is constant(b) and
// |a| ≤ 7·2¹⁶ (137 times q).
func mul(a int32, z uint32) int32 {
	return plantard(uint32(a) * z)
}

// reduceProduct returns the centred residue of −x·2⁻³² mod q, where
// |x| ≤ 7·2¹⁶·q. The factor is taken out by the end of inverseNTT.
func reduceProduct(x int32) int32 {
	return plantard(uint32(x) * qInverse)
}
