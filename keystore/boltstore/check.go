//go:build !wasm

package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Check reads all of the file at path and reports damage to it as
// [keystore.ErrCorrupt]: pages that contradict each other, that are used twice or
// not at all, and records and large values other than they were written. It
// changes nothing, ends whatever the bytes of the file are, and takes little
// memory, however large the file is. What is not damage: that one of the two
// heads is torn, as a crash may leave it, so that the other one counts.
//
// Where only records are damaged, and all the others can be relied on, the error
// is a *[keystore.CorruptError], which names them as far as their keys are known:
// such a file can be opened and read.
//
// A file that is in doubt, as after a failure of its disk, should go through
// Check before Open, which looks at the first pages only.
//
// Like Open it returns [keystore.ErrLocked] if someone has the file open, who
// can use the method, and [keystore.ErrNewerFormat] if a newer release wrote it.
func Check(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return storageError(err)
	}
	defer f.Close()
	if err := lock(f); err != nil {
		return storageError(err)
	}
	before, err := checkFile(f)
	if err != nil {
		return storageError(err)
	}
	if before == nil {
		return corrupt("empty file")
	}
	err = checkTree(ctx, f, before)
	if now, headErr := readHead(f); err != nil && headErr == nil && now.transaction() != before.transaction() {
		return storageError(keystore.ErrLocked) // where lock leaves the lock to bbolt
	}
	return storageError(err)
}

// Check reports damage to the file as the function Check does. It sees the
// store as it is when it begins. Other calls go on, but that a Commit which
// makes the file grow may have to wait.
func (s *Store) Check(ctx context.Context) error {
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}: // between the transaction and the head there is no Commit
	case <-ctx.Done():
		return ctx.Err()
	}
	s.swap.RLock()
	defer s.swap.RUnlock()
	tx, err := s.begin(false)
	if err != nil {
		<-s.turn
		return err
	}
	defer s.rollback(tx)
	h, err := checkFile(s.file)
	<-s.turn
	if err == nil {
		err = checkTree(ctx, s.file, h)
	}
	return storageError(err)
}

// checkTree checks all that the pages of a head hold.
func checkTree(ctx context.Context, f *os.File, h *head) error {
	w := newWalk(ctx, f, h)
	if err := w.free(h.freeList()); err != nil {
		return err
	}
	buckets := map[string]leaf{}
	err := w.tree(h.root(), func(l leaf) error {
		buckets[string(l.key)] = l
		return nil
	})
	if err != nil {
		return err
	}
	if len(buckets) != 3 {
		return corrupt("not a store")
	}
	c := &contents{walk: w, large: map[uint64]owned{}}
	if err := c.check(buckets); err != nil {
		return err
	}
	if err := w.all(); err != nil || len(c.damaged) == 0 {
		return err
	}
	return &keystore.CorruptError{Keys: c.damaged}
}

// contents is what a store's buckets hold.
type contents struct {
	*walk
	large   map[uint64]owned // of records, that no large value was found for
	damaged []keystore.Key   // records
}

// An owned is what a record says of its large value.
type owned struct {
	reference
	key keystore.Key
}

func (c *contents) check(buckets map[string]leaf) error {
	known := false
	generation, err := c.bucket(buckets[string(aboutName)], func(l leaf) error {
		known = true
		return c.about(l)
	})
	if err != nil {
		return err
	}
	if !known {
		return corrupt("no format")
	}
	sequence, err := c.bucket(buckets[string(recordsName)], c.record)
	if err != nil {
		return err
	}
	if sequence != generation {
		return corrupt("generation")
	}
	newest := uint64(0)
	sequence, err = c.bucket(buckets[string(largeName)], func(l leaf) error {
		if len(l.key) != 8 {
			return corrupt("large value")
		}
		newest = max(newest, binary.BigEndian.Uint64(l.key))
		return c.value(l)
	})
	if err != nil {
		return err
	}
	if newest > sequence {
		return corrupt("large value that nobody wrote")
	}
	for _, o := range c.large {
		c.damaged = append(c.damaged, o.key)
	}
	return nil
}

// about checks an element of bucket "gembok".
func (c *contents) about(l leaf) error {
	if string(l.key) != string(formatName) || l.bucket || l.length == 0 {
		return corrupt("no format")
	}
	b, err := c.get(l.at, 1)
	if err != nil {
		return err
	}
	return checkFormat(b)
}

// record checks an element of bucket "records".
func (c *contents) record(l leaf) error {
	if l.bucket || l.length < headerSize {
		return corrupt("record")
	}
	b, err := c.get(l.at, headerSize)
	if err != nil {
		return err
	}
	form, want := b[formAt], binary.BigEndian.Uint32(b[sumAt:])
	sum := crc32.Update(0, castagnoli, l.key)
	sum = crc32.Update(sum, castagnoli, b[:sumAt])
	err = c.each(l.at+headerSize, l.length-headerSize, func(b []byte) { sum = crc32.Update(sum, castagnoli, b) })
	if err != nil {
		return err
	}
	if sum != want || form > outside || form == outside && l.length < headerSize+refSize {
		k, err := c.keyOf(l)
		c.damaged = append(c.damaged, k)
		return err
	}
	if form == outside {
		k, err := c.keyOf(l)
		if err != nil {
			return err
		}
		if b, err = c.get(l.at+l.length-refSize, refSize); err != nil {
			return err
		}
		ref := parseReference(b)
		c.large[ref.id] = owned{ref, k}
	}
	return nil
}

// keyOf returns what can be read of a record's key without its longest parts.
func (c *contents) keyOf(l leaf) (keystore.Key, error) {
	b, err := c.get(l.at, headerSize)
	if err != nil {
		return keystore.Key{}, err
	}
	e, _ := parse(l.key, b)
	return e.key(), nil
}

// value checks a large value. One that no record has is left of a record that
// was damaged.
func (c *contents) value(l leaf) error {
	id := binary.BigEndian.Uint64(l.key)
	want, used := c.large[id]
	delete(c.large, id)
	got := reference{id: id}
	_, err := c.bucket(l, func(piece leaf) error {
		if piece.bucket {
			return corrupt("large value")
		}
		got.length += uint64(piece.length)
		return c.each(piece.at, piece.length, func(b []byte) { got.sum = crc32.Update(got.sum, castagnoli, b) })
	})
	if err == nil && used && got != want.reference {
		c.damaged = append(c.damaged, want.key)
	}
	return err
}

// checkFormat judges what is under "format".
func checkFormat(v []byte) error {
	switch {
	case len(v) == 0 || v[0] == 0:
		return corrupt("no format")
	case v[0] > format:
		return fmt.Errorf("boltstore: %w: format %d", keystore.ErrNewerFormat, v[0])
	}
	return nil
}
