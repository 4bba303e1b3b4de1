//go:build !wasm

package session_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/perf"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

// BenchmarkBolt has each operation wait for the disk, once.
func BenchmarkBolt(b *testing.B) {
	for name, op := range map[string]func(int, func() keystore.Store) perf.Op{
		"Encrypt": perf.DeviceEncrypt, "Decrypt": perf.DeviceDecrypt,
	} {
		b.Run(name, func(b *testing.B) { op(100, bolt(b)).Benchmark(b) })
	}
	b.Run("Send", func(b *testing.B) { perf.Send(250, 4, bolt(b)).Benchmark(b) })
}

// bolt opens new stores in files.
func bolt(b *testing.B) (open func() keystore.Store) {
	return func() keystore.Store {
		s, err := boltstore.Open(filepath.Join(b.TempDir(), "store"), nil)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, s.Close()) })
		return s
	}
}
