package engines_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
	"github.com/gembok-e2ee/gembok/session"
)

// An app has a database of its own, with alice's store and a table of drafts.
type app struct {
	t     *testing.T
	db    *sql.DB
	store keystore.Store
	alice *session.Device
	bob   *session.Device
}

// apps calls test for an app over each dialect.
func apps(t *testing.T, test func(*app)) {
	t.Run("SQLite", func(t *testing.T) {
		db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app")+"?_pragma=busy_timeout(5000)")
		require.NoError(t, err)
		test(newApp(t, db, sqlstore.SQLite))
	})
	t.Run("Postgres", func(t *testing.T) {
		dsn, err := engine.ForTest(t).Fresh(ctx)
		require.NoError(t, err)
		db, err := sql.Open("pgx", dsn)
		require.NoError(t, err)
		test(newApp(t, db, sqlstore.PostgreSQL))
	})
}

func newApp(t *testing.T, db *sql.DB, d sqlstore.Dialect) *app {
	t.Cleanup(func() { db.Close() })
	s, err := sqlstore.Open(ctx, db, d, nil)
	require.NoError(t, err)
	_, err = db.Exec("CREATE TABLE drafts (text VARCHAR(100))")
	require.NoError(t, err)
	a := &app{t: t, db: db, store: s}
	a.alice, err = session.Create(ctx, s, session.Account{Address: alice}, nil)
	require.NoError(t, err)
	a.bob, err = session.Create(ctx, keystore.NewMemory(), session.Account{Address: peers[0]}, nil)
	require.NoError(t, err)
	b, err := a.bob.Bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, a.alice.Begin(ctx, peers[0], b))
	a.bobReads(a.send("hello"), "hello")
	return a
}

func (a *app) send(text string) *session.Message {
	m, err := a.alice.Encrypt(ctx, peers[0], []byte(text))
	require.NoError(a.t, err)
	return m
}

func (a *app) bobReads(m *session.Message, text string) {
	a.t.Helper()
	r, err := a.bob.Decrypt(ctx, alice, m, nil)
	require.NoError(a.t, err)
	require.Equal(a.t, text, string(r.Plaintext))
}

func (a *app) begin() (*sql.Tx, context.Context, *keystore.Pending) {
	tx, err := a.db.BeginTx(ctx, nil)
	require.NoError(a.t, err)
	in, p := sqlstore.WithTx(ctx, tx)
	return tx, in, p
}

func (a *app) draft(tx *sql.Tx, text string) {
	_, err := tx.Exec(fmt.Sprintf("INSERT INTO drafts VALUES ('%s')", text))
	require.NoError(a.t, err)
}

func (a *app) drafts() (n int) {
	require.NoError(a.t, a.db.QueryRow("SELECT count(*) FROM drafts").Scan(&n))
	return n
}

func counter(t *testing.T, m *session.Message) uint32 {
	inner, err := wire.ParseSignalMessage(testutil.Inner(t, m.Bytes))
	require.NoError(t, err)
	return inner.Counter
}

// What the app wrote and what the device did are there together, and the
// ciphertexts from the moment the app says that it committed.
func TestWithTxCommit(t *testing.T) {
	apps(t, func(a *app) {
		inward, err := a.bob.Encrypt(ctx, alice, []byte("inward"))
		require.NoError(t, err)
		tx, in, p := a.begin()
		a.draft(tx, "first")
		first, err := a.alice.Encrypt(in, peers[0], []byte("first"))
		require.NoError(t, err)
		r, err := a.alice.Decrypt(in, peers[0], inward, nil)
		require.NoError(t, err)
		require.Equal(t, "inward", string(r.Plaintext))
		var second *session.Message
		require.NoError(t, a.alice.Update(in, peers[:1], func(tx *session.Tx) (err error) {
			second, err = tx.Encrypt(peers[0], []byte("second"))
			return err
		}))
		require.Empty(t, first.Bytes)
		require.Empty(t, second.Bytes)
		require.NoError(t, tx.Commit())
		require.Empty(t, first.Bytes)
		p.Committed()
		a.bobReads(second, "second")
		a.bobReads(first, "first")
		require.Equal(t, 1, a.drafts())
		r, err = a.alice.Decrypt(ctx, peers[0], inward, nil)
		require.NoError(t, err)
		require.True(t, r.Redelivered)
		a.bobReads(a.send("third"), "third")
	})
}

// A transaction that is rolled back leaves the store as it was. What was
// encrypted in it is never seen, and its counter is the next one's.
func TestWithTxRollback(t *testing.T) {
	apps(t, func(a *app) {
		last := counter(t, a.send("before"))
		inward, err := a.bob.Encrypt(ctx, alice, []byte("inward"))
		require.NoError(t, err)
		before := testutil.StoreDigest(t, a.store)
		for range 3 {
			tx, in, _ := a.begin()
			a.draft(tx, "lost")
			lost, err := a.alice.Encrypt(in, peers[0], []byte("lost"))
			require.NoError(t, err)
			_, err = a.alice.Encrypt(in, peers[0], []byte("lost too"))
			require.NoError(t, err)
			_, err = a.alice.Decrypt(in, peers[0], inward, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
			require.Equal(t, &session.Message{}, lost)
			require.Equal(t, before, testutil.StoreDigest(t, a.store))
		}
		m := a.send("said instead")
		require.Equal(t, last+1, counter(t, m))
		a.bobReads(m, "said instead")
		r, err := a.alice.Decrypt(ctx, peers[0], inward, nil)
		require.NoError(t, err)
		require.False(t, r.Redelivered)
		require.Zero(t, a.drafts())
	})
}

// A savepoint has a Pending of its own, which goes when it is rolled back to.
func TestWithTxSavepoint(t *testing.T) {
	apps(t, func(a *app) {
		tx, in, p := a.begin()
		first, err := a.alice.Encrypt(in, peers[0], []byte("first"))
		require.NoError(t, err)
		_, err = tx.Exec("SAVEPOINT app")
		require.NoError(t, err)
		within, _ := sqlstore.WithTx(ctx, tx)
		lost, err := a.alice.Encrypt(within, peers[0], []byte("lost"))
		require.NoError(t, err)
		_, err = tx.Exec("ROLLBACK TO SAVEPOINT app")
		require.NoError(t, err)
		instead, err := a.alice.Encrypt(in, peers[0], []byte("instead"))
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		p.Committed()
		require.Empty(t, lost.Bytes)
		require.Equal(t, counter(t, first)+1, counter(t, instead))
		a.bobReads(instead, "instead")
		a.bobReads(first, "first")
	})
}

// Who loses a race within a transaction is told so, and is not run again.
func TestWithTxConflict(t *testing.T) {
	apps(t, func(a *app) {
		tx, in, _ := a.begin() // in SQLite nobody is faster once it has written
		runs := 0
		var lost, other *session.Message
		err := a.alice.Update(in, peers[:1], func(tx *session.Tx) (err error) {
			runs++
			if lost, err = tx.Encrypt(peers[0], []byte("lost")); err != nil {
				return err
			}
			other = a.otherSends("other")
			return nil
		})
		conflict := (*keystore.ConflictError)(nil)
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, 1, runs)
		require.NoError(t, tx.Rollback())
		require.Equal(t, &session.Message{}, lost)
		a.bobReads(other, "other")

		tx, in, p := a.begin() // the app does it again
		a.draft(tx, "first")
		m, err := a.alice.Encrypt(in, peers[0], []byte("again"))
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		p.Committed()
		a.bobReads(m, "again")
		require.Equal(t, 1, a.drafts())
	})
}

// otherSends sends as another process would.
func (a *app) otherSends(text string) *session.Message {
	d, err := session.Open(ctx, a.store, alice, nil)
	require.NoError(a.t, err)
	m, err := d.Encrypt(ctx, peers[0], []byte(text))
	require.NoError(a.t, err)
	return m
}
