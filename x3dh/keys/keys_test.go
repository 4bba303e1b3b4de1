package keys_test

import (
	"bytes"
	"crypto/ecdh"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// prime is 2^255 − 19.
var prime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// encode returns 0x05 ‖ the 32 bytes of n, little-endian.
func encode(n *big.Int) []byte {
	b := n.FillBytes(make([]byte, 33))
	slices.Reverse(b)
	copy(b[1:], b[:32])
	b[0] = 5
	return b
}

// publishedSmallOrder returns the twelve of cr.yp.to/ecdh.html, numbers of 256
// bits: the five reduced u of small order, the five plus p, 2p and 2p + 1.
func publishedSmallOrder() (all [][]byte) {
	for _, b := range testutil.SmallOrderKeys() {
		slices.Reverse(b[1:])
		if u := new(big.Int).SetBytes(b[1:]); u.Cmp(prime) < 0 {
			all = append(all, encode(u), encode(new(big.Int).Add(u, prime)))
		}
	}
	twice := new(big.Int).Lsh(prime, 1)
	return append(all, encode(twice), encode(twice.Add(twice, big.NewInt(1))))
}

func parse(t testing.TB, b []byte) keys.PublicKey {
	k, err := keys.ParsePublicKey(b)
	require.NoError(t, err)
	require.Equal(t, b, k.Bytes())
	return k
}

func TestKA_01_ZeroAgreement(t *testing.T) {
	private, pair := keys.GeneratePrivateKey(), keys.GenerateIdentityKeyPair()
	before, pairBefore := private.Bytes(), pair.PrivateBytes()
	for _, b := range testutil.SmallOrderKeys() {
		shared, err := private.Agree(parse(t, b))
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
		require.Zero(t, shared)
		identity, err := keys.ParseIdentityKey(b)
		require.NoError(t, err)
		_, err = pair.Agree(identity.PublicKey())
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
		require.ErrorIs(t, parse(t, b).Canonical(), keys.ErrKey)
		_, err = keys.ParseVerifyKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
	}
	require.Equal(t, before, private.Bytes())
	require.Equal(t, pairBefore, pair.PrivateBytes())
}

// Every one of the published twelve is refused as a base key and as a verify
// key; those that X25519 does not see as small are ordinary keys to it.
func TestKA_01_PublishedTwelve(t *testing.T) {
	private := keys.GeneratePrivateKey()
	require.Len(t, publishedSmallOrder(), 12)
	for _, b := range publishedSmallOrder() {
		k := parse(t, b)
		require.ErrorIs(t, k.Canonical(), keys.ErrKey)
		_, err := keys.ParseVerifyKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = private.Agree(k)
		small := slices.ContainsFunc(testutil.SmallOrderKeys(), func(s []byte) bool { return bytes.Equal(s, b) })
		if small {
			require.ErrorIs(t, err, keys.ErrZeroAgreement)
		} else {
			require.NoError(t, err)
		}
	}
}

func TestAgreeMatchesECDH(t *testing.T) {
	for range 20 {
		a, b := keys.GeneratePrivateKey(), keys.GenerateIdentityKeyPair()
		ab, err := a.Agree(b.Public().PublicKey())
		require.NoError(t, err)
		ba, err := b.Agree(a.PublicKey())
		require.NoError(t, err)
		require.Equal(t, ab, ba)

		oracle, err := ecdh.X25519().NewPrivateKey(a.Bytes())
		require.NoError(t, err)
		public, err := ecdh.X25519().NewPublicKey(b.Public().Bytes()[1:])
		require.NoError(t, err)
		want, err := oracle.ECDH(public)
		require.NoError(t, err)
		require.Equal(t, want, ab[:])
	}
}

func TestKA_02_NonCanonicalBaseKey(t *testing.T) {
	for range 10 {
		honest := keys.GeneratePrivateKey().PublicKey()
		require.NoError(t, honest.Canonical())
		high := parse(t, testutil.TopBit(honest.Bytes()))
		require.ErrorIs(t, high.Canonical(), keys.ErrKey)
		require.NotEqual(t, honest, high)
		require.False(t, honest.Equal(high))
		_, err := keys.ParseVerifyKey(high.Bytes())
		require.ErrorIs(t, err, keys.ErrKey)
	}
	require.Len(t, testutil.OutOfRangeKeys(), 19)
	for _, b := range testutil.OutOfRangeKeys() {
		require.ErrorIs(t, parse(t, b).Canonical(), keys.ErrKey)
		_, err := keys.ParseVerifyKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
	}
}

func TestKA_03_TorsionBaseKey(t *testing.T) {
	secret, torsioned := testutil.TorsionedKeys()
	private, err := keys.NewPrivateKey(secret)
	require.NoError(t, err)
	other := keys.GeneratePrivateKey()
	want, err := other.Agree(private.PublicKey())
	require.NoError(t, err)
	require.Len(t, torsioned, 7)
	for _, b := range torsioned {
		k := parse(t, b)
		require.ErrorIs(t, k.Canonical(), keys.ErrKey)
		got, err := other.Agree(k)
		require.NoError(t, err)
		require.Equal(t, want, got, "same agreement, other bytes")
	}
	require.ErrorIs(t, parse(t, encode(big.NewInt(2))).Canonical(), keys.ErrKey, "a twist point")
}

// parsers are the three parsers of EC keys.
var parsers = map[string]func([]byte) (any, error){
	"public":   func(b []byte) (any, error) { return keys.ParsePublicKey(b) },
	"identity": func(b []byte) (any, error) { return keys.ParseIdentityKey(b) },
	"verify":   func(b []byte) (any, error) { return keys.ParseVerifyKey(b) },
}

func TestKA_04_TypeAndLength(t *testing.T) {
	good := keys.GeneratePrivateKey().PublicKey().Bytes()
	for name, parser := range parsers {
		_, err := parser(good)
		require.NoError(t, err, name)
		for typ := range 256 {
			bad := bytes.Clone(good)
			bad[0] = byte(typ)
			k, err := parser(bad)
			if typ != 5 {
				require.ErrorIs(t, err, keys.ErrKey, "%s %d", name, typ)
				require.Zero(t, k)
			}
		}
		for n := range 70 {
			k, err := parser(append(bytes.Clone(good), make([]byte, 64)...)[:n])
			if n != 33 {
				require.ErrorIs(t, err, keys.ErrKey, "%s %d", name, n)
				require.Zero(t, k)
			}
		}
		_, err = parser(nil)
		require.ErrorIs(t, err, keys.ErrKey)
	}
}

func TestKA_05_MinusOne(t *testing.T) {
	minusOne := encode(new(big.Int).Sub(prime, big.NewInt(1)))
	for _, b := range [][]byte{minusOne, testutil.TopBit(minusOne)} {
		identity, err := keys.ParseIdentityKey(b)
		require.NoError(t, err)
		// R neutral and s = 0 would verify for a point of small order and one
		// message in four.
		for i := range 256 {
			sig := append([]byte{1}, make([]byte, 63)...)
			sig[63] |= byte(i) << 7
			require.ErrorIs(t, identity.Verify("test", []byte{byte(i)}, sig), keys.ErrSignature)
		}
	}
}

func TestKA_08_TypeConfusion(t *testing.T) {
	kem := keys.GenerateKEMPrivateKey()
	ec := keys.GeneratePrivateKey().PublicKey().Bytes()
	for name, parser := range parsers {
		for _, b := range [][]byte{kem.Public().Bytes(), kem.Public().Bytes()[:33], append([]byte{5}, kem.Public().Bytes()[1:]...)} {
			_, err := parser(b)
			require.ErrorIs(t, err, keys.ErrKey, name)
		}
	}
	padded := append(bytes.Clone(ec), make([]byte, 1569-33)...)
	for _, b := range [][]byte{ec, padded} {
		_, err := keys.ParseKEMPublicKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = keys.ParseKEMPrivateKey(b)
		require.ErrorIs(t, err, keys.ErrKey)
	}
	// With the type byte in the signed bytes, a signature of one kind is not
	// one of the other, whatever the rest.
	pair := keys.GenerateIdentityKeyPair()
	public := pair.Public()
	require.ErrorIs(t, public.VerifyPreKey(parse(t, ec), pair.SignKEMPreKey(kem.Public())), keys.ErrSignature)
	require.ErrorIs(t, public.VerifyKEMPreKey(kem.Public(), pair.SignPreKey(parse(t, ec))), keys.ErrSignature)
}

func TestPrivateKeyClamps(t *testing.T) {
	for _, n := range []int{0, 31, 33, 64} {
		_, err := keys.NewPrivateKey(make([]byte, n))
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = keys.NewIdentityKeyPair(make([]byte, n))
		require.ErrorIs(t, err, keys.ErrKey)
		_, err = keys.NewSigningKey(make([]byte, n))
		require.ErrorIs(t, err, keys.ErrKey)
	}
	in := bytes.Repeat([]byte{0xFF}, 32)
	k, err := keys.NewPrivateKey(in)
	require.NoError(t, err)
	want := bytes.Repeat([]byte{0xFF}, 32)
	want[0], want[31] = 0xF8, 0x7F
	require.Equal(t, want, k.Bytes())
	require.Equal(t, bytes.Repeat([]byte{0xFF}, 32), in, "input kept")
	k.Bytes()[0] = 1 // a copy
	require.Equal(t, want, k.Bytes())
}

func TestEqual(t *testing.T) {
	a, b := keys.GeneratePrivateKey(), keys.GeneratePrivateKey()
	a2, err := keys.NewPrivateKey(a.Bytes())
	require.NoError(t, err)
	require.True(t, a.Equal(a2))
	require.False(t, a.Equal(b))

	pair, err := keys.NewIdentityKeyPair(a.Bytes())
	require.NoError(t, err)
	pair2, err := keys.NewIdentityKeyPair(a.Bytes())
	require.NoError(t, err)
	require.True(t, pair.Equal(pair2))
	require.False(t, pair.Equal(keys.GenerateIdentityKeyPair()))
	require.True(t, pair.Public().Equal(keys.NewIdentityKey(a.PublicKey())))
	require.Equal(t, pair.Public(), keys.NewIdentityKey(a.PublicKey()))

	signing, err := keys.NewSigningKey(a.Bytes())
	require.NoError(t, err)
	signing2, err := keys.NewSigningKey(a.Bytes())
	require.NoError(t, err)
	require.True(t, signing.Equal(signing2))
	require.True(t, signing.Public().Equal(signing2.Public()))
	require.False(t, signing.Equal(keys.GenerateSigningKey()))

	kem, kem2 := keys.GenerateKEMPrivateKey(), keys.GenerateKEMPrivateKey()
	kem3, err := keys.ParseKEMPrivateKey(kem.Bytes())
	require.NoError(t, err)
	require.True(t, kem.Equal(kem3))
	require.False(t, kem.Equal(kem2))
	require.True(t, kem.Public().Equal(kem3.Public()))
	require.Equal(t, kem.Public(), kem3.Public())
	require.False(t, kem.Public().Equal(kem2.Public()))
}

func TestZeroValues(t *testing.T) {
	var public keys.PublicKey
	_, err := keys.GeneratePrivateKey().Agree(public)
	require.ErrorIs(t, err, keys.ErrZeroAgreement)
	// u = 0 has an Edwards image, of order 2: the neutral R with s = 0 would
	// verify for every other message.
	sig := append([]byte{1}, make([]byte, 63)...)
	for i := range byte(64) {
		require.ErrorIs(t, keys.IdentityKey{}.Verify("test", []byte{i}, sig), keys.ErrSignature)
		require.ErrorIs(t, keys.VerifyKey{}.Verify(sig, []byte{i}), keys.ErrSignature)
	}
	require.True(t, keys.IdentityKey{}.IsZero())
	require.True(t, keys.VerifyKey{}.IsZero())
	require.False(t, keys.GenerateIdentityKeyPair().Public().IsZero())
	require.False(t, keys.GenerateSigningKey().Public().IsZero())
}

func TestAppend(t *testing.T) {
	k := keys.GenerateSigningKey()
	verify := k.Public()
	identity, err := keys.ParseIdentityKey(verify.Bytes())
	require.NoError(t, err)
	want := append([]byte("ab"), verify.Bytes()...)
	require.Equal(t, want, verify.Append([]byte("ab")))
	require.Equal(t, want, identity.Append([]byte("ab")))
	require.Equal(t, want, identity.PublicKey().Append([]byte("ab")))
}
