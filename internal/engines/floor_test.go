package engines_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
)

var ctx = context.Background()

// The records of keystoretest.Benchmark.
const (
	floorRecords = 1000
	floorSize    = 1500
)

func floorNames() (owners, names [][]byte) {
	for i := range floorRecords {
		owners, names = append(owners, fmt.Append(nil, i/10)), append(names, fmt.Append(nil, i))
	}
	return owners, names
}

// The same work by SQLite's driver alone: statements that are prepared once,
// one transaction that the disk has at its end, and no store around it.
func BenchmarkFloorSQLite(b *testing.B) {
	db, err := sql.Open("sqlite", filepath.Join(b.TempDir(), "db"))
	require.NoError(b, err)
	defer db.Close()
	c, err := db.Conn(ctx)
	require.NoError(b, err)
	defer c.Close()
	for _, s := range []string{
		"PRAGMA page_size = 8192", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON",
		"CREATE TABLE r (scope BLOB, kind BLOB, owner BLOB, name BLOB, version INTEGER, value BLOB, UNIQUE (scope, kind, owner, name))",
	} {
		_, err := c.ExecContext(ctx, s)
		require.NoError(b, err)
	}
	owners, names := floorNames()
	value := make([]byte, floorSize)
	do(b, c, "BEGIN IMMEDIATE")
	for i := range names {
		do(b, c, "INSERT INTO r VALUES ('scope', 'session', ?, ?, 1, ?)", owners[i], names[i], value)
	}
	do(b, c, "COMMIT")
	get, err := c.PrepareContext(ctx, "SELECT version, value FROM r WHERE scope = 'scope' AND kind = 'session' AND owner = ? AND name = ?")
	require.NoError(b, err)
	put, err := c.PrepareContext(ctx, "UPDATE r SET version = version + 1, value = ? WHERE scope = 'scope' AND kind = 'session' AND owner = ? AND name = ?")
	require.NoError(b, err)
	work := func(b *testing.B, records int) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if records > 1 {
				for i := range records {
					var version int64
					var value []byte
					if err := get.QueryRow(owners[i], names[i]).Scan(&version, &value); err != nil || len(value) != floorSize {
						b.Fatal(err)
					}
				}
			}
			do(b, c, "BEGIN IMMEDIATE")
			for j := range records {
				at := (i*7 + j) % floorRecords
				if _, err := put.Exec(value, owners[at], names[at]); err != nil {
					b.Fatal(err)
				}
			}
			do(b, c, "COMMIT")
		}
	}
	b.Run("commit", func(b *testing.B) { work(b, 1) })
	b.Run("load and commit 1000", func(b *testing.B) { work(b, floorRecords) })
}

func do(b *testing.B, c *sql.Conn, statement string, args ...any) {
	if _, err := c.ExecContext(ctx, statement, args...); err != nil {
		b.Fatal(err)
	}
}

// What reads and writes any number of records. The key of each is looked for by
// itself, whatever PostgreSQL believes to know of the table.
const (
	readMany = `SELECT version, value FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS u(o, n, i),
		LATERAL (SELECT version, value FROM r WHERE scope = 'scope' AND kind = 'session' AND owner = o AND name = n LIMIT 1) AS x ORDER BY i`
	writeMany = `UPDATE r SET version = version + 1, value = x.v FROM (
		SELECT v, (SELECT r.ctid FROM r WHERE scope = 'scope' AND kind = 'session' AND owner = o AND name = n) AS at
		FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u(o, n, v) OFFSET 0) AS x WHERE r.ctid = x.at`
)

// The same work by PostgreSQL's driver alone: one statement for all records, in
// a round trip each for reading and writing.
func BenchmarkFloorPostgres(b *testing.B) {
	dsn, err := engine.ForTest(b).Fresh(ctx)
	require.NoError(b, err)
	db, err := sql.Open("pgx", dsn)
	require.NoError(b, err)
	defer db.Close()
	c, err := db.Conn(ctx)
	require.NoError(b, err)
	defer c.Close()
	do(b, c, "CREATE TABLE r (scope bytea, kind bytea, owner bytea, name bytea, version bigint, value bytea, PRIMARY KEY (scope, kind, owner, name)) WITH (fillfactor = 50)") // room for updates beside
	owners, names := floorNames()
	var values [][]byte
	for range names {
		values = append(values, make([]byte, floorSize))
	}
	do(b, c, "INSERT INTO r SELECT 'scope', 'session', o, n, 1, v FROM unnest($1::bytea[], $2::bytea[], $3::bytea[]) AS u(o, n, v)", owners, names, values)
	work := func(b *testing.B, records int) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i = (i + 7) % floorRecords {
			at := min(i, floorRecords-records)
			o, n, v := owners[at:at+records], names[at:at+records], values[at:at+records]
			if records > 1 {
				rows, err := c.QueryContext(ctx, readMany, o, n)
				if err != nil {
					b.Fatal(err)
				}
				found := 0
				for ; rows.Next(); found++ {
					var version int64
					var value []byte
					if err := rows.Scan(&version, &value); err != nil || len(value) != floorSize {
						b.Fatal(err)
					}
				}
				if err := rows.Close(); err != nil || found != records {
					b.Fatal(err, found)
				}
			}
			do(b, c, writeMany, o, n, v)
		}
	}
	b.Run("commit", func(b *testing.B) { work(b, 1) })
	b.Run("load and commit 1000", func(b *testing.B) { work(b, floorRecords) })
}
