//go:build js && wasm

// Package indexeddb is the [keystore.Store] of a page: one database of the
// browser's IndexedDB, for one page at a time.
//
// # Durable
//
// A Commit is one transaction of strict durability. When Commit returns nil, the
// browser has said by the transaction's "complete" event that the changes were
// handed to the disk: they survive the end of the page and of the browser. What
// the event did not come for is there in whole or not at all.
//
// A browser may clear what a page has stored when the disk runs short, and does
// when its person asks for it. A page that keeps keys asks for persistence
// (navigator.storage.persist), which is the page's to do.
//
// # One page
//
// The database is held by a lock of navigator.locks while it is open. Whoever
// opens it too, in this page or in another, is told [keystore.ErrLocked]. The
// lock ends with the page, in whatever way it ends.
//
// # What the browser shows
//
// Nothing is encrypted here, and the database belongs to the origin: whatever
// script runs in a page of it can read all of it, and so can its person.
package indexeddb

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A Store is a [keystore.Store] in a database, which Open makes. It may be used
// from several goroutines. The zero Store is closed.
type Store struct {
	use    sync.RWMutex  // held for reading by what uses db, for writing by Close
	opened bool          // and not closed
	gone   bool          // db was given up before Close
	db     js.Value      // an IDBDatabase
	lost   js.Func       // handles the events by which db is lost
	cut    chan struct{} // closed when the browser has closed db
	unlock func()

	fault func() error // nil; tests put one that is asked before each step
}

var _ keystore.Store = (*Store)(nil)

// Load implements [keystore.Store].
func (s *Store) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	for i := range keys {
		if !keys[i].Valid() {
			return nil, fmt.Errorf("%w: load of key %d: empty scope or kind", keystore.ErrInvalid, i)
		}
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil || len(keys) == 0 {
		return nil, err
	}
	found := make([]js.Value, len(keys))
	err := s.run(ctx, readonly, func(t *transaction) (err error) {
		for i := range keys {
			if found[i], err = t.request(t.records, "get", toJS(appendKey(nil, &keys[i]))); err != nil {
				return err
			}
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	records := make([]keystore.Record, len(keys))
	for i := range keys {
		if records[i], err = record(keys[i], found[i].Get("result")); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Generation implements [keystore.Store].
func (s *Store) Generation(ctx context.Context) (newest uint64, err error) {
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	var counter js.Value
	err = s.run(ctx, readonly, func(t *transaction) (err error) {
		counter, err = t.request(t.meta, "get", generation)
		return err
	}, nil)
	if err != nil {
		return 0, err
	}
	return number(counter.Get("result"))
}

// pageSize is how many records a List reads at once.
const pageSize = 128

// List implements [keystore.Store].
func (s *Store) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		l := newListing(scope, kind, owner)
		for !l.done {
			records, err := s.page(ctx, l)
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
			if err != nil {
				yield(keystore.Record{}, err)
				return
			}
		}
	}
}

// page reads the next records of a listing.
func (s *Store) page(ctx context.Context, l *listing) ([]keystore.Record, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	var keys, values js.Value
	err := s.run(ctx, readonly, func(t *transaction) (err error) {
		if keys, err = t.request(t.records, "getAllKeys", l.rest(), pageSize); err != nil {
			return err
		}
		values, err = t.request(t.records, "getAll", l.rest(), pageSize)
		return err
	}, nil)
	if err != nil {
		return nil, err
	}
	return l.take(keys.Get("result"), values.Get("result"))
}

// Close implements [keystore.Store].
func (s *Store) Close() error {
	s.use.Lock()
	defer s.use.Unlock()
	if !s.opened {
		return nil
	}
	s.opened = false
	s.disconnect()
	s.unlock()
	return nil
}

// usable tells why nothing can be done, if so. The lock is held.
func (s *Store) usable(ctx context.Context) error {
	if !s.opened {
		return keystore.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.gone {
		return errGone
	}
	return nil
}
