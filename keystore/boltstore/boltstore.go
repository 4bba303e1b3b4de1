//go:build !wasm

// Package boltstore is the embedded durable [keystore.Store]: one file, of the
// bbolt format, for one process at a time. It is what a device on a phone, a
// desktop or a single server uses, and needs no setting.
//
// # Durable
//
// When Commit returns nil, its changes and the directory entry of the file were
// handed to the disk with fsync (F_FULLFSYNC on macOS, FlushFileBuffers on
// Windows) and the disk said that they are there. They survive the process,
// the system and a loss of power, as far as the disk keeps its word. Until then
// nothing of them is in the file: pages are written beside those in use, and
// one page that is written last says which of them count. A Commit that was
// interrupted is undone by reading that page, without a log or a repair.
//
// A flush takes two fsyncs. Commits that arrive while one is under way wait
// and then share the next, each judged by its own expectations.
//
// # One process
//
// The file is locked while it is open, and whoever opens it a second time, in
// this process or another, is told [keystore.ErrLocked] within a second. The
// lock ends with the process, however it ends. It is the operating system's
// (flock, LockFileEx), so that the file belongs on a local disk, not on a
// network share.
//
// # What the file shows
//
// Nothing is encrypted here; wrap the store for that. A file that is created
// is readable by its owner only (mode 0600), one that exists keeps its mode.
// What was deleted or overwritten stays in the file until its page is used
// again, and the file does not shrink.
//
// # Damage
//
// A file that is not a store's, or whose pages are damaged, is
// [keystore.ErrCorrupt], of the records that can no longer be read, or of
// everything when that cannot be told apart. Damage inside of a value is not
// seen: bbolt's pages carry no checksum. After damage was met in a Commit, no
// more are made until the store is opened again.
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

// A Store is a [keystore.Store] in a file; Open makes one. It may be used from
// several goroutines, and a Store that was not opened is closed.
type Store struct {
	use    sync.RWMutex  // held for reading by what uses db, for writing by Close
	db     *bbolt.DB     // nil: closed
	file   *os.File      // the one that db has open
	turn   chan struct{} // holds one token while its sender writes for all
	mu     sync.Mutex    // guards queue
	queue  []*request
	newest atomic.Uint64 // grows once a Commit's changes can be seen; at most the generation
	health health

	finish func(*bbolt.Tx) error // (*bbolt.Tx).Commit; tests put others
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
	err := s.view(func(t *tables) (err error) {
		var key []byte
		for i := range keys {
			key = appendKey(key[:0], &keys[i])
			if records[i], err = t.load(&keys[i], key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
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
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	if s.health.stuck.Load() {
		return s.abandon()
	}
	return db.Close()
}

// view calls do with the tables of a read transaction. The caller holds s.use.
func (s *Store) view(do func(*tables) error) error {
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
	if s.db == nil {
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

// find returns what is stored under an encoded key.
func (t *tables) find(key []byte) (e entry, found bool, err error) {
	k, v := t.cursor.Seek(key)
	if string(k) != string(key) {
		return entry{}, false, nil
	}
	e, err = parse(k, v)
	return e, true, err
}

// load copies the record of k out, whose encoding is key.
func (t *tables) load(k *keystore.Key, key []byte) (keystore.Record, error) {
	e, found, err := t.find(key)
	if err != nil || !found {
		return keystore.Record{Key: *k}, err
	}
	if !e.is(k) {
		return keystore.Record{}, corrupt("record of another key")
	}
	value, err := t.value(&e)
	return keystore.Record{Key: *k, Value: value, Version: e.version}, err
}

// value copies the Value of an entry out.
func (t *tables) value(e *entry) ([]byte, error) {
	if e.form == outside {
		return t.getLarge(e.reference())
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
