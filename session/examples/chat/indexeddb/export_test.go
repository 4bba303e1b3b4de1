//go:build js && wasm

package indexeddb

import "github.com/gembok-e2ee/gembok/keystore"

const (
	PageSize  = pageSize
	MaxNumber = maxNumber
)

// Fault lets hook fail before each call of the browser; nil takes it away.
func (s *Store) Fault(hook func() error) { s.fault = hook }

// StoredKey returns the key that k's record is under.
func StoredKey(k keystore.Key) []byte { return appendKey(nil, &k) }

// ParseKey takes a stored key apart.
func ParseKey(b []byte) (keystore.Key, bool) { return parseKey(b) }
