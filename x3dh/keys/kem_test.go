package keys_test

import (
	"bytes"
	"crypto/mlkem"
	"crypto/sha3"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestKEM_01_Lengths(t *testing.T) {
	private := keys.GenerateKEMPrivateKey()
	ct, _ := private.Public().Encapsulate()
	before := private.Bytes()
	public := append(private.Public().Bytes(), make([]byte, 64)...)
	longCT := append(bytes.Clone(ct), make([]byte, 64)...)
	for n := range 1601 {
		k, errKey := keys.ParseKEMPublicKey(public[:n])
		shared, errCT := private.Decapsulate(longCT[:n])
		if n == 1569 {
			require.NoError(t, errKey)
			require.NoError(t, errCT)
			continue
		}
		require.ErrorIs(t, errKey, keys.ErrKey, "length %d", n)
		require.Zero(t, k)
		require.ErrorIs(t, errCT, keys.ErrKey, "length %d", n)
		require.Zero(t, shared)
	}
	long := append(private.Bytes(), make([]byte, 32)...)
	for n := range len(long) {
		if n == 3169 {
			continue
		}
		k, err := keys.ParseKEMPrivateKey(long[:n])
		require.ErrorIs(t, err, keys.ErrKey, "length %d", n)
		require.Nil(t, k)
	}
	require.Equal(t, before, private.Bytes())
}

// KEM-01, types; KEM-06, of which 0x07 and 0x0A are the other families.
func TestKEM_06_OtherTypesRefused(t *testing.T) {
	private := keys.GenerateKEMPrivateKey()
	public, sk := private.Public().Bytes(), private.Bytes()
	ct, _ := private.Public().Encapsulate()
	for typ := range 256 {
		if typ == 8 {
			continue
		}
		public[0], sk[0], ct[0] = byte(typ), byte(typ), byte(typ)
		_, err := keys.ParseKEMPublicKey(public)
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = keys.ParseKEMPrivateKey(sk)
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = private.Decapsulate(ct)
		require.ErrorIs(t, err, keys.ErrKey)
	}
	// The lengths of Kyber-768 with its type byte.
	_, err := keys.ParseKEMPublicKey(append([]byte{7}, make([]byte, 1184)...))
	require.ErrorIs(t, err, keys.ErrKey)
}

// The same key taken as ML-KEM-1024 gives other secrets: only the type byte
// keeps the families apart.
func TestKEM_06_FamiliesDiffer(t *testing.T) {
	v := vectors(t).KEM
	require.Equal(t, v[0].Seed, v[1].Seed)
	require.NotEqual(t, v[0].SharedSecret, v[1].SharedSecret)

	private := keys.GenerateKEMPrivateKey()
	ek, err := mlkem.NewEncapsulationKey1024(private.Public().Bytes()[1:])
	require.NoError(t, err)
	theirs, ct := ek.Encapsulate()
	ours, err := private.Decapsulate(append([]byte{8}, ct...))
	require.NoError(t, err)
	require.NotEqual(t, theirs, ours[:])
}

// setCoefficient writes a 12-bit value into an encoded vector.
func setCoefficient(vector []byte, i int, v uint16) {
	b := vector[i/2*3:]
	if i%2 == 0 {
		b[0], b[1] = byte(v), b[1]&0xF0|byte(v>>8)
	} else {
		b[1], b[2] = b[1]&0x0F|byte(v<<4), byte(v>>4)
	}
}

const q = 3329

func TestKEM_02_Modulus(t *testing.T) {
	private := keys.GenerateKEMPrivateKey()
	good := private.Public().Bytes()
	check := func(i int, v uint16) {
		bad := bytes.Clone(good)
		setCoefficient(bad[1:], i, v)
		k, err := keys.ParseKEMPublicKey(bad)
		if v < q {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, keys.ErrKey, "coefficient %d = %d", i, v)
		require.Zero(t, k)
	}
	for i := range 1024 { // every place
		check(i, q-1)
		check(i, q)
		check(i, 4095)
		check(i, uint16(q+i%(4096-q)))
	}
	for v := uint16(q); v < 4096; v++ { // every value
		check(0, v)
		check(1, v)
		check(1023, v)
	}
}

func TestKEM_03_PrivateKeyChecks(t *testing.T) {
	const publicAt, hashAt = 1 + 1536, 1 + 1536 + 1568
	sk, other := keys.GenerateKEMPrivateKey().Bytes(), keys.GenerateKEMPrivateKey().Bytes()
	refused := func(name string, change func(b []byte)) {
		bad := bytes.Clone(sk)
		change(bad)
		k, err := keys.ParseKEMPrivateKey(bad)
		require.ErrorIs(t, err, keys.ErrKey, name)
		require.Nil(t, k)
	}
	for i := range 32 {
		refused("hash", func(b []byte) { b[hashAt+i] ^= 1 })
	}
	for i := range 1568 {
		refused("public key", func(b []byte) { b[publicAt+i] ^= 0x10 })
	}
	refused("public key swapped", func(b []byte) { copy(b[publicAt:hashAt], other[publicAt:]) })
	refused("hash swapped", func(b []byte) { copy(b[hashAt:hashAt+32], other[hashAt:]) })
	refused("modulus", func(b []byte) {
		setCoefficient(b[publicAt:], 17, q)
		h := sha3.Sum256(b[publicAt:hashAt])
		copy(b[hashAt:], h[:])
	})
	// Public key and hash swapped together fit: whoever keeps the public key
	// beside the private one compares them.
	both := bytes.Clone(sk)
	copy(both[publicAt:hashAt+32], other[publicAt:])
	k, err := keys.ParseKEMPrivateKey(both)
	require.NoError(t, err)
	original, err := keys.ParseKEMPrivateKey(sk)
	require.NoError(t, err)
	require.False(t, k.Public().Equal(original.Public()))
}

func TestKEM_04_ImplicitRejection(t *testing.T) {
	private := keys.GenerateKEMPrivateKey()
	ct, want := private.Public().Encapsulate()
	seen := map[string]bool{hex.EncodeToString(want[:]): true}
	for i := 1; i < len(ct); i += 13 {
		bad := bytes.Clone(ct)
		bad[i] ^= 1
		got, err := private.Decapsulate(bad)
		require.NoError(t, err)
		again, err := private.Decapsulate(bad)
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.False(t, seen[hex.EncodeToString(got[:])])
		seen[hex.EncodeToString(got[:])] = true
	}
}
