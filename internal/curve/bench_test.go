package curve_test

import (
	"crypto/sha256"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/curve"
)

func BenchmarkPublicKey(b *testing.B) {
	k := clamped(1)
	b.ReportAllocs()
	for b.Loop() {
		curve.PublicKey(&k)
	}
}

func BenchmarkPublicKeys(b *testing.B) {
	k := clamped(1)
	b.ReportAllocs()
	for b.Loop() {
		curve.PublicKeys(&k)
	}
}

func BenchmarkAgree(b *testing.B) {
	k, u := clamped(1), public(2)
	b.ReportAllocs()
	for b.Loop() {
		curve.Agree(&k, &u)
	}
}

// A step that leaves vector registers dirty would show here: SHA-256 would be
// many times slower than alone.
func BenchmarkAgreeThenSHA256(b *testing.B) {
	k, u := clamped(1), public(2)
	buf := make([]byte, 1024)
	b.Run("agree and hash", func(b *testing.B) {
		for b.Loop() {
			curve.Agree(&k, &u)
			sha256.Sum256(buf)
		}
	})
	b.Run("hash", func(b *testing.B) {
		for b.Loop() {
			sha256.Sum256(buf)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	u := public(2)
	b.ReportAllocs()
	for b.Loop() {
		curve.Canonical(&u)
	}
}

func BenchmarkSign(b *testing.B) {
	k := clamped(1)
	a := curve.EdwardsPublic(&k)
	var z [64]byte
	msg := make([]byte, 33)
	b.ReportAllocs()
	for b.Loop() {
		curve.Sign(&k, &a, &z, msg)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := clamped(1)
	a, u := curve.EdwardsPublic(&k), curve.PublicKey(&k)
	var z [64]byte
	msg := make([]byte, 33)
	sig := curve.Sign(&k, &a, &z, msg)
	b.ReportAllocs()
	for b.Loop() {
		if !curve.Verify(&u, sig[:], msg) {
			b.Fatal("refused")
		}
	}
}
