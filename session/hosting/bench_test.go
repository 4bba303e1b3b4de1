package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

func benchmarkVerify(b *testing.B, m *hosting.Manifest) {
	in := m.Bytes()
	b.ReportAllocs()
	for b.Loop() {
		if err := verifyBytes(in, start); err != nil {
			b.Fatal(err)
		}
	}
}

// What an account has: the last one is hosted on each of ten devices, with keys of
// their own.
func BenchmarkVerify(b *testing.B) {
	var ten []hosting.Endpoint
	for i := range uint32(10) {
		ten = append(ten, hosted(1+i, awan()))
	}
	b.Run("One", func(b *testing.B) { benchmarkVerify(b, follow(b, nil, own(1, hosting.Person))) })
	b.Run("OneHosted", func(b *testing.B) { benchmarkVerify(b, follow(b, nil, hosted(1, awan()))) })
	b.Run("Ten", func(b *testing.B) { benchmarkVerify(b, ownManifest(b, 10)) })
	b.Run("TenHosted", func(b *testing.B) { benchmarkVerify(b, follow(b, nil, ten...)) })
}

// What stands before each encrypt.
func BenchmarkMay(b *testing.B) {
	r := rules()
	r.See(toko, follow(b, nil, hosted(1, awan())), start)
	agree(b, r, start)
	identity := deviceKey(1).Public()
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, r.May(toko, 1, identity, start))
	}
}

func BenchmarkRestore(b *testing.B) {
	r := rules()
	r.See(toko, follow(b, nil, hosted(1, awan())), start)
	agree(b, r, start)
	stored, again := r.Stored(), rules()
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, again.Restore(stored))
	}
}

// What a gate adds, in state CURRENT.
func BenchmarkEncrypt(b *testing.B) {
	b.Run("Without", perf.EncryptGated(100, false, false).Benchmark)
	b.Run("Gate", perf.EncryptGated(100, false, true).Benchmark)
	b.Run("ContentWithout", perf.EncryptGated(100, true, false).Benchmark)
	b.Run("ContentGate", perf.EncryptGated(100, true, true).Benchmark)
}

// An archive of 100 MiB.
func BenchmarkArchive(b *testing.B) {
	b.Run("Write", perf.ArchiveWrite(100<<20).Benchmark)
	b.Run("Verify", perf.ArchiveVerify(100<<20).Benchmark)
}
