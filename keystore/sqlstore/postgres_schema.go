package sqlstore

import "strings"

// postgresSchema is the schema's first format. SCHEMA stands for the name of
// the schema that it is in. Pages are left half empty, since an update that finds
// room beside the old record leaves the index alone. Values are not compressed,
// since those worth it are encrypted.
var postgresSchema = []string{
	`CREATE TABLE SCHEMA.gembok_records (id bytea PRIMARY KEY, version bigint NOT NULL, key bytea NOT NULL, value bytea NOT NULL)
		WITH (fillfactor = 50)`,
	`ALTER TABLE SCHEMA.gembok_records ALTER value SET STORAGE EXTERNAL`,
	`CREATE TABLE SCHEMA.gembok_meta (
		one boolean PRIMARY KEY CHECK (one), format int NOT NULL, newest bigint NOT NULL, fence bigint NOT NULL, tokens bytea NOT NULL)`,
	`INSERT INTO SCHEMA.gembok_meta (one, format, newest, fence, tokens) VALUES (true, 1, 0, 0, '')`,
	postgresCommit,
	postgresOutcome,
}

// postgresCommit makes a Commit, or says why not. There are n changes, puts
// first and then deletes, with ids of 52 bytes. For each there is what it
// expects, and for each put where it is in data, and how long its key is and
// its value behind it.
//
// It returns the format of the schema, the turn that it found, the version that
// it gave, and the numbers of the changes whose expectations failed, from 0, if
// there are any. With no version and no numbers it refused: the schema is not of
// the format form, or there are too many turns since base.
//
// The row of gembok_meta is locked first. What follows is a statement of its
// own, for which READ COMMITTED takes a new snapshot, and sees all that was
// committed before.
const postgresCommit = `
CREATE FUNCTION SCHEMA.gembok_commit(
	form int, base bigint, token bytea, ids bytea, expects text, puts int, deletes int,
	starts text, keys text, sizes text, data bytea,
	OUT has int, OUT turn bigint, OUT version bigint, OUT lost text) LANGUAGE plpgsql AS $gembok$
DECLARE
	m record;
BEGIN
	SELECT * INTO STRICT m FROM SCHEMA.gembok_meta FOR UPDATE;
	has := m.format;
	turn := m.newest + m.fence;
	IF m.format <> form OR base >= 0 AND turn - base >= 64 THEN
		RETURN;
	END IF;
	SELECT string_agg((e.i - 1)::text, ',') INTO lost
		FROM unnest(expects::bigint[]) WITH ORDINALITY AS e(version, i)
		LEFT JOIN LATERAL (
			SELECT r.version FROM SCHEMA.gembok_records r
			WHERE r.id = substring(ids FROM ((e.i - 1) * 52 + 1)::int FOR 52) OFFSET 0
		) r ON true
		WHERE coalesce(r.version, 0) <> e.version;
	IF lost IS NOT NULL THEN
		RETURN;
	END IF;
	IF current_setting('synchronous_commit') = 'off' THEN
		PERFORM set_config('synchronous_commit', 'on', true);
	END IF;
	version := m.newest + 1;
	UPDATE SCHEMA.gembok_meta SET newest = m.newest + 1, tokens = substring(token || m.tokens FOR 512);
	IF puts > 0 THEN
		INSERT INTO SCHEMA.gembok_records AS r (id, version, key, value)
			SELECT substring(ids FROM ((p.i - 1) * 52 + 1)::int FOR 52), m.newest + 1,
				substring(data FROM p.start + 1 FOR p.k), substring(data FROM p.start + p.k + 1 FOR p.v)
			FROM unnest(starts::int[], keys::int[], sizes::int[]) WITH ORDINALITY AS p(start, k, v, i)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, key = excluded.key, value = excluded.value;
	END IF;
	IF deletes > 0 THEN
		DELETE FROM SCHEMA.gembok_records r WHERE r.id = ANY (ARRAY(
			SELECT substring(ids FROM i * 52 + 1 FOR 52) FROM generate_series(puts, puts + deletes - 1) AS i));
	END IF;
END $gembok$`

// postgresOutcome tells what became of a Commit: the version that it gave, 0
// for none now or ever, or -1 where that cannot be told. By raising the fence it
// keeps the Commit from being made later, should it still be under way. Base may be
// ahead of the turn, where a server took over that lacks the latest Commits.
const postgresOutcome = `
CREATE FUNCTION SCHEMA.gembok_outcome(base bigint, token bytea, OUT version bigint) LANGUAGE plpgsql AS $gembok$
DECLARE
	m record;
	at int;
BEGIN
	SELECT * INTO STRICT m FROM SCHEMA.gembok_meta FOR UPDATE;
	at := position(token IN m.tokens);
	IF at > 0 THEN
		version := m.newest - (at - 1) / 8;
	ELSIF base >= 0 AND m.newest + m.fence - base < 64 THEN
		UPDATE SCHEMA.gembok_meta SET fence = greatest(m.fence, base - m.newest) + 64;
		version := 0;
	ELSE
		version := -1;
	END IF;
END $gembok$`

const (
	postgresThere  = `SELECT count(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('SCHEMA.gembok_meta')`
	postgresFormat = `SELECT format FROM SCHEMA.gembok_meta`
	postgresStamp  = `UPDATE SCHEMA.gembok_meta SET format = $1`

	postgresGeneration = `SELECT format, newest + fence, newest FROM SCHEMA.gembok_meta`
	postgresCall       = `SELECT has, turn, version, lost FROM SCHEMA.gembok_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	postgresAsk        = `SELECT version FROM SCHEMA.gembok_outcome($1, $2)`

	// postgresLock lets one at a time make the schema. The number is drawn.
	postgresLock = `SELECT pg_advisory_xact_lock(5640938823905441716)`
)

// inSchema puts the name of a schema into a statement, also within a string.
func inSchema(schema, text string) string {
	quoted := `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
	return strings.NewReplacer("'SCHEMA.", "'"+strings.ReplaceAll(quoted, "'", "''")+".", "SCHEMA.", quoted+".").Replace(text)
}

// postgresFind finds records by their index, in any order. LIMIT, OFFSET and the
// inner SELECT keep the planner from thinking of something larger, for which it
// would scan the table, or compile the statement first.
func postgresFind(columns string) string {
	return `SELECT m.format, m.turn, k.i, r.version, ` + columns + `
		FROM (SELECT format, newest + fence AS turn FROM SCHEMA.gembok_meta LIMIT 1) m
		CROSS JOIN generate_series(0, (SELECT $2::int - 1)) AS k(i)
		LEFT JOIN LATERAL (
			SELECT r.version, r.key, r.value FROM SCHEMA.gembok_records r
			WHERE r.id = substring($1::bytea FROM k.i * 52 + 1 FOR 52) OFFSET 0
		) r ON true`
}

// postgresPage reads no more than it has to, since drivers read all that is
// sent. The length of a value is known without reading it.
const postgresPage = `SELECT (SELECT format FROM SCHEMA.gembok_meta), id, key, version, value FROM (
		SELECT *, sum(octet_length(value)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - octet_length(value) AS before FROM (
			SELECT id, key, version, value FROM SCHEMA.gembok_records
			WHERE id >= $1::bytea AND id < $2::bytea
			AND (length($3::bytea) = 0 OR substring(id FROM 9 FOR 4) = $3::bytea)
			AND (length($4::bytea) = 0 OR substring(id FROM 13 FOR 8) = $4::bytea)
			ORDER BY id LIMIT 256
		) p
	) q WHERE before < 1048576 ORDER BY id`
