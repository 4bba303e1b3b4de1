//go:build js && wasm

// These tests run in a browser: internal/browser does it.
package indexeddb_test

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
	"github.com/gembok-e2ee/gembok/session/examples/chat/indexeddb"
)

var ctx = context.Background()

// A place is a database under test.
type place struct {
	name string
	s    *indexeddb.Store // that was opened last
}

// databases counts them, so that each has a name of its own.
var databases int

func newPlace(t testing.TB) *place {
	t.Helper()
	databases++
	p := &place{name: fmt.Sprint("test ", databases)}
	require.NoError(t, indexeddb.Delete(ctx, p.name)) // what an earlier run has left
	_, err := p.open()
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.s.Close())
		require.NoError(t, indexeddb.Delete(ctx, p.name))
	})
	return p
}

func (p *place) open() (keystore.Store, error) {
	s, err := indexeddb.Open(ctx, p.name)
	if err != nil {
		return nil, err
	}
	p.s = s
	return s, nil
}

// another is for the browser to refuse. Another page is in no other place: the
// lock is the browser's.
func (p *place) another() (keystore.Store, error) {
	s, err := indexeddb.Open(ctx, p.name)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// fault lets hook fail before each call of the browser. What the browser says is
// answered within its events, where a panic is an exception.
func (p *place) fault(hook func() error) {
	if hook == nil {
		p.s.Fault(nil)
		return
	}
	p.s.Fault(func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("an exception: %v", r)
			}
		}()
		return hook()
	})
}

func harness(t testing.TB) keystoretest.Harness {
	t.Helper()
	p := newPlace(t)
	return keystoretest.Harness{Store: p.s, Reopen: p.open, Another: p.another, Fault: p.fault}
}

func TestStore(t *testing.T) { keystoretest.Run(t, harness) }

func BenchmarkStore(b *testing.B) { keystoretest.Benchmark(b, harness) }

func key(name string) keystore.Key {
	return keystore.Key{Scope: "scope", Kind: "kind", Owner: "owner", Name: name}
}

func put(k keystore.Key, expect uint64, value string) keystore.Change {
	return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
}

// No two keys are stored as one, none is stored as the beginning of another, and
// what is read is the key that was stored.
func TestStoredKeys(t *testing.T) {
	parts := []string{"a", "b", "ab", "\x00", "\x01", "\xff", "a\x00", "\x00a", "a\x00\x01", "\x00\xff", "\x00\x01", "\xff\xff", ""}
	seen := map[string]keystore.Key{}
	for _, scope := range parts {
		for _, kind := range parts {
			for _, owner := range parts {
				k := keystore.Key{Scope: scope, Kind: kind, Owner: owner, Name: owner + kind}
				b := indexeddb.StoredKey(k)
				got, ok := indexeddb.ParseKey(b)
				require.Equal(t, k.Valid(), ok)
				if ok {
					require.Equal(t, k, got)
				}
				require.NotContains(t, seen, string(b))
				seen[string(b)] = k
				for cut := range b {
					_, ok := indexeddb.ParseKey(b[:cut])
					require.False(t, ok)
				}
			}
		}
	}
	for _, bad := range []string{"", "a", "\x00", "\x00\x02", "a\x00\x01b\x00\x01\x00\x01c\x00\x02", "a\x00\x01b\x00\x01\x00\x01c\x00\x01d"} {
		_, ok := indexeddb.ParseKey([]byte(bad))
		require.False(t, ok, "%q", bad)
	}
}

// Listing goes on where a page ended, wherever that is.
func TestListPages(t *testing.T) {
	p := newPlace(t)
	all := 0
	for _, n := range []int{indexeddb.PageSize - 1, 1, 1, indexeddb.PageSize - 1, 1} {
		var changes []keystore.Change
		for range n {
			changes = append(changes, put(key(fmt.Sprint(all)), 0, "v"))
			all++
		}
		_, err := p.s.Commit(ctx, changes...)
		require.NoError(t, err)
		seen := map[keystore.Key]bool{}
		for r, err := range p.s.List(ctx, "scope", "kind", "owner") {
			require.NoError(t, err)
			require.False(t, seen[r.Key])
			seen[r.Key] = true
		}
		require.Len(t, seen, all)
	}
}

// A store that is open is not deleted; one that was is empty, and lists as none.
func TestDelete(t *testing.T) {
	p := newPlace(t)
	_, err := p.s.Commit(ctx, put(key("a"), 0, "v"))
	require.NoError(t, err)
	require.ErrorIs(t, indexeddb.Delete(ctx, p.name), keystore.ErrLocked)
	names, err := indexeddb.Databases(ctx, p.name)
	require.NoError(t, err)
	require.Equal(t, []string{p.name}, names)

	require.NoError(t, p.s.Close())
	require.NoError(t, indexeddb.Delete(ctx, p.name))
	names, err = indexeddb.Databases(ctx, p.name)
	require.NoError(t, err)
	require.Empty(t, names)
	_, err = p.open()
	require.NoError(t, err)
	g, err := p.s.Generation(ctx)
	require.NoError(t, err)
	require.Zero(t, g)
}

// A context that has ended opens nothing, and holds nothing up.
func TestOpenContext(t *testing.T) {
	p := newPlace(t)
	require.NoError(t, p.s.Close())
	c, cancel := context.WithCancel(ctx)
	cancel()
	_, err := indexeddb.Open(c, p.name)
	require.ErrorIs(t, err, context.Canceled)
	for range 20 {
		c, cancel := context.WithTimeout(ctx, time.Millisecond)
		s, err := indexeddb.Open(c, p.name)
		cancel()
		switch {
		case err == nil:
			require.NoError(t, s.Close())
		case !errors.Is(err, keystore.ErrLocked): // by the one before, which is not closed yet
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	require.Eventually(t, func() bool {
		_, err := p.open()
		return err == nil
	}, 10*time.Second, time.Millisecond)
}

// Calls by which others take the database away do not wait for the store, which
// then says so.
func TestLost(t *testing.T) {
	p := newPlace(t)
	_, err := p.s.Commit(ctx, put(key("a"), 0, "v"))
	require.NoError(t, err)
	deleted := make(chan string, 1)
	done := js.FuncOf(func(_ js.Value, args []js.Value) any { deleted <- args[0].Get("type").String(); return nil })
	defer done.Release()
	request := js.Global().Get("indexedDB").Call("deleteDatabase", p.name)
	request.Set("onsuccess", done)
	require.Equal(t, "success", <-deleted)
	_, err = p.s.Commit(ctx, put(key("b"), 0, "v"))
	require.ErrorIs(t, err, indexeddb.ErrUnavailable)
	_, err = p.s.Load(ctx, key("a"))
	require.ErrorIs(t, err, indexeddb.ErrUnavailable)
	require.NoError(t, p.s.Close())
	_, err = p.open()
	require.NoError(t, err)
}
