//go:build !wasm

package session_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/session"
)

// A file is copied, and later put back, as a backup is.
func TestSTO_04_BoltFilePutBack(t *testing.T) {
	p, sent := friends(t), counters{}
	path, backup := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "backup")
	var store *boltstore.Store
	open := func() {
		t.Helper()
		store = openBolt(t, path)
		d, err := session.Open(ctx, store, bobAddress, p.bob.opts)
		require.NoError(t, err)
		p.bob = &side{Device: d, store: store, identity: p.bob.identity, opts: p.bob.opts}
	}
	copyFile := func(from, to string) {
		t.Helper()
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, b, 0o600))
	}
	move(t, p.bob.store, path)
	open()
	p.goesOn(t)
	require.NoError(t, store.Close())
	copyFile(path, backup)

	open()
	require.NoError(t, session.CheckGeneration(ctx, store, testutil.Generation(t, store)))
	for range 3 {
		sent.left(t, p.bob.send(t, p.alice, "after the backup"))
	}
	late := p.alice.send(t, p.bob, "late")
	p.bob.reads(t, p.alice, late, "late")
	mark := testutil.Generation(t, store)
	require.NoError(t, store.Close())
	copyFile(backup, path)

	for range 2 { // whoever starts again before AfterRestore is told again
		open()
		require.ErrorIs(t, session.CheckGeneration(ctx, store, mark), keystore.ErrRolledBack)
		_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
		refused(t, err, keystore.ErrRolledBack)
		require.NoError(t, store.Close())
	}
	open()
	require.NoError(t, p.bob.AfterRestore(ctx))
	mark = testutil.Generation(t, store)
	p.bob.reads(t, p.alice, late, "late")
	p.bob.begin(t, p.alice)
	for range 3 {
		m := p.bob.send(t, p.alice, "again")
		sent.left(t, m)
		p.alice.reads(t, p.bob, m, "again")
	}
	require.NoError(t, store.Close())
	open()
	require.NoError(t, session.CheckGeneration(ctx, store, mark))
	p.goesOn(t)
}

// move makes a bolt file of what a store has.
func move(t testing.TB, from keystore.Store, path string) {
	t.Helper()
	var changes []keystore.Change
	for _, r := range testutil.Records(t, from) {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	to, err := boltstore.Open(path, nil)
	require.NoError(t, err)
	testutil.Commit(t, to, changes...)
	require.NoError(t, to.Close())
}

// BenchmarkAfterRestore takes up a device with 1,000 sessions, in memory and in
// a bolt file.
func BenchmarkAfterRestore(b *testing.B) {
	p := popular(b, 1000, 0)
	run := func(b *testing.B, open func() keystore.Store) {
		for b.Loop() {
			b.StopTimer()
			store := open()
			d, err := session.Open(ctx, store, bobAddress, p.bob.opts)
			require.NoError(b, err)
			b.StartTimer()
			require.NoError(b, d.AfterRestore(ctx))
		}
	}
	b.Run("memory", func(b *testing.B) {
		run(b, func() keystore.Store { return copyOf(b, p.bob.store) })
	})
	b.Run("bolt", func(b *testing.B) {
		run(b, func() keystore.Store {
			path := filepath.Join(b.TempDir(), "store")
			move(b, p.bob.store, path)
			store, err := boltstore.Open(path, nil)
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, store.Close()) })
			return store
		})
	})
}
