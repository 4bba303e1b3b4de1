package engines_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// refuses requires that a Commit is refused, for that reason, and changes
// nothing; and that the next one works once repair is done.
func (a *tenant) refuses(want error, repair ...string) {
	a.Helper()
	before := testutil.StoreDigest(a, a.s)
	large := strings.Repeat("no part of an error ", 20_000)
	_, err := a.s.Commit(ctx, testutil.Put(key("new-name"), 0, large), testutil.Check(key("absent"), 0))
	require.ErrorIs(a, err, want)
	require.NotErrorIs(a, err, keystore.ErrCommitUnknown)
	for _, secret := range []string{"no part", "new-name", "6e6f2070"} {
		require.NotContains(a, err.Error(), secret)
	}
	require.Equal(a, before, testutil.StoreDigest(a, a.s))
	a.exec(repair...)
	testutil.Commit(a, a.s, testutil.Put(key("new-name"), 0, large))
}

// some puts what is to be there afterwards.
func (a *tenant) some() {
	a.Helper()
	testutil.Commit(a, a.s, testutil.Put(key("a"), 0, "1"), testutil.Put(key("b"), 0, strings.Repeat("2", 20_000)))
}

func sqliteTenant(t *testing.T) (a *tenant, path string) {
	path = filepath.Join(t.TempDir(), "store")
	return newTenant(t, "sqlite", path, sqlstore.SQLite), path
}

func TestSTO_10_SQLiteFull(t *testing.T) {
	a, _ := sqliteTenant(t)
	a.db.SetMaxOpenConns(1) // the limit is the connection's
	a.some()
	a.exec("PRAGMA max_page_count = 20")
	a.refuses(keystore.ErrFull, "PRAGMA max_page_count = 100000")
}

func TestSTO_11_SQLiteReadOnly(t *testing.T) {
	a, path := sqliteTenant(t)
	a.some()
	a.db.SetMaxOpenConns(1)
	a.exec("PRAGMA query_only = ON")
	a.refuses(keystore.ErrReadOnly, "PRAGMA query_only = OFF")

	r := newTenant(t, "sqlite", "file:"+path+"?mode=ro", sqlstore.SQLite) // which needs to write nothing
	require.Equal(t, testutil.StoreDigest(t, a.s), testutil.StoreDigest(t, r.s))
	_, err := r.s.Commit(ctx, testutil.Put(key("c"), 0, ""))
	require.ErrorIs(t, err, keystore.ErrReadOnly)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "none")+"?mode=ro")
	require.NoError(t, err)
	defer db.Close()
	_, err = sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	require.Error(t, err)
}

// A file that is none of SQLite's is left alone.
func TestSTO_07_SQLiteNoDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	was := []byte(strings.Repeat("this is no database", 1000))
	require.NoError(t, os.WriteFile(path, was, 0o600))
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer db.Close()
	_, err = sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
	require.ErrorIs(t, err, keystore.ErrCorrupt)
	is, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, was, is)
}

// A row that nobody can have written harms no other.
func TestSTO_07_DamagedRows(t *testing.T) {
	tenants(t, func(a *tenant) {
		v := testutil.Commit(a, a.s, testutil.Put(key("a"), 0, "1"), testutil.Put(key("b"), 0, "2"), testutil.Put(key("c"), 0, "3"))
		hex := map[sqlstore.Dialect]string{sqlstore.SQLite: "x'%'", sqlstore.PostgreSQL: `'\x%'::bytea`}[a.dialect]
		literal := func(s string) string { return strings.ReplaceAll(hex, "%", s) }
		a.exec("UPDATE gembok_records SET key = "+literal("0177")+" WHERE value = "+literal("31"), "UPDATE gembok_records SET version = -7 WHERE value = "+literal("32"))
		whole, damaged := 0, 0
		for r, err := range a.s.List(ctx, "", "", "") {
			var e *keystore.CorruptError
			if errors.As(err, &e) {
				require.Equal(a, []keystore.Key{r.Key}, e.Keys)
				require.Nil(a, r.Value)
				damaged++
				continue
			}
			require.NoError(a, err)
			require.Equal(a, keystore.Record{Key: key("c"), Version: v, Value: []byte("3")}, r)
			whole++
		}
		require.Equal(a, []int{1, 2}, []int{whole, damaged})
		records, err := a.s.Load(ctx, key("c"), key("b"))
		var e *keystore.CorruptError
		require.ErrorAs(a, err, &e)
		require.Equal(a, []keystore.Key{key("b")}, e.Keys)
		require.Equal(a, "3", string(records[0].Value))
		require.Nil(a, records[1].Value)
		_, err = a.s.Load(ctx, key("c"))
		require.NoError(a, err)
		a.exec("DELETE FROM gembok_meta")
		for _, err := range []error{errorOf(a.s.Load(ctx, key("c"))), errorOf(a.s.Generation(ctx)), errorOf(a.s.Commit(ctx, testutil.Put(key("n"), 0, "")))} {
			require.ErrorIs(a, err, keystore.ErrCorrupt)
		}
	})
}

func errorOf[T any](_ T, err error) error { return err }

func TestSTO_11_PostgresReadOnly(t *testing.T) {
	a := postgresTenant(t)
	a.some()
	a.db.SetMaxOpenConns(1)
	a.exec("SET default_transaction_read_only = on")
	a.refuses(keystore.ErrReadOnly, "SET default_transaction_read_only = off")
}

// trigger lets an error come when a record is written, or at the very end of
// the transaction.
func (a *tenant) trigger(kind, state, text string) {
	a.Helper()
	a.exec(`CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '`+state+`', MESSAGE = `+text+`; END $$`,
		strings.ReplaceAll(kind, "%", "fault")+` FOR EACH ROW EXECUTE FUNCTION fault()`)
}

const (
	whenWritten = "CREATE TRIGGER % BEFORE INSERT ON gembok_records"
	atTheEnd    = "CREATE CONSTRAINT TRIGGER % AFTER INSERT ON gembok_records DEFERRABLE INITIALLY DEFERRED"
)

func TestSTO_10_PostgresFull(t *testing.T) {
	for _, kind := range []string{whenWritten, atTheEnd} {
		a := postgresTenant(t)
		a.some()
		a.trigger(kind, "53100", "encode(new.value, 'escape')")
		a.refuses(keystore.ErrFull, "DROP TRIGGER fault ON gembok_records")
	}
}

// What PostgreSQL takes back because of others is a conflict about all keys,
// also if it does so at the end.
func TestPostgresSerializationFailure(t *testing.T) {
	for _, kind := range []string{whenWritten, atTheEnd} {
		for _, state := range []string{"40001", "40P01"} {
			a := postgresTenant(t)
			a.some()
			a.trigger(kind, state, "'no part of this'")
			before := testutil.StoreDigest(t, a.s)
			_, err := a.s.Commit(ctx, testutil.Check(key("c"), 0), testutil.Put(key("d"), 0, ""))
			var conflict *keystore.ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, []keystore.Key{key("c"), key("d")}, conflict.Keys)
			var cause *pgconn.PgError
			require.ErrorAs(t, err, &cause)
			require.Equal(t, state, cause.Code)
			require.Equal(t, before, testutil.StoreDigest(t, a.s))
		}
	}
}

// A Commit that was overtaken by many others, or whose like was given up, is
// sent again.
func TestPostgresLateCommit(t *testing.T) {
	a := postgresTenant(t)
	v := testutil.Commit(t, a.s, testutil.Put(key("a"), 0, ""))
	for range 3 {
		a.exec("UPDATE gembok_meta SET fence = fence + 64")
		v = testutil.Commit(t, a.s, testutil.Put(key("a"), v, ""))
	}
	require.EqualValues(t, 4, v)
}

// A Commit is durable where the default is that it is not.
func TestPostgresDurable(t *testing.T) {
	a := postgresTenant(t)
	a.exec("CREATE TABLE orders (setting text)",
		"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO orders VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$",
		"CREATE TRIGGER note AFTER INSERT ON gembok_records FOR EACH ROW EXECUTE FUNCTION note()")
	a.db.SetMaxOpenConns(1)
	for _, setting := range []string{"off", "local", "on"} {
		a.exec("DELETE FROM orders", "SET synchronous_commit = "+setting)
		testutil.Commit(t, a.s, testutil.Put(key(setting), 0, ""))
		var got, after string
		require.NoError(t, a.db.QueryRow("SELECT setting, current_setting('synchronous_commit') FROM orders").Scan(&got, &after))
		require.Equal(t, setting, after)
		if setting == "off" {
			setting = "on"
		}
		require.Equal(t, setting, got)
	}
}

// A Commit that is too large for PostgreSQL is refused before it is sent.
func TestPostgresTooLarge(t *testing.T) {
	a := postgresTenant(t)
	half := make([]byte, 300<<20)
	_, err := a.s.Commit(ctx, keystore.Change{Op: keystore.Put, Key: key("a"), Value: half}, keystore.Change{Op: keystore.Put, Key: key("b"), Value: half})
	require.ErrorIs(t, err, keystore.ErrFull)
	require.Zero(t, testutil.Generation(t, a.s))
}

func TestUnknownSchema(t *testing.T) {
	a := postgresTenant(t)
	a.db.SetMaxOpenConns(1)
	a.exec("SET search_path = there_is_none")
	_, err := sqlstore.Open(ctx, a.db, sqlstore.PostgreSQL, nil)
	require.Error(t, err)
	_, err = sqlstore.Open(ctx, a.db, 0, nil)
	require.ErrorIs(t, err, keystore.ErrInvalid)
	a.exec(`CREATE SCHEMA "it's ""quoted"""`, `SET search_path = "it's ""quoted"""`)
	s, err := sqlstore.Open(ctx, a.db, sqlstore.PostgreSQL, nil)
	require.NoError(t, err)
	a.exec("SET search_path = public")
	testutil.Commit(t, s, testutil.Put(key("a"), 0, ""))
	require.EqualValues(t, 1, testutil.Generation(t, s))
	a.exec(`DROP SCHEMA "it's ""quoted""" CASCADE`)
	_, err = s.Load(ctx, key("a"))
	require.Error(t, err)
}
