//go:build !wasm

package boltstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// TestMain runs the tests, or what a test wants of a process of its own.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		if err := jobs[job](os.Getenv(pathVariable)); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// open opens a store in a directory of its own.
func open(t testing.TB) *boltstore.Store {
	return reopen(t, filepath.Join(t.TempDir(), "store"))
}

func reopen(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// A place is a file in which a store is opened, crashes, and is opened again.
type place struct {
	t    testing.TB
	path string
	open *boltstore.Store
}

// harness is what a test can do to a store.
func harness(t testing.TB) keystoretest.Harness {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "store")}
	s, err := p.reopen()
	require.NoError(t, err)
	return keystoretest.Harness{Store: s, Reopen: p.reopen, Crash: p.crash, Another: p.another, Fault: p.fault}
}

func (p *place) reopen() (keystore.Store, error) {
	s, err := boltstore.Open(p.path, nil)
	if err == nil {
		p.open = s
		p.t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// crash opens the file as it is now, in another place.
func (p *place) crash() (keystore.Store, error) {
	b, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	p.path = filepath.Join(p.t.TempDir(), "found")
	if err := os.WriteFile(p.path, b, 0o600); err != nil {
		return nil, err
	}
	return p.reopen()
}

func (p *place) another() (keystore.Store, error) {
	_, err := boltstore.Open(p.path, nil)
	return nil, err
}

// fault lets hook fail before and after a flush.
func (p *place) fault(hook func() error) {
	if hook == nil {
		p.open.Finish((*bbolt.Tx).Commit)
		return
	}
	p.open.Finish(func(tx *bbolt.Tx) error {
		if err := hook(); err != nil {
			return err
		}
		return errors.Join(tx.Commit(), hook())
	})
}

func TestStore(t *testing.T) { keystoretest.Run(t, harness) }

func BenchmarkStore(b *testing.B) { keystoretest.Benchmark(b, harness) }

func TestZeroStore(t *testing.T) {
	var s boltstore.Store
	_, err := s.Load(ctx, key(0))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Commit(ctx, testutil.Put(key(0), 0, "v"))
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, keystore.ErrClosed)
	require.NoError(t, s.Close())
}
