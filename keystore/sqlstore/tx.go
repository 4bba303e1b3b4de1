package sqlstore

import (
	"context"
	"database/sql"

	"github.com/gembok-e2ee/gembok/keystore"
)

// txKey is that of the transaction in a context.
type txKey struct{}

// WithTx returns a context with which every Store of tx's database works within
// tx: what it commits is there if and only if the app commits tx, beside what
// the app itself changes in it. What operations made that is not to be seen
// before that is withheld by the Pending; call its Committed once tx.Commit has
// returned nil.
//
// Give it to no Store of another database: one of this package would work in tx
// all the same, and any other commits at once.
//
// A [keystore.ConflictError] of expectations leaves tx usable, and so does
// [keystore.ErrInvalid]. After any other error of a Commit roll tx back. A
// ConflictError that wraps an error of the driver is one of those: the database
// itself has taken tx back, because of another transaction.
//
// A rollback to a savepoint takes back what operations did since, and the Pending
// does not know: it would give out ciphertext whose keys are used again. So call
// WithTx anew behind each SAVEPOINT, and never call Committed of what belongs to
// one that was rolled back to.
//
// Nothing is tried again, and a locked database is waited for as long as the
// connection's busy_timeout says. From the first Commit to tx's end all other
// Commits to the store wait. Use the context from one goroutine at a time, and
// not after tx has ended: a Commit is then [sql.ErrTxDone], also where SQLite has
// ended tx by itself, as it may if a statement fails or its context ends. In SQLite,
// tx's connection has the settings that the app gave it, synchronous and
// journal_mode among them.
func WithTx(ctx context.Context, tx *sql.Tx) (context.Context, *keystore.Pending) {
	p := new(keystore.Pending)
	return p.In(context.WithValue(ctx, txKey{}, tx)), p
}

// joined returns the app's transaction; nil if there is none.
func joined(ctx context.Context) *sql.Tx {
	tx, _ := ctx.Value(txKey{}).(*sql.Tx)
	return tx
}
