package sqlstore

import (
	"math"
	"slices"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A batch is the changes of a Commit, puts first, then deletes, then checks.
type batch struct {
	changes       []keystore.Change
	order         []int // what is where in changes
	puts, deletes int
	ids           []byte
}

func newBatch(changes []keystore.Change) *batch {
	b := &batch{changes: changes, order: make([]int, 0, len(changes)), ids: make([]byte, 0, idSize*len(changes))}
	for _, op := range []keystore.Op{keystore.Put, keystore.Delete, keystore.Check} {
		for i := range changes {
			if changes[i].Op == op {
				b.order = append(b.order, i)
				b.ids = appendID(b.ids, &changes[i].Key)
			}
		}
		switch op {
		case keystore.Put:
			b.puts = len(b.order)
		case keystore.Delete:
			b.deletes = len(b.order) - b.puts
		}
	}
	return b
}

// writes tells whether anything is to be changed.
func (b *batch) writes() bool { return b.puts+b.deletes > 0 }

func (b *batch) change(at int) *keystore.Change { return &b.changes[b.order[at]] }

func (b *batch) id(at int) []byte { return b.ids[at*idSize : (at+1)*idSize : (at+1)*idSize] }

// expects tells what version is expected; -1 is none that there ever is.
func (b *batch) expects(at int) int64 {
	if e := b.change(at).Expect; e <= math.MaxInt64 {
		return int64(e)
	}
	return -1
}

// conflict returns the error of failed expectations, nil if there is none.
func (b *batch) conflict(failed []int) error {
	if len(failed) == 0 {
		return nil
	}
	for i, at := range failed {
		failed[i] = b.order[at]
	}
	slices.Sort(failed)
	e := &keystore.ConflictError{Keys: make([]keystore.Key, len(failed))}
	for i, at := range failed {
		e.Keys[i] = b.changes[at].Key
	}
	return e
}

// conflictOfAll is for a race that was lost about no one knows what.
func (b *batch) conflictOfAll() error {
	all := make([]int, len(b.order))
	for i := range all {
		all[i] = i
	}
	return b.conflict(all)
}
