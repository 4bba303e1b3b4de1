package group_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

func BenchmarkGroupEncrypt(b *testing.B) { perf.GroupEncrypt(100, nil).Benchmark(b) }
func BenchmarkGroupDecrypt(b *testing.B) { perf.GroupDecrypt(100, nil).Benchmark(b) }

func BenchmarkFloorGroupEncrypt(b *testing.B) { perf.FloorGroupEncrypt(100).Benchmark(b) }
func BenchmarkFloorGroupDecrypt(b *testing.B) { perf.FloorGroupDecrypt(100).Benchmark(b) }
