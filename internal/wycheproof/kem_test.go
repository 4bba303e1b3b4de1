package wycheproof_test

import (
	"crypto/sha3"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestMLKEM768KeyGen(t *testing.T) {
	run(t, "mlkem_768_keygen_seed_test.json", 100, func(t *testing.T, _ *group, v *vector) {
		dk := kem.Generate768((*[64]byte)(v.Seed))
		assert.Equal(t, []byte(v.DK), dk[:])
		assert.Equal(t, []byte(v.EK[:1152]), kem.Vector768(dk))
		header := headerOf(v.EK)
		assert.Equal(t, header, kem.Header768(dk))
		assert.True(t, kem.Valid768(v.EK[:1152], &header))
	})
}

// headerOf returns ρ ‖ H(ek).
func headerOf(ek []byte) (h [64]byte) {
	copy(h[:32], ek[1152:])
	sum := sha3.Sum256(ek)
	copy(h[32:], sum[:])
	return h
}

func TestMLKEM768Decaps(t *testing.T) {
	accepted := 0
	run(t, "mlkem_768_test.json", 201, func(t *testing.T, _ *group, v *vector) {
		if len(v.Seed) != 64 {
			assert.False(t, v.valid())
			return // a seed of another length is not of the type
		}
		dk := kem.Generate768((*[64]byte)(v.Seed))
		assert.Equal(t, []byte(v.EK), dk[1152:2336])
		if !v.valid() {
			assert.NotEqual(t, 1088, len(v.C))
			assert.Panics(t, func() { decaps(dk[:], v.C) })
			return
		}
		accepted++
		assert.Equal(t, []byte(v.K), decaps(dk[:], v.C))
	})
	require.Equal(t, 161, accepted)
}

func decaps(dk, c []byte) []byte {
	cut := min(960, len(c))
	k := kem.Decaps768(dk, c[:cut], c[cut:])
	return k[:]
}

func TestKEM_02_MLKEM768Encaps(t *testing.T) {
	accepted, overflow := 0, 0
	run(t, "mlkem_768_encaps_test.json", 265, func(t *testing.T, _ *group, v *vector) {
		if len(v.EK) != 1184 {
			assert.False(t, v.valid())
			var header [64]byte
			assert.False(t, kem.Valid768(v.EK[:max(0, len(v.EK)-32)], &header))
			return
		}
		header, ek := headerOf(v.EK), v.EK[:1152]
		assert.Equal(t, v.valid(), kem.Valid768(ek, &header))
		if !v.valid() {
			overflow++
			return
		}
		accepted++
		es, ct1, k := kem.Encaps1(&header, (*[32]byte)(v.M))
		ct2 := kem.Encaps2(ek, es[:])
		assert.Equal(t, []byte(v.C), append(ct1[:], ct2[:]...))
		assert.Equal(t, []byte(v.K), k[:])
	})
	require.Equal(t, 133, accepted)
	require.Equal(t, 112, overflow)
}

// What is kept of a decapsulation key can be checked with its own header.
func TestKEM_03_MLKEM768StoredKey(t *testing.T) {
	accepted, broken := 0, 0
	run(t, "mlkem_768_semi_expanded_decaps_test.json", 9, func(t *testing.T, _ *group, v *vector) {
		if len(v.DK) != 2400 || len(v.C) != 1088 {
			assert.False(t, v.valid())
			assert.Panics(t, func() { decaps(v.DK, v.C) })
			return
		}
		dk := (*[2400]byte)(v.DK)
		header := kem.Header768(dk)
		assert.Equal(t, v.valid(), kem.Valid768(kem.Vector768(dk), &header))
		if !v.valid() {
			broken++
			return
		}
		accepted++
		assert.Equal(t, []byte(v.K), decaps(v.DK, v.C))
	})
	require.Equal(t, 3, accepted)
	require.Equal(t, 2, broken)
}

// Keys of ML-KEM-1024 have the form of Kyber-1024 keys: the verdict on them
// must be the same, whatever is encapsulated after it.
func TestKEM_02_Kyber1024PublicKeys(t *testing.T) {
	accepted, overflow := 0, 0
	run(t, "mlkem_1024_encaps_test.json", 269, func(t *testing.T, _ *group, v *vector) {
		k, err := keys.ParseKEMPublicKey(append([]byte{8}, v.EK...))
		if v.valid() {
			accepted++
			assert.NoError(t, err)
			assert.Equal(t, []byte(v.EK), k.Bytes()[1:])
			return
		}
		assert.ErrorIs(t, err, keys.ErrKey)
		if slices.Contains(v.Flags, "ModulusOverflow") {
			overflow++
		}
	})
	require.Equal(t, 133, accepted)
	require.Equal(t, 16, overflow)
}

func TestKEM_03_Kyber1024PrivateKeys(t *testing.T) {
	run(t, "mlkem_1024_semi_expanded_decaps_test.json", 9, func(t *testing.T, _ *group, v *vector) {
		k, err := keys.ParseKEMPrivateKey(append([]byte{8}, v.DK...))
		keyIsGood := v.valid() || slices.Contains(v.Flags, "IncorrectCiphertextLength")
		assert.Equal(t, keyIsGood, err == nil)
		if !keyIsGood {
			assert.ErrorIs(t, err, keys.ErrKey)
			return
		}
		_, err = k.Decapsulate(append([]byte{8}, v.C...))
		assert.Equal(t, v.valid(), err == nil)
	})
}
