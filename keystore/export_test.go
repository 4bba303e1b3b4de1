package keystore

import (
	"crypto/sha256"
	"slices"
)

// Held returns the store's own value under k, which is not a copy.
func (m *Memory) Held(k Key) []byte { return m.entry(k).value }

// Lists counts the scopes, kinds and owners that the store keeps lists for.
func (m *Memory) Lists() int { return len(m.records) }

// Clone returns a copy of the store: the same records, with their versions.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := &Memory{newest: m.newest, records: map[list]map[string]entry{}}
	for l, names := range m.records {
		c.records[l] = map[string]entry{}
		for name, e := range names {
			c.records[l][name] = entry{slices.Clone(e.value), e.version}
		}
	}
	return c
}

// Blinded returns the key of a blinded record, under a secret of zeros.
func Blinded(k Key) Key { return (&header{preface: preface{blind: true}}).stored(k) }

// HeadKey is the key of an encrypted store's header.
var HeadKey = headKey

// What a header is made of, in bytes.
const (
	PrefaceLen = prefaceLen
	CheckLen   = checkLen
)

// Checksummed returns a header with the checksum that it should have.
func Checksummed(head []byte) []byte {
	head = slices.Clone(head[:len(head)-checkLen])
	sum := sha256.Sum256(head)
	return append(head, sum[:checkLen]...)
}

// SealedUnder returns the number of the key that has sealed a stored value.
func SealedUnder(value []byte) uint32 {
	number, _ := sealedUnder(value)
	return number
}

// Keys returns the numbers of the keys that a store has, the one in use last.
func (s *Encrypted) Keys() (numbers []uint32) {
	h, _ := s.current()
	for i := range h.keys {
		numbers = append(numbers, h.keys[i].number)
	}
	return numbers
}

// CutPart takes off a part of a sealed value.
func CutPart(b []byte) (part string, rest []byte, ok bool) { return cutPart(b) }

// ReadHeader reads what anyone can read of a stored header, and returns it
// written again.
func ReadHeader(b []byte) (again []byte, cost EncryptedOptions, err error) {
	p, err := parsePreface(&Record{Value: b, Version: 1})
	return p.append(nil), EncryptedOptions{Blind: p.blind, Time: p.time, Memory: p.memory, Threads: p.threads}, err
}

// Sealed seals bytes as if they were names and value already.
func (s *Encrypted) Sealed(stored Key, plain []byte) []byte {
	h, _ := s.current()
	plainly := *h
	plainly.blind = false
	return plainly.seal(stored, &Change{Value: plain}, drawNonce())
}

// Secrets returns the key in use and the one that blinds.
func (s *Encrypted) Secrets() (dataKey, blinding []byte) {
	h, _ := s.current()
	return h.inUse().key[:], h.secret[:]
}
