//go:build !wasm

package boltstore

import (
	"bytes"
	"context"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// What one transaction of a List does at most. Short ones hold up neither a
// Commit that makes the file grow nor the use of pages that became free.
const (
	pageRecords = 256
	pageBytes   = 1 << 20
	pageKeys    = 4096
)

// List implements [keystore.Store]. It reads ahead, the further the longer
// nothing is committed, and reads again what a Commit may have changed: what it
// yields was so when the step began, also if the loop's body commits. What was
// not there when the listing began is left out, so that a loop ends that adds
// records.
func (s *Store) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		l := newListing(scope, kind, owner)
		for more := true; more; {
			p, err := s.readPage(ctx, l)
			if err != nil {
				yield(keystore.Record{}, err)
				return
			}
			more = s.yieldPage(ctx, l, p, yield)
		}
	}
}

// A listing is how far a List has come.
type listing struct {
	scope, kind, owner string

	prefix []byte // how the keys begin that may be asked for
	next   []byte // where the next page begins
	limit  int    // how many records it has
	start  uint64 // the generation when the first page was read
	begun  bool
}

// A page is records that were read together.
type page struct {
	records []keystore.Record
	damaged [][]byte // for each of them: nil, or what it is stored under
	next    []byte   // nil: there are no more
	newest  uint64   // the generation
}

func newListing(scope, kind, owner string) *listing {
	l := &listing{scope: scope, kind: kind, owner: owner, limit: 16}
	for _, part := range []string{scope, kind, owner} {
		if part == "" {
			break
		}
		l.prefix = appendPart(l.prefix, part)
	}
	l.next = l.prefix
	return l
}

// asks tells whether an entry is asked for. A part of a damaged one that is not
// known may be any.
func (l *listing) asks(e *entry) bool {
	for i, want := range []string{l.scope, l.kind, l.owner} {
		if want != "" && e.parts[i] != nil && want != string(e.parts[i]) {
			return false
		}
	}
	return e.created <= l.start
}

// yieldPage yields the records of a page, as long as they are fresh, and moves
// l on. It tells whether there are more.
func (s *Store) yieldPage(ctx context.Context, l *listing, p *page, yield func(keystore.Record, error) bool) (more bool) {
	for i := range p.records {
		if i > 0 && !s.fresh(ctx, p) { // the first one may be late, lest no step is made
			last := p.damaged[i-1]
			if last == nil {
				last = appendKey(nil, &p.records[i-1].Key)
			}
			l.next, l.limit = append(last, 0), 1 // no key has another one before its own end
			return true
		}
		if !yield(p.records[i], p.err(i)) {
			return false
		}
	}
	l.next, l.limit = p.next, min(2*l.limit, pageRecords)
	return p.next != nil
}

// err is the error that goes with a record.
func (p *page) err(i int) error {
	if p.damaged[i] != nil {
		return &keystore.CorruptError{Keys: []keystore.Key{p.records[i].Key}}
	}
	return nil
}

// fresh tells whether all is as it was when p was read.
func (s *Store) fresh(ctx context.Context, p *page) bool {
	s.use.RLock()
	defer s.use.RUnlock()
	return s.usable(ctx) == nil && s.newest.Load() == p.newest
}

func (s *Store) readPage(ctx context.Context, l *listing) (*page, error) {
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	p := new(page)
	err := s.view(func(t *tables) error { return t.readPage(l, p) })
	return p, err
}

// readPage reads the page of l.
func (t *tables) readPage(l *listing, p *page) error {
	p.newest = t.records.Sequence()
	if !l.begun {
		l.begun, l.start = true, p.newest
	}
	size, last := 0, l.next
	k, v := t.cursor.Seek(l.next)
	for n := 0; k != nil && bytes.HasPrefix(k, l.prefix); n++ {
		if c := bytes.Compare(k, last); c < 0 || c == 0 && n > 0 {
			return corrupt("order of keys") // and no end of the listing, perhaps
		}
		if n == pageKeys || len(p.records) == l.limit || size >= pageBytes {
			p.next = bytes.Clone(k)
			return nil
		}
		if r, asked, err := t.listed(l, k, v); asked {
			var damaged []byte
			if err != nil {
				damaged = bytes.Clone(k)
			}
			p.records, p.damaged = append(p.records, r), append(p.damaged, damaged)
			size += len(r.Value)
		}
		last = k
		k, v = t.cursor.Next()
	}
	return nil
}

// listed copies a stored record out, if it is asked for. Its error is of this
// record alone.
func (t *tables) listed(l *listing, k, v []byte) (r keystore.Record, asked bool, err error) {
	e, err := parse(k, v)
	if err != nil {
		e.created = 0 // which may be wrong
	}
	if !l.asks(&e) {
		return r, false, nil
	}
	r = keystore.Record{Key: e.key(), Version: e.version}
	if err == nil {
		r.Value, err = t.value(&e)
	}
	return r, true, err
}
