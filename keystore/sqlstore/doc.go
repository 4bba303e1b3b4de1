// Package sqlstore is a [keystore.Store] in a database of SQLite or PostgreSQL,
// by database/sql and whatever driver the app imports. SQLite is one file for
// the processes of one machine; PostgreSQL serves any number of processes, on
// any number of machines, that work for the same accounts.
//
// SQLite, with modernc.org/sqlite:
//
//	db, err := sql.Open("sqlite", "file:/var/lib/app/keys.db")
//	store, err := sqlstore.Open(ctx, db, sqlstore.SQLite, nil)
//	defer store.Close()
//
// PostgreSQL, with github.com/jackc/pgx/v5/stdlib:
//
//	db, err := sql.Open("pgx", "postgres://app@db.example/app?search_path=keys")
//	store, err := sqlstore.Open(ctx, db, sqlstore.PostgreSQL, nil)
//	defer store.Close()
//
// Open makes two tables, gembok_records and gembok_meta, and in PostgreSQL two
// functions, gembok_commit and gembok_outcome: in the file, or in the first
// schema of the search path, which must exist. There is one store in each. The
// store uses no connection but while a method runs, so that db may be the app's
// own, with limits of the app's own, and [WithTx] may let a store's changes and
// the app's be one transaction. Limit the connections of a server
// ([sql.DB.SetMaxOpenConns]) to what it has, and keep some of them open
// ([sql.DB.SetMaxIdleConns]). Behind a pooler that gives each transaction another
// connection, have pgx prepare nothing: default_query_exec_mode=exec, or
// simple_protocol.
//
// # Durable
//
// When Commit returns nil, the database says that the changes are on the disk.
//
// In SQLite, Open and each Commit switch the file to a write-ahead log, if it has
// none, and each Commit sets synchronous=FULL, secure_delete=ON, a busy_timeout of
// 250 ms and temp_store=MEMORY on its connection, where they stay. The last of
// them drops the temporary tables that the app made on a connection before: give
// the store a database of its own ([sql.Open]) if the app has such tables. The
// file belongs on a local disk.
//
// In PostgreSQL, a Commit that finds synchronous_commit=off turns it on for
// itself. Nothing helps where the server has fsync=off.
//
// # One Commit after another
//
// Versions are given in the order in which Commits become visible. So the Commits
// of one store are made one after the other, whatever they change; in PostgreSQL
// they wait for the row of gembok_meta. What differs in scope and has its own
// database, or schema, does not wait. Loads wait for nobody.
//
// A database of SQLite that others have locked is tried again for 30 seconds, or
// until the context ends; then the error wraps [keystore.ErrLocked], and nothing
// was changed. PostgreSQL is waited for until the context ends.
//
// A Load is one statement, and one round trip; so is a Commit to PostgreSQL, of
// any number of records, if the driver keeps statements prepared, as pgx does. A
// transaction that PostgreSQL takes back because of others (serialization_failure,
// deadlock_detected) is a [keystore.ConflictError] that names all keys of the
// Commit; it does so often only where default_transaction_isolation is not what
// it comes with, READ COMMITTED. Commits to PostgreSQL have at most 512 MiB; larger ones are
// [keystore.ErrFull].
//
// # A lost answer
//
// If the connection breaks during a Commit, or the context ends, the store finds
// out on another connection whether the Commit was made, and sees to it that it
// is not made later: the answer is a version if it was, and an error if it was
// not. [keystore.ErrCommitUnknown] is left for when the database cannot be asked
// within 5 seconds, or more than 63 other Commits came in between, and, in
// SQLite, for an error of the disk at the very end, after which a recovery may
// find the changes or not. A call whose context has ended may therefore go on for
// those 5 seconds.
//
// # Errors
//
// No room is [keystore.ErrFull]; a file, a standby server, or a role, that may
// not be written [keystore.ErrReadOnly]; damage that the database has noticed
// [keystore.ErrCorrupt]. The driver's error is wrapped. Its text is not in the
// store's, since drivers quote what they are given: a result code or SQLSTATE
// is, and what the network says.
//
// # What stays behind
//
// Nothing is encrypted here; for that, wrap the store. Of keys, the tables hold
// the parts as they are, and hashes.
//
// What was deleted or overwritten is zeroed in a file of SQLite (secure_delete),
// but stays in the log (-wal) until that is written over, or emptied by Close,
// which can do so if nobody else is reading. In PostgreSQL it stays in the table
// until VACUUM, and the page's next use, and in what the server writes besides:
// the write-ahead log, its archive, replicas, backups, and logs of statements if
// they are set to have parameters.
package sqlstore
