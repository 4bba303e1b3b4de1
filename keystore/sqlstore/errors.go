package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A databaseError is what a driver said, with the sentinel that fits in front.
// Its text is made of what cannot hold a part of a record: drivers quote
// arguments.
type databaseError struct {
	kind  error // nil: none of keystore's
	cause error
}

func (e *databaseError) Error() string {
	text := "sqlstore: "
	if e.kind != nil {
		text += e.kind.Error() + ": "
	}
	return text + harmless(e.cause)
}

// Unwrap returns the sentinel and the driver's error.
func (e *databaseError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

// known lists errors whose texts say nothing but what they are.
var known = [...]error{
	driver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, io.EOF, io.ErrUnexpectedEOF,
	context.Canceled, context.DeadlineExceeded,
}

// harmless returns what of an error's text cannot be a part of a record.
func harmless(err error) string {
	if state := sqlState(err); state != "" {
		return "SQLSTATE " + state
	}
	if code := sqliteCode(err); code != 0 {
		return fmt.Sprint("SQLite result code ", code)
	}
	if network, ok := errors.AsType[networkError](err); ok {
		return network.Error()
	}
	for _, k := range known {
		if errors.Is(err, k) {
			return k.Error()
		}
	}
	return "the driver failed; its error is wrapped, and may quote what was given to it"
}

// A networkError is what those of package net and of the operating system are.
type networkError interface {
	error
	Timeout() bool
	Temporary() bool
}

// failed returns a driver's error as one of a Store. Once the context has
// ended, that is the reason of whatever the driver failed with.
func failed(ctx context.Context, err error) error {
	if err == nil || own(err) {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return &databaseError{classify(err), err}
}

// own tells whether an error was made here, or by keystore.
func own(err error) bool {
	switch e := err.(type) {
	case *databaseError, *keystore.ConflictError, *keystore.CorruptError:
		return true
	default:
		return e == errNoMeta || e == errNewer || e == errTooLarge
	}
}

var (
	errNoMeta   = fmt.Errorf("sqlstore: %w: table gembok_meta has no row", keystore.ErrCorrupt)
	errNewer    = fmt.Errorf("sqlstore: %w", keystore.ErrNewerFormat)
	errTooLarge = fmt.Errorf("sqlstore: %w: more than 512 MiB in one Commit", keystore.ErrFull)
)

// unknown reports a Commit whose outcome cannot be told.
func unknown(err error) error { return &databaseError{keystore.ErrCommitUnknown, err} }

func classify(err error) error {
	if state := sqlState(err); state != "" {
		return classifyState(state)
	}
	return classifyCode(sqliteCode(err))
}

// sqlState returns the five characters by which PostgreSQL says what happened,
// "" where err is none of its. The drivers jackc/pgx and lib/pq have them.
func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// classifyState returns the sentinel for what PostgreSQL, Appendix A, lists.
func classifyState(state string) error {
	switch state {
	case "53100", "53000": // disk_full, insufficient_resources
		return keystore.ErrFull
	case "25006", "42501": // read_only_sql_transaction, insufficient_privilege
		return keystore.ErrReadOnly
	case "55P03": // lock_not_available
		return keystore.ErrLocked
	case "XX001", "XX002", "P0002": // data_corrupted, index_corrupted; no_data_found, of gembok_meta
		return keystore.ErrCorrupt
	}
	return nil
}

// lostRace tells whether PostgreSQL took a transaction back because of others:
// serialization_failure, deadlock_detected.
func lostRace(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// Result codes of SQLite, whose low byte is the kind of error.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
	sqliteIO         = 10
	sqliteCorrupt    = 11
	sqliteFull       = 13
	sqliteCantOpen   = 14
	sqliteProtocol   = 15
	sqliteNotADB     = 26
	sqliteBusyStale  = 5 | 2<<8 // BUSY_SNAPSHOT: others have written since this transaction read
	sqliteIOShmSize  = 10 | 19<<8
	sqliteBusyStates = 1<<sqliteBusy | 1<<sqliteLocked | 1<<sqliteProtocol
)

// sqliteTexts is how SQLite itself words the codes, for drivers whose errors
// have them in a field.
var sqliteTexts = [...]struct {
	text string
	code int
}{
	{"database is locked", sqliteBusy},
	{"database table is locked", sqliteLocked},
	{"database schema is locked", sqliteLocked},
	{"attempt to write a readonly database", sqliteReadOnly},
	{"disk I/O error", sqliteIO},
	{"database disk image is malformed", sqliteCorrupt},
	{"database or disk is full", sqliteFull},
	{"unable to open database file", sqliteCantOpen},
	{"locking protocol", sqliteProtocol},
	{"file is not a database", sqliteNotADB},
}

// sqliteCode returns SQLite's result code, 0 where err has none. The driver
// modernc.org/sqlite has a method for it, mattn/go-sqlite3 the text.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return e.Code()
	}
	if err == nil || sqlState(err) != "" {
		return 0
	}
	text := err.Error()
	for i := range sqliteTexts {
		if strings.Contains(text, sqliteTexts[i].text) {
			return sqliteTexts[i].code
		}
	}
	return 0
}

func classifyCode(code int) error {
	switch {
	case code == sqliteIOShmSize, code&0xff == sqliteFull:
		return keystore.ErrFull
	case code&0xff == sqliteReadOnly:
		return keystore.ErrReadOnly
	case code&0xff == sqliteCorrupt, code&0xff == sqliteNotADB:
		return keystore.ErrCorrupt
	case isBusy(code):
		return keystore.ErrLocked
	}
	return nil
}

// isBusy tells whether a code says that someone else is at it.
func isBusy(code int) bool { return code&0xff < 32 && sqliteBusyStates>>(code&0xff)&1 == 1 }
