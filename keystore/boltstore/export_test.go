//go:build !wasm

package boltstore

import (
	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	InlineMax = inlineMax
	PieceSize = pieceSize
	PageKeys  = pageKeys
	Format    = format
)

// Finish puts f in place of (*bbolt.Tx).Commit.
func (s *Store) Finish(f func(*bbolt.Tx) error) { s.finish = f }

// Waiting returns how many Commits wait that nobody has taken.
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

// Transactions returns how many write transactions the file has seen.
func (s *Store) Transactions() (n int) {
	if err := s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		panic(err)
	}
	return n
}

// StoredKey returns the key that k's record is under.
func StoredKey(k keystore.Key) []byte { return appendKey(nil, &k) }

// StoredValue returns what is under it.
func StoredValue(k keystore.Key, version uint64, value string) []byte {
	c := keystore.Change{Op: keystore.Put, Key: k, Value: []byte(value)}
	st, _ := newStep(nil, &c)
	if st.value[formAt] == outside {
		st.value = (&reference{}).appendTo(st.value)
	}
	seal(st.key, st.value, version, version)
	return st.value
}

// Prefix returns how the keys begin that a List asks for.
func Prefix(scope, kind, owner string) []byte { return newListing(scope, kind, owner).prefix }

// Parse takes a stored record apart.
func Parse(key, value []byte) (r keystore.Record, inline bool, err error) {
	e, err := parse(key, value)
	if err != nil {
		return r, false, err
	}
	return keystore.Record{Key: e.key(), Value: e.rest, Version: e.version}, e.form != outside, nil
}

// RenameOpen says whether Compact may rename an open file, and returns what was
// so before.
func RenameOpen(may bool) (before bool) {
	before, renamesOpen = renamesOpen, may
	return before
}
