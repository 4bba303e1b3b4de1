//go:build !wasm

package boltstore

import (
	"errors"
	"runtime/debug"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// errDamaged is what a panic of bbolt's or a fault below it says: pages
// contradict each other, or end before they should.
var errDamaged = corrupt("damaged page")

// A health is what a store has learned about itself since it was opened. It
// only gets worse.
type health struct {
	reads  atomic.Pointer[error] // why nothing is read or written any more
	writes atomic.Pointer[error] // why nothing is written any more
	stuck  atomic.Bool           // bbolt was left with a lock taken, which its Close would wait for
}

// unfit returns why there is no transaction any more, if so.
func (h *health) unfit(writable bool) error {
	if err := h.reads.Load(); err != nil {
		return *err
	}
	if err := h.writes.Load(); err != nil && writable {
		return *err
	}
	return nil
}

// guard calls do. It turns a panic into [keystore.ErrCorrupt], and a fault,
// which ends a process otherwise, into a panic first: bbolt reads the file
// through a mapping, trusts the numbers on its pages, and panics if it notices.
// No text of a panic is kept, since it may hold a key.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errDamaged
		}
	}()
	return do()
}

// begin starts a transaction, unless the store is unfit for it.
func (s *Store) begin(writable bool) (tx *bbolt.Tx, err error) {
	if err := s.health.unfit(writable); err != nil {
		return nil, err
	}
	err = guard(func() error {
		tx, err = s.db.Begin(writable)
		return err
	})
	if errors.Is(err, errDamaged) {
		s.giveUp(err) // its first pages are unreadable
	}
	return tx, storageError(err)
}

// rollback ends a transaction, if it has not ended.
func (s *Store) rollback(tx *bbolt.Tx) {
	err := guard(func() error { return tx.Rollback() })
	if errors.Is(err, errDamaged) {
		s.giveUp(err)
	}
}

// giveUp leaves bbolt alone from now on, since a panic left it locked. It takes
// the first two pages of an open file to get there.
func (s *Store) giveUp(why error) {
	s.health.stuck.Store(true)
	s.health.reads.CompareAndSwap(nil, &why)
}

// abandon closes the file without bbolt, whose mapping of it stays until the
// process ends.
func (s *Store) abandon() error {
	unlock(s.file)
	return s.file.Close()
}
