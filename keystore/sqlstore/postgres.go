package sqlstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// postgres is the engine of PostgreSQL.
//
// A Commit is one call of a function, which the server makes in a transaction of
// its own. If the answer is lost, because the connection is or the context has
// ended, the Commit may have been made, may not, and may still be about to be.
// To tell is what turns are for. A turn is a number that grows by one with each
// Commit, and by 64 when a Commit was given up. A Commit carries a turn that its
// sender knows to have been (base) and a token. The server refuses it once 64
// turns have passed since base, and keeps the tokens of the latest 64 Commits.
// So whoever has lost the answer locks the row that all Commits lock, and, if
// the token is not there and less than 64 turns have passed, knows that the
// Commit was not made, and by raising the turn that it will not be.
//
// A Commit that was refused because it came so late is sent again without base;
// if the answer to that is lost too and its token is not found, the outcome is
// unknown.
type postgres struct {
	steps       [][]string
	texts       statements
	commitText  string
	outcomeText string
}

func newPostgres() *postgres { return &postgres{steps: [][]string{postgresSchema}} }

// noBase is for a Commit that is not refused.
const noBase = -1

const (
	postgresWriters = 4               // one at work, and others on their way
	postgresLimit   = 512 << 20       // bytes of a Commit; PostgreSQL has 1 GiB for all of a message
	answerTime      = 5 * time.Second // for finding out what became of a Commit
)

func (e *postgres) statements() *statements { return &e.texts }

func (*postgres) writers() int { return postgresWriters }

func (*postgres) close(*sql.DB) {}

// open makes the schema where the search path says.
func (e *postgres) open(ctx context.Context, db *sql.DB) error {
	var schema sql.NullString
	if err := queryRow(ctx, db, `SELECT current_schema()::text`, nil, &schema); err != nil {
		return err
	}
	if !schema.Valid {
		return errors.New("sqlstore: no schema of the search path exists")
	}
	in := func(text string) string { return inSchema(schema.String, text) }
	e.texts = statements{
		load: in(postgresFind("r.key, r.value")), versions: in(postgresFind("NULL::bytea, NULL::bytea")),
		list: in(postgresPage), generation: in(postgresGeneration),
	}
	e.commitText, e.outcomeText = in(postgresCall), in(postgresAsk)
	have, err := e.format(ctx, db, in)
	if err != nil || have == len(e.steps) {
		return err
	}
	return e.migrate(ctx, db, in)
}

func (e *postgres) format(ctx context.Context, q querier, in func(string) string) (int, error) {
	return formatOf(ctx, q, in(postgresThere), in(postgresFormat), len(e.steps))
}

// migrate makes what is missing of the schema, unless others have done so.
func (e *postgres) migrate(ctx context.Context, db *sql.DB, in func(string) string) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := exec(ctx, tx, postgresLock); err != nil {
		return err
	}
	have, err := e.format(ctx, tx, in)
	if err != nil {
		return err
	}
	if err := migrate(ctx, tx, have, e.steps, postgresStamp, in); err != nil {
		return err
	}
	return tx.Commit()
}

// An answer is what the function returns.
type answer struct {
	has           int
	turn, version int64
	lost          string
}

// An attempt is one call of the function.
type attempt struct {
	base  int64
	token [tokenSize]byte
	rest  []any
}

func newAttempt(base int64, rest []any) *attempt {
	a := &attempt{base: base, rest: rest}
	rand.Read(a.token[:])
	return a
}

// call calls the function.
func (a *attempt) call(ctx context.Context, q querier, text string) (r answer, err error) {
	var version sql.NullInt64
	var lost sql.NullString
	args := append([]any{format, a.base, a.token[:]}, a.rest...)
	err = queryRow(ctx, q, text, args, &r.has, &r.turn, &version, &lost)
	r.version, r.lost = version.Int64, lost.String
	if err == nil && r.has != format {
		err = errNewer
	}
	return r, err
}

func (e *postgres) commit(ctx context.Context, s *Store, b *batch) (uint64, error) {
	rest, err := b.arguments()
	if err != nil {
		return 0, err
	}
	for base, tries := s.seen.Load(), 0; ; tries++ {
		a := newAttempt(base, rest)
		r, err := e.attempt(ctx, s.db, a)
		switch {
		case errors.Is(err, keystore.ErrCommitUnknown):
			return 0, err
		case lostRace(err):
			return 0, &databaseError{b.conflictOfAll(), err}
		case errors.Is(err, driver.ErrBadConn) && ctx.Err() == nil && tries < 3:
			base = s.seen.Load()
			continue // a connection that was dead before
		case err != nil:
			return 0, failed(ctx, err)
		case r.lost != "":
			s.see(r.turn)
			return 0, b.conflict(numbers(r.lost))
		case r.version > 0:
			s.see(r.turn + 1)
			return uint64(r.version), nil
		}
		s.see(r.turn)
		base = noBase
	}
}

func (e *postgres) commitIn(ctx context.Context, tx *sql.Tx, b *batch) (uint64, error) {
	rest, err := b.arguments()
	if err != nil {
		return 0, err
	}
	r, err := newAttempt(noBase, rest).call(ctx, tx, e.commitText)
	if lostRace(err) {
		return 0, &databaseError{b.conflictOfAll(), err}
	}
	if err != nil {
		return 0, err
	}
	return uint64(r.version), b.conflict(numbers(r.lost))
}

// attempt calls the function in a transaction of its own. If it returns an
// error, that is ErrCommitUnknown or nothing was done nor will be.
func (e *postgres) attempt(ctx context.Context, db *sql.DB, a *attempt) (r answer, err error) {
	began, certain := false, true
	err = onConn(ctx, db, func(c *sql.Conn) (sound bool, err error) {
		began = true
		r, err = a.call(ctx, c, e.commitText)
		if err == nil || err == errNewer {
			return true, err
		}
		// An error in a session that goes on has undone the transaction. One that
		// ends the session may have come after its end.
		certain = sqlState(err) != "" && alive(ctx, c)
		return certain, err
	})
	if err == nil || !began || certain {
		return r, err
	}
	return e.settle(ctx, db, a, err)
}

// alive tells whether a session goes on.
func alive(ctx context.Context, c *sql.Conn) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	return exec(ctx, c, `SELECT 1`) == nil
}

// settle finds out what became of an attempt whose answer was lost by err.
func (e *postgres) settle(ctx context.Context, db *sql.DB, a *attempt, err error) (answer, error) {
	switch version := e.outcome(ctx, db, a); {
	case version > 0:
		return answer{has: format, version: version}, nil
	case version < 0:
		return answer{}, unknown(err)
	}
	return answer{}, err
}

// outcome returns the version that an attempt gave, 0 if it gave none and never
// will, -1 if that cannot be told.
func (e *postgres) outcome(ctx context.Context, db *sql.DB, a *attempt) (version int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, answerTime/20) {
		err := queryRow(ctx, db, e.outcomeText, []any{a.base, a.token[:]}, &version)
		if err == nil {
			return version
		}
		if !wait(ctx, pause) {
			return -1
		}
	}
}

// numbers reads what the function lists.
func numbers(list string) (all []int) {
	if list == "" {
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		n, _ := strconv.Atoi(text)
		all = append(all, n)
	}
	return all
}

// arguments returns what the function is given of a batch.
func (b *batch) arguments() ([]any, error) {
	size := 0
	for at := range b.puts {
		c := b.change(at)
		size += len(c.Value) + len(c.Key.Scope) + len(c.Key.Kind) + len(c.Key.Owner) + len(c.Key.Name) + 16
		if size > postgresLimit {
			return nil, errTooLarge
		}
	}
	data := make([]byte, 0, size)
	var expects, starts, keys, sizes list
	for at := range b.order {
		expects.add(b.expects(at))
	}
	for at := range b.puts {
		c, start := b.change(at), len(data)
		data = appendKey(data, &c.Key)
		starts.add(int64(start))
		keys.add(int64(len(data) - start))
		sizes.add(int64(len(c.Value)))
		data = append(data, c.Value...)
	}
	return []any{b.ids, expects.text(), b.puts, b.deletes, starts.text(), keys.text(), sizes.text(), data}, nil
}

// A list is an array of numbers as PostgreSQL reads it, which any driver can
// pass on.
type list struct{ b bytes.Buffer }

func (l *list) add(n int64) {
	if l.b.Len() > 0 {
		l.b.WriteByte(',')
	}
	l.b.Write(strconv.AppendInt(l.b.AvailableBuffer(), n, 10))
}

func (l *list) text() string { return "{" + l.b.String() + "}" }
