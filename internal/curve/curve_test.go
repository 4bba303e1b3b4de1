package curve_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/hex"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/curve"
)

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

// random returns a source that is the same in every run.
func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func unhex(t testing.TB, s string) (b [32]byte) {
	n, err := hex.Decode(b[:], []byte(s))
	require.NoError(t, err)
	require.Equal(t, 32, n)
	return b
}

// add returns little-endian u + n, mod 2^256.
func add(u [32]byte, n *big.Int) [32]byte {
	v := new(big.Int).Add(number(u[:]), n)
	return little(v.Mod(v, new(big.Int).Lsh(one, 256)))
}

func highBit(u [32]byte) [32]byte {
	u[31] ^= 0x80
	return u
}

// smallOrder returns the five reduced u of small order, on the curve from the
// torsion points, and −1 of the twist.
func smallOrder() [][32]byte {
	ts := torsion()
	return [][32]byte{{}, ts[2].montgomery(), ts[1].montgomery(), ts[3].montgomery(), little(new(big.Int).Sub(p, one))}
}

// smallOrderEncodings returns all 32-byte strings that X25519, which ignores
// the top bit, reads as a u of small order.
func smallOrderEncodings() (all [][32]byte) {
	for _, u := range append(smallOrder(), little(p), add(little(p), one)) {
		all = append(all, u, highBit(u))
	}
	return all
}

// publishedSmallOrder returns the twelve u of cr.yp.to/ecdh.html: five reduced
// ones, and p, p+1, p plus the two of order 8, 2p−1, 2p, 2p+1 as numbers of
// 256 bits.
func publishedSmallOrder() [][32]byte {
	five := smallOrder()
	all := append([][32]byte{}, five...)
	for _, u := range five {
		all = append(all, add(u, p))
	}
	twice := new(big.Int).Lsh(p, 1)
	return append(all, little(twice), add(little(twice), one))
}

func TestSmallOrderTable(t *testing.T) {
	five := smallOrder()
	require.Equal(t, [32]byte{1}, five[1])
	for _, u := range five {
		require.True(t, curve.SmallOrder(&u))
		require.True(t, curve.InRange(&u))
	}
	for _, u := range smallOrderEncodings() {
		require.True(t, curve.SmallOrder(&u), "%x", u)
	}
	for seed := range byte(20) {
		u := public(seed)
		require.False(t, curve.SmallOrder(&u))
	}
}

func TestKA_01_SmallOrderAgreement(t *testing.T) {
	k := clamped(9)
	for _, u := range smallOrderEncodings() {
		shared, ok := curve.Agree(&k, &u)
		require.False(t, ok, "%x", u)
		require.Zero(t, shared)
	}
	// Of the published twelve, those that are of small order only if the top
	// bit counts give an ordinary agreement, in crypto/ecdh as here.
	for _, u := range publishedSmallOrder() {
		require.Equal(t, curve.SmallOrder(&u), !agreeLikeECDH(t, &k, &u), "%x", u)
		require.False(t, curve.Canonical(&u), "%x", u)
	}
}

// agreeLikeECDH requires Agree and crypto/ecdh to do the same, and returns
// whether they agreed.
func agreeLikeECDH(t testing.TB, k, u *[32]byte) bool {
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	require.NoError(t, err)
	pub, err := ecdh.X25519().NewPublicKey(u[:])
	require.NoError(t, err)
	want, err := private.ECDH(pub)
	got, ok := curve.Agree(k, u)
	require.Equal(t, err == nil, ok, "%x", *u)
	if ok {
		require.Equal(t, want, got[:])
	}
	return ok
}

func TestAgreeRFC7748(t *testing.T) {
	for _, v := range [][3]string{
		{"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
		{"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d", "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493", "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
	} {
		k, u := unhex(t, v[0]), unhex(t, v[1])
		got, ok := curve.Agree(&k, &u)
		require.True(t, ok)
		require.Equal(t, unhex(t, v[2]), got)
	}
	k, u := [32]byte{9}, [32]byte{9}
	for i := range 1000 {
		next, ok := curve.Agree(&k, &u)
		require.True(t, ok)
		k, u = next, k
		if i == 0 {
			require.Equal(t, unhex(t, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"), k)
		}
	}
	require.Equal(t, unhex(t, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"), k)
}

func TestAgreeMatchesECDH(t *testing.T) {
	r := random(1)
	for i := range 300 {
		var k, u [32]byte
		r.Read(k[:])
		r.Read(u[:])
		switch i % 4 { // edges: near p, and small
		case 1:
			u = add(little(p), big.NewInt(int64(i/4-37)))
		case 2:
			u = little(big.NewInt(int64(i / 4)))
		}
		agreeLikeECDH(t, &k, &u)
	}
}

func TestPublicKeysMatchStandardLibrary(t *testing.T) {
	r := random(2)
	signs := map[byte]int{}
	for range 200 {
		var seed [32]byte
		r.Read(seed[:])
		expanded := sha512.Sum512(seed[:])
		k := [32]byte(expanded[:32])
		curve.Clamp(&k)

		a := curve.EdwardsPublic(&k)
		require.Equal(t, []byte(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)), a[:])
		private, err := ecdh.X25519().NewPrivateKey(k[:])
		require.NoError(t, err)
		u := curve.PublicKey(&k)
		require.Equal(t, private.PublicKey().Bytes(), u[:])
		require.True(t, curve.Canonical(&u))

		u2, a2 := curve.PublicKeys(&k)
		require.Equal(t, u, u2)
		require.Equal(t, a, a2)
		signs[a[31]>>7]++
	}
	require.Len(t, signs, 2)
}

func TestKA_02_NonCanonicalRange(t *testing.T) {
	for seed := range byte(20) {
		u := public(seed)
		require.True(t, curve.Canonical(&u))
		u = highBit(u)
		require.False(t, curve.InRange(&u))
		require.False(t, curve.Canonical(&u))
	}
	for i := range int64(19) { // p … 2^255 − 1
		u := add(little(p), big.NewInt(i))
		require.False(t, curve.InRange(&u))
		require.False(t, curve.Canonical(&u))
	}
	last := little(new(big.Int).Sub(p, one))
	require.True(t, curve.InRange(&last))
	require.False(t, curve.Canonical(&last))
}

func TestKA_03_Torsion(t *testing.T) {
	ts := torsion()
	for seed := range byte(8) {
		k := clamped(seed)
		honest := base.times(number(k[:]))
		u := honest.montgomery()
		require.Equal(t, curve.PublicKey(&k), u)
		for i, q := range ts {
			v := honest.add(q).montgomery()
			require.Equal(t, i == 0, curve.Canonical(&v), "torsion point %d", i)
			// The reason for the test: the agreement does not see the difference.
			other := clamped(seed + 1)
			want, _ := curve.Agree(&other, &u)
			got, ok := curve.Agree(&other, &v)
			require.True(t, ok)
			require.Equal(t, want, got)
		}
	}
	twist := [32]byte{2}
	require.False(t, curve.Canonical(&twist))
}

func TestCanonicalMatchesReference(t *testing.T) {
	r := random(3)
	verdicts := map[bool]int{}
	for range 100 {
		var u [32]byte
		r.Read(u[:])
		u[31] &= 0x7F
		q, ok := fromMontgomery(&u, 0)
		want := ok && q.times(order).equal(neutral)
		require.Equal(t, want, curve.Canonical(&u), "%x", u)
		verdicts[want]++
	}
	require.Len(t, verdicts, 2)
}

// What takes arrays must not allocate: it runs for every message.
func TestNoAllocation(t *testing.T) {
	k, u := clamped(1), public(2)
	a := curve.EdwardsPublic(&k)
	own := curve.PublicKey(&k)
	var z [64]byte
	msg := bytes.Repeat([]byte{7}, 1569)
	sig := curve.Sign(&k, &a, &z, msg)
	for name, f := range map[string]func(){
		"PublicKey": func() { curve.PublicKey(&k) },
		"Agree":     func() { curve.Agree(&k, &u) },
		"Canonical": func() { curve.Canonical(&u) },
		"Sign":      func() { curve.Sign(&k, &a, &z, msg[:1], msg[1:]) },
		"Verify":    func() { require.True(t, curve.Verify(&own, sig[:], msg)) },
	} {
		require.Zero(t, testing.AllocsPerRun(10, f), name)
	}
}
