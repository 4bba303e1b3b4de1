package etm_test

import (
	"strconv"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/etm"
)

var benchSizes = []int{64, 1024, 65536}

func BenchmarkEncryptCBC(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var key [32]byte
			var iv [16]byte
			pt, dst := make([]byte, n), make([]byte, 0, n+16)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				etm.EncryptCBC(dst, &key, &iv, pt)
			}
		})
	}
}

func BenchmarkDecryptCBC(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var key [32]byte
			var iv [16]byte
			ct, dst := etm.EncryptCBC(nil, &key, &iv, make([]byte, n)), make([]byte, 0, n+16)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				etm.DecryptCBC(dst, &key, &iv, ct)
			}
		})
	}
}

func BenchmarkMAC(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var key [32]byte
			sender, recipient, body := make([]byte, 33), make([]byte, 33), make([]byte, n)
			b.SetBytes(int64(n + 66))
			b.ReportAllocs()
			for b.Loop() {
				etm.MAC(&key, sender, recipient, body)
			}
		})
	}
}
