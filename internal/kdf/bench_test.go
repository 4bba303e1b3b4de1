package kdf_test

import (
	"crypto/hkdf"
	"crypto/sha256"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/kdf"
)

func BenchmarkHMACOneByte(b *testing.B) {
	var key [32]byte
	b.ReportAllocs()
	for b.Loop() {
		kdf.HMAC(&key, []byte{1})
	}
}

func BenchmarkHMAC256(b *testing.B) {
	var key [32]byte
	msg := make([]byte, 256)
	b.ReportAllocs()
	for b.Loop() {
		kdf.HMAC(&key, msg)
	}
}

func BenchmarkHKDF80(b *testing.B) {
	var key [32]byte
	out, info := make([]byte, 80), []byte("WhisperMessageKeys")
	b.ReportAllocs()
	for b.Loop() {
		kdf.HKDF(out, nil, key[:], info)
	}
}

func BenchmarkHKDF80StandardLibrary(b *testing.B) {
	var key [32]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := hkdf.Key(sha256.New, key[:], nil, "WhisperMessageKeys", 80); err != nil {
			b.Fatal(err)
		}
	}
}
