package keystore_test

import (
	"strconv"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

func BenchmarkMemory(b *testing.B) { keystoretest.Benchmark(b, memory) }

// One operation of a Device: a Load of four records, a Commit of three.
func BenchmarkLoadCommit(b *testing.B) {
	s := keystore.NewMemory()
	keys := make([]keystore.Key, 4)
	changes := make([]keystore.Change, 3)
	value := make([]byte, 3000)
	for i := range keys {
		keys[i] = testutil.Key("session", "alice", strconv.Itoa(i))
	}
	for i := range changes {
		changes[i] = keystore.Change{Op: keystore.Put, Key: keys[i], Value: value}
	}
	b.ReportAllocs()
	for b.Loop() {
		records, err := s.Load(ctx, keys...)
		if err != nil {
			b.Fatal(err)
		}
		for i := range changes {
			changes[i].Expect = records[i].Version
		}
		if _, err := s.Commit(ctx, changes...); err != nil {
			b.Fatal(err)
		}
	}
}

// A record of 1 kB, loaded and committed: plain, encrypted, and with blinded
// names.
func BenchmarkRecord(b *testing.B) {
	for _, bench := range []struct {
		name string
		open func(testing.TB) keystoretest.Harness
	}{
		{"memory", memory}, {"encrypted", overMemory(nil)}, {"blind", overMemory(blind)},
	} {
		k := testutil.Key("session", "alice", "device-7")
		c := keystore.Change{Op: keystore.Put, Key: k, Value: make([]byte, 1000)}
		s := bench.open(b).Store
		b.Run(bench.name+"/commit", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v, err := s.Commit(ctx, c)
				if err != nil {
					b.Fatal(err)
				}
				c.Expect = v
			}
		})
		b.Run(bench.name+"/load", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Load(ctx, k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What blinding a name takes.
func BenchmarkBlind(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		keystore.Blinded(testutil.Key("session", "alice", "device-7"))
	}
}
