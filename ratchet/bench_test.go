package ratchet_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// What BenchmarkEncrypt, BenchmarkDecrypt and BenchmarkJump2000 are held against
// is the primitives that they cannot do without: BenchmarkFloor….

func bySize(b *testing.B, op func(size int) perf.Op) {
	for _, n := range []int{100, 64 << 10} {
		b.Run(fmt.Sprint(n), op(n).Benchmark)
	}
}

func BenchmarkEncrypt(b *testing.B)       { bySize(b, perf.RatchetEncrypt) }
func BenchmarkFloorEncrypt(b *testing.B)  { bySize(b, perf.FloorEncrypt) }
func BenchmarkDecrypt(b *testing.B)       { bySize(b, perf.RatchetDecrypt) }
func BenchmarkFloorDecrypt(b *testing.B)  { bySize(b, perf.FloorDecrypt) }
func BenchmarkJump2000(b *testing.B)      { perf.RatchetJump(2000).Benchmark(b) }
func BenchmarkFloorJump2000(b *testing.B) { perf.FloorJump(2000).Benchmark(b) }

// settled returns two sessions in mid-conversation, neither owing the other a
// DH step of its own.
func settled(b *testing.B) (alice, bob *ratchet.Session) {
	alice, bob = newPair(b)
	for range 2 {
		say(b, alice, bob, "ping")
		say(b, bob, alice, "pong")
	}
	say(b, alice, bob, "ping")
	return alice, bob
}

// BenchmarkTurn is one message there and one back, with a DH step on each side.
func BenchmarkTurn(b *testing.B) {
	alice, bob := settled(b)
	b.ReportAllocs()
	for b.Loop() {
		say(b, alice, bob, "ping")
		say(b, bob, alice, "pong")
	}
}

// BenchmarkLate decrypts one of 2,000 skipped messages.
func BenchmarkLate(b *testing.B) {
	alice, bob := settled(b)
	var late [][]byte
	for range 2000 {
		late = append(late, send(b, alice, make([]byte, 100)))
	}
	read(b, bob, send(b, alice, nil))
	stored := bob.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		bob, err := ratchet.Parse(stored)
		require.NoError(b, err)
		_, err = bob.Decrypt(late[500], nil) // reads what is parsed on first use
		require.NoError(b, err)
		b.StartTimer()
		if _, err := bob.Decrypt(late[1000], nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStored(b *testing.B) {
	_, bob := settled(b)
	stored := bob.Append(nil)
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ratchet.Parse(stored); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bob.Append(nil)
		}
	})
}

// BenchmarkPostQuantum is the third ratchet's share of BenchmarkEncrypt and
// BenchmarkDecrypt.
func BenchmarkPostQuantum(b *testing.B) {
	alice, bob := settled(b)
	a, err := spqr.Parse(stored(b, alice).PQRatchet)
	require.NoError(b, err)
	o, err := spqr.Parse(stored(b, bob).PQRatchet)
	require.NoError(b, err)
	var msg []byte
	b.Run("Send", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, msg, _, err = a.Send(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Check(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Recv", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := o.Recv(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}
