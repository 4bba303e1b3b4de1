// Package kdf holds HMAC-SHA-256 (RFC 2104) and HKDF (RFC 5869) for the short
// inputs of key derivation: arrays in and out, over sha256.Sum256, without
// allocation. The time depends on lengths only.
package kdf

import (
	"crypto/sha256"
	"encoding/binary"
)

// bufferSize is what the inner hash of one HMAC takes on the stack: a key
// block, and a previous block of HKDF, 256 bytes of info and a counter.
const bufferSize = 64 + 32 + 256 + 1

// HMAC returns HMAC-SHA-256(key, msg). Messages of up to 289 bytes are not
// allocated for.
func HMAC(key *[32]byte, msg []byte) [32]byte {
	return hmac(key, msg, nil, nil)
}

// HKDF fills out with HKDF-SHA-256(salt, ikm, info). A nil salt is none, which
// is 32 zero bytes. An ikm and an info of up to 256 bytes are not allocated
// for. It panics when out is longer than 255·32 bytes.
func HKDF(out []byte, salt *[32]byte, ikm, info []byte) {
	if len(out) > 255*sha256.Size {
		panic("kdf: HKDF output longer than 8160 bytes")
	}
	if salt == nil {
		salt = new([32]byte)
	}
	prk := HMAC(salt, ikm)
	var t [32]byte
	var previous []byte
	for i := byte(1); len(out) > 0; i++ {
		t = hmac(&prk, previous, info, []byte{i})
		out = out[copy(out, t[:]):]
		previous = t[:]
	}
	clear(prk[:])
	clear(t[:])
}

// hmac returns HMAC-SHA-256(key, a ‖ b ‖ c).
func hmac(key *[32]byte, a, b, c []byte) [32]byte {
	var buf [bufferSize]byte
	p := buf[:64]
	if n := 64 + len(a) + len(b) + len(c); n > bufferSize {
		p = make([]byte, 64, n)
	}
	pad(p, key, ipad)
	p = append(append(append(p, a...), b...), c...)
	inner := sha256.Sum256(p)
	clear(p)

	var outer [64 + 32]byte
	pad(outer[:64], key, opad)
	copy(outer[64:], inner[:])
	sum := sha256.Sum256(outer[:])
	clear(outer[:])
	return sum
}

// pad fills the 64 bytes of p with the key, padded with zeros, XOR x, eight
// bytes at a time.
func pad(p []byte, key *[32]byte, x uint64) {
	p = p[:64]
	for i := 0; i < 32; i += 8 {
		binary.NativeEndian.PutUint64(p[i:], binary.NativeEndian.Uint64(key[i:])^x)
		binary.NativeEndian.PutUint64(p[32+i:], x)
	}
}

// The pads of RFC 2104, eight bytes of them.
const (
	ipad = 0x3636363636363636
	opad = 0x5C5C5C5C5C5C5C5C
)
