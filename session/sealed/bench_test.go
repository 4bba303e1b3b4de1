package sealed_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
	"github.com/gembok-e2ee/gembok/session"
)

func BenchmarkSeal(b *testing.B)         { perf.Seal(1024, 0).Benchmark(b) }
func BenchmarkUnseal(b *testing.B)       { perf.Unseal(1024, 0).Benchmark(b) }
func BenchmarkUnsealCached(b *testing.B) { perf.Unseal(1024, 100).Benchmark(b) }
func BenchmarkSealMany(b *testing.B)     { perf.SealMany(1000, 2, 0).Benchmark(b) }

// BenchmarkOpen is opening an envelope with a message of 1 KiB over a Device:
// BenchmarkUnseal, and Device.Decrypt with its commit.
func BenchmarkOpen(b *testing.B) {
	w := newWorld(b)
	alice, bob := w.joins(b, aliceID, 1, nil), w.joins(b, bobID, 1, nil)
	w.friends(b, alice, bob)
	envelopes := make([][]byte, b.N)
	for i := range envelopes {
		envelopes[i] = alice.seals(b, bob, alice.writes(b, bob, strings.Repeat("a", 1000)))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, e := range envelopes {
		_, err := bob.receiver.Open(ctx, e, w.now, nil)
		require.NoError(b, err)
	}
}

// BenchmarkSendSealed is Device.Send to one device, in an envelope and not.
func BenchmarkSendSealed(b *testing.B) {
	w := newWorld(b)
	alice, bob := w.joins(b, aliceID, 1, nil), w.joins(b, bobID, 1, nil)
	w.friends(b, alice, bob)
	content := &session.Content{Body: make([]byte, 1000)}
	for name, o := range map[string]*session.SendOptions{"sealed": alice.sealing(""), "bare": nil} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := alice.Send(ctx, []string{bobID}, content, o)
				require.NoError(b, err)
			}
		})
	}
}
