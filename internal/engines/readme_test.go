package engines_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
	"github.com/gembok-e2ee/gembok/session"
)

// The ways to a store, as the README shows them, but for the errors.

func readmeBolt(context.Context) (keystore.Store, error) {
	store, err := boltstore.Open("ani.store", nil)
	return store, err
}

func readmeSQLite(ctx context.Context) (keystore.Store, error) {
	db, err := sql.Open("sqlite", "file:ani.db")
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, &sqlstore.Options{CloseDB: true})
	return store, err
}

func readmePostgreSQL(ctx context.Context, dsn string) (keystore.Store, error) {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	store, err := sqlstore.Open(ctx, db, sqlstore.PostgreSQL, &sqlstore.Options{CloseDB: true})
	return store, err
}

func readmeEncrypted(ctx context.Context, passphrase string) (keystore.Store, error) {
	inner, err := boltstore.Open("ani.sealed", nil)
	if err != nil {
		return nil, err
	}
	store, err := keystore.OpenEncrypted(ctx, inner, keystore.Unlock{Passphrase: passphrase}, nil)
	return store, err
}

// TestReadme does what the README shows, and keeps the two equal.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	source, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	_, section, ok := strings.Cut(string(readme), "\n## Choosing a store\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```go\n")[1:]
	require.Len(t, blocks, 4)
	for _, block := range blocks {
		code, _, ok := strings.Cut(block, "```\n")
		require.True(t, ok)
		lines := strings.Split(strings.TrimSuffix(code, "\n"), "\n")
		require.LessOrEqual(t, len(lines), 3)
		for _, line := range lines {
			require.True(t, line == "defer store.Close()" || strings.Contains(string(source), "\t"+line+"\n"), line)
		}
	}
	for name, open := range map[string]func(context.Context) (keystore.Store, error){
		"bolt": readmeBolt, "SQLite": readmeSQLite,
		"PostgreSQL": func(ctx context.Context) (keystore.Store, error) {
			dsn, err := engine.ForTest(t).Fresh(ctx)
			require.NoError(t, err)
			return readmePostgreSQL(ctx, dsn)
		},
		"encrypted": func(ctx context.Context) (keystore.Store, error) { return readmeEncrypted(ctx, "correct horse") },
	} {
		store, err := open(ctx)
		require.NoError(t, err, name)
		_, err = session.Create(ctx, store, session.Account{Address: session.Address{User: "ani", Device: 1}}, nil)
		require.NoError(t, err, name)
		require.NoError(t, store.Close())
	}
}
