package gcmsiv_test

import (
	"strconv"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
)

var benchSizes = []int{64, 1024, 65536}

func BenchmarkSeal(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var key [32]byte
			var nonce [12]byte
			pt, dst := make([]byte, n), make([]byte, 0, n+gcmsiv.Overhead)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				gcmsiv.Seal(dst, &key, &nonce, pt, nil)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			var key [32]byte
			var nonce [12]byte
			ct, dst := gcmsiv.Seal(nil, &key, &nonce, make([]byte, n), nil), make([]byte, 0, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				gcmsiv.Open(dst, &key, &nonce, ct, nil)
			}
		})
	}
}

func BenchmarkPolyval(b *testing.B) {
	v, block := gcmsiv.NewPolyval(&[16]byte{1, 2, 3}), make([]byte, 65536)
	b.SetBytes(int64(len(block)))
	for b.Loop() {
		v.Add(block)
	}
}
