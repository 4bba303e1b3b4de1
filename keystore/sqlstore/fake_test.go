package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"strings"
	"sync"
	"testing"
)

// A fake is a driver whose database is a list of answers.
type fake struct {
	mu     sync.Mutex
	rules  []rule
	done   []string // statements, up to the first line's end
	args   map[string][]driver.NamedValue
	opened int
	closed int
}

// A rule answers statements that begin like that.
type rule struct {
	prefix string
	rows   [][]driver.Value
	err    error
	times  int    // how often; 0: always
	do     func() // what else happens
}

// when adds a rule, which goes before those there are.
func (f *fake) when(r rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append([]rule{r}, f.rules...)
}

func (f *fake) answer(text string, args []driver.NamedValue) ([][]driver.Value, error) {
	text = strings.TrimSpace(text)
	f.mu.Lock()
	defer f.mu.Unlock()
	line, _, _ := strings.Cut(text, "\n")
	f.done = append(f.done, line)
	f.args[line] = args
	for i := range f.rules {
		r := &f.rules[i]
		if !strings.HasPrefix(text, r.prefix) || r.times < 0 {
			continue
		}
		if r.times--; r.times == 0 {
			r.times = -1
		} else if r.times < 0 {
			r.times = 0
		}
		if r.do != nil {
			r.do()
		}
		return r.rows, r.err
	}
	return nil, nil
}

// count returns how many statements began like that.
func (f *fake) count(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range f.done {
		if strings.HasPrefix(text, prefix) {
			n++
		}
	}
	return n
}

// open opens the database.
func (f *fake) open(t *testing.T) *sql.DB {
	f.args = map[string][]driver.NamedValue{}
	db := sql.OpenDB(f)
	t.Cleanup(func() { db.Close() })
	return db
}

func (f *fake) Driver() driver.Driver { return nil }

func (f *fake) Connect(context.Context) (driver.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opened++
	return &fakeConn{f: f}, nil
}

type fakeConn struct{ f *fake }

func (c *fakeConn) Prepare(string) (driver.Stmt, error) { return nil, io.EOF }

func (c *fakeConn) Begin() (driver.Tx, error) {
	_, err := c.f.answer("BeginTx", nil)
	return c, err
}

func (c *fakeConn) Commit() error {
	_, err := c.f.answer("COMMIT", nil)
	return err
}

func (c *fakeConn) Rollback() error {
	_, err := c.f.answer("ROLLBACK", nil)
	return err
}

func (c *fakeConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return c.Begin() }

func (c *fakeConn) Close() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.closed++
	return nil
}

func (c *fakeConn) ExecContext(_ context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	_, err := c.f.answer(text, args)
	return driver.RowsAffected(0), err
}

func (c *fakeConn) QueryContext(_ context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.f.answer(text, args)
	if err != nil {
		return nil, err
	}
	return &fakeRows{rows}, nil
}

type fakeRows struct{ rows [][]driver.Value }

func (r *fakeRows) Columns() []string {
	if len(r.rows) == 0 {
		return nil
	}
	return make([]string, len(r.rows[0]))
}

func (r *fakeRows) Close() error { return nil }

func (r *fakeRows) Next(into []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	copy(into, r.rows[0])
	r.rows = r.rows[1:]
	return nil
}
