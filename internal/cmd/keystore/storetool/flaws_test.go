package storetool_test

import (
	"context"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A damaged store cannot read one record, and says so.
type damaged struct {
	keystore.Store
	key keystore.Key
}

func (d *damaged) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	recs, err := d.Store.Load(ctx, keys...)
	for i, k := range keys {
		if k == d.key && err == nil {
			recs[i].Value = nil
			err = &keystore.CorruptError{Keys: []keystore.Key{k}}
		}
	}
	return recs, err
}

func (d *damaged) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for rec, err := range d.Store.List(ctx, scope, kind, owner) {
			if rec.Key == d.key {
				rec.Value, err = nil, &keystore.CorruptError{Keys: []keystore.Key{d.key}}
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

// A faulty store calls before, which may be nil, ahead of each call of a method,
// by name, and returns the error that it gives. After a Commit it asks again
// under the name "committed".
type faulty struct {
	keystore.Store
	before func(call string) error
}

func (f *faulty) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	if err := f.before("load"); err != nil {
		return nil, err
	}
	return f.Store.Load(ctx, keys...)
}

func (f *faulty) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if err := f.before("commit"); err != nil {
		return 0, err
	}
	v, err := f.Store.Commit(ctx, changes...)
	if err == nil {
		err = f.before("committed")
	}
	return v, err
}

func (f *faulty) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for rec, err := range f.Store.List(ctx, scope, kind, owner) {
			if fault := f.before("list"); fault != nil {
				yield(keystore.Record{}, fault)
				return
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func (f *faulty) Generation(ctx context.Context) (uint64, error) {
	if err := f.before("generation"); err != nil {
		return 0, err
	}
	return f.Store.Generation(ctx)
}
