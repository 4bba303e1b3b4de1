package curve_test

import "github.com/gembok-e2ee/gembok/internal/curve"

// clamped returns a private key that depends on seed only.
func clamped(seed byte) (k [32]byte) {
	for i := range k {
		k[i] = seed + byte(i)*7
	}
	curve.Clamp(&k)
	return k
}

func public(seed byte) [32]byte {
	k := clamped(seed)
	return curve.PublicKey(&k)
}
