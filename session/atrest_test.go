//go:build !wasm

package session_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A confidant is a store that remembers all it was ever given to keep.
type confidant struct {
	keystore.Store
	mu     sync.Mutex
	values [][]byte
	names  map[string]bool // owners and names
}

func (c *confidant) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, change := range changes {
		c.values = append(c.values, bytes.Clone(change.Value))
		c.names[change.Key.Owner], c.names[change.Key.Name] = true, true
	}
	return c.Store.Commit(ctx, changes...)
}

// leaks counts the pieces of values, and the names, that are in bytes.
func (c *confidant) leaks(disk []byte) (values, names int) {
	type piece [16]byte
	pieces := map[piece]bool{}
	for _, v := range c.values {
		for ; len(v) >= len(piece{}); v = v[len(piece{}):] {
			pieces[piece(v)] = isTelling(v[:len(piece{})])
		}
	}
	for i := range max(0, len(disk)-len(piece{})) {
		if pieces[piece(disk[i:])] {
			values++
		}
	}
	for name := range c.names {
		if len(name) >= 8 && bytes.Contains(disk, []byte(name)) {
			names++
		}
	}
	return values, names
}

// onDisk returns all files of a directory, without the addresses that may be
// seen.
func onDisk(t *testing.T, dir string) (all []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(append(all, b...), 0)
		return err
	}))
	require.NotEmpty(t, all)
	for _, own := range rich.Own { // in every scope
		all = bytes.ReplaceAll(all, []byte(own.User), nil)
	}
	return all
}

// isTelling tells whether bytes are various enough not to be anywhere by chance.
func isTelling(b []byte) bool {
	seen := map[byte]bool{}
	for _, x := range b {
		seen[x] = true
	}
	return len(seen) >= 8
}

// Nothing that devices keep in an encrypted store is in its files, at any time:
// no piece of a value, also not of one that was overwritten or deleted, and,
// where they are blinded, no owner and no name. Nor is what opens the store.
func TestSTO_14_SecretsAtRest(t *testing.T) {
	live := func(dir string, encrypt func(keystore.Store) keystore.Store) *confidant {
		c := &confidant{Store: encrypt(openBolt(t, filepath.Join(dir, "store"))), names: map[string]bool{}}
		w := rich.Fill(t, c)
		m, err := w.Peers[0].Encrypt(ctx, rich.Own[0], []byte("one more"))
		require.NoError(t, err)
		r, err := w.Own[0].Decrypt(ctx, rich.Peers[0], m, nil)
		require.NoError(t, err)
		require.NoError(t, w.Own[0].Acknowledge(ctx, r))
		return c
	}
	plain := t.TempDir()
	c := live(plain, func(s keystore.Store) keystore.Store { return s })
	values, names := c.leaks(onDisk(t, plain))
	require.Greater(t, values, 100) // so the search finds what is there
	require.Greater(t, names, 10)

	first, second := "a passphrase that is in no file", (*[32]byte)([]byte("nor is this key of 32 bytes here"))
	for _, o := range []*keystore.EncryptedOptions{{Memory: 64, Threads: 1}, {Memory: 64, Threads: 1, Blind: true}} {
		dir := t.TempDir()
		var s *keystore.Encrypted
		c := live(dir, func(inner keystore.Store) keystore.Store {
			var err error
			s, err = keystore.OpenEncrypted(ctx, inner, keystore.Unlock{Passphrase: first}, o)
			require.NoError(t, err)
			return s
		})
		for _, change := range []func() error{
			func() error { return nil },
			func() error { return s.Rekey(ctx) },
			func() error { return s.Relock(ctx, keystore.Unlock{Key: second}, nil) },
			s.Close,
		} {
			require.NoError(t, change())
			disk := onDisk(t, dir)
			values, names := c.leaks(disk)
			require.Zero(t, values)
			require.Equal(t, o.Blind, names == 0)
			require.NotContains(t, string(disk), first)
			require.NotContains(t, string(disk), string(second[:]))
		}
	}
}
