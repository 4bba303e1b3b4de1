package engines_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// A tenant is an app whose database holds a store beside what is its own.
type tenant struct {
	*testing.T
	name    string
	dialect sqlstore.Dialect
	db      *sql.DB
	s       *sqlstore.Store
}

// tenants runs a test for each engine.
func tenants(t *testing.T, test func(a *tenant)) {
	t.Run("sqlite", func(t *testing.T) {
		test(newTenant(t, "sqlite", filepath.Join(t.TempDir(), "store"), sqlstore.SQLite))
	})
	t.Run("postgres", func(t *testing.T) { test(postgresTenant(t)) })
}

func postgresTenant(t *testing.T) *tenant {
	dsn, err := engine.ForTest(t).Fresh(ctx)
	require.NoError(t, err)
	return newTenant(t, "pgx", dsn, sqlstore.PostgreSQL)
}

func newTenant(t *testing.T, driver, place string, d sqlstore.Dialect) *tenant {
	db, err := sql.Open(driver, place)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	a := &tenant{T: t, name: driver, dialect: d, db: db}
	a.s, err = sqlstore.Open(ctx, db, d, nil)
	require.NoError(t, err)
	t.Cleanup(func() { a.s.Close() })
	return a
}

// exec lets the app run statements of its own.
func (a *tenant) exec(statements ...string) {
	a.Helper()
	for _, text := range statements {
		_, err := a.db.ExecContext(ctx, text)
		require.NoError(a, err)
	}
}

func (a *tenant) begin(isolation sql.IsolationLevel) *sql.Tx {
	a.Helper()
	tx, err := a.db.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	require.NoError(a, err)
	a.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// A conflict in a transaction leaves it usable, and Commits in it go on from
// each other.
func TestWithTxStore(t *testing.T) {
	tenants(t, func(a *tenant) {
		v := testutil.Commit(a, a.s, testutil.Put(key("a"), 0, "old"))
		before := testutil.StoreDigest(a, a.s)
		tx := a.begin(sql.LevelDefault)
		c, pending := sqlstore.WithTx(ctx, tx)
		require.Same(a, pending, keystore.PendingIn(c))
		w, err := a.s.Commit(c, testutil.Put(key("b"), 0, "new"))
		require.NoError(a, err)
		for _, changes := range [][]keystore.Change{
			{testutil.Put(key("x"), 0, "x"), testutil.Put(key("a"), 0, "x"), testutil.Check(key("b"), 1)},
			{testutil.Check(key("x"), 0), testutil.Check(key("a"), 0), testutil.Check(key("b"), 1)},
		} {
			_, err = a.s.Commit(c, changes...)
			var conflict *keystore.ConflictError
			require.ErrorAs(a, err, &conflict)
			require.Equal(a, []keystore.Key{key("a"), key("b")}, conflict.Keys)
		}
		w2, err := a.s.Commit(c, testutil.Put(key("b"), w, "newer"), testutil.Delete(key("a"), v))
		require.NoError(a, err)
		require.Equal(a, []uint64{v + 1, v + 2}, []uint64{w, w2})
		records, err := a.s.Load(c, key("a"), key("b"), key("x"))
		require.NoError(a, err)
		require.Equal(a, []uint64{0, w2, 0}, []uint64{records[0].Version, records[1].Version, records[2].Version})
		for r, err := range a.s.List(c, "", "", "") {
			require.NoError(a, err)
			require.Equal(a, records[1], r)
		}
		g, err := a.s.Generation(c)
		require.NoError(a, err)
		require.Equal(a, w2, g)
		require.Equal(a, before, testutil.StoreDigest(a, a.s), "what others see")

		require.NoError(a, tx.Commit())
		require.Equal(a, records[1], testutil.Load(a, a.s, key("b")))
		require.Zero(a, testutil.Load(a, a.s, key("a")).Version)
		_, err = a.s.Commit(c, testutil.Put(key("c"), 0, "late"))
		require.ErrorIs(a, err, sql.ErrTxDone)
		require.Equal(a, w2, testutil.Generation(a, a.s))
	})
}

// Whoever has read what others have changed since loses the race, as a whole.
func TestWithTxLostRace(t *testing.T) {
	tenants(t, func(a *tenant) {
		v := testutil.Commit(a, a.s, testutil.Put(key("a"), 0, "old"))
		level := sql.LevelDefault
		if a.dialect == sqlstore.PostgreSQL {
			level = sql.LevelRepeatableRead
		}
		tx := a.begin(level)
		c, _ := sqlstore.WithTx(ctx, tx)
		_, err := a.s.Load(c, key("a"))
		require.NoError(a, err)
		testutil.Commit(a, a.s, testutil.Put(key("other"), 0, ""))
		before := testutil.StoreDigest(a, a.s)
		_, err = a.s.Commit(c, testutil.Put(key("b"), 0, "new"), testutil.Put(key("a"), v, "new"))
		var conflict *keystore.ConflictError
		require.ErrorAs(a, err, &conflict)
		require.Equal(a, []keystore.Key{key("b"), key("a")}, conflict.Keys)
		require.NoError(a, tx.Rollback())
		require.Equal(a, before, testutil.StoreDigest(a, a.s))
	})
}

// The app's database is the app's: it stays open, with limits of the app's own.
func TestOneConnection(t *testing.T) {
	tenants(t, func(a *tenant) {
		a.db.SetMaxOpenConns(1)
		for r, err := range a.s.List(ctx, "", "", "") {
			require.Fail(a, "listed", "%v %v", r, err)
		}
		v := testutil.Commit(a, a.s, testutil.Put(key("a"), 0, "1"), testutil.Put(key("b"), 0, "1"))
		for r, err := range a.s.List(ctx, "", "", "") {
			require.NoError(a, err)
			testutil.Commit(a, a.s, testutil.Put(r.Key, v, "2"))
		}
		require.NoError(a, a.s.Close())
		_, err := a.s.Load(ctx, key("a"))
		require.ErrorIs(a, err, keystore.ErrClosed)
		require.NoError(a, a.db.Ping())
		require.Zero(a, a.db.Stats().InUse)
	})
}

// Close does not wait for a Commit that waits for the app's transaction while
// that waits for Close.
func TestCloseAndTransaction(t *testing.T) {
	tenants(t, func(a *tenant) {
		tx := a.begin(sql.LevelDefault)
		c, _ := sqlstore.WithTx(ctx, tx)
		_, err := a.s.Commit(c, testutil.Put(key("a"), 0, ""))
		require.NoError(a, err)
		waits, closed := make(chan error), make(chan error)
		go func() { _, err := a.s.Commit(ctx, testutil.Put(key("b"), 0, "")); waits <- err }()
		until(a, func() bool { return a.db.Stats().InUse == 2 })
		go func() { closed <- a.s.Close() }()
		until(a, func() bool { _, err := a.s.Generation(ctx); return err != nil })
		_, err = a.s.Commit(c, testutil.Put(key("c"), 0, ""))
		require.ErrorIs(a, err, keystore.ErrClosed)
		require.NoError(a, tx.Rollback())
		require.NoError(a, <-waits)
		require.NoError(a, <-closed)
	})
}

// until waits for something to become so.
func until(t *tenant, so func() bool) {
	t.Helper()
	require.Eventually(t, so, patience, 5*time.Millisecond)
}

// SQLite takes a transaction back by itself where the app asks for it, a statement
// is interrupted or there is no room. Nothing is committed on its own then.
func TestWithTxTakenBack(t *testing.T) {
	a := newTenant(t, "sqlite", filepath.Join(t.TempDir(), "store"), sqlstore.SQLite)
	a.exec("CREATE TABLE names (name TEXT UNIQUE)", "INSERT INTO names VALUES ('x')")
	before := testutil.StoreDigest(t, a.s)
	tx := a.begin(sql.LevelDefault)
	c, _ := sqlstore.WithTx(ctx, tx)
	_, err := a.s.Commit(c, testutil.Put(key("a"), 0, ""))
	require.NoError(t, err)
	_, err = tx.Exec("INSERT OR ROLLBACK INTO names VALUES ('x')")
	require.Error(t, err)
	_, err = a.s.Commit(c, testutil.Put(key("b"), 0, ""))
	require.ErrorIs(t, err, sql.ErrTxDone)
	require.Error(t, tx.Commit())
	require.Equal(t, before, testutil.StoreDigest(t, a.s))
}

// A connection that comes without a write-ahead log gets one before it commits:
// with no log at all, what fails could not be taken back.
func TestSQLiteJournalMode(t *testing.T) {
	for _, mode := range []string{"MEMORY", "OFF"} {
		path := filepath.Join(t.TempDir(), "store")
		a := newTenant(t, "sqlite", path+"?_pragma=journal_mode("+mode+")", sqlstore.SQLite)
		a.db.SetMaxIdleConns(0)
		v := testutil.Commit(t, a.s, testutil.Put(key("a"), 0, ""))
		_, err := a.s.Commit(ctx, testutil.Put(key("a"), 0, ""))
		require.ErrorAs(t, err, new(*keystore.ConflictError))
		require.Equal(t, v, testutil.Generation(t, a.s))
		testutil.Commit(t, a.s, testutil.Put(key("a"), v, ""))
		plain, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		defer plain.Close()
		var now string
		require.NoError(t, plain.QueryRow("PRAGMA journal_mode").Scan(&now))
		require.Equal(t, "wal", now)
	}
}

// What poolers ask of pgx works, with any bytes.
func TestPostgresNothingPrepared(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		dsn, err := engine.ForTest(t).Fresh(ctx)
		require.NoError(t, err)
		s := newTenant(t, "pgx", dsn+" default_query_exec_mode="+mode, sqlstore.PostgreSQL).s
		value := "\x00'\\\xff"
		v := testutil.Commit(t, s, testutil.Put(key(value), 0, value), testutil.Put(key(""), 0, ""))
		require.Len(t, testutil.Records(t, s), 2)
		require.Equal(t, value, string(testutil.Load(t, s, key(value)).Value))
		_, err = s.Commit(ctx, testutil.Put(key(""), 0, "x"), testutil.Check(key("b"), 0))
		require.ErrorAs(t, err, new(*keystore.ConflictError))
		testutil.Commit(t, s, testutil.Delete(key(value), v), testutil.Check(key("b"), 0))
		require.Len(t, testutil.Records(t, s), 1)
	}
}

// A schema may have any name.
func TestPostgresSchemaName(t *testing.T) {
	a := postgresTenant(t)
	a.db.SetMaxOpenConns(1)
	name := `"SCHEMA.a$$b\""' ü"`
	a.exec("CREATE SCHEMA "+name, "SET search_path = "+name)
	for range 2 {
		s, err := sqlstore.Open(ctx, a.db, a.dialect, nil)
		require.NoError(t, err)
		testutil.Commit(t, s, testutil.Put(key("a"), testutil.Load(t, s, key("a")).Version, ""))
		require.Zero(t, testutil.Generation(t, a.s))
	}
}
