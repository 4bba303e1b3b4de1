package session_test

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A spy is a store that tells what was asked of it, and that fails on demand.
type spy struct {
	keystore.Store
	loads   [][]keystore.Key
	lists   int
	commits [][]keystore.Change
	// fail, if set, is asked before each call, and after each Commit; calls
	// counts them.
	fail  func(call string, n int) error
	calls int
	// lie, if set beside fail, changes what Load answers.
	lie func(n int, recs []keystore.Record) []keystore.Record
}

func (s *spy) ask(call string) error {
	if s.fail == nil {
		return nil
	}
	s.calls++
	return s.fail(call, s.calls)
}

func (s *spy) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	s.loads = append(s.loads, append([]keystore.Key(nil), keys...))
	if err := s.ask("load"); err != nil {
		return nil, err
	}
	recs, err := s.Store.Load(ctx, keys...)
	if err == nil && s.lie != nil {
		recs = s.lie(s.calls, recs)
	}
	return recs, err
}

func (s *spy) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	s.commits = append(s.commits, append([]keystore.Change(nil), changes...))
	if err := s.ask("commit"); err != nil {
		return 0, err
	}
	v, err := s.Store.Commit(ctx, changes...)
	if err != nil {
		return 0, err
	}
	if err := s.ask("committed"); err != nil {
		return 0, err
	}
	return v, nil
}

func (s *spy) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	s.lists++
	if err := s.ask("list"); err != nil {
		return func(yield func(keystore.Record, error) bool) { yield(keystore.Record{}, err) }
	}
	return s.Store.List(ctx, scope, kind, owner)
}

// spied opens the device of s again, over its store, with somebody watching.
func (s *side) spied(t testing.TB) (*side, *spy) {
	t.Helper()
	watch := &spy{Store: s.store}
	d, err := session.Open(ctx, watch, s.Address(), s.opts)
	require.NoError(t, err)
	watch.loads = nil
	return &side{Device: d, store: s.store, identity: s.identity, opts: s.opts}, watch
}

// archives counts the archive records that were loaded.
func (s *spy) archives() (n int) {
	for _, keys := range s.loads {
		for _, k := range keys {
			if k.Kind == "archive" {
				n++
			}
		}
	}
	return n
}

func (s *spy) reset() { s.loads, s.lists, s.commits, s.calls = nil, 0, nil, 0 }
