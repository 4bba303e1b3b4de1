package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A tx is one operation: records as they were loaded, and what is to become
// of them. Nothing reaches the store before commit, and then all of it.
type tx struct {
	d    *Device
	ctx  context.Context
	recs []entry
}

// An entry is one record. Op 0 means that nothing depends on it.
type entry struct {
	rec   keystore.Record
	op    keystore.Op
	value []byte
}

func (d *Device) begin(ctx context.Context) *tx { return &tx{d: d, ctx: ctx} }

// errStore reports a Load that did not return what it was asked for.
var errStore = errors.New("session: store broke its contract")

// maxReruns bounds how often an operation that lost a race is computed again.
const maxReruns = 16

// run holds the lock of peer while f computes and its outcome is committed.
// When another process changed what f relied on, f runs again, on a new tx.
func (d *Device) run(ctx context.Context, peer string, f func(*tx) error) error {
	if err := d.locks.lock(ctx, peer); err != nil {
		return err
	}
	defer d.locks.unlock(peer)
	for again := 0; ; again++ {
		t := d.begin(ctx)
		if err := f(t); err != nil {
			return err
		}
		err := t.commit()
		if conflict := (*keystore.ConflictError)(nil); again < maxReruns && errors.As(err, &conflict) {
			continue
		}
		return err
	}
}

// load loads the records of keys that were not loaded yet, in one Load.
func (t *tx) load(keys ...keystore.Key) error {
	missing := make([]keystore.Key, 0, len(keys))
	for _, k := range keys {
		if t.find(k) == nil {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	recs, err := t.d.store.Load(t.ctx, missing...)
	if err != nil {
		return err
	}
	if len(recs) != len(missing) {
		return errStore
	}
	for i, r := range recs {
		if r.Key != missing[i] {
			return errStore
		}
		if t.find(r.Key) == nil {
			t.recs = append(t.recs, entry{rec: r})
		}
	}
	return nil
}

func (t *tx) find(k keystore.Key) *entry {
	for i := range t.recs {
		if t.recs[i].rec.Key == k {
			return &t.recs[i]
		}
	}
	return nil
}

// entry returns the entry of a key that must have been loaded or expected.
func (t *tx) entry(k keystore.Key) *entry {
	e := t.find(k)
	if e == nil {
		panic("session: internal error: record " + k.Kind + " not loaded")
	}
	return e
}

// get returns the body of a loaded record, as it will be; ok is false where
// there is none. The body is not written to.
func (t *tx) get(k keystore.Key) (body []byte, ok bool, err error) {
	e := t.entry(k)
	value := e.rec.Value
	switch e.op {
	case keystore.Put:
		value = e.value
	case keystore.Delete:
		return nil, false, nil
	default:
		if e.rec.Version == 0 {
			return nil, false, nil
		}
	}
	body, err = unformat(k.Kind, value)
	return body, err == nil, err
}

// unformat returns the body of a record value.
func unformat(kind string, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, fmt.Errorf("%w: empty %s record", ErrCorrupt, kind)
	}
	if value[0] != format {
		return nil, fmt.Errorf("%w: %s record of format %d", keystore.ErrNewerFormat, kind, value[0])
	}
	return value[1:], nil
}

// has reports whether a loaded record exists.
func (t *tx) has(k keystore.Key) bool { return t.entry(k).rec.Version != 0 }

// expect declares a record without loading it: it must have this version.
func (t *tx) expect(k keystore.Key, version uint64) {
	t.recs = append(t.recs, entry{rec: keystore.Record{Key: k, Version: version}})
}

// put sets the body of a record.
func (t *tx) put(k keystore.Key, body []byte) {
	e := t.entry(k)
	e.op = keystore.Put
	e.value = append(append(make([]byte, 0, 1+len(body)), format), body...)
}

// del removes a record; it may be absent.
func (t *tx) del(k keystore.Key) {
	e := t.entry(k)
	e.op, e.value = keystore.Delete, nil
}

// check makes the outcome depend on a record that stays as it is.
func (t *tx) check(k keystore.Key) {
	if e := t.entry(k); e.op == 0 {
		e.op = keystore.Check
	}
}

// commit commits what put, del and check said, if that is anything.
func (t *tx) commit() error {
	changes := make([]keystore.Change, 0, len(t.recs))
	for i := range t.recs {
		e := &t.recs[i]
		if e.op == 0 || e.op == keystore.Delete && e.rec.Version == 0 {
			continue
		}
		changes = append(changes, keystore.Change{Op: e.op, Key: e.rec.Key, Expect: e.rec.Version, Value: e.value})
	}
	if len(changes) == 0 {
		return nil
	}
	_, err := t.d.store.Commit(t.ctx, changes...)
	return err
}

// locks are one lock a name, kept only while somebody holds or awaits it.
type locks struct {
	mu   sync.Mutex
	held map[string]*slot
}

type slot struct {
	turn  chan struct{} // holds one value while locked
	users int
}

// lock waits for the lock of name, or for the end of ctx.
func (l *locks) lock(ctx context.Context, name string) error {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*slot)
	}
	s := l.held[name]
	if s == nil {
		s = &slot{turn: make(chan struct{}, 1)}
		l.held[name] = s
	}
	s.users++
	l.mu.Unlock()
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		l.leave(name, s)
		return ctx.Err()
	}
}

func (l *locks) unlock(name string) {
	l.mu.Lock()
	s := l.held[name]
	l.mu.Unlock()
	<-s.turn
	l.leave(name, s)
}

func (l *locks) leave(name string, s *slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(l.held, name)
	}
}
