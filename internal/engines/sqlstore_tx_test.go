package engines_test

import (
	"database/sql"
	"path/filepath"
	"testing"

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
