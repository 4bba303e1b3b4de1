package sealed_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

func BenchmarkSeal(b *testing.B)         { perf.Seal(1024, 0).Benchmark(b) }
func BenchmarkUnseal(b *testing.B)       { perf.Unseal(1024, 0).Benchmark(b) }
func BenchmarkUnsealCached(b *testing.B) { perf.Unseal(1024, 100).Benchmark(b) }
func BenchmarkSealMany(b *testing.B)     { perf.SealMany(1000, 2, 0).Benchmark(b) }
