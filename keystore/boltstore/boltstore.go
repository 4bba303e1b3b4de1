//go:build !wasm

// Package boltstore is the embedded durable [keystore.Store]: one file, of the
// bbolt format, for one process at a time. It is what a device on a phone, a
// desktop or a single server uses, and needs no setting.
//
// # Durable
//
// When Commit returns nil, the system was told to bring its changes to the disk
// (fdatasync, F_FULLFSYNC on macOS, FlushFileBuffers on Windows) and said that
// they are there. They survive the end of the process, of the system and of the
// power, as far as the disk keeps its word. Pages are written beside those in
// use, and at last one that says which of them count: what a crash interrupted
// is not there, and there is nothing to repair.
//
// A Load may see a Commit while it is being flushed; what is committed on top of
// that is durable only together with it.
//
// A flush takes two such calls. Commits that come while one is under way wait
// and share the next, each judged by its own expectations, one after the other.
//
// # One process
//
// The file is locked while it is open. Whoever opens it too, in this process or
// in another, is told [keystore.ErrLocked] within a second. The lock ends with
// the process, in whatever way it ends. It is the operating system's (flock,
// LockFileEx): the file belongs on a local disk, not on a network share.
//
// # What the file shows
//
// Nothing is encrypted here; for that, wrap the store. A file that Open makes
// is its owner's only (mode 0600), one that exists keeps its mode. What was
// deleted or overwritten stays in the file until its page is used again, and
// the file does not shrink; until [Store.Compact], which an app may call when it
// has deleted much, or something that shall be gone.
//
// # Room
//
// A Commit for which the disk has no room is [keystore.ErrFull]; once there is
// room, the next one works. Without any, there may be none even to delete:
// pages are written anew before old ones are free. On systems of 32 bits a
// file has at most 2 GiB, less what else is in memory. Where the system refuses
// to map a file that has grown, the store does nothing more but Close; open it
// again.
//
// # Damage
//
// A file that is no store, or whose pages are damaged, is
// [keystore.ErrCorrupt]. Each record has a checksum, so that one whose bytes were
// changed is a [keystore.CorruptError] for itself alone: it can be deleted or
// put anew. There is damage that bbolt believes, since its pages have no
// checksum, and that can hold up or end the process: a branch that leads back to
// where it comes from, a page that says it is longer than it is. [Check] finds
// it, before Open. After damage was met in a Commit, no more are made until the
// store is opened again.
//
// A file that is cut off while it is open is [keystore.ErrCorrupt] too, from
// then on: reading what is gone is a fault that is caught.
package boltstore

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A Store is a [keystore.Store] in a file, which Open makes. It may be used from
// several goroutines. The zero Store is closed.
type Store struct {
	use     sync.RWMutex // held for reading by what uses db, for writing by Close
	opened  bool         // and not closed
	path    string       // of the file, wherever names lead
	db      *bbolt.DB
	file    *os.File      // the one that db has open
	swap    sync.RWMutex  // guards db and file against Compact; whoever has the turn need not hold it
	turn    chan struct{} // holds one token while its sender writes for all
	mu      sync.Mutex    // guards queue
	queue   []*request
	buffers sync.Pool     // of *[]byte, empty
	newest  atomic.Uint64 // grows once a Commit's changes can be seen; at most the generation
	health  health

	options Options
	finish  func(*bbolt.Tx) error // (*bbolt.Tx).Commit; tests put others
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
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	records := make([]keystore.Record, len(keys))
	damaged := new(keystore.CorruptError)
	err := s.view(func(t *tables) error {
		var key []byte
		for i := range keys {
			key = appendKey(key[:0], &keys[i])
			var intact bool
			if records[i], intact = t.load(&keys[i], key); !intact {
				damaged.Keys = append(damaged.Keys, keys[i])
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if damaged.Keys != nil {
		return records, damaged
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
	return s.generation()
}

func (s *Store) generation() (newest uint64, err error) {
	err = s.view(func(t *tables) error {
		newest = t.records.Sequence()
		return nil
	})
	return newest, err
}

// Close implements [keystore.Store]. Commits that wait are made first.
func (s *Store) Close() error {
	s.use.Lock()
	defer s.use.Unlock()
	if !s.opened {
		return nil
	}
	s.opened = false
	if s.health.stuck.Load() {
		return s.abandon()
	}
	return storageError(s.db.Close())
}

// view calls do with the tables of a read transaction. The caller holds s.use.
func (s *Store) view(do func(*tables) error) error {
	s.swap.RLock()
	defer s.swap.RUnlock()
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	defer s.rollback(tx)
	return storageError(guard(func() error {
		t, err := newTables(tx)
		if err != nil {
			return err
		}
		return do(t)
	}))
}

// usable tells why nothing can be done, if so. The caller holds s.use.
func (s *Store) usable(ctx context.Context) error {
	if !s.opened {
		return keystore.ErrClosed
	}
	return ctx.Err()
}

// tables is what a transaction sees. Everything in it ends with the
// transaction.
type tables struct {
	tx      *bbolt.Tx
	records *bbolt.Bucket // its sequence is the generation
	cursor  *bbolt.Cursor // of records
}

func newTables(tx *bbolt.Tx) (*tables, error) {
	b := tx.Bucket(recordsName)
	if b == nil {
		return nil, corrupt("no records")
	}
	return &tables{tx, b, b.Cursor()}, nil
}

// large returns the bucket of the large values, which every store has.
func (t *tables) large() *bbolt.Bucket { return t.tx.Bucket(largeName) }

// find returns what is stored under an encoded key. Its error is of that record
// alone, and comes with what is known of it.
func (t *tables) find(key []byte) (e entry, found bool, err error) {
	k, v := t.cursor.Seek(key)
	if string(k) != string(key) {
		return entry{}, false, nil
	}
	e, err = parse(k, v)
	return e, true, err
}

// load copies the record of k out, whose encoding is key. One that is not intact
// has no Value.
func (t *tables) load(k *keystore.Key, key []byte) (r keystore.Record, intact bool) {
	e, found, err := t.find(key)
	r = keystore.Record{Key: *k, Version: e.version}
	if err != nil || found && !e.is(k) {
		return r, false
	}
	if found {
		r.Value, err = t.value(&e)
	}
	return r, err == nil
}

// value copies the Value of an entry out.
func (t *tables) value(e *entry) ([]byte, error) {
	if e.form == outside {
		return t.getLarge(parseReference(e.rest))
	}
	if int64(len(e.rest)) > t.tx.Size() {
		return nil, corrupt("length of a value")
	}
	return slices.Clone(e.rest), nil
}

const redacted = "redacted"

// Format implements [fmt.Formatter].
func (*Store) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (*Store) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (*Store) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
