package keystoretest_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// The test of a store that lives in memory and can do nothing else. One on a
// disk has a Reopen too, at least.
func ExampleRun() {
	open := func(testing.TB) keystoretest.Harness {
		return keystoretest.Harness{Store: keystore.NewMemory()}
	}
	// In a file that ends in _test.go:
	_ = func(t *testing.T) { keystoretest.Run(t, open) }       // func TestStore(t *testing.T)
	_ = func(b *testing.B) { keystoretest.Benchmark(b, open) } // func BenchmarkStore(b *testing.B)
}
