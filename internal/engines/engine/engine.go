// Package engine opens a store of any engine, by name and place, and starts
// PostgreSQL servers of its own, for tests and tools.
package engine

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// Open opens a store, which is made where there is none: "memory", without a
// place; "bolt" or "sqlite" and a file; "postgres" and a connection string.
func Open(ctx context.Context, name, place string) (keystore.Store, error) {
	switch name {
	case "memory":
		return keystore.NewMemory(), nil
	case "bolt":
		return boltstore.Open(place, nil)
	case "sqlite":
		return openSQL(ctx, name, place, sqlstore.SQLite)
	case "postgres":
		return openSQL(ctx, "pgx", place, sqlstore.PostgreSQL)
	}
	return nil, fmt.Errorf("engine: there is no engine %q", name)
}

// openSQL opens a store and a database for it alone.
func openSQL(ctx context.Context, driver, place string, d sqlstore.Dialect) (keystore.Store, error) {
	db, err := sql.Open(driver, place)
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.Open(ctx, db, d, &sqlstore.Options{CloseDB: true})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}
