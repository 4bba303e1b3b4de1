package sqlstore

import (
	"context"
	"database/sql"

	"github.com/gembok-e2ee/gembok/keystore"
)

// OpenNext opens a store as a later release would, whose schema is one step
// further, which is the statement next.
func OpenNext(ctx context.Context, db *sql.DB, d Dialect, next string) error {
	if d == SQLite {
		e := newSQLite()
		e.steps = append(e.steps, []string{next})
		return e.open(ctx, db)
	}
	e := newPostgres()
	e.steps = append(e.steps, []string{next})
	return e.open(ctx, db)
}

// ID returns what a record is stored under.
func ID(k keystore.Key) []byte { return appendID(nil, &k) }

// EncodeKey returns a key as it is stored.
func EncodeKey(k keystore.Key) []byte { return appendKey(nil, &k) }

// ParseKey reads a stored key.
func ParseKey(b, id []byte) (keystore.Key, bool) { return parseKey(b, id) }
