//go:build js && wasm

package indexeddb

import (
	"context"
	"errors"
	"fmt"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Modes of a transaction.
const (
	readonly  = "readonly"
	readwrite = "readwrite"
)

// A transaction is one of the browser's. It commits itself once control is back
// at the event loop and no request is pending: whatever is asked for after an
// answer is asked for from within the event of that answer.
//
// The browser answers the requests of a transaction in their order, so that the
// last answer is the only one to wait for.
type transaction struct {
	s             *Store
	tx            js.Value // an IDBTransaction
	records, meta js.Value // its IDBObjectStores
	last          js.Value // request
	funcs         []js.Func
	end           chan bool // whether it was made, once that is certain
	ended         bool
	cause         error // why it was taken back, if we did that
	committing    bool
}

// run makes a transaction. Ask makes requests; decide, if any, is called when
// all are answered, may make others, and takes the transaction back by an error.
// Run returns when the transaction has ended.
func (s *Store) run(ctx context.Context, mode string, ask, decide func(*transaction) error) error {
	t, err := s.begin(mode)
	if err != nil {
		return err
	}
	defer t.release()
	if err := ask(t); err != nil {
		t.abort(err)
	} else if decide != nil {
		t.last.Set("onsuccess", t.handler(func(js.Value) {
			if err := decide(t); err != nil {
				t.abort(err)
			}
		}))
	}
	return t.wait(ctx)
}

func (s *Store) begin(mode string) (*transaction, error) {
	tx, err := s.step(s.db, "transaction", []any{recordStore, metaStore}, mode, map[string]any{"durability": "strict"})
	if err != nil {
		return nil, err
	}
	t := &transaction{s: s, tx: tx, end: make(chan bool, 1)}
	end := t.handler(func(event js.Value) { t.end <- event.Get("type").String() == "complete" })
	tx.Set("oncomplete", end)
	tx.Set("onabort", end)
	t.records, t.meta = tx.Call("objectStore", recordStore), tx.Call("objectStore", metaStore)
	return t, nil
}

// step calls the browser.
func (s *Store) step(v js.Value, method string, args ...any) (js.Value, error) {
	if s.fault != nil {
		if err := s.fault(); err != nil {
			return js.Value{}, err
		}
	}
	return call(v, method, args...)
}

// handler returns a function for an event, which lives as long as t.
func (t *transaction) handler(handle func(event js.Value)) js.Func {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any { handle(args[0]); return nil })
	t.funcs = append(t.funcs, f)
	return f
}

// request makes a request.
func (t *transaction) request(store js.Value, method string, args ...any) (js.Value, error) {
	r, err := t.s.step(store, method, args...)
	if err == nil {
		t.last = r
	}
	return r, err
}

// commit says that no request will follow, which the browser would find out
// later.
func (t *transaction) commit() error {
	_, err := t.s.step(t.tx, "commit")
	t.committing = err == nil
	return err
}

// abort takes the transaction back, if that is possible yet. Its end tells.
func (t *transaction) abort(cause error) {
	if _, err := call(t.tx, "abort"); err == nil {
		t.cause = cause
	}
}

// wait waits for the end. Where ctx ends first, it hastens it. When the browser
// has closed the database, no end need come.
func (t *transaction) wait(ctx context.Context) error {
	select {
	case made := <-t.end:
		return t.outcome(made)
	case <-ctx.Done():
		t.abort(ctx.Err())
	case <-t.s.cut:
	}
	select {
	case made := <-t.end:
		return t.outcome(made)
	case <-t.s.cut:
		t.ended = true
		return t.unknown(errGone)
	}
}

// outcome tells what became of a transaction that has ended.
func (t *transaction) outcome(made bool) error {
	t.ended = true
	switch {
	case made:
		return nil
	case t.cause != nil:
		return t.cause
	}
	err := translate(t.tx.Get("error"))
	if errors.Is(err, keystore.ErrFull) {
		return err
	}
	return t.unknown(err)
}

// unknown is an error of what was to be made. Once the browser was told to commit,
// it may have done so.
func (t *transaction) unknown(err error) error {
	if t.committing {
		return fmt.Errorf("%w: %w", keystore.ErrCommitUnknown, err)
	}
	return err
}

// release ends a transaction that a panic has left, and frees what t holds.
func (t *transaction) release() {
	if !t.ended {
		t.abort(nil)
		select {
		case <-t.end:
		case <-t.s.cut:
		}
	}
	t.tx.Set("oncomplete", nil)
	t.tx.Set("onabort", nil)
	if t.last.Truthy() {
		t.last.Set("onsuccess", nil)
	}
	for _, f := range t.funcs {
		f.Release()
	}
}
