package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// session5k is a session of about 5 kB, as they are after some turns: five
// chains, a few skipped keys, 4 kB of SPQR state.
func session5k() []byte {
	fs := []fld{num32(1, 4), raw(2, key33(1)), raw(3, key33(2)), raw(4, seq(32)), num32(5, 17), sub(6, chainFields()[:3])}
	for range 5 {
		chain := []fld{raw(1, key33(3)), sub(3, chainKeyFields()), sub(4, messageKeyFields()), sub(4, messageKeyFields())}
		fs = append(fs, sub(7, chain))
	}
	return encode(append(fs, num32(10, 5678), num32(11, 1234), raw(13, key33(4)), raw(15, seq(4000))))
}

func BenchmarkParseSession(b *testing.B) {
	in := session5k()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseSession(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendSession(b *testing.B) {
	s, err := wire.ParseSession(session5k())
	require.NoError(b, err)
	dst := make([]byte, 0, 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		dst = wire.AppendSession(dst[:0], s)
	}
	b.SetBytes(int64(len(dst)))
}

// benchSkipped is a chain with as many skipped keys as there may be.
func benchSkipped() (list wire.Skipped, record []byte) {
	list = wire.Skipped(nil).Prepend(100, seedsFrom(100, wire.MaxSkipped))
	return list, wire.AppendSession(nil, &wire.Session{Receivers: []wire.Chain{{Skipped: list}}})
}

func BenchmarkParseSession2000Skipped(b *testing.B) {
	_, in := benchSkipped()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseSession(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSkippedFind(b *testing.B) {
	list, _ := benchSkipped()
	b.ReportAllocs()
	for b.Loop() {
		if _, at := list.Find(101); at < 0 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkSkippedRemove(b *testing.B) {
	list, _ := benchSkipped()
	_, at := list.Find(1000)
	b.ReportAllocs()
	for b.Loop() {
		_ = list.Remove(at)
	}
}

func BenchmarkSkippedPrepend(b *testing.B) {
	list, _ := benchSkipped()
	b.Run("1", func(b *testing.B) { prepend(b, list, 1) })
	b.Run("2000", func(b *testing.B) { prepend(b, list, 2000) })
}

func prepend(b *testing.B, list wire.Skipped, n int) {
	seeds := seedsFrom(3000, n)
	b.ReportAllocs()
	for b.Loop() {
		_ = list.Prepend(3000, seeds)
	}
}

func BenchmarkParseSignalMessage(b *testing.B) {
	in := frameSignal(encode(signalFields()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseSignalMessage(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendSignalMessage(b *testing.B) {
	m, err := wire.ParseSignalMessage(frameSignal(encode(signalFields())))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		_ = wire.AppendSignalMessage(nil, &m)
	}
}

func BenchmarkParsePreKeySignalMessage(b *testing.B) {
	in := framePreKey(encode(preKeyFields()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParsePreKeySignalMessage(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseServiceID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseServiceID("PNI:" + aciText); err != nil {
			b.Fatal(err)
		}
	}
}
