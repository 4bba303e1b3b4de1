package gcmsiv_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
)

var (
	testKey   = [32]byte(bytes.Repeat([]byte{0x42}, 32))
	testNonce = [12]byte(bytes.Repeat([]byte{0x24}, 12))
	testAD    = []byte("additional")
)

// Every length over nine blocks: eight are encrypted at a time.
func TestEveryLength(t *testing.T) {
	for n := range 146 {
		requireSame(t, &testKey, &testNonce, bytes.Repeat([]byte{byte(n)}, n), testAD[:n%len(testAD)], nil, 0)
	}
}

// In place: the plaintext lies where the ciphertext will, and the reverse.
func TestInPlace(t *testing.T) {
	for n := range 50 {
		plaintext := bytes.Repeat([]byte{'p'}, n)
		want := gcmsiv.Seal(nil, &testKey, &testNonce, plaintext, testAD)
		buf := append(make([]byte, 0, n+gcmsiv.Overhead), plaintext...)
		got := gcmsiv.Seal(buf[:0], &testKey, &testNonce, buf, testAD)
		require.Equal(t, want, got)
		back, ok := gcmsiv.Open(got[:0], &testKey, &testNonce, got, testAD)
		require.True(t, ok)
		require.True(t, bytes.Equal(plaintext, back))
	}
}

// Whatever is changed, and whatever is cut off or added, is noticed.
func TestRefused(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 40} {
		ciphertext := gcmsiv.Seal(nil, &testKey, &testNonce, bytes.Repeat([]byte{'p'}, n), testAD)
		for i := range len(ciphertext) * 8 {
			bad := slices.Clone(ciphertext)
			bad[i/8] ^= 1 << (i % 8)
			requireRefused(t, &testKey, &testNonce, bad, testAD)
		}
		for i := range ciphertext {
			requireRefused(t, &testKey, &testNonce, ciphertext[:i], testAD)
			requireRefused(t, &testKey, &testNonce, ciphertext[i+1:], testAD)
		}
		requireRefused(t, &testKey, &testNonce, append(slices.Clone(ciphertext), 0), testAD)
		requireRefused(t, &testKey, &testNonce, slices.Insert(slices.Clone(ciphertext), n, 0), testAD) // the length is hashed

		requireRefused(t, &testKey, &testNonce, ciphertext, nil)
		requireRefused(t, &testKey, &testNonce, ciphertext, append(slices.Clone(testAD), 0))
		other, nonce := testKey, testNonce
		other[31]++
		nonce[11]++
		requireRefused(t, &other, &testNonce, ciphertext, testAD)
		requireRefused(t, &testKey, &nonce, ciphertext, testAD)
	}
}

// requireRefused opens and checks that nothing is left: no result, the
// ciphertext and dst as before, room behind dst without plaintext, and nothing
// written behind that.
func requireRefused(t *testing.T, key *[32]byte, nonce *[12]byte, ciphertext, ad []byte) {
	t.Helper()
	before, n := slices.Clone(ciphertext), max(0, len(ciphertext)-gcmsiv.Overhead)
	buf := make([]byte, 3+len(ciphertext)+5)
	for _, room := range []int{0, n, len(ciphertext) + 2} {
		for i := range buf {
			buf[i] = 0xEE
		}
		got, ok := gcmsiv.Open(buf[:3:3+room], key, nonce, ciphertext, ad)
		require.False(t, ok)
		require.Nil(t, got)
		require.Equal(t, before, ciphertext)
		for i, b := range buf {
			cleared := i >= 3 && i < 3+n && room >= n && b == 0
			require.True(t, b == 0xEE || cleared, "byte %d is %#x", i, b)
		}
	}
	in := slices.Clone(ciphertext)
	_, ok := gcmsiv.Open(in[:0], key, nonce, in, ad)
	require.False(t, ok)
	require.NotContains(t, string(in), "pppp")
}

// After success too, nothing past the result was written.
func TestOpenStaysInside(t *testing.T) {
	ciphertext := gcmsiv.Seal(nil, &testKey, &testNonce, []byte("hello"), nil)
	buf := bytes.Repeat([]byte{0xEE}, 40)
	got, ok := gcmsiv.Open(buf[:2], &testKey, &testNonce, ciphertext, nil)
	require.True(t, ok)
	require.Equal(t, "\xee\xeehello", string(got))
	require.Equal(t, bytes.Repeat([]byte{0xEE}, 33), buf[7:])
}

func TestLongMessage(t *testing.T) {
	plaintext := make([]byte, 100_003)
	for i := range plaintext {
		plaintext[i] = byte(i * i >> 3)
	}
	ciphertext := gcmsiv.Seal(nil, &testKey, &testNonce, plaintext, testAD)
	back, ok := gcmsiv.Open(nil, &testKey, &testNonce, ciphertext, testAD)
	require.True(t, ok)
	require.True(t, bytes.Equal(plaintext, back))
}

// Two keys of AES, and what is handed to them.
func TestAllocations(t *testing.T) {
	plaintext, buf := make([]byte, 200), make([]byte, 0, 300)
	ciphertext := gcmsiv.Seal(nil, &testKey, &testNonce, plaintext, testAD)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { gcmsiv.Seal(buf, &testKey, &testNonce, plaintext, testAD) }), 3.0)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { gcmsiv.Open(buf, &testKey, &testNonce, ciphertext, testAD) }), 3.0)
}
