package kem_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

func BenchmarkSplit(b *testing.B) {
	v := readSplitVector(b)
	header := [64]byte(v.Header)
	m := [32]byte(v.M)
	b.Run("Generate768", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Generate768((*[64]byte)(v.Seed))
		}
	})
	b.Run("Encaps1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Encaps1(&header, &m)
		}
	})
	b.Run("Valid768", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Valid768(v.PK2, &header)
		}
	})
	b.Run("Encaps2", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Encaps2(v.PK2, v.ES)
		}
	})
	b.Run("Decaps768", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Decaps768(v.DK, v.CT1, v.CT2)
		}
	})
}

func BenchmarkKyber1024(b *testing.B) {
	var seed [64]byte
	var coins [32]byte
	pk, sk := kem.Kyber1024Generate(&seed)
	ct, _ := kem.Kyber1024Encapsulate(pk, &coins)
	b.Run("Generate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Kyber1024Generate(&seed)
		}
	})
	b.Run("Valid", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Kyber1024Valid(pk)
		}
	})
	b.Run("KeyValid", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Kyber1024KeyValid(sk)
		}
	})
	b.Run("Encapsulate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Kyber1024Encapsulate(pk, &coins)
		}
	})
	b.Run("Decapsulate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			kem.Kyber1024Decapsulate(sk, ct)
		}
	})
}

// BenchmarkFence measures SHA-256 of 1 KiB right after each function, as ns/KiB:
// all must be as low as "alone". Without the fence it is about a hundredfold
// where circl uses vector code. The benchmark's own timer will not do, because
// stopping and starting it clears the registers.
func BenchmarkFence(b *testing.B) {
	v := readSplitVector(b)
	header := [64]byte(v.Header)
	seed, coins := [64]byte(v.Seed), [32]byte(v.M)
	pk, sk := kem.Kyber1024Generate(&seed)
	ct, _ := kem.Kyber1024Encapsulate(pk, &coins)
	block := make([]byte, 1024)
	for _, c := range []struct {
		name string
		call func()
	}{
		{"alone", func() {}},
		{"Generate768", func() { kem.Generate768(&seed) }},
		{"Encaps1", func() { kem.Encaps1(&header, &coins) }},
		{"Encaps2", func() { kem.Encaps2(v.PK2, v.ES) }},
		{"Decaps768", func() { kem.Decaps768(v.DK, v.CT1, v.CT2) }},
		{"Kyber1024Generate", func() { kem.Kyber1024Generate(&seed) }},
		{"Kyber1024Encapsulate", func() { kem.Kyber1024Encapsulate(pk, &coins) }},
		{"Kyber1024Decapsulate", func() { kem.Kyber1024Decapsulate(sk, ct) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const times = 64
			var spent time.Duration
			for b.Loop() {
				c.call()
				start := time.Now()
				for range times {
					sha256.Sum256(block)
				}
				spent += time.Since(start)
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*times), "ns/KiB")
		})
	}
}
