// Command keystore is the one of the main module, with the SQL engines.
//
//	go run -C internal/engines ./keystore move bolt:FILE sqlite:FILE
//	go run -C internal/engines ./keystore verify "postgres:host=/run/postgresql dbname=bot"
//
// Files are named by their full path, since -C changes the directory. What
// stands in a command is seen by other users of the machine: a password belongs
// in the file that PGPASSFILE names.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/boltstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	t := storetool.Tool{
		Command: "go run -C internal/engines ./keystore",
		Engines: []string{"bolt", "sqlite", "postgres"},
		Open:    engine.Open,
		Check:   check,
		In:      os.Stdin, Out: os.Stdout, Err: os.Stderr,
	}
	code := t.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// check has an engine look at what lies below the records of a store. The
// server of PostgreSQL does that itself. A database without a store is left as
// it is: to open it would make one.
func check(ctx context.Context, name, place string) error {
	switch name {
	case "bolt":
		return boltstore.Check(ctx, place)
	case "sqlite":
		return ask(ctx, name, place, "SELECT count(*) FROM sqlite_schema WHERE name = 'gembok_meta'", "PRAGMA integrity_check(1)")
	case "postgres":
		return ask(ctx, "pgx", place, "SELECT count(to_regclass('gembok_meta'))", "SELECT 'ok'")
	}
	return nil
}

// ask asks a database whether there is a store and whether all is well. It
// leaves it to who opens it to say why it cannot be asked.
func ask(ctx context.Context, driver, place, stores, health string) error {
	db, err := sql.Open(driver, place)
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	var verdict string
	switch {
	case db.QueryRowContext(ctx, stores).Scan(&n) != nil:
		return ctx.Err()
	case n == 0:
		return errors.New("the database has no store")
	case db.QueryRowContext(ctx, health).Scan(&verdict) != nil || verdict == "ok":
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", driver, keystore.ErrCorrupt)
}
