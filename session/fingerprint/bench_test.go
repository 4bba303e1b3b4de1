package fingerprint_test

import (
	"testing"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
)

func BenchmarkNew(b *testing.B) {
	alice, bob := party("alice"), party("bob")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = fingerprint.New(alice, bob, nil)
	}
}
