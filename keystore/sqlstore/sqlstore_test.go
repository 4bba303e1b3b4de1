package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// What stores do on real databases is tested in internal/engines. Here a fake
// driver says what they would not.

var ctx = context.Background()

// A codeError is one of SQLite's.
type codeError int

func (e codeError) Error() string { return fmt.Sprint("with a quotation: Secr3t-Value, ", int(e)) }
func (e codeError) Code() int     { return int(e) }

// A stateError is one of PostgreSQL's.
type stateError string

func (e stateError) Error() string    { return "with a quotation: Secr3t-Value, " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// A networkError is one of package net.
type networkError struct{}

func (networkError) Error() string   { return "connection refused" }
func (networkError) Timeout() bool   { return false }
func (networkError) Temporary() bool { return false }

var k = testutil.Key("Kind-Of", "alice@example", "Name-7")

// sqlite is a store on a fake of SQLite that has one record's room.
func sqlite(t *testing.T) (*fake, *sqlstore.Store) {
	f := &fake{}
	f.when(rule{prefix: "SELECT count(*) FROM sqlite_master", rows: [][]driver.Value{{int64(1)}}})
	f.when(rule{prefix: "SELECT format FROM", rows: [][]driver.Value{{int64(1)}}})
	f.when(rule{prefix: "PRAGMA journal_mode", rows: [][]driver.Value{{"wal"}}})
	f.when(rule{prefix: "SELECT format, newest", rows: [][]driver.Value{{int64(1), int64(7), int64(7)}}})
	f.when(rule{prefix: "WITH RECURSIVE", rows: [][]driver.Value{{int64(1), int64(8), int64(0), nil, nil, nil}}})
	f.when(rule{prefix: "SELECT newest, tokens", rows: [][]driver.Value{{int64(7), []byte("none of it")}}})
	s, err := sqlstore.Open(ctx, f.open(t), sqlstore.SQLite, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return f, s
}

// postgres is the same for PostgreSQL.
func postgres(t *testing.T) (*fake, *sqlstore.Store) {
	f := &fake{}
	f.when(rule{prefix: "SELECT current_schema", rows: [][]driver.Value{{"public"}}})
	f.when(rule{prefix: "SELECT count(*) FROM pg_catalog", rows: [][]driver.Value{{int64(1)}}})
	f.when(rule{prefix: "SELECT format FROM", rows: [][]driver.Value{{int64(1)}}})
	f.when(rule{prefix: "SELECT format, newest", rows: [][]driver.Value{{int64(1), int64(7), int64(7)}}})
	f.when(rule{prefix: "SELECT m.format", rows: [][]driver.Value{{int64(1), int64(7), int64(0), nil, nil, nil}}})
	f.when(rule{prefix: "SELECT has", rows: [][]driver.Value{{int64(1), int64(7), int64(8), nil}}})
	f.when(rule{prefix: "SELECT version", rows: [][]driver.Value{{int64(0)}}})
	s, err := sqlstore.Open(ctx, f.open(t), sqlstore.PostgreSQL, nil)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return f, s
}

func commit(s keystore.Store) (uint64, error) {
	return s.Commit(ctx, testutil.Put(k, 0, "Secr3t-Value"))
}

func TestCommitOfFakes(t *testing.T) {
	for _, open := range []func(*testing.T) (*fake, *sqlstore.Store){sqlite, postgres} {
		_, s := open(t)
		v, err := commit(s)
		require.NoError(t, err)
		require.EqualValues(t, 8, v)
	}
}

// Whatever COMMIT answers, what the store says is so.
func TestSQLiteCommitFails(t *testing.T) {
	full, disk := codeError(13), codeError(10|4<<8)
	for name, c := range map[string]struct {
		err      error
		rollback error // 1: there is no transaction any more
		newest   int64 // found afterwards
		want     error
	}{
		"full":                                {err: full, newest: 7, want: keystore.ErrFull},
		"full, and over":                      {err: full, rollback: codeError(1), newest: 7, want: keystore.ErrFull},
		"full, and others went on":            {err: full, newest: 70, want: keystore.ErrFull},
		"full, and many others went on":       {err: full, newest: 72, want: keystore.ErrCommitUnknown},
		"error of the disk":                   {err: disk, rollback: codeError(1), newest: 7, want: keystore.ErrCommitUnknown},
		"error of the disk, still under way":  {err: disk, newest: 7, want: keystore.ErrCommitUnknown},
		"error of a driver without any codes": {err: errors.New("no code"), newest: 7, want: nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := sqlite(t)
			f.when(rule{prefix: "COMMIT", err: c.err})
			f.when(rule{prefix: "ROLLBACK", err: c.rollback})
			f.when(rule{prefix: "SELECT newest, tokens", rows: [][]driver.Value{{c.newest, make([]byte, 512)}}})
			_, err := commit(s)
			require.ErrorIs(t, err, c.err)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
			require.Equal(t, c.want == keystore.ErrCommitUnknown, errors.Is(err, keystore.ErrCommitUnknown))
			require.NotContains(t, err.Error(), "Secr3t")
			require.Equal(t, c.rollback != nil, f.closed == 1, "a connection that may be in a transaction is given up")
		})
	}
}

// A Commit that is found afterwards was made.
func TestSQLiteCommitFailsAndIsMade(t *testing.T) {
	f, s := sqlite(t)
	f.when(rule{prefix: "COMMIT", err: codeError(10)})
	tokens := make([]byte, 24)
	f.when(rule{prefix: "SELECT newest, tokens", rows: [][]driver.Value{{int64(10), tokens}}, do: func() {
		for line, args := range f.args {
			if strings.HasPrefix(line, "UPDATE gembok_meta") {
				copy(tokens[16:], args[0].Value.([]byte))
			}
		}
	}})
	v, err := commit(s)
	require.NoError(t, err)
	require.EqualValues(t, 8, v)
}

func TestSQLiteLookFails(t *testing.T) {
	f, s := sqlite(t)
	f.when(rule{prefix: "COMMIT", err: codeError(13)})
	f.when(rule{prefix: "SELECT newest, tokens", err: codeError(10)})
	_, err := commit(s)
	require.ErrorIs(t, err, keystore.ErrCommitUnknown)
	require.ErrorIs(t, err, codeError(13))
}

// That the context has ended is no answer to what became of a Commit.
func TestUnknownAndContextEnds(t *testing.T) {
	for at, open := range map[string]func(*testing.T) (*fake, *sqlstore.Store){"COMMIT": sqlite, "SELECT has": postgres} {
		f, s := open(t)
		c, cancel := context.WithCancel(ctx)
		f.when(rule{prefix: at, err: codeError(10), do: cancel})
		f.when(rule{prefix: "SELECT version", rows: [][]driver.Value{{int64(-1)}}})
		_, err := s.Commit(c, testutil.Put(k, 0, ""))
		require.ErrorIs(t, err, keystore.ErrCommitUnknown)
	}
}

// A locked database is tried again, for so long and no longer.
func TestSQLiteLocked(t *testing.T) {
	for _, locked := range []error{codeError(5), codeError(5 | 1<<8), codeError(6), codeError(15), errors.New("database is locked"), errors.New("prefix: database table is locked: records")} {
		for _, at := range []string{"PRAGMA busy_timeout", "BEGIN IMMEDIATE", "UPDATE gembok_meta", "INSERT", "COMMIT"} {
			synctest.Test(t, func(t *testing.T) {
				f, s := sqlite(t)
				f.when(rule{prefix: at, err: locked, times: 20})
				v, err := commit(s)
				require.NoError(t, err)
				require.EqualValues(t, 8, v)

				start := time.Now()
				f.when(rule{prefix: at, err: locked})
				_, err = commit(s)
				require.ErrorIs(t, err, keystore.ErrLocked)
				require.InDelta(t, 30, time.Since(start).Seconds(), 1)

				limited, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err = s.Commit(limited, testutil.Put(k, 0, ""))
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
	f, s := sqlite(t)
	f.when(rule{prefix: "WITH RECURSIVE", err: codeError(5), times: 3})
	_, err := s.Load(ctx, k)
	require.NoError(t, err)
}

// What panics in the driver takes its connection along, and holds nothing up.
func TestPanics(t *testing.T) {
	for at, open := range map[string]func(*testing.T) (*fake, *sqlstore.Store){
		"BEGIN IMMEDIATE": sqlite, "WITH RECURSIVE": sqlite, "INSERT": sqlite, "COMMIT": sqlite, "SELECT has": postgres,
	} {
		f, s := open(t)
		f.when(rule{prefix: at, do: func() { panic("fake") }, times: 1})
		require.Panics(t, func() { commit(s) }, at)
		require.Equal(t, 1, f.closed, at)
		_, err := commit(s)
		require.NoError(t, err)
		require.NoError(t, s.Close())
	}
}

// Where the answer to a Commit was lost, it is asked for.
func TestPostgresAnswerLost(t *testing.T) {
	lost := networkError{}
	for _, c := range []struct {
		found int64
		err   error
		want  error
	}{{8, lost, nil}, {0, lost, lost}, {-1, lost, keystore.ErrCommitUnknown}, {8, stateError("57P01"), nil}, {-1, stateError("40001"), keystore.ErrCommitUnknown}} {
		f, s := postgres(t)
		f.when(rule{prefix: "SELECT has", err: c.err, times: 1})
		f.when(rule{prefix: "SELECT 1", err: lost})
		f.when(rule{prefix: "SELECT version", rows: [][]driver.Value{{c.found}}})
		v, err := commit(s)
		require.ErrorIs(t, err, c.want)
		require.Equal(t, c.want == nil, v == 8)
		require.Equal(t, 1, f.count("SELECT version"))
		require.Equal(t, 1, f.closed)
	}
}

// An error of a session that goes on needs no asking.
func TestPostgresErrorIsCertain(t *testing.T) {
	f, s := postgres(t)
	f.when(rule{prefix: "SELECT has", err: stateError("53100")})
	_, err := commit(s)
	require.ErrorIs(t, err, keystore.ErrFull)
	require.Zero(t, f.count("SELECT version"))
	require.Zero(t, f.closed)
}

// A connection that was dead before is no reason to fail; a server that does
// not come back is.
func TestPostgresServerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := postgres(t)
		f.when(rule{prefix: "SELECT has", err: driver.ErrBadConn, times: 3})
		v, err := commit(s)
		require.NoError(t, err)
		require.EqualValues(t, 8, v)
		require.Equal(t, 3, f.count("SELECT version"))

		f.when(rule{prefix: "SELECT has", err: driver.ErrBadConn})
		_, err = commit(s)
		require.ErrorIs(t, err, driver.ErrBadConn)
		require.NotErrorIs(t, err, keystore.ErrCommitUnknown)

		f.when(rule{prefix: "SELECT version", err: networkError{}})
		start := time.Now()
		_, err = commit(s)
		require.ErrorIs(t, err, keystore.ErrCommitUnknown)
		require.InDelta(t, 5, time.Since(start).Seconds(), 1)
	})
}

// A Commit that is refused because it is late goes again without that bound.
func TestPostgresRefused(t *testing.T) {
	f, s := postgres(t)
	f.when(rule{prefix: "SELECT has", rows: [][]driver.Value{{int64(1), int64(100), nil, nil}}, times: 1})
	v, err := commit(s)
	require.NoError(t, err)
	require.EqualValues(t, 8, v)
	for line, args := range f.args {
		if strings.HasPrefix(line, "SELECT has") {
			require.EqualValues(t, -1, args[1].Value)
		}
	}
}

func TestErrors(t *testing.T) {
	for err, want := range map[error]error{
		codeError(13): keystore.ErrFull, codeError(10 | 19<<8): keystore.ErrFull, errors.New("sqlite3: database or disk is full"): keystore.ErrFull,
		codeError(8): keystore.ErrReadOnly, codeError(8 | 4<<8): keystore.ErrReadOnly, errors.New("attempt to write a readonly database"): keystore.ErrReadOnly,
		codeError(11): keystore.ErrCorrupt, codeError(26): keystore.ErrCorrupt, errors.New("file is not a database"): keystore.ErrCorrupt,
		codeError(10): nil, codeError(14): nil, errors.New("disk I/O error"): nil, errors.New("Secr3t-Value"): nil,
		networkError{}: nil, sql.ErrConnDone: nil, driver.ErrBadConn: nil,
		stateError("53100"): keystore.ErrFull, stateError("25006"): keystore.ErrReadOnly, stateError("42501"): keystore.ErrReadOnly,
		stateError("55P03"): keystore.ErrLocked, stateError("XX001"): keystore.ErrCorrupt, stateError("57014"): nil,
	} {
		open, load := sqlite, "WITH RECURSIVE"
		if _, ok := err.(stateError); ok {
			open, load = postgres, "SELECT m.format"
		}
		f, s := open(t)
		f.when(rule{prefix: load, err: err})
		_, got := s.Load(ctx, k)
		require.ErrorIs(t, got, err)
		for _, kind := range []error{keystore.ErrFull, keystore.ErrReadOnly, keystore.ErrCorrupt, keystore.ErrLocked, keystore.ErrCommitUnknown} {
			require.Equal(t, kind == want, errors.Is(got, kind), "%v of %v", kind, err)
		}
		require.NotContains(t, got.Error(), "Secr3t")
		require.True(t, strings.HasPrefix(got.Error(), "sqlstore: "))
	}
}

// A schema of an older release is brought up, in one transaction, and one that
// could not be stays as it was.
func TestSTO_12_Migration(t *testing.T) {
	const next = "ALTER TABLE gembok_records ADD later"
	for d, open := range map[sqlstore.Dialect]func(*testing.T) (*fake, *sqlstore.Store){sqlstore.SQLite: sqlite, sqlstore.PostgreSQL: postgres} {
		begin := map[sqlstore.Dialect]string{sqlstore.SQLite: "BEGIN IMMEDIATE", sqlstore.PostgreSQL: "BeginTx"}[d]
		f, _ := open(t)
		db := f.open(t)
		f.when(rule{prefix: "ALTER", err: codeError(13), times: 1})
		require.ErrorIs(t, sqlstore.OpenNext(ctx, db, d, next), codeError(13))
		require.Equal(t, []int{1, 1, 0, 1}, []int{f.count(begin), f.count("ALTER"), f.count("COMMIT"), f.count("ROLLBACK")})

		require.NoError(t, sqlstore.OpenNext(ctx, db, d, next))
		require.Equal(t, []int{2, 2, 1, 1}, []int{f.count(begin), f.count("ALTER"), f.count("COMMIT"), f.count("ROLLBACK")})
		require.Zero(t, f.count("CREATE"))
		for line, args := range f.args {
			if strings.HasPrefix(line, "UPDATE gembok_meta SET format") || strings.Contains(line, ".gembok_meta SET format") {
				require.EqualValues(t, 2, args[0].Value)
			}
		}

		f.when(rule{prefix: "SELECT format FROM", rows: [][]driver.Value{{int64(2)}}})
		require.NoError(t, sqlstore.OpenNext(ctx, db, d, next))
		_, err := sqlstore.Open(ctx, db, d, nil)
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		require.Equal(t, 2, f.count(begin), "nothing is written where nothing is to be done")
	}
}

// The parts of a key are told apart, and put what is listed together side by
// side.
func TestIDs(t *testing.T) {
	id := func(scope, kind, owner, name string) []byte {
		key := keystore.Key{Scope: scope, Kind: kind, Owner: owner, Name: name}
		b := sqlstore.ID(key)
		require.Len(t, b, 52)
		parsed, ok := sqlstore.ParseKey(sqlstore.EncodeKey(key), b)
		require.True(t, ok)
		require.Equal(t, key, parsed)
		return b
	}
	a := id("s", "k", "o", "n")
	require.Equal(t, a[:20], id("s", "k", "o", "m")[:20])
	require.NotEqual(t, a[20:], id("s", "k", "o", "m")[20:])
	require.Equal(t, a[:12], id("s", "k", "p", "n")[:12])
	require.NotEqual(t, id("s", "ka", "", "")[20:], id("s", "k", "a", "")[20:])
	require.Equal(t, id("s", "k", "a", "")[:12], id("s", "k", "", "a")[:12])
	long := id(strings.Repeat("s", 1000), "k", "\x00\xff", "")
	_, ok := sqlstore.ParseKey(sqlstore.EncodeKey(keystore.Key{Scope: "s", Kind: "k"}), long)
	require.False(t, ok)
	for n := range 20 {
		_, ok := sqlstore.ParseKey(bytes.Repeat([]byte{0xff}, n), long)
		require.False(t, ok)
	}
}

func TestMEM_03_NothingPrintsTheDatabase(t *testing.T) {
	_, s := sqlite(t)
	for how, text := range testutil.Printed(t, s) {
		require.True(t, how == "%T" || strings.Contains(text, "redacted"), "%s: %s", how, text)
	}
}

func TestZeroStore(t *testing.T) {
	var s sqlstore.Store
	_, err := s.Load(ctx, k)
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = commit(&s)
	require.ErrorIs(t, err, keystore.ErrClosed)
	_, err = s.Generation(ctx)
	require.ErrorIs(t, err, keystore.ErrClosed)
	require.NoError(t, s.Close())
}
