package engines_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

var unlock = keystore.Unlock{Key: &[32]byte{1, 2, 3}}

func encrypted(s keystore.Store, err error) (keystore.Store, error) {
	if err != nil {
		return nil, err
	}
	e, err := keystore.OpenEncrypted(ctx, s, unlock, &keystore.EncryptedOptions{Blind: true})
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return e, nil
}

// wrapped is a harness with everything encrypted.
func wrapped(open func(testing.TB) keystoretest.Harness) func(testing.TB) keystoretest.Harness {
	wrap := func(open func() (keystore.Store, error)) func() (keystore.Store, error) {
		return func() (keystore.Store, error) { return encrypted(open()) }
	}
	return func(t testing.TB) keystoretest.Harness {
		h := open(t)
		s, err := encrypted(h.Store, nil)
		require.NoError(t, err)
		h.Store, h.Reopen, h.Crash, h.Another = s, wrap(h.Reopen), wrap(h.Crash), wrap(h.Another)
		return h
	}
}

func TestEncryptedSQLite(t *testing.T) { keystoretest.Run(t, wrapped(sqliteHarness)) }

func TestEncryptedPostgres(t *testing.T) { keystoretest.Run(t, wrapped(postgresHarness)) }

// Nothing of what a store holds, be it value, owner or name, stands in one of
// SQLite's files, whatever was done, while it is open and after a crash.
func TestSTO_14_SQLiteEncrypted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where temporary files would be
	dir := t.TempDir()
	s, err := encrypted(engine.Open(ctx, "sqlite", filepath.Join(dir, "store")))
	require.NoError(t, err)
	defer s.Close()
	clean := func() {
		for _, d := range []string{dir, os.Getenv("TMPDIR")} {
			for _, b := range contents(t, d) {
				require.False(t, strings.Contains(b, "very secret"))
			}
		}
	}
	k := keystore.Key{Scope: "scope", Kind: "kind", Owner: "a very secret owner", Name: "a very secret name"}
	var v uint64
	for size := 1; size < 5_000_000; size *= 7 {
		v = testutil.Commit(t, s, testutil.Put(k, v, strings.Repeat("very secret value", size)))
		clean()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := s.Commit(ended, testutil.Put(k, v, "very secret too"))
		require.Error(t, err)
		clean()
	}
	testutil.Commit(t, s, testutil.Delete(k, v))
	clean()
	require.NoError(t, s.Close())
	clean()
}
