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
