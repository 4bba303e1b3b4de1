package etm

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
)

// The chunk sizes that are inferred, in bytes, and how many chunks the size in
// between aims at, so that a list has 8 KiB.
const (
	MinChunk = 64 << 10
	MaxChunk = 2 << 20

	perList = 256
)

// ChunkSize returns the chunk size that is inferred for n bytes of data, n not
// below 0 (sealed-groups-fingerprint, Section 7.1).
func ChunkSize(n int64) int {
	switch {
	case n < perList*MinChunk:
		return MinChunk
	case n < perList*MaxChunk:
		return int((n + perList - 1) / perList)
	}
	return MaxChunk
}

// An Incremental makes the incremental MAC of data that come in pieces: a list
// with the HMAC-SHA-256 of the data up to each multiple of the chunk size, and
// then of all data. Where the data end with a chunk, the last two are equal.
// (Sealed-groups-fingerprint, Section 7.1.)
type Incremental struct {
	mac   hash.Hash
	chunk int
	left  int  // bytes to the end of the chunk, 1 to chunk
	grow  bool // the chunk size is chosen on the way
	list  []byte
}

// NewIncremental returns an Incremental without data, for chunks of that many
// bytes.
//
// If chunk is 0, for data whose length is not known, they begin as MinChunk.
// Each time that more than 256 of them are there, every other entry of the list
// is dropped, which leaves the list for chunks of twice the size, until MaxChunk
// is reached: a MAC of a prefix is one under any chunk size that divides its
// length. A list then has at most 257 entries below 512 MiB, and below 16 MiB
// it is that of the inferred size.
func NewIncremental(key *[32]byte, chunk int) *Incremental {
	m := &Incremental{mac: hmac.New(sha256.New, key[:]), chunk: chunk, grow: chunk == 0}
	if m.grow {
		m.chunk = MinChunk
	}
	m.left = m.chunk
	return m
}

// Write takes the next piece of the data.
func (m *Incremental) Write(b []byte) {
	for len(b) > 0 {
		if m.grow && len(m.list) == perList*sha256.Size && m.chunk < MaxChunk {
			m.halve()
		}
		n := min(len(b), m.left)
		m.mac.Write(b[:n])
		b = b[n:]
		if m.left -= n; m.left == 0 {
			m.list = m.mac.Sum(m.list)
			m.left = m.chunk
		}
	}
}

// halve drops every other entry of a list that has just become full: its
// length is even, and the data end with a chunk of twice the size.
func (m *Incremental) halve() {
	half := m.list[:0]
	for at := sha256.Size; at < len(m.list); at += 2 * sha256.Size {
		half = append(half, m.list[at:at+sha256.Size]...)
	}
	m.list = half
	m.chunk *= 2
	m.left = m.chunk
}

// Sum returns the MAC of the data so far.
func (m *Incremental) Sum() (sum [sha256.Size]byte) {
	m.mac.Sum(sum[:0])
	return sum
}

// List returns the incremental MAC of the data so far and its chunk size. It
// ends the use of m.
func (m *Incremental) List() (list []byte, chunk int) {
	return m.mac.Sum(m.list), m.chunk
}

// A Checker holds data that come in pieces against their incremental MAC. Its
// first false answer is final: it is not used any more.
type Checker struct {
	made Incremental
	want []byte // the rest of the list
}

// NewChecker returns a Checker for chunks of that many bytes, 1 at least.
func NewChecker(key *[32]byte, chunk int, list []byte) *Checker {
	return &Checker{made: *NewIncremental(key, chunk), want: list}
}

// Write takes the next piece of the data, and tells whether every chunk that
// ended in it is right and not the last entry was needed for one. About what
// came behind the last whole chunk it says nothing yet. It keeps one MAC at a
// time, and does not go on after a wrong one, however small the chunks are.
func (c *Checker) Write(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), c.made.left)
		c.made.Write(b[:n])
		b = b[n:]
		if !c.entry() {
			return false
		}
	}
	return true
}

// entry compares the MAC of a chunk, if one has just ended.
func (c *Checker) entry() bool {
	got := c.made.list
	c.made.list = got[:0]
	switch {
	case len(got) == 0:
		return true
	case len(got) >= len(c.want) || subtle.ConstantTimeCompare(got, c.want[:len(got)]) != 1:
		return false
	}
	c.want = c.want[len(got):]
	return true
}

// Sum returns the MAC of the data so far.
func (c *Checker) Sum() [sha256.Size]byte { return c.made.Sum() }

// Last tells, after all data, whether one entry is left and is right.
func (c *Checker) Last() bool {
	sum := c.made.Sum()
	return subtle.ConstantTimeCompare(sum[:], c.want) == 1
}
