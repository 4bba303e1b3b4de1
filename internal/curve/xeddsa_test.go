package curve_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/curve"
)

type signatureVector struct {
	PrivateClamped string `json:"private_clamped"`
	Public         string `json:"public"`
	Message        string `json:"message"`
	Random         string `json:"random"`
	EdwardsPublic  string `json:"edwards_public"`
	Signature      string `json:"signature"`
	Refused        string `json:"signature_s_plus_L_refused"`
}

func vectors(t testing.TB) []signatureVector {
	b, err := os.ReadFile("../../testdata/wire/wire-core-vectors.json")
	require.NoError(t, err)
	var file struct{ XEdDSA []signatureVector }
	require.NoError(t, json.Unmarshal(b, &file))
	require.Len(t, file.XEdDSA, 3)
	return file.XEdDSA
}

func bytesOf(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestSIG_03_Vectors(t *testing.T) {
	for i, v := range vectors(t) {
		k := unhex(t, v.PrivateClamped)
		u, a := curve.PublicKeys(&k)
		require.Equal(t, v.Public, "05"+hex.EncodeToString(u[:]))
		require.Equal(t, unhex(t, v.EdwardsPublic), a)
		msg, want := bytesOf(t, v.Message), bytesOf(t, v.Signature)
		z := [64]byte(bytesOf(t, v.Random))

		got := curve.Sign(&k, &a, &z, msg)
		require.Equal(t, want, got[:])
		require.Equal(t, got, slowSign(&k, &z, msg))
		require.True(t, curve.Verify(&u, want, msg))
		require.False(t, curve.Verify(&u, bytesOf(t, v.Refused), msg))
		requireFlipsFail(t, &u, got, msg, 1+6*i)
	}
}

// requireFlipsFail flips bits of the signature, every step-th down from bit
// 511, and one of each byte of the message.
func requireFlipsFail(t *testing.T, u *[32]byte, sig [64]byte, msg []byte, step int) {
	for i := 511; i >= 0; i -= step {
		bad := sig
		bad[i/8] ^= 1 << (i % 8)
		require.False(t, curve.Verify(u, bad[:], msg), "bit %d", i)
	}
	for i := range msg {
		bad := bytes.Clone(msg)
		bad[i] ^= 0x10
		require.False(t, curve.Verify(u, sig[:], bad))
	}
}

func TestSIG_03_BothSigns(t *testing.T) {
	r := random(4)
	seen := map[byte]int{}
	for i := range 40 {
		var k [32]byte
		var z [64]byte
		r.Read(k[:])
		r.Read(z[:])
		curve.Clamp(&k)
		u, a := curve.PublicKeys(&k)
		msg := bytes.Repeat([]byte{byte(i)}, i*17)
		sig := curve.Sign(&k, &a, &z, msg)
		require.Equal(t, slowSign(&k, &z, msg), sig)
		require.True(t, curve.Verify(&u, sig[:], msg))
		require.Equal(t, a[31]>>7, sig[63]>>7)
		seen[sig[63]>>7]++

		// Without its sign bit it is an Ed25519 signature under A.
		sig[63] &= 0x7F
		require.True(t, ed25519.Verify(a[:], msg, sig[:]))
	}
	require.Len(t, seen, 2)
}

func TestSIG_01_Malleability(t *testing.T) {
	for _, v := range vectors(t) {
		u, msg := [32]byte(bytesOf(t, v.Public)[1:]), bytesOf(t, v.Message)
		sig := [64]byte(bytesOf(t, v.Signature))
		s := [32]byte(sig[32:])
		s[31] &= 0x7F
		for i := int64(1); i <= 7; i++ { // s + 7L < 2^255
			requireScalarRefused(t, &u, sig, add(s, new(big.Int).Mul(order, big.NewInt(i))), msg)
		}
		requireScalarRefused(t, &u, sig, little(order), msg)
		r := random(5)
		for range 300 {
			var wide [32]byte
			r.Read(wide[:])
			wide[31] &= 0x7F
			requireScalarRefused(t, &u, sig, wide, msg)
		}
	}
}

// requireScalarRefused requires sig with s in place of its own to fail.
func requireScalarRefused(t *testing.T, u *[32]byte, sig [64]byte, s [32]byte, msg []byte) {
	s[31] |= sig[63] & 0x80
	copy(sig[32:], s[:])
	require.False(t, curve.Verify(u, sig[:], msg), "%x", s)
}

// Without a test for u = −1, the inverse of 0 being 0 makes it the point with
// y = 0, of order 4; then s·B, with s chosen, is R for one message in four.
func TestKA_05_MinusOneHasNoImage(t *testing.T) {
	minusOne := little(new(big.Int).Sub(p, one))
	var seed [32]byte
	random(6).Read(seed[:])
	step := number(seed[:])
	sB, stepB := neutral, base.times(step)
	for i := range int64(256) { // s = 0 is the first
		n := new(big.Int).Mul(step, big.NewInt(i))
		R, S := sB.compress(), little(n.Mod(n, order))
		sB = sB.add(stepB)
		for _, u := range [][32]byte{minusOne, highBit(minusOne)} {
			for _, sign := range []byte{0, 0x80} {
				sig := append(R[:], S[:]...)
				sig[63] |= sign
				require.False(t, curve.Verify(&u, sig, []byte{byte(i)}))
			}
		}
	}
}

// Keys with a part of small order are accepted here when the cofactorless
// equation holds, as deployed peers do; h is not reduced against 8·L.
func TestSIG_02_MixedOrder(t *testing.T) {
	k := clamped(11)
	honest := base.times(number(k[:]))
	verdicts := map[bool]int{}
	for i, q := range torsion() {
		A := honest.add(q)
		u, a := A.montgomery(), A.compress()
		for m := range byte(8) {
			// s = r + h·k; the equation is R = s·B − h·A = r·B − h·q.
			nonce := big.NewInt(int64(m) + 1)
			R := base.times(nonce).compress()
			s := hashMod(R[:], a[:], []byte{m})
			s.Add(s.Mul(s, number(k[:])), nonce).Mod(s, order)
			S := little(s)
			sig := append(R[:], S[:]...)
			sig[63] |= a[31] & 0x80
			want := slowVerify(&u, sig, []byte{m})
			require.Equal(t, want, curve.Verify(&u, sig, []byte{m}), "torsion point %d", i)
			require.True(t, want || i != 0)
			verdicts[want]++
		}
	}
	require.Len(t, verdicts, 2)
}

func TestSIG_02_SmallOrder(t *testing.T) {
	// Verify itself is for identity keys too and does not refuse small order:
	// callers of verify-only keys do, with SmallOrder. The verdict is that of
	// the equation, u = 0 with either sign bit included.
	for _, u := range smallOrderEncodings() {
		require.True(t, curve.SmallOrder(&u))
		for m := range byte(16) {
			sig := append([]byte{1}, make([]byte, 63)...) // R neutral, s = 0
			sig[63] |= m << 7
			require.Equal(t, slowVerify(&u, sig, []byte{m}), curve.Verify(&u, sig, []byte{m}), "%x", u)
		}
	}
}

func TestSIG_04_Nonce(t *testing.T) {
	k := clamped(3)
	a := curve.EdwardsPublic(&k)
	var z [64]byte
	seen := map[[32]byte]bool{}
	for i := range 1000 {
		msg := big.NewInt(int64(i)).Bytes()
		sig := curve.Sign(&k, &a, &z, msg)
		require.Equal(t, sig, curve.Sign(&k, &a, &z, msg))
		seen[[32]byte(sig[:32])] = true
	}
	require.Len(t, seen, 1000)
	other := clamped(4)
	a = curve.EdwardsPublic(&other)
	sig := curve.Sign(&other, &a, &z, nil) // the message of i = 0
	require.False(t, seen[[32]byte(sig[:32])], "the nonce depends on the key, too")
}

func TestSIG_05_Parts(t *testing.T) {
	k := clamped(5)
	u, a := curve.PublicKeys(&k)
	z := [64]byte{1, 2, 3}
	for _, size := range []int{0, 1, 33, 63, 64, 128, 1569, 2048, 1 << 20} {
		msg := bytes.Repeat([]byte("0123456789abc"), size/13+1)[:size]
		whole := curve.Sign(&k, &a, &z, msg)
		require.Equal(t, slowSign(&k, &z, msg), whole, "length %d", size)
		for _, cut := range []int{0, 1, size / 3, size / 2, size - 1, size} {
			cut = min(max(0, cut), size)
			require.Equal(t, whole, curve.Sign(&k, &a, &z, msg[:cut], nil, msg[cut:]))
			require.True(t, curve.Verify(&u, whole[:], msg[:cut], msg[cut:], nil))
		}
	}
}

func TestSIG_07_Length(t *testing.T) {
	k := clamped(5)
	u, a := curve.PublicKeys(&k)
	var z [64]byte
	good := curve.Sign(&k, &a, &z, []byte("m"))
	sig := append(good[:], make([]byte, 64)...)
	for n := range 129 {
		require.Equal(t, n == 64, curve.Verify(&u, sig[:n], []byte("m")), "length %d", n)
	}
	require.False(t, curve.Verify(&u, nil))
}

func FuzzF32Verify(f *testing.F) {
	for _, v := range vectors(f) {
		u := bytesOf(f, v.Public)[1:]
		f.Add(u, bytesOf(f, v.Signature), bytesOf(f, v.Message))
		f.Add(u, bytesOf(f, v.Refused), bytesOf(f, v.Message))
	}
	for _, u := range smallOrderEncodings() {
		f.Add(u[:], append([]byte{1}, make([]byte, 63)...), []byte{})
	}
	f.Fuzz(func(t *testing.T, key, sig, msg []byte) {
		if len(key) != 32 {
			return
		}
		u := [32]byte(key)
		require.Equal(t, slowVerify(&u, sig, msg), curve.Verify(&u, sig, msg))
	})
}
