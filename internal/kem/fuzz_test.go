package kem_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// FuzzF33KEM compares the halves with the standard library for any seed and
// message, and gives decapsulation any ciphertext.
func FuzzF33KEM(f *testing.F) {
	v := readSplitVector(f)
	f.Add([]byte(v.Seed), []byte(v.M), []byte(append(v.CT1, v.CT2...)))
	f.Add(make([]byte, 64), make([]byte, 32), make([]byte, 1088))
	f.Fuzz(func(t *testing.T, seed, m, ct []byte) {
		var d [64]byte
		var coins [32]byte
		var c [1088]byte
		copy(d[:], seed)
		copy(coins[:], m)
		copy(c[:], ct)
		checkStandard(t, d, coins)
		dk := kem.Generate768(&d)
		require.NotPanics(t, func() { kem.Decaps768(dk[:], c[:960], c[960:]) })
	})
}

// FuzzF33State reads any bytes as an encapsulation state: what is written of it
// reads back to itself and goes on to the same ciphertext.
func FuzzF33State(f *testing.F) {
	v := readSplitVector(f)
	f.Add([]byte(v.ES))
	f.Add([]byte(v.ESSwapped))
	f.Add(make([]byte, 2080))
	f.Fuzz(func(t *testing.T, b []byte) {
		var es [2080]byte
		copy(es[:], b)
		ct2 := kem.Encaps2(v.PK2, es[:])
		written := kem.ParseState(es[:])
		if slowSwapped(written[1536:2048]) {
			t.Skip("no noise in e₂: it reads as in the wrong byte order")
		}
		require.Equal(t, written, kem.ParseState(written))
		require.Equal(t, ct2, kem.Encaps2(v.PK2, written))
	})
}
