package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A querier is a database, a connection or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func exec(ctx context.Context, q querier, statements ...string) error {
	for _, text := range statements {
		if _, err := q.ExecContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// query calls each for every row, and reads to the very end: what failed after
// the last row is an error too.
func query(ctx context.Context, q querier, text string, args []any, each func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// scan scans a row. What is of another type than was ever written is damage.
func scan(rows *sql.Rows, into ...any) error {
	err := rows.Scan(into...)
	if err == nil || rows.Err() != nil {
		return err
	}
	return &databaseError{keystore.ErrCorrupt, err}
}

// queryRow scans the one row of a query.
func queryRow(ctx context.Context, q querier, text string, args []any, into ...any) error {
	found := false
	err := query(ctx, q, text, args, func(rows *sql.Rows) error {
		found = true
		return scan(rows, into...)
	})
	if err == nil && !found {
		return errNoMeta
	}
	return err
}

// onConn lets do have a connection for itself. If do says that it is not sound,
// or panics, it is closed.
func onConn(ctx context.Context, db *sql.DB, do func(*sql.Conn) (sound bool, err error)) error {
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // what panicked may have left c locked, so that it cannot be closed
			_ = c.Raw(func(d any) error { return d.(driver.Conn).Close() })
		}
	}()
	sound, err := do(c)
	returned = true
	if !sound {
		_ = c.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = c.Close()
	return err
}
