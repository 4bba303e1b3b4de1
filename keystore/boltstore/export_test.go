//go:build !wasm

package boltstore

import "go.etcd.io/bbolt"

// Transactions returns how many write transactions the file has seen.
func (s *Store) Transactions() (n int) {
	if err := s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		panic(err)
	}
	return n
}
