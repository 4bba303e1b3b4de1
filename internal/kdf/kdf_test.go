package kdf_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kdf"
)

// lengths are those at which a block, a buffer or a fallback begins or ends.
var lengths = []int{0, 1, 31, 32, 33, 55, 56, 63, 64, 65, 119, 120, 128, 255, 256, 257, 288, 289, 290, 353, 354, 1000, 5000}

func slowHMAC(key, msg []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(msg)
	return h.Sum(nil)
}

func TestHMACMatchesStandardLibrary(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for i := range 500 {
		n := lengths[i%len(lengths)]
		if i >= 200 {
			n = i
		}
		var key [32]byte
		msg := make([]byte, n)
		r.Read(key[:])
		r.Read(msg)
		got := kdf.HMAC(&key, msg)
		require.Equal(t, slowHMAC(key[:], msg), got[:], "length %d", n)
	}
}

func TestHKDFMatchesStandardLibrary(t *testing.T) {
	r := rand.NewChaCha8([32]byte{2})
	for _, ikmLen := range lengths {
		for _, infoLen := range lengths {
			ikm, info := make([]byte, ikmLen), make([]byte, infoLen)
			r.Read(ikm)
			r.Read(info)
			var salt [32]byte
			r.Read(salt[:])
			for _, n := range []int{0, 1, 31, 32, 33, 64, 80, 96, 100, 255} {
				requireHKDF(t, n, &salt, ikm, info)
				requireHKDF(t, n, nil, ikm, info)
			}
		}
	}
	requireHKDF(t, 255*32, nil, []byte("ikm"), []byte("info"))
}

func requireHKDF(t *testing.T, n int, salt *[32]byte, ikm, info []byte) {
	var s []byte
	if salt != nil {
		s = salt[:]
	}
	want, err := hkdf.Key(sha256.New, ikm, s, string(info), n)
	require.NoError(t, err)
	got := make([]byte, n)
	kdf.HKDF(got, salt, ikm, info)
	require.True(t, bytes.Equal(want, got), "lengths %d %d %d", n, len(ikm), len(info))
}

// RFC 5869, test case 3: no salt, no info.
func TestHKDFRFC5869(t *testing.T) {
	out := make([]byte, 42)
	kdf.HKDF(out, nil, bytes.Repeat([]byte{0x0b}, 22), nil)
	require.Equal(t, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8", hex.EncodeToString(out))
}

// The chain key and message keys of spec/wire-core.md, Section 15.2.
func TestMessageKeyVectors(t *testing.T) {
	var chain [32]byte
	decode(t, chain[:], "8ab72d6f4cc5ac0d387eaf463378ddb28edd07385b1cb01250c715982e7ad48f")
	seed := kdf.HMAC(&chain, []byte{1})
	next := kdf.HMAC(&chain, []byte{2})
	require.Equal(t, "fae95235beda3d2e00b41cf2e655dada2405b4388cae0d251a51bcd2ebdd2e40", hex.EncodeToString(seed[:]))
	require.Equal(t, "28e8f8fee54b801eef7c5cfb2f17f32c7b334485bbb70fac6ec10342a246d15d", hex.EncodeToString(next[:]))
	keys := make([]byte, 80)
	kdf.HKDF(keys, nil, seed[:], []byte("WhisperMessageKeys"))
	require.Equal(t, "bf51e9d75e0e31031051f82a2491ffc084fa298b7793bd9db620056febf45217"+
		"c6c77d6a73a354337a56435e34607dfe48e3ace14e77314dc6abc172e7a7030b"+
		"afa8207986b692a116d4b40bbff72d6c", hex.EncodeToString(keys))
}

func decode(t *testing.T, dst []byte, s string) {
	n, err := hex.Decode(dst, []byte(s))
	require.NoError(t, err)
	require.Equal(t, len(dst), n)
}

// Output and inputs may be the same memory, as when a chain key is replaced.
func TestOverlap(t *testing.T) {
	var buf [96]byte
	want := make([]byte, 96)
	kdf.HKDF(want, (*[32]byte)(make([]byte, 32)), make([]byte, 32), []byte("x"))
	kdf.HKDF(buf[:], (*[32]byte)(buf[:32]), buf[32:64], []byte("x"))
	require.Equal(t, want, buf[:])
}

func TestTooLong(t *testing.T) {
	require.Panics(t, func() { kdf.HKDF(make([]byte, 255*32+1), nil, nil, nil) })
}

func TestNoAllocation(t *testing.T) {
	var key [32]byte
	msg, out := make([]byte, 1000), make([]byte, 96)
	require.Zero(t, testing.AllocsPerRun(10, func() { kdf.HMAC(&key, msg[:289]) }))
	require.Zero(t, testing.AllocsPerRun(10, func() { kdf.HKDF(out, &key, msg[:256], msg[:256]) }))
	require.Zero(t, testing.AllocsPerRun(10, func() { kdf.HKDF(out, nil, msg[:256], msg[:256]) }))
	// A longer message costs one buffer, which is cleared, and no copies of it.
	for _, n := range []int{290, 353, 1000} {
		require.Equal(t, 1.0, testing.AllocsPerRun(10, func() { kdf.HMAC(&key, msg[:n]) }), "length %d", n)
	}
}
