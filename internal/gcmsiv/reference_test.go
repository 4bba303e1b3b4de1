package gcmsiv_test

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
)

// modulus is x^128 + x^127 + x^126 + x^121 + 1, bit i being the coefficient of
// x^i.
var modulus = func() *big.Int {
	m := big.NewInt(1)
	for _, i := range []int{128, 127, 126, 121} {
		m.SetBit(m, i, 1)
	}
	return m
}()

// fromLittle and toLittle convert blocks, which are little endian.
func fromLittle(b []byte) *big.Int {
	b = slices.Clone(b)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func toLittle(x *big.Int) []byte {
	b := x.FillBytes(make([]byte, 16))
	slices.Reverse(b)
	return b
}

// slowDot returns a·b·x^-128, from its definition: a bit at a time, and then
// divided by x, 128 times.
func slowDot(a, b *big.Int) *big.Int {
	p := new(big.Int)
	for i := range 128 {
		if a.Bit(i) == 1 {
			p.Xor(p, new(big.Int).Lsh(b, uint(i)))
		}
	}
	for range 128 {
		if p.Bit(0) == 1 {
			p.Xor(p, modulus)
		}
		p.Rsh(p, 1)
	}
	return p
}

func slowPolyval(h, blocks []byte) []byte {
	key, sum := fromLittle(h), new(big.Int)
	for ; len(blocks) > 0; blocks = blocks[16:] {
		sum = slowDot(sum.Xor(sum, fromLittle(blocks[:16])), key)
	}
	return toLittle(sum)
}

func slowAES(key, block []byte) []byte {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, 16)
	b.Encrypt(out, block)
	return out
}

// whole returns b with zeros up to a whole number of blocks.
func whole(b []byte) []byte { return append(slices.Clone(b), make([]byte, -len(b)&15)...) }

// slowSeal is AES-256-GCM-SIV written down a second time.
func slowSeal(key, nonce, plaintext, ad []byte) []byte {
	var derived []byte
	for i := range uint32(6) {
		derived = append(derived, slowAES(key, append(binary.LittleEndian.AppendUint32(nil, i), nonce...))[:8]...)
	}
	lengths := binary.LittleEndian.AppendUint64(nil, uint64(len(ad))*8)
	lengths = binary.LittleEndian.AppendUint64(lengths, uint64(len(plaintext))*8)
	sum := slowPolyval(derived[:16], slices.Concat(whole(ad), whole(plaintext), lengths))
	for i, b := range nonce {
		sum[i] ^= b
	}
	sum[15] &^= 0x80
	tag := slowAES(derived[16:], sum)

	out := slices.Clone(plaintext)
	first := binary.LittleEndian.Uint32(tag)
	for i := range out {
		block := slices.Clone(tag)
		block[15] |= 0x80
		binary.LittleEndian.PutUint32(block, first+uint32(i/16))
		out[i] ^= slowAES(derived[16:], block)[i%16]
	}
	return append(out, tag...)
}

// edge draws bytes that are often all zeros or all ones, where carries would
// be.
func edge(n int) *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		b := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes")
		for i := 0; i+8 <= n; i += 8 {
			switch rapid.IntRange(0, 5).Draw(t, "kind") {
			case 0:
				copy(b[i:], bytes.Repeat([]byte{0xFF}, 8))
			case 1:
				clear(b[i:][:8])
			case 2: // every fourth bit
				copy(b[i:], bytes.Repeat([]byte{0x11 << (b[i] & 3)}, 8))
			case 3: // all but one
				j := b[i] & 63
				copy(b[i:], bytes.Repeat([]byte{0xFF}, 8))
				b[i+int(j/8)] ^= 1 << (j & 7)
			}
		}
		return b
	})
}

func TestPolyvalDifferential(t *testing.T) {
	check := func(t require.TestingT, h, blocks []byte) {
		p := gcmsiv.NewPolyval((*[16]byte)(h))
		p.Add(blocks)
		sum := p.Sum()
		require.Equal(t, slowPolyval(h, blocks), sum[:], "%x %x", h, blocks)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, edge(16).Draw(t, "key"), edge(16*rapid.IntRange(0, 3).Draw(t, "blocks")).Draw(t, "input"))
	})
	ones := bytes.Repeat([]byte{0xFF}, 16)
	check(t, ones, ones)
	for i := range 128 { // each power of x by all ones, in both places
		power := make([]byte, 16)
		power[i/8] = 1 << (i % 8)
		check(t, power, ones)
		check(t, ones, power)
	}
}

func TestDifferential(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		nonce := [12]byte(rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, "nonce"))
		plaintext := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		ad := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "ad")
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "prefix")
		room := rapid.IntRange(0, 400).Draw(t, "room")
		requireSame(t, &key, &nonce, plaintext, ad, prefix, room)
	})
}

// requireSame checks Seal against slowSeal, and Open against Seal.
func requireSame(t require.TestingT, key *[32]byte, nonce *[12]byte, plaintext, ad, prefix []byte, room int) {
	want := slowSeal(key[:], nonce[:], plaintext, ad)
	got := gcmsiv.Seal(slices.Grow(slices.Clone(prefix), room), key, nonce, plaintext, ad)
	require.Equal(t, append(slices.Clone(prefix), want...), got)
	back, ok := gcmsiv.Open(slices.Grow(slices.Clone(prefix), room), key, nonce, want, ad)
	require.True(t, ok)
	require.True(t, bytes.Equal(append(slices.Clone(prefix), plaintext...), back))
}

func FuzzF34AESGCMSIV(f *testing.F) {
	for _, v := range rfc8452 {
		f.Add(pad(f, v.key, 32), pad(f, v.nonce, 12), unhex(f, v.plaintext), unhex(f, v.ad))
	}
	f.Add(make([]byte, 32), make([]byte, 12), bytes.Repeat([]byte{0xFF}, 33), bytes.Repeat([]byte{0xFF}, 16))
	f.Fuzz(func(t *testing.T, key, nonce, text, ad []byte) {
		if len(key) != 32 || len(nonce) != 12 || len(text)+len(ad) > 1000 {
			return
		}
		requireSame(t, (*[32]byte)(key), (*[12]byte)(nonce), text, ad, nil, 0)
		if got, ok := gcmsiv.Open(nil, (*[32]byte)(key), (*[12]byte)(nonce), text, ad); ok { // if it ever is
			require.Equal(t, text, gcmsiv.Seal(nil, (*[32]byte)(key), (*[12]byte)(nonce), got, ad))
		}
	})
}
