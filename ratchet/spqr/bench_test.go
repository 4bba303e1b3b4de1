package spqr_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// storedAt returns the stored states of A and B after so many rounds of
// ping-pong.
func storedAt(tb testing.TB, rounds int) (a, b *party) {
	auth := &[32]byte{1}
	a = &party{tb, spqr.New(auth, true, 0).Append(nil), stream("A")}
	b = &party{tb, spqr.New(auth, false, 0).Append(nil), stream("B")}
	for range rounds {
		msg, _ := a.send()
		b.recv(msg)
		msg, _ = b.send()
		a.recv(msg)
	}
	return a, b
}

func parse(tb testing.TB, stored []byte) *spqr.State {
	s, err := spqr.Parse(stored)
	require.NoError(tb, err)
	return s
}

func benchmarkSend(b *testing.B, stored []byte) {
	s := parse(b, stored)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := s.Send(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkRecv(b *testing.B, stored, msg []byte) {
	s := parse(b, stored)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Recv(msg); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSend(b *testing.B) {
	alice, _ := storedAt(b, 0)
	b.Run("KeysUnsampled", func(b *testing.B) { benchmarkSend(b, alice.stored) })
	alice, bob := storedAt(b, 2)
	b.Run("KeysSampled", func(b *testing.B) { benchmarkSend(b, alice.stored) })
	msg, _ := alice.send()
	bob.recv(msg)
	b.Run("HeaderReceived", func(b *testing.B) { benchmarkSend(b, bob.stored) })
	alice, bob = storedAt(b, 20)
	b.Run("HeaderSent", func(b *testing.B) { benchmarkSend(b, alice.stored) })
	b.Run("Ct1Sampled", func(b *testing.B) { benchmarkSend(b, bob.stored) })
	for range 20 { // beyond the chunks that are the object itself
		bob.send()
	}
	b.Run("Ct1SampledInterpolated", func(b *testing.B) { benchmarkSend(b, bob.stored) })
}

func BenchmarkRecv(b *testing.B) {
	alice, bob := storedAt(b, 20)
	msg, _ := alice.send()
	b.Run("Ct1Sampled", func(b *testing.B) { benchmarkRecv(b, bob.stored, msg) })
	bob.recv(msg)
	msg, _ = bob.send()
	b.Run("HeaderSent", func(b *testing.B) { benchmarkRecv(b, alice.stored, msg) })
	// Every third chunk is lost, until one completes ct1.
	state := parse(b, alice.stored)
	for i := 0; ; i++ {
		next, _, err := state.Recv(msg)
		require.NoError(b, err)
		if len(next.Append(nil)) < len(state.Append(nil))-500 {
			break // ct1 takes the place of the decoder
		}
		if i%3 != 0 {
			state = next
		}
		msg, _ = bob.send()
	}
	stored := state.Append(nil)
	b.Run("Ct1Interpolated", func(b *testing.B) { benchmarkRecv(b, stored, msg) })
	b.Run("Check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := state.Check(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStored parses and appends a state of 5 kB.
func BenchmarkStored(b *testing.B) {
	_, bob := storedAt(b, 33)
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := spqr.Parse(bob.stored); err != nil {
				b.Fatal(err)
			}
		}
	})
	s := parse(b, bob.stored)
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			dst = s.Append(dst[:0])
		}
	})
	b.Run("AppendNew", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Append(nil)
		}
	})
}
