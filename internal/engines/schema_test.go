package engines_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

func init() { jobs["create"] = createStore }

// A base is where a test makes stores on an engine.
type base struct {
	engine, driver string
	place          func() string // a new one
}

// bases calls test for both engines.
func bases(t *testing.T, test func(t *testing.T, b base)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, base{"sqlite", "sqlite", func() string { return filepath.Join(t.TempDir(), "store") }})
	})
	t.Run("postgres", func(t *testing.T) {
		server := engine.ForTest(t)
		test(t, base{"postgres", "pgx", func() string {
			dsn, err := server.Fresh(ctx)
			require.NoError(t, err)
			return dsn
		}})
	})
}

// createStore makes a store, and says so.
func createStore(name, place string, _ *json.Decoder, answers *json.Encoder) error {
	s, err := engine.Open(ctx, name, place)
	if err != nil {
		return err
	}
	return errors.Join(answers.Encode("made"), s.Close())
}

// A process that is killed while it makes the schema leaves one that the next
// one makes, or has made.
func TestSTO_12_KilledWhileCreating(t *testing.T) {
	bases(t, func(t *testing.T, b base) {
		rounds := 12
		if *long {
			rounds = 1000
		}
		for i := range rounds {
			at := b.place()
			p := start(t, "create", b.engine, at)
			time.Sleep(time.Duration(i%40) * 2 * time.Millisecond)
			p.kill()
			s, err := engine.Open(ctx, b.engine, at)
			require.NoError(t, err)
			require.Zero(t, testutil.Generation(t, s))
			testutil.Commit(t, s, testutil.Put(key("a"), 0, "v"))
			require.NoError(t, s.Close())
		}
	})
}

// Of many processes that make one store at once all have the same one.
func TestManyCreate(t *testing.T) {
	bases(t, func(t *testing.T, b base) {
		at := b.place()
		var all []*process
		for range 6 {
			all = append(all, start(t, "create", b.engine, at))
		}
		for _, p := range all {
			var said string
			p.answer(&said)
			p.end()
		}
		s, err := engine.Open(ctx, b.engine, at)
		require.NoError(t, err)
		defer s.Close()
		require.Zero(t, testutil.Generation(t, s))
	})
}

// A schema that a newer release made is refused, by who opens it and by who has
// it open already, and nothing of it is changed.
func TestSTO_12_NewerSchema(t *testing.T) {
	bases(t, func(t *testing.T, b base) {
		at := b.place()
		s, err := engine.Open(ctx, b.engine, at)
		require.NoError(t, err)
		defer s.Close()
		v := testutil.Commit(t, s, testutil.Put(key("a"), 0, "v"))
		db, err := sql.Open(b.driver, at)
		require.NoError(t, err)
		defer db.Close()
		_, err = db.Exec("UPDATE gembok_meta SET format = 1000")
		require.NoError(t, err)
		before := dump(t, db)

		_, err = engine.Open(ctx, b.engine, at)
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		_, err = s.Load(ctx, key("a"))
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		_, err = s.Commit(ctx, testutil.Put(key("a"), v, "w"))
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		_, err = s.Commit(ctx, testutil.Check(key("a"), v))
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		_, err = s.Generation(ctx)
		require.ErrorIs(t, err, keystore.ErrNewerFormat)
		for _, err := range s.List(ctx, "", "", "") {
			require.ErrorIs(t, err, keystore.ErrNewerFormat)
		}
		require.Equal(t, before, dump(t, db))

		_, err = db.Exec("UPDATE gembok_meta SET format = 1")
		require.NoError(t, err)
		testutil.Commit(t, s, testutil.Put(key("a"), v, "w"))
	})
}

// dump returns all that the tables hold.
func dump(t testing.TB, db *sql.DB) (all []string) {
	t.Helper()
	for _, table := range []string{"gembok_meta", "gembok_records"} {
		rows, err := db.Query("SELECT * FROM " + table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		for rows.Next() {
			require.NoError(t, rows.Scan(values...))
			for i, v := range values {
				all = append(all, fmt.Sprint(columns[i], *v.(*any)))
			}
		}
		require.NoError(t, rows.Close())
	}
	return all
}
