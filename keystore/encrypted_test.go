package keystore_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// unlock is a key.
var unlock = keystore.Unlock{Key: &[32]byte{1, 2, 3}}

// A beneath is what an encrypted store keeps its records in: a Memory that
// lives longer than who has it open, and that may fail.
type beneath struct {
	*keystore.Memory
	closed atomic.Bool
	hook   atomic.Pointer[func() error]
}

func (b *beneath) fails() error {
	if b.closed.Load() {
		return keystore.ErrClosed
	}
	if hook := b.hook.Load(); hook != nil {
		return (*hook)()
	}
	return nil
}

// errFault is what a beneath fails with.
var errFault = errors.New("fault")

// failAt makes the step of a number fail, from 0, and counts the steps.
func (b *beneath) failAt(at int) *int {
	n := new(int)
	hook := func() error {
		if *n++; *n == at+1 {
			return errFault
		}
		return nil
	}
	b.hook.Store(&hook)
	return n
}

func (b *beneath) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	if err := b.fails(); err != nil {
		return nil, err
	}
	return b.Memory.Load(ctx, keys...)
}

func (b *beneath) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if err := b.fails(); err != nil {
		return 0, err
	}
	v, err := b.Memory.Commit(ctx, changes...)
	if err == nil && b.hook.Load() != nil {
		if err := b.fails(); err != nil {
			return 0, fmt.Errorf("%w: %w", keystore.ErrCommitUnknown, err)
		}
	}
	return v, err
}

func (b *beneath) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		if err := b.fails(); err != nil {
			yield(keystore.Record{}, err)
			return
		}
		for r, err := range b.Memory.List(ctx, scope, kind, owner) {
			if failed := b.fails(); failed != nil {
				r, err = keystore.Record{}, failed
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (b *beneath) Generation(ctx context.Context) (uint64, error) {
	if err := b.fails(); err != nil {
		return 0, err
	}
	return b.Memory.Generation(ctx)
}

func (b *beneath) Close() error {
	b.closed.Store(true)
	return nil
}

// A cellar is a beneath that is opened again and again.
type cellar struct {
	*beneath
	opts *keystore.EncryptedOptions
}

func (c *cellar) open(m *keystore.Memory) (keystore.Store, error) {
	c.beneath = &beneath{Memory: m}
	return c.another()
}

func (c *cellar) another() (keystore.Store, error) {
	return keystore.OpenEncrypted(ctx, c.beneath, unlock, c.opts)
}

func (c *cellar) harness(t testing.TB) keystoretest.Harness {
	s, err := c.open(keystore.NewMemory())
	require.NoError(t, err)
	return keystoretest.Harness{
		Store:  s,
		Reopen: func() (keystore.Store, error) { return c.open(c.Memory) },
		Crash:  func() (keystore.Store, error) { return c.open(c.Clone()) },
		Another: func() (keystore.Store, error) {
			return keystore.OpenEncrypted(ctx, &beneath{Memory: c.Memory}, unlock, nil)
		},
		Fault: func(hook func() error) {
			if hook == nil {
				c.hook.Store(nil)
			} else {
				c.hook.Store(&hook)
			}
		},
	}
}

func encrypted(o *keystore.EncryptedOptions) func(testing.TB) keystoretest.Harness {
	return func(t testing.TB) keystoretest.Harness { return (&cellar{opts: o}).harness(t) }
}

// overMemory is one without a hook.
func overMemory(o *keystore.EncryptedOptions) func(testing.TB) keystoretest.Harness {
	return func(t testing.TB) keystoretest.Harness {
		s, err := keystore.OpenEncrypted(ctx, keystore.NewMemory(), unlock, o)
		require.NoError(t, err)
		return keystoretest.Harness{Store: s}
	}
}

var blind = &keystore.EncryptedOptions{Blind: true}

func TestEncrypted(t *testing.T) { keystoretest.Run(t, encrypted(nil)) }

func TestEncryptedBlind(t *testing.T) {
	notShort(t)
	keystoretest.Run(t, encrypted(blind))
}

// notShort skips what differs from two runs of the kit that are made with -short
// too, over a Memory with plain names and over a file with blind ones.
func notShort(t *testing.T) {
	if testing.Short() {
		t.Skip("of the four runs of the kit -short has two")
	}
}
