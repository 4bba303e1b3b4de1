package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// What one statement of a List reads at most, one record excepted. The numbers
// stand in the statements too.
const (
	pageRecords = 256
	pageBytes   = 1 << 20
)

// List implements [keystore.Store]. It reads up to 256 records or 1 MiB ahead;
// what it yields was so when they were read.
func (s *Store) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		l := newListing(scope, kind, owner)
		for l.next != nil {
			page, err := s.page(ctx, l)
			if err != nil {
				yield(keystore.Record{}, err)
				return
			}
			for i := range page {
				if l.asks(&page[i]) && !yield(page[i].Record, page[i].err()) {
					return
				}
			}
		}
	}
}

// A listing is how far a List has come.
type listing struct {
	asked       keystore.Key
	next, end   []byte // ids: where the next page begins, nil after the last; what none comes up to
	kind, owner []byte // hashes; empty: any
}

// A listed is a record, or what is left of it.
type listed struct {
	keystore.Record
	damaged bool
}

func (r *listed) err() error {
	if !r.damaged {
		return nil
	}
	return &keystore.CorruptError{Keys: []keystore.Key{r.Key}}
}

func newListing(scope, kind, owner string) *listing {
	l := &listing{asked: keystore.Key{Scope: scope, Kind: kind, Owner: owner}, next: []byte{}, kind: []byte{}, owner: []byte{}}
	if kind != "" {
		l.kind = partHash(kind, ownerAt-kindAt)
	}
	if owner != "" {
		l.owner = partHash(owner, hashAt-ownerAt)
	}
	if scope != "" {
		l.next = append(l.next, partHash(scope, kindAt)...)
		if l.next = append(l.next, l.kind...); kind != "" {
			l.next = append(l.next, l.owner...)
		}
	}
	l.end = append(bytes.Clone(l.next), bytes.Repeat([]byte{0xff}, idSize+1-len(l.next))...)
	return l
}

// asks tells whether a record is to be yielded. Others may have the same hash.
func (l *listing) asks(r *listed) bool {
	return r.damaged ||
		(l.asked.Scope == "" || l.asked.Scope == r.Key.Scope) &&
			(l.asked.Kind == "" || l.asked.Kind == r.Key.Kind) &&
			(l.asked.Owner == "" || l.asked.Owner == r.Key.Owner)
}

// errEnough ends a page.
var errEnough = errors.New("sqlstore: enough")

// page reads the next page, and moves l on.
func (s *Store) page(ctx context.Context, l *listing) (page []listed, err error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.use.RUnlock()
	var last []byte
	err = s.read(ctx, func(q querier) error {
		size := 0
		page, last = nil, nil
		err := query(ctx, q, s.engine.statements().list, []any{l.next, l.end, l.kind, l.owner}, func(rows *sql.Rows) error {
			id, r, err := l.scan(rows)
			if err != nil {
				return err
			}
			page, last = append(page, r), id
			if size += len(r.Value); size >= pageBytes {
				return errEnough
			}
			return nil
		})
		if err == errEnough {
			return nil
		}
		return err
	})
	if l.next = nil; last != nil {
		l.next = append(last, 0) // the least that is more
	}
	return page, err
}

func (l *listing) scan(rows *sql.Rows) (id []byte, r listed, err error) {
	var form int
	var key []byte
	var version int64
	if err := scan(rows, &form, &id, &key, &version, &r.Value); err != nil {
		return nil, r, err
	}
	if form != format {
		return nil, r, errNewer
	}
	r.Version = uint64(version)
	k, ok := parseKey(key, id)
	if r.Key = k; !ok {
		r.Key = keystore.Key{Scope: l.asked.Scope, Kind: l.asked.Kind}
	}
	if r.damaged = !ok || version <= 0; r.damaged {
		r.Value = nil
	}
	return id, r, nil
}
