package sqlstore_test

import (
	"context"
	"database/sql"

	"github.com/gembok-e2ee/gembok/keystore/sqlstore"
)

// An order is written and its confirmation encrypted, both or none.
func ExampleWithTx() {
	confirm := func(ctx context.Context, db *sql.DB, encrypt func(context.Context) error) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES (7)"); err != nil {
			return err
		}
		within, pending := sqlstore.WithTx(ctx, tx)
		if err := encrypt(within); err != nil { // by a Device, on a store of db
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		pending.Committed() // what was encrypted can be sent now
		return nil
	}
	_ = confirm
}
