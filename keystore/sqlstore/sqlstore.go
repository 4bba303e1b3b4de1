package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A Dialect is the kind of database. The zero Dialect is none.
type Dialect byte

const (
	// SQLite is version 3.24 or later.
	SQLite Dialect = 1 + iota
	// PostgreSQL is version 11 or later.
	PostgreSQL
)

// Options of a Store. Nil, and the zero Options, are the defaults.
type Options struct {
	// CloseDB makes Close close the database too. The default leaves that to
	// whoever opened it.
	CloseDB bool
}

// format is that of the schema: how many of the steps that make it were made.
const format = 1

// A Store is a [keystore.Store] in a database, which Open makes. It may be used
// from several goroutines, and from any number of processes at once. The zero
// Store is closed.
type Store struct {
	use     sync.RWMutex // held for reading by what uses db, for writing by Close
	db      *sql.DB      // nil: closed
	closeDB bool
	engine  engine
	turn    chan struct{} // holds a token for each Commit under way
	seen    atomic.Int64  // newest turn of the store that was met; see [postgres]
}

// An engine is what the dialects differ in.
type engine interface {
	// open makes the schema.
	open(ctx context.Context, db *sql.DB) error
	// writers is how many Commits go to the database at a time.
	writers() int
	statements() *statements
	// commit makes a batch in a transaction of its own.
	commit(ctx context.Context, s *Store, b *batch) (version uint64, err error)
	// commitIn makes a batch in a transaction of the app's.
	commitIn(ctx context.Context, tx *sql.Tx, b *batch) (version uint64, err error)
	close(db *sql.DB)
}

// statements are those that all engines have, each in its own words.
type statements struct {
	load       string // (ids, n): format, turn, number of the id, version, key, value
	versions   string // the same, with NULL for the last two
	list       string // (first id, id after the last, kind, owner): format, id, key, version, value
	generation string // (): format, turn, newest
}

var _ keystore.Store = (*Store)(nil)

// Open opens the store in a database, whose tables it makes where there are
// none; see the package comment for what db must be.
//
// Errors: [keystore.ErrNewerFormat] if a newer release made the tables, which
// are left as they are; [keystore.ErrCorrupt] for a file that is no database;
// and the driver's. An Open that failed, or was killed, has made the tables in
// whole or not at all, and may be repeated.
func Open(ctx context.Context, db *sql.DB, d Dialect, o *Options) (*Store, error) {
	switch d {
	case SQLite:
		return open(ctx, db, newSQLite(), o)
	case PostgreSQL:
		return open(ctx, db, newPostgres(), o)
	}
	return nil, fmt.Errorf("sqlstore: %w: unknown dialect %d", keystore.ErrInvalid, d)
}

func open(ctx context.Context, db *sql.DB, e engine, o *Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := e.open(ctx, db); err != nil {
		return nil, opening(ctx, err)
	}
	s := &Store{db: db, engine: e, turn: make(chan struct{}, e.writers())}
	s.closeDB = o != nil && o.CloseDB
	if _, err := s.Generation(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// opening is failed for what happens before there are records, so that the text
// may be the driver's.
func opening(ctx context.Context, err error) error {
	err = failed(ctx, err)
	if e, ok := err.(*databaseError); ok {
		if e.kind != nil {
			return fmt.Errorf("sqlstore: %w: %w", e.kind, e.cause)
		}
		return fmt.Errorf("sqlstore: %w", e.cause)
	}
	return err
}

// Load implements [keystore.Store].
func (s *Store) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	for i := range keys {
		if !keys[i].Valid() {
			return nil, fmt.Errorf("%w: load of key %d: empty scope or kind", keystore.ErrInvalid, i)
		}
	}
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	records := make([]keystore.Record, len(keys))
	ids := make([]byte, 0, idSize*len(keys))
	for i := range keys {
		records[i].Key = keys[i]
		ids = appendID(ids, &keys[i])
	}
	bad := make([]bool, len(keys))
	var buf []byte
	err := s.find(ctx, s.engine.statements().load, ids, func(i int, version int64, key, value []byte) {
		buf = appendKey(buf[:0], &keys[i])
		records[i].Version, records[i].Value = uint64(version), value
		bad[i] = version < 0 || version > 0 && !bytes.Equal(key, buf)
	})
	if err != nil {
		return nil, err
	}
	return records, damaged(records, bad)
}

// damaged returns the error of records under another key than theirs, or with a
// version that nobody can have given: those that List calls damaged.
func damaged(records []keystore.Record, bad []bool) error {
	var e keystore.CorruptError
	for i := range records {
		if bad[i] {
			records[i].Value = nil
			e.Keys = append(e.Keys, records[i].Key)
		}
	}
	if e.Keys == nil {
		return nil
	}
	return &e
}

// find runs a statement that answers for each of several ids, in any order.
func (s *Store) find(ctx context.Context, text string, ids []byte, each func(i int, version int64, key, value []byte)) error {
	return s.read(ctx, func(q querier) error {
		turn, err := find(ctx, q, text, ids, each)
		s.see(turn)
		return err
	})
}

// find is the same on a querier; it returns the store's turn, too.
func find(ctx context.Context, q querier, text string, ids []byte, each func(i int, version int64, key, value []byte)) (turn int64, err error) {
	n := len(ids) / idSize
	if n == 0 {
		return 0, nil
	}
	found := 0
	err = query(ctx, q, text, []any{ids, n}, func(rows *sql.Rows) error {
		var form, i int
		var version sql.NullInt64
		var key, value []byte
		if err := scan(rows, &form, &turn, &i, &version, &key, &value); err != nil {
			return err
		}
		if form != format {
			return errNewer
		}
		found++
		each(i, version.Int64, key, value)
		return nil
	})
	if err == nil && found != n {
		return turn, errNoMeta
	}
	return turn, err
}

// see remembers the newest turn.
func (s *Store) see(turn int64) {
	for old := s.seen.Load(); old < turn && !s.seen.CompareAndSwap(old, turn); old = s.seen.Load() {
	}
}

// Commit implements [keystore.Store].
func (s *Store) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if err := keystore.Validate(changes); err != nil {
		return 0, err
	}
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.use.RUnlock()
	b := newBatch(changes)
	version, err := s.commit(ctx, b)
	if err != nil {
		return 0, err
	}
	return version, nil
}

func (s *Store) commit(ctx context.Context, b *batch) (uint64, error) {
	if !b.writes() {
		return 0, s.check(ctx, b)
	}
	if tx := joined(ctx); tx != nil {
		version, err := s.engine.commitIn(ctx, tx, b)
		return version, failed(ctx, err)
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return s.engine.commit(ctx, s, b)
}

// check judges expectations alone, of one snapshot.
func (s *Store) check(ctx context.Context, b *batch) error {
	versions := make([]int64, len(b.order))
	err := s.find(ctx, s.engine.statements().versions, b.ids, func(i int, version int64, _, _ []byte) { versions[i] = version })
	if err != nil {
		return err
	}
	return b.judge(versions)
}

// judge compares what is expected with what there is.
func (b *batch) judge(versions []int64) error {
	var lost []int
	for at, version := range versions {
		if version != b.expects(at) {
			lost = append(lost, at)
		}
	}
	return b.conflict(lost)
}

// Generation implements [keystore.Store].
func (s *Store) Generation(ctx context.Context) (uint64, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.use.RUnlock()
	var newest int64
	err := s.read(ctx, func(q querier) error {
		var form int
		var turn int64
		if err := queryRow(ctx, q, s.engine.statements().generation, nil, &form, &turn, &newest); err != nil {
			return err
		}
		if form != format {
			return errNewer
		}
		s.see(turn)
		return nil
	})
	return uint64(newest), err
}

// read calls do, again while others have the database locked, unless that is in
// a transaction of the app's.
func (s *Store) read(ctx context.Context, do func(querier) error) error {
	if tx := joined(ctx); tx != nil {
		return failed(ctx, do(tx))
	}
	return failed(ctx, patiently(ctx, func() error { return do(s.db) }))
}

// patience is how long a locked database is waited for.
const patience = 30 * time.Second

// patiently calls do again while it fails because others have the database
// locked, for as long as patience and the context last.
func patiently(ctx context.Context, do func() error) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := do()
		if !isBusy(sqliteCode(err)) || !wait(limited, pause) {
			return err
		}
	}
}

// wait tells whether ctx lasts as long as that.
func wait(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Close implements [keystore.Store]. The database stays open, unless
// [Options.CloseDB] says otherwise.
func (s *Store) Close() error {
	s.use.Lock()
	defer s.use.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	s.engine.close(db)
	if !s.closeDB {
		return nil
	}
	return failed(context.Background(), db.Close())
}

// enter begins a call that use.RUnlock ends, or tells why there can be none.
//
// A Close that waits counts as done. To wait for it in turn would be to wait for
// ever: the Commit that it waits for may itself wait for the app's transaction,
// in which the caller is about to go on.
func (s *Store) enter(ctx context.Context) error {
	if !s.use.TryRLock() {
		return keystore.ErrClosed
	}
	err := ctx.Err()
	if s.db == nil {
		err = keystore.ErrClosed
	}
	if err != nil {
		s.use.RUnlock()
	}
	return err
}

const redacted = "redacted"

// Format implements [fmt.Formatter].
func (*Store) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (*Store) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (*Store) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
