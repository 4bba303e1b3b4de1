package engines_test

import (
	"context"
	"database/sql/driver"
	"io"
	"sync/atomic"
)

// A faulty is a driver whose every step, to connect, to begin, to do a
// statement, to fetch a row, to commit and to roll back, asks a hook before and
// after it is made, which may fail or panic. Where it panics the connection is
// gone, and the transaction with it.
type faulty struct {
	driver.Connector
	hook atomic.Pointer[func() error]
}

func (f *faulty) set(hook func() error) {
	if hook == nil {
		f.hook.Store(nil)
		return
	}
	f.hook.Store(&hook)
}

func (f *faulty) ask() error {
	if hook := f.hook.Load(); hook != nil {
		return (*hook)()
	}
	return nil
}

func (f *faulty) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{fullConn: inner.(fullConn), f: f}
	if _, err := step(c, func() (*faultyConn, error) { return c, nil }); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return c, nil
}

// A fullConn is what the connections of both drivers can do.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
}

type faultyConn struct {
	fullConn
	f    *faulty
	rows *faultyRows // the last ones
	gone atomic.Bool
}

// step does on c what may fail. What it returns beside an error was made, and
// is to be undone.
func step[T any](c *faultyConn, do func() (T, error)) (v T, err error) {
	ended := false
	defer func() {
		if ended {
			return
		}
		if made, ok := any(v).(io.Closer); ok {
			_ = made.Close()
		}
		if c.rows != nil { // as long as they are open, SQLite does not let go
			_ = c.rows.Close()
		}
		c.gone.Store(true)
		_ = c.fullConn.Close()
	}()
	if err = c.f.ask(); err == nil {
		if v, err = do(); err == nil {
			err = c.f.ask()
		}
	}
	ended = true
	return v, err
}

// made closes what was made if there is an error.
func made[T io.Closer](v T, isNil bool, err error) error {
	if err != nil && !isNil {
		_ = v.Close()
	}
	return err
}

func (c *faultyConn) Close() error {
	if c.gone.Load() {
		return nil
	}
	return c.fullConn.Close()
}

func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.fullConn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *faultyConn) IsValid() bool {
	v, ok := c.fullConn.(driver.Validator)
	return !c.gone.Load() && (!ok || v.IsValid())
}

func (c *faultyConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := step(c, func() (driver.Tx, error) { return c.fullConn.BeginTx(ctx, o) })
	if err != nil && tx != nil {
		_ = tx.Rollback()
	}
	return &faultyTx{tx, c}, err
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return step(c, func() (driver.Result, error) { return c.fullConn.ExecContext(ctx, query, args) })
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := step(c, func() (driver.Rows, error) { return c.fullConn.QueryContext(ctx, query, args) })
	return c.open(rows), made(rows, rows == nil, err)
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := step(c, func() (driver.Stmt, error) { return c.fullConn.PrepareContext(ctx, query) })
	if err := made(s, s == nil, err); err != nil {
		return nil, err
	}
	return &faultyStmt{s.(fullStmt), c}, nil
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type faultyStmt struct {
	fullStmt
	c *faultyConn
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return step(s.c, func() (driver.Result, error) { return s.fullStmt.ExecContext(ctx, args) })
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := step(s.c, func() (driver.Rows, error) { return s.fullStmt.QueryContext(ctx, args) })
	return s.c.open(rows), made(rows, rows == nil, err)
}

type faultyRows struct {
	driver.Rows
	c      *faultyConn
	closed bool
}

func (c *faultyConn) open(rows driver.Rows) driver.Rows {
	r := &faultyRows{Rows: rows, c: c}
	if rows != nil {
		c.rows = r
	}
	return r
}

func (r *faultyRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	return r.Rows.Close()
}

func (r *faultyRows) Next(to []driver.Value) error {
	_, err := step(r.c, func() (struct{}, error) { return struct{}{}, r.Rows.Next(to) })
	return err
}

type faultyTx struct {
	driver.Tx
	c *faultyConn
}

func (t *faultyTx) Commit() error { return t.end(t.Tx.Commit) }

func (t *faultyTx) Rollback() error { return t.end(t.Tx.Rollback) }

func (t *faultyTx) end(how func() error) error {
	if t.c.gone.Load() {
		return driver.ErrBadConn
	}
	_, err := step(t.c, func() (struct{}, error) { return struct{}{}, how() })
	return err
}
