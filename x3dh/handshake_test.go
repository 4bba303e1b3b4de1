package x3dh_test

import (
	"bytes"
	"crypto/rand"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/curve"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestBothSidesAgree(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	seen := map[[96]byte]bool{}
	n := 100
	if testing.Short() {
		n = 20
	}
	for i := range n {
		if i%10 == 0 {
			alice, bob = bob, newDevice()
		}
		oneTime := i%2 == 0
		a := initiate(t, alice, bob.bundle(oneTime))
		b, err := x3dh.Respond(bob.response(a, alice.identity.Public(), oneTime))
		require.NoError(t, err)
		require.Equal(t, a.Keys(), b.Keys())
		require.Equal(t, a.BaseKey(), b.BaseKey())
		require.NoError(t, a.BaseKey().Canonical())
		require.Len(t, a.Ciphertext(), 1569)
		require.Nil(t, b.Ciphertext())
		seen[a.Keys()] = true

		// With one key mistaken they do not.
		r := bob.response(a, alice.identity.Public(), !oneTime)
		b, err = x3dh.Respond(r)
		require.NoError(t, err)
		require.NotEqual(t, a.Keys(), b.Keys())
		a.Clear()
		require.Zero(t, a.Keys())
	}
	require.Len(t, seen, n)
}

func TestEveryKeyCounts(t *testing.T) {
	alice, bob, other := newDevice(), newDevice(), newDevice()
	a := initiate(t, alice, bob.bundle(true))
	for name, edit := range map[string]func(r *x3dh.Response){
		"identity":        func(r *x3dh.Response) { r.Identity = other.identity },
		"signed prekey":   func(r *x3dh.Response) { r.SignedPreKey = other.signed },
		"one-time prekey": func(r *x3dh.Response) { r.PreKey = other.oneTime },
		"KEM prekey":      func(r *x3dh.Response) { r.KEMPreKey = other.kem },
		"their identity":  func(r *x3dh.Response) { r.TheirIdentity = other.identity.Public() },
		"base key":        func(r *x3dh.Response) { r.BaseKey = other.oneTime.PublicKey() },
	} {
		r := bob.response(a, alice.identity.Public(), true)
		edit(r)
		b, err := x3dh.Respond(r)
		require.NoError(t, err, name)
		for part := range 3 { // each of the three keys is another one
			want, got := a.Keys(), b.Keys()
			require.NotEqual(t, want[32*part:32*part+32], got[32*part:32*part+32], name)
		}
	}
}

func TestKA_01_SmallOrderInABundle(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	for _, b := range testutil.SmallOrderKeys() {
		bad := publicKey(t, b)
		bundle := bob.bundle(true)
		bundle.SignedPreKey = bob.signedPreKey(bad)
		refuseBundle(t, alice, bundle, keys.ErrZeroAgreement)

		bundle = bob.bundle(true)
		bundle.PreKey.Key = bad
		refuseBundle(t, alice, bundle, keys.ErrZeroAgreement)

		bundle = bob.bundle(true)
		bundle.IdentityKey = keys.NewIdentityKey(bad)
		want := keys.ErrZeroAgreement
		if !forge(bundle) {
			want = keys.ErrSignature // u = −1 has no point that could verify
		}
		refuseBundle(t, alice, bundle, want)
		_, err := x3dh.InitiateWith(alice.identity, bundle, alice.oneTime, nil, [32]byte{})
		require.ErrorIs(t, err, keys.ErrZeroAgreement)
	}
}

// order is that of the base point of Ed25519.
var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

// forge puts signatures into the bundle that verify under its identity key of
// small order: s·B − h·A is s·B whenever h is a multiple of A's order. It tells
// whether there are any.
func forge(b *x3dh.Bundle) bool {
	var first, second bool
	for range 200 {
		var k [32]byte
		rand.Read(k[:])
		s := new(big.Int).SetBytes(k[:])
		s.Mod(s, order).FillBytes(k[:])
		slices.Reverse(k[:])
		r := curve.EdwardsPublic(&k)
		sig := append(r[:], k[:]...)
		if !first && b.IdentityKey.VerifyPreKey(b.SignedPreKey.Key, sig) == nil {
			b.SignedPreKey.Signature, first = sig, true
		}
		if !second && b.IdentityKey.VerifyKEMPreKey(b.KEMPreKey.Key, sig) == nil {
			b.KEMPreKey.Signature, second = sig, true
		}
		if first && second {
			return true
		}
	}
	return false
}

func TestKA_01_SmallOrderFromAnInitiator(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	a := initiate(t, alice, bob.bundle(true))
	for _, b := range testutil.SmallOrderKeys() {
		r := bob.response(a, keys.NewIdentityKey(publicKey(t, b)), true)
		refuseResponse(t, r, keys.ErrZeroAgreement)
		r = bob.response(a, alice.identity.Public(), true)
		r.BaseKey = publicKey(t, b)
		refuseResponse(t, r, keys.ErrKey)
	}
}

// refuseBaseKey has a base key refused before anything else is looked at: there
// is nothing else.
func refuseBaseKey(t *testing.T, b []byte) {
	t.Helper()
	refuseResponse(t, &x3dh.Response{BaseKey: publicKey(t, b)}, keys.ErrKey)
}

func TestKA_02_NonCanonicalBaseKey(t *testing.T) {
	refuseBaseKey(t, testutil.TopBit(keys.GeneratePrivateKey().PublicKey().Bytes()))
	for _, b := range testutil.OutOfRangeKeys() {
		refuseBaseKey(t, b)
		refuseBaseKey(t, testutil.TopBit(b))
	}
}

func TestKA_03_TorsionBaseKey(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	private, torsioned := testutil.TorsionedKeys()
	base, err := keys.NewPrivateKey(private)
	require.NoError(t, err)
	for _, b := range torsioned {
		refuseBaseKey(t, b)
	}
	refuseBaseKey(t, append([]byte{5, 2}, make([]byte, 31)...)) // a twist point

	// The honest one among them is good.
	ct, ss := bob.kem.Public().Encapsulate()
	a, err := x3dh.InitiateWith(alice.identity, bob.bundle(true), base, ct, ss)
	require.NoError(t, err)
	b, err := x3dh.Respond(bob.response(a, alice.identity.Public(), true))
	require.NoError(t, err)
	require.Equal(t, a.Keys(), b.Keys())
}

// mutations returns what is to be refused in place of a signature.
func mutations(sig []byte) (all [][]byte) {
	for i := range 512 {
		bad := bytes.Clone(sig)
		bad[i/8] ^= 1 << (i % 8)
		all = append(all, bad)
	}
	return append(all, nil, []byte{}, sig[:63], append(bytes.Clone(sig), 0), make([]byte, 64))
}

func TestKA_06_SignedPreKeySignature(t *testing.T) {
	alice, bob, other := newDevice(), newDevice(), newDevice()
	good := bob.bundle(true)
	key := good.SignedPreKey.Key
	raw, err := keys.NewSigningKey(bob.identity.PrivateBytes())
	require.NoError(t, err)
	bad := append(mutations(good.SignedPreKey.Signature),
		other.identity.SignPreKey(key), bob.identity.SignPreKey(other.signed.PublicKey()),
		raw.Sign(key.Bytes()[1:]), bob.identity.Sign("prekey", key.Bytes()))
	testutil.ScriptRand(t) // nothing is drawn
	for i, sig := range bad {
		b := *good
		b.SignedPreKey.Signature = sig
		require.ErrorIs(t, b.Verify(), keys.ErrSignature, i)
		refuseBundle(t, alice, &b, keys.ErrSignature)
	}
	require.NoError(t, good.Verify())
}

func TestKA_07_KEMPreKeySignature(t *testing.T) {
	alice, bob, other := newDevice(), newDevice(), newDevice()
	good := bob.bundle(true)
	key := good.KEMPreKey.Key
	raw, err := keys.NewSigningKey(bob.identity.PrivateBytes())
	require.NoError(t, err)
	bad := append(mutations(good.KEMPreKey.Signature), good.SignedPreKey.Signature,
		other.identity.SignKEMPreKey(key), bob.identity.SignKEMPreKey(other.kem.Public()), raw.Sign(key.Bytes()[1:]))
	testutil.ScriptRand(t)
	for i, sig := range bad {
		b := *good
		b.KEMPreKey.Signature = sig
		require.ErrorIs(t, b.Verify(), keys.ErrSignature, i)
		refuseBundle(t, alice, &b, keys.ErrSignature)
	}
	b := *good
	b.SignedPreKey.Signature = good.KEMPreKey.Signature
	refuseBundle(t, alice, &b, keys.ErrSignature)
	b = *good
	b.KEMPreKey = x3dh.KEMPreKey{}
	refuseBundle(t, alice, &b, keys.ErrSignature)
	refuseBundle(t, alice, &x3dh.Bundle{}, keys.ErrSignature)
	require.NoError(t, good.Verify())
}

func TestKA_23_IndependentDraws(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	bundle := bob.bundle(false)
	base, coins := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	private, err := keys.NewPrivateKey(base)
	require.NoError(t, err)
	var cts [2][]byte
	for i, coins := range [][]byte{coins, base} {
		restore := testutil.ScriptRand(t, base, coins)
		a := initiate(t, alice, bundle)
		restore()
		require.Equal(t, private.PublicKey(), a.BaseKey())
		cts[i] = a.Ciphertext()
	}
	require.NotEqual(t, cts[0], cts[1])
}

func TestKEM_04_ImplicitRejection(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	a := initiate(t, alice, bob.bundle(true))
	seen := map[[96]byte]bool{a.Keys(): true}
	step := 1
	if testing.Short() {
		step = 13
	}
	tries := 1
	for i := 1; i < 1569; i += step {
		tries++
		r := bob.response(a, alice.identity.Public(), true)
		r.Ciphertext[i] ^= 1 << (i % 8)
		b, err := x3dh.Respond(r)
		require.NoError(t, err)
		if i == 1 {
			again, err := x3dh.Respond(r)
			require.NoError(t, err)
			require.Equal(t, b.Keys(), again.Keys())
		}
		seen[b.Keys()] = true
	}
	require.Len(t, seen, tries)
}

func TestKEM_01_CiphertextForm(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	a := initiate(t, alice, bob.bundle(true))
	r := bob.response(a, alice.identity.Public(), true)
	good := r.Ciphertext
	for _, typ := range []byte{0, 5, 7, 0x0A, 0xFF} {
		r.Ciphertext = append([]byte{typ}, good[1:]...)
		refuseResponse(t, r, keys.ErrKey)
	}
	for _, ct := range [][]byte{nil, good[:1], good[1:], good[:1568], append(bytes.Clone(good), 0)} {
		r.Ciphertext = ct
		refuseResponse(t, r, keys.ErrKey)
	}
}

// The KEM's secret is bound to the public key: what is encapsulated to one
// prekey cannot be handed on to another, be the coins the same.
func TestKEM_05_SecretIsBoundToTheKey(t *testing.T) {
	alice, bob, mallory := newDevice(), newDevice(), newDevice()
	coins := bytes.Repeat([]byte{7}, 32)
	var secrets [2][32]byte
	for i, d := range []*device{bob, mallory} {
		restore := testutil.ScriptRand(t, coins)
		_, secrets[i] = d.kem.Public().Encapsulate()
		restore()
	}
	require.NotEqual(t, secrets[0], secrets[1])

	// A bundle with mallory's KEM key needs bob's signature.
	b := bob.bundle(true)
	b.KEMPreKey.Key = mallory.kem.Public()
	refuseBundle(t, alice, b, keys.ErrSignature)
	b.KEMPreKey.Signature = mallory.identity.SignKEMPreKey(b.KEMPreKey.Key)
	refuseBundle(t, alice, b, keys.ErrSignature)
}
