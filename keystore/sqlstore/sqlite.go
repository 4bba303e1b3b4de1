package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"strings"
	"time"
)

// sqlite is the engine of SQLite.
type sqlite struct {
	steps [][]string
}

func newSQLite() *sqlite { return &sqlite{steps: [][]string{sqliteSchema}} }

// sqliteSchema is the schema's first format.
var sqliteSchema = []string{
	`CREATE TABLE gembok_records (id BLOB NOT NULL PRIMARY KEY, version INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL)`,
	`CREATE TABLE gembok_meta (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, newest INTEGER NOT NULL, tokens BLOB NOT NULL)`,
	`INSERT INTO gembok_meta (one, format, newest, tokens) VALUES (1, 1, 0, x'')`,
}

const (
	sqliteThere  = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'gembok_meta'`
	sqliteFormat = `SELECT format FROM gembok_meta`
	sqliteStamp  = `UPDATE gembok_meta SET format = ?1`

	// A connection keeps its settings, but may be a new one each time. The last
	// one keeps old pages, which a statement may need again, out of temporary files.
	sqliteSettings = `PRAGMA busy_timeout = 250; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY`

	sqliteTake   = `UPDATE gembok_meta SET newest = newest + 1, tokens = substr(CAST(?1 || tokens AS BLOB), 1, 512)`
	sqliteRecent = `SELECT newest, tokens FROM gembok_meta`
)

var sqliteStatements = statements{
	load:     sqliteFind("r.key, r.value"),
	versions: sqliteFind("NULL, NULL"),
	list: `SELECT (SELECT format FROM gembok_meta), id, key, version, value FROM gembok_records
		WHERE id >= ?1 AND id < ?2
		AND (coalesce(length(?3), 0) = 0 OR substr(id, 9, 4) = ?3) AND (coalesce(length(?4), 0) = 0 OR substr(id, 13, 8) = ?4)
		ORDER BY id LIMIT 256`,
	generation: `SELECT format, newest, newest FROM gembok_meta`,
}

func sqliteFind(columns string) string {
	return `WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i + 1 < ?2)
		SELECT m.format, m.newest, k.i, r.version, ` + columns + `
		FROM gembok_meta m CROSS JOIN k LEFT JOIN gembok_records r ON r.id = substr(?1, k.i * 52 + 1, 52)`
}

func (*sqlite) statements() *statements { return &sqliteStatements }

func (*sqlite) writers() int { return 1 }

func (e *sqlite) open(ctx context.Context, db *sql.DB) error {
	return patiently(ctx, func() error {
		return onConn(ctx, db, func(c *sql.Conn) (bool, error) { return e.prepare(ctx, c) })
	})
}

// prepare makes the file what it must be, and writes nothing if it is.
func (e *sqlite) prepare(ctx context.Context, c *sql.Conn) (sound bool, err error) {
	have, err := e.format(ctx, c)
	if err != nil {
		return true, err
	}
	if err := writeAhead(ctx, c); err != nil || have == len(e.steps) {
		return true, err
	}
	return sqliteDo(ctx, c, ownTransaction, func() error {
		have, err := e.format(ctx, c)
		if err != nil {
			return err
		}
		return migrate(ctx, c, have, e.steps, sqliteStamp, func(text string) string { return text })
	})
}

func (e *sqlite) format(ctx context.Context, q querier) (int, error) {
	return formatOf(ctx, q, sqliteThere, sqliteFormat, len(e.steps))
}

// writeAhead sees to it that the file has a write-ahead log.
func writeAhead(ctx context.Context, c *sql.Conn) error {
	var mode string
	for _, pragma := range []string{`PRAGMA journal_mode`, `PRAGMA journal_mode = WAL`} {
		if err := queryRow(ctx, c, pragma, nil, &mode); err != nil || mode == "wal" {
			return err
		}
	}
	return errors.New("sqlstore: this database cannot have a write-ahead log: " + mode)
}

// An enclosure is how a transaction, or one within another, begins and ends.
type enclosure struct{ begin, commit, rollback []string }

var (
	ownTransaction = enclosure{[]string{sqliteSettings, "BEGIN IMMEDIATE"}, []string{"COMMIT"}, []string{"ROLLBACK"}}
	appTransaction = enclosure{
		[]string{"PRAGMA secure_delete = ON", "SAVEPOINT gembok"}, []string{"RELEASE gembok"}, []string{"ROLLBACK TO gembok", "RELEASE gembok"},
	}
)

// errAtEnd marks the error of a COMMIT.
type errAtEnd struct{ error }

func (e errAtEnd) Unwrap() error { return e.error }

// sqliteDo calls do within an enclosure, and takes back what it did if it fails.
// No context interrupts the end, so that there is an answer. An errAtEnd is from
// there. Sound tells whether the connection is out of the enclosure.
func sqliteDo(ctx context.Context, q querier, e enclosure, do func() error) (sound bool, err error) {
	end := context.WithoutCancel(ctx)
	if err := exec(ctx, q, e.begin...); err != nil {
		return isBusy(sqliteCode(err)) || exec(end, q, e.rollback...) == nil, err
	}
	if err = do(); err == nil {
		err = ctx.Err()
	}
	if err == nil {
		if err = exec(end, q, e.commit...); err == nil {
			return true, nil
		}
		err = errAtEnd{err}
	}
	return exec(end, q, e.rollback...) == nil, err
}

func (e *sqlite) commit(ctx context.Context, s *Store, b *batch) (version uint64, err error) {
	err = patiently(ctx, func() error {
		var token [tokenSize]byte
		rand.Read(token[:])
		err := onConn(ctx, s.db, func(c *sql.Conn) (sound bool, err error) {
			if err := writeAhead(ctx, c); err != nil { // a connection may have come with a journal_mode of its own
				return true, err
			}
			return sqliteDo(ctx, c, ownTransaction, func() error {
				version, err = e.apply(ctx, c, b, token[:])
				return err
			})
		})
		if end, ok := err.(errAtEnd); ok {
			return e.settle(ctx, s.db, version, token[:], end.error)
		}
		return err
	})
	return version, failed(ctx, err)
}

// settle tells what became of a COMMIT that failed with err, and of the version
// that it would have given. The transaction is over.
//
// What others cannot see was not made. But after an error of the disk the log
// may hold a whole transaction that nobody sees and a recovery finds, so that
// only what can be seen is certain.
func (e *sqlite) settle(ctx context.Context, db *sql.DB, version uint64, token []byte, err error) error {
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var newest int64
	var tokens []byte
	lookErr := patiently(look, func() error { return queryRow(look, db, sqliteRecent, nil, &newest, &tokens) })
	switch {
	case lookErr != nil:
		return unknown(err)
	case hasToken(tokens, token):
		return nil
	case sqliteCode(err)&0xff == sqliteIO, newest >= int64(version)+recentTokens:
		return unknown(err)
	}
	return err
}

// commitIn asks first whether there is a transaction, since SQLite takes one back
// by itself where a statement is interrupted, or finds no room. A savepoint would
// begin a new one then, and end it.
func (e *sqlite) commitIn(ctx context.Context, tx *sql.Tx, b *batch) (version uint64, err error) {
	if exec(ctx, tx, "BEGIN") == nil { // refused within a transaction
		return 0, errors.Join(sql.ErrTxDone, exec(context.WithoutCancel(ctx), tx, "ROLLBACK"))
	}
	_, err = sqliteDo(ctx, tx, appTransaction, func() error {
		var token [tokenSize]byte
		rand.Read(token[:])
		version, err = e.apply(ctx, tx, b, token[:])
		return err
	})
	if code := sqliteCode(err); code == sqliteBusyStale {
		return 0, &databaseError{b.conflictOfAll(), err}
	}
	return version, err
}

// apply makes a batch in a transaction. It writes before it reads, so that one
// that only reads so far gets the lock before it has a snapshot.
func (e *sqlite) apply(ctx context.Context, q querier, b *batch, token []byte) (version uint64, err error) {
	if _, err := q.ExecContext(ctx, sqliteTake, token); err != nil {
		return 0, err
	}
	versions := make([]int64, len(b.order))
	newest, err := find(ctx, q, sqliteStatements.versions, b.ids, func(i int, version int64, _, _ []byte) { versions[i] = version })
	if err != nil {
		return 0, err
	}
	if err := b.judge(versions); err != nil {
		return 0, err
	}
	for from, to := 0, 0; from < b.puts; from = to {
		to = b.portion(from)
		if err := sqlitePut(ctx, q, b, newest, from, to); err != nil {
			return 0, err
		}
	}
	for from, end := b.puts, b.puts+b.deletes; from < end; from += sqliteRows {
		if err := sqliteDelete(ctx, q, b, from, min(from+sqliteRows, end)); err != nil {
			return 0, err
		}
	}
	return uint64(newest), nil
}

// What one statement puts at most, one record excepted.
const (
	sqliteRows  = 128
	sqliteBytes = 4 << 20
)

// portion returns the end of the puts that begin at from and go together.
func (b *batch) portion(from int) (to int) {
	size := 0
	for to = from; to < b.puts && to < from+sqliteRows; to++ {
		if size += len(b.change(to).Value); size > sqliteBytes && to > from {
			break
		}
	}
	return to
}

func sqlitePut(ctx context.Context, q querier, b *batch, version int64, from, to int) error {
	args := make([]any, 0, 4*sqliteRows)
	for at := from; at < to; at++ {
		c := b.change(at)
		value := c.Value
		if value == nil {
			value = []byte{}
		}
		args = append(args, b.id(at), version, appendKey(nil, &c.Key), value)
	}
	_, err := q.ExecContext(ctx, `INSERT INTO gembok_records (id, version, key, value) VALUES (?, ?, ?, ?)`+
		strings.Repeat(`, (?, ?, ?, ?)`, to-from-1)+
		` ON CONFLICT (id) DO UPDATE SET version = excluded.version, key = excluded.key, value = excluded.value`, args...)
	return err
}

func sqliteDelete(ctx context.Context, q querier, b *batch, from, to int) error {
	args := make([]any, 0, sqliteRows)
	for at := from; at < to; at++ {
		args = append(args, b.id(at))
	}
	_, err := q.ExecContext(ctx, `DELETE FROM gembok_records WHERE id IN (?`+strings.Repeat(`, ?`, to-from-1)+`)`, args...)
	return err
}

// close empties the log, in which deleted records live on, if nobody uses it.
func (*sqlite) close(db *sql.DB) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = exec(ctx, db, `PRAGMA wal_checkpoint(TRUNCATE)`)
}
