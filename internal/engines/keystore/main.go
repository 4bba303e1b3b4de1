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
// server of PostgreSQL does that itself.
func check(ctx context.Context, name, place string) error {
	switch name {
	case "bolt":
		return boltstore.Check(ctx, place)
	case "sqlite":
		return checkSQLite(ctx, place)
	}
	return nil
}

// checkSQLite leaves it to who opens the file to say why it cannot be asked.
func checkSQLite(ctx context.Context, place string) error {
	db, err := sql.Open("sqlite", place)
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil || verdict == "ok" {
		return ctx.Err()
	}
	return fmt.Errorf("sqlite: %w", keystore.ErrCorrupt)
}
