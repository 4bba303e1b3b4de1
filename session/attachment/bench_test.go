package attachment_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
)

func BenchmarkEncrypt(b *testing.B)      { perf.AttachmentEncrypt(16 << 20).Benchmark(b) }
func BenchmarkFloorEncrypt(b *testing.B) { perf.FloorAttachmentEncrypt(16 << 20).Benchmark(b) }
func BenchmarkDecrypt(b *testing.B)      { perf.AttachmentDecrypt(16 << 20).Benchmark(b) }
func BenchmarkDecryptAt(b *testing.B)    { perf.AttachmentDecryptAt(16 << 20).Benchmark(b) }
func BenchmarkFloorDecrypt(b *testing.B) { perf.FloorAttachmentDecrypt(16 << 20).Benchmark(b) }
