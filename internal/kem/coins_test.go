package kem_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// Each step gives equal output for equal coins, and another for others.
func TestRNG_01_Steps(t *testing.T) {
	pk, _ := kem.Kyber1024Generate(&[64]byte{1})
	dk := kem.Generate768(&[64]byte{2})
	header := (*[64]byte)(dk[2400-32-32-32:]) // ρ ‖ H(ek)
	for name, step := range map[string]func(coins *[64]byte) []byte{
		"Kyber1024Generate": func(coins *[64]byte) []byte {
			pk, sk := kem.Kyber1024Generate(coins)
			return append(pk[:], sk[:]...)
		},
		"Kyber1024Encapsulate": func(coins *[64]byte) []byte {
			ct, ss := kem.Kyber1024Encapsulate(pk, (*[32]byte)(coins[:]))
			return append(ct[:], ss[:]...)
		},
		"Generate768": func(coins *[64]byte) []byte { return kem.Generate768(coins)[:] },
		"Encaps1": func(coins *[64]byte) []byte {
			es, ct1, k := kem.Encaps1(header, (*[32]byte)(coins[:]))
			return bytes.Join([][]byte{es[:], ct1[:], k[:]}, nil)
		},
	} {
		coins := [64]byte{3}
		out := bytes.Clone(step(&coins))
		require.Equal(t, out, step(&coins), name)
		require.Equal(t, [64]byte{3}, coins, name)
		for i := range 8 {
			other := coins
			other[31] ^= 1 << i
			require.NotEqual(t, out, step(&other), name)
		}
	}
}
