//go:build !wasm

package keystore_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// overBolt is an encrypted store in a file.
func overBolt(o *keystore.EncryptedOptions) func(testing.TB) keystoretest.Harness {
	return func(t testing.TB) keystoretest.Harness {
		path := filepath.Join(t.TempDir(), "store")
		open := func() (keystore.Store, error) {
			inner, err := boltstore.Open(path, nil)
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { inner.Close() })
			return keystore.OpenEncrypted(ctx, inner, unlock, o)
		}
		crash := func() (keystore.Store, error) {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			path = filepath.Join(t.TempDir(), "found")
			if err := os.WriteFile(path, b, 0o600); err != nil {
				return nil, err
			}
			return open()
		}
		s, err := open()
		require.NoError(t, err)
		return keystoretest.Harness{Store: s, Reopen: open, Crash: crash, Another: open}
	}
}

func TestEncryptedBolt(t *testing.T) {
	notShort(t)
	briefly(t, overBolt(nil))
}

func TestEncryptedBoltBlind(t *testing.T) { briefly(t, overBolt(blind)) }

// briefly runs the kit as with -short: its long runs are over a Memory here, and
// over a file without encryption in the test of that store.
func briefly(t *testing.T, open func(testing.TB) keystoretest.Harness) {
	long := flag.Lookup("test.short").Value.String()
	require.NoError(t, flag.Set("test.short", "true"))
	defer flag.Set("test.short", long)
	keystoretest.Run(t, open)
}
