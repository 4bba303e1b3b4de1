package engines_test

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// A place is where a store is opened, crashes, and is opened again.
type place struct {
	t       testing.TB
	dialect sqlstore.Dialect
	connect func() (driver.Connector, error)
	crash   func() error // makes connect lead to what a crash leaves
	faulty  *faulty      // the driver of the store that was opened last
}

// open opens a store on a database for it alone.
func (p *place) open() (keystore.Store, error) {
	c, err := p.connect()
	if err != nil {
		return nil, err
	}
	f := &faulty{Connector: c}
	db := sql.OpenDB(f)
	s, err := sqlstore.Open(ctx, db, p.dialect, &sqlstore.Options{CloseDB: true})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	p.t.Cleanup(func() { s.Close() })
	p.faulty = f
	return s, nil
}

// another opens one more; faults are still those of the first.
func (p *place) another() (keystore.Store, error) {
	first := p.faulty
	defer func() { p.faulty = first }()
	return p.open()
}

func (p *place) crashed() (keystore.Store, error) {
	if err := p.crash(); err != nil {
		return nil, err
	}
	return p.open()
}

func (p *place) harness() keystoretest.Harness {
	s, err := p.open()
	require.NoError(p.t, err)
	return keystoretest.Harness{Store: s, Reopen: p.open, Crash: p.crashed, Another: p.another, Fault: func(hook func() error) { p.faulty.set(hook) }}
}

func sqliteHarness(t testing.TB) keystoretest.Harness {
	dir := t.TempDir()
	p := &place{t: t, dialect: sqlstore.SQLite}
	p.connect = func() (driver.Connector, error) { return sqlite.NewConnector(filepath.Join(dir, "store")) }
	p.crash = func() (err error) {
		dir, err = copyFiles(t, dir)
		return err
	}
	return p.harness()
}

// copyFiles copies a database as it would be found after a crash: without the
// file that the processes share as memory.
func copyFiles(t testing.TB, dir string) (string, error) {
	to := t.TempDir()
	for _, name := range []string{"store", "store-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	return to, nil
}

func postgresHarness(t testing.TB) keystoretest.Harness {
	server := engine.ForTest(t)
	dsn, err := server.Fresh(ctx)
	require.NoError(t, err)
	config, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	p := &place{t: t, dialect: sqlstore.PostgreSQL, crash: server.Crash}
	p.connect = func() (driver.Connector, error) { return stdlib.GetConnector(*config), nil }
	return p.harness()
}

func TestSQLite(t *testing.T) { keystoretest.Run(t, sqliteHarness) }

func TestPostgres(t *testing.T) { keystoretest.Run(t, postgresHarness) }

func BenchmarkSQLite(b *testing.B) { keystoretest.Benchmark(b, sqliteHarness) }

func BenchmarkPostgres(b *testing.B) { keystoretest.Benchmark(b, postgresHarness) }
