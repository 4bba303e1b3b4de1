package etm_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/etm"
)

var (
	testKey = [32]byte(bytes.Repeat([]byte{0x42}, 32))
	testIV  = [16]byte(bytes.Repeat([]byte{0x24}, 16))
)

// rawCBC encrypts whole blocks with the standard library alone, so that tests
// choose the padding.
func rawCBC(t require.TestingT, key *[32]byte, iv *[16]byte, blocks []byte) []byte {
	b, err := aes.NewCipher(key[:])
	require.NoError(t, err)
	out := make([]byte, len(blocks))
	cipher.NewCBCEncrypter(b, iv[:]).CryptBlocks(out, blocks)
	return out
}

func pkcs7(plaintext []byte) []byte {
	n := 16 - len(plaintext)%16
	return append(slices.Clone(plaintext), bytes.Repeat([]byte{byte(n)}, n)...)
}

// NIST SP 800-38A, F.2.5, CBC-AES256.Encrypt: the four blocks, to which PKCS#7
// adds a fifth.
func TestCBCKnownAnswer(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	key := [32]byte(unhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"))
	iv := [16]byte(unhex("000102030405060708090a0b0c0d0e0f"))
	plaintext := unhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	want := unhex("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d" +
		"39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b")

	got := etm.EncryptCBC(nil, &key, &iv, plaintext)
	require.Len(t, got, 80)
	require.Equal(t, want, got[:64])
	back, ok := etm.DecryptCBC(nil, &key, &iv, got)
	require.True(t, ok)
	require.Equal(t, plaintext, back)
}

// Every length over four blocks, so every length of padding, against the
// standard library.
func TestCBCEveryLength(t *testing.T) {
	for n := range 65 {
		plaintext := bytes.Repeat([]byte{byte(n)}, n) // looks like padding where it can
		ciphertext := etm.EncryptCBC(nil, &testKey, &testIV, plaintext)
		require.Equal(t, rawCBC(t, &testKey, &testIV, pkcs7(plaintext)), ciphertext, n)

		back, ok := etm.DecryptCBC(nil, &testKey, &testIV, ciphertext)
		require.True(t, ok, n)
		require.NotNil(t, back, n)
		require.True(t, bytes.Equal(plaintext, back), n)
	}
}

func TestCBCDifferential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		iv := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "iv"))
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "prefix")
		room := rapid.IntRange(0, 400).Draw(t, "room")

		dst := slices.Grow(slices.Clone(prefix), room)
		got := etm.EncryptCBC(dst, &key, &iv, plaintext)
		want := rawCBC(t, &key, &iv, pkcs7(plaintext))
		require.Equal(t, append(slices.Clone(prefix), want...), got)

		back, ok := etm.DecryptCBC(slices.Grow(slices.Clone(prefix), room), &key, &iv, want)
		require.True(t, ok)
		require.True(t, bytes.Equal(append(slices.Clone(prefix), plaintext...), back))
	})
}

// In place: the plaintext lies where the ciphertext will, and the reverse.
func TestCBCInPlace(t *testing.T) {
	for n := range 50 {
		plaintext := bytes.Repeat([]byte{'p'}, n)
		want := etm.EncryptCBC(nil, &testKey, &testIV, plaintext)
		buf := make([]byte, n, n+16)
		copy(buf, plaintext)
		got := etm.EncryptCBC(buf[:0], &testKey, &testIV, buf)
		require.Equal(t, want, got)
		back, ok := etm.DecryptCBC(got[:0], &testKey, &testIV, got)
		require.True(t, ok)
		require.True(t, bytes.Equal(plaintext, back))
	}
}

// badPadding lists last blocks that are no PKCS#7.
func badPadding() map[string][]byte {
	block := func(fill, last byte) []byte {
		b := bytes.Repeat([]byte{fill}, 16)
		b[15] = last
		return b
	}
	bad := map[string][]byte{
		"zero":           block('x', 0x00),
		"all zero":       block(0, 0),
		"0x11":           block('x', 0x11),
		"17 of them":     block(17, 17),
		"0x80":           block(0x80, 0x80),
		"0xff":           block(0xff, 0xff),
		"wrong fill 2":   block(1, 2),
		"wrong fill 16":  block(15, 16),
		"ISO 7816":       append(append(bytes.Repeat([]byte{'x'}, 12), 0x80), 0, 0, 0),
		"ANSI X9.23":     block(0, 4),
		"off by one":     block(5, 4),
		"first is wrong": append(append([]byte{0x00}, bytes.Repeat([]byte{16}, 14)...), 16),
	}
	for n := 2; n <= 16; n++ { // each single wrong byte of each length
		for i := 16 - n; i < 15; i++ {
			b := block('x', 0)
			for j := 16 - n; j < 16; j++ {
				b[j] = byte(n)
			}
			b[i] ^= 0x40
			bad["byte "+string(rune('a'+i))+" of "+string(rune('a'+n))] = b
		}
	}
	return bad
}

func TestRAT_11_Padding(t *testing.T) {
	first := bytes.Repeat([]byte{'p'}, 16)
	for name, last := range badPadding() {
		for _, blocks := range [][]byte{last, append(slices.Clone(first), last...)} {
			ciphertext := rawCBC(t, &testKey, &testIV, blocks)
			requireRefused(t, name, ciphertext)
		}
	}
	for n := range 65 {
		if n == 0 || n%16 != 0 {
			requireRefused(t, "length", make([]byte, n))
		}
	}
	got, ok := etm.DecryptCBC([]byte("dst"), &testKey, &testIV, nil)
	require.False(t, ok)
	require.Nil(t, got)
}

// requireRefused decrypts and checks that nothing is left: no result, the
// ciphertext and dst as before, room behind dst without plaintext, and nothing
// written behind that.
func requireRefused(t *testing.T, name string, ciphertext []byte) {
	t.Helper()
	before := slices.Clone(ciphertext)
	buf := bytes.Repeat([]byte{0xee}, 3+len(ciphertext)+5)
	for _, room := range []int{0, 1, len(ciphertext), len(ciphertext) + 2} {
		for i := range buf {
			buf[i] = 0xee
		}
		got, ok := etm.DecryptCBC(buf[:3:3+room], &testKey, &testIV, ciphertext)
		require.False(t, ok, name)
		require.Nil(t, got, name)
		require.Equal(t, before, ciphertext, name)
		for i, b := range buf {
			cleared := i >= 3 && i < 3+len(ciphertext) && room >= len(ciphertext) && b == 0
			require.True(t, b == 0xee || cleared, "%s: byte %d is %#x", name, i, b)
		}
	}
}

// After success too, no padding stays behind the result, and nothing past it
// was written.
func TestDecryptStaysInside(t *testing.T) {
	ciphertext := etm.EncryptCBC(nil, &testKey, &testIV, []byte("hello"))
	buf := bytes.Repeat([]byte{0xee}, 40)
	got, ok := etm.DecryptCBC(buf[:2], &testKey, &testIV, ciphertext)
	require.True(t, ok)
	require.Equal(t, "\xee\xeehello", string(got))
	require.Equal(t, make([]byte, 11), buf[7:18])
	require.Equal(t, bytes.Repeat([]byte{0xee}, 22), buf[18:])
}

// The oracle is the standard library, whose own tests hold the vectors of RFC
// 4231.
func TestMACDifferential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 150), 0, 5).Draw(t, "parts")
		h := hmac.New(sha256.New, key[:])
		for _, p := range parts {
			h.Write(p)
		}
		require.Equal(t, h.Sum(nil), toSlice(etm.MAC(&key, parts...)))
		require.Equal(t, etm.MAC(&key, parts...), etm.MAC(&key, slices.Concat(parts...)))
	})
}

func toSlice(b [32]byte) []byte { return b[:] }

func TestMACAllocatesNothing(t *testing.T) {
	a, b, c := make([]byte, 33), make([]byte, 33), make([]byte, 1000)
	require.Zero(t, testing.AllocsPerRun(100, func() { etm.MAC(&testKey, a, b, c) }))
}
