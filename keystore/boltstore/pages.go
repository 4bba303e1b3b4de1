//go:build !wasm

package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
)

// A walk reads the pages of a bbolt file by itself, without a mapping, and
// believes nothing: no number on a page makes it read a page twice, go deeper
// than maxDepth, or take more memory than windowSize and the branches above a
// page. Integers are in the byte order of the machine.
//
//	page          number (8), flags (2), count (2), overflow (4): further pages
//	              that belong to it; then count elements; then what they are of,
//	              without gaps, in their order
//	branch (1)    for each element: position (4), length of key (4), page (8)
//	leaf (2)      for each element: flags (4), position, length of key, length
//	              of value (4 each)
//	free (0x10)   count pages (8 each); if count is 0xFFFF, it is in the first 8
//	bucket        the value of a leaf's element with flag 1: page (8), sequence
//	              (8); if page is 0, its only page, a leaf, follows
//
// Positions count from the element's own beginning. A key on a branch bounds
// those below it: none is less, and all are less than the next one there.
type walk struct {
	ctx   context.Context
	f     io.ReaderAt
	size  int64             // of a page
	pages uint64            // how many are in use, the two heads included
	known map[uint64]uint64 // a bit for each page that was seen

	window []byte // what was read last
	from   int64  // where
}

const (
	windowSize = 64 << 10
	maxDepth   = 48
	maxBranch  = 64 << 10 // bytes of a branch's pages, but the first

	pageHeader    = 16
	bucketHeader  = 16
	branchFlag    = 1
	leafFlag      = 2
	bucketElement = 1
)

// A run is bytes of the file: a page with what belongs to it, or one that is
// within a bucket's value.
type run struct {
	at, end     int64
	flags       uint16
	count       int
	elementSize int64
}

// A leaf is what is told of one of a leaf's elements. Its value is length bytes
// at an offset of the file.
type leaf struct {
	key        []byte
	bucket     bool
	at, length int64
}

// bounds are what keys have to be: not less than low, and less than high if
// there is one.
type bounds struct{ low, high []byte }

func (b bounds) hold(key []byte) bool {
	return bytes.Compare(key, b.low) >= 0 && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

// get returns n bytes, at most windowSize, that are valid until the next call.
func (w *walk) get(at, n int64) ([]byte, error) {
	if at < 0 || n < 0 || n > windowSize {
		return nil, corrupt("length")
	}
	if at < w.from || at+n > w.from+int64(len(w.window)) {
		if w.window == nil {
			w.window = make([]byte, windowSize)
		}
		w.window = w.window[:windowSize]
		got, err := w.f.ReadAt(w.window, at)
		w.window, w.from = w.window[:got], at
		if int64(got) < n {
			if err == io.EOF {
				return nil, corrupt("short file")
			}
			return nil, err
		}
	}
	return w.window[at-w.from:][:n], nil
}

// each calls do with the bytes of a length at an offset, in pieces.
func (w *walk) each(at, length int64, do func([]byte)) error {
	for length > 0 {
		n := min(length, windowSize)
		b, err := w.get(at, n)
		if err != nil {
			return err
		}
		do(b)
		at, length = at+n, length-n
	}
	return w.ctx.Err()
}

// claim notes that a page and those that belong to it are used, which nothing
// else may do.
func (w *walk) claim(page, n uint64) error {
	if page < 2 || page >= w.pages || n > w.pages-page {
		return corrupt("page beyond the last one")
	}
	for ; n > 0; page, n = page+1, n-1 {
		if w.known[page/64]>>(page%64)&1 != 0 {
			return corrupt("page used twice")
		}
		w.known[page/64] |= 1 << (page % 64)
	}
	return nil
}

// all requires that every page was claimed.
func (w *walk) all() error {
	for page := uint64(2); page < w.pages; page++ {
		if w.known[page/64]>>(page%64)&1 == 0 {
			return corrupt("page neither used nor free")
		}
	}
	return nil
}

// page claims a page of the file.
func (w *walk) page(page uint64) (run, error) {
	if err := w.ctx.Err(); err != nil {
		return run{}, err
	}
	if page < 2 || page >= w.pages {
		return run{}, corrupt("page beyond the last one")
	}
	at := int64(page) * w.size
	h, err := w.get(at, pageHeader)
	if err != nil {
		return run{}, err
	}
	if binary.NativeEndian.Uint64(h) != page {
		return run{}, corrupt("number of a page")
	}
	n := uint64(binary.NativeEndian.Uint32(h[12:])) + 1
	r := newRun(h, at, at+int64(n)*w.size)
	return r, w.claim(page, n)
}

func newRun(header []byte, at, end int64) run {
	return run{
		at: at, end: end, elementSize: 16,
		flags: binary.NativeEndian.Uint16(header[8:]),
		count: int(binary.NativeEndian.Uint16(header[10:])),
	}
}

// free claims the pages of the list of free pages, and the list.
func (w *walk) free(page uint64) error {
	r, err := w.page(page)
	if err != nil {
		return err
	}
	at, n := r.at+pageHeader, uint64(r.count)
	if n == 0xFFFF {
		b, err := w.get(at, 8)
		if err != nil {
			return err
		}
		at, n = at+8, binary.NativeEndian.Uint64(b)
	}
	if r.flags != freeListFlag || n > uint64(r.end-at)/8 {
		return corrupt("list of free pages")
	}
	for ; n > 0; at, n = at+8, n-1 {
		b, err := w.get(at, 8)
		if err != nil {
			return err
		}
		if err := w.claim(binary.NativeEndian.Uint64(b), 1); err != nil {
			return err
		}
	}
	return nil
}

// tree calls visit with what is on the leaves from a page on, in order.
func (w *walk) tree(page uint64, visit func(leaf) error) error {
	return w.below(page, bounds{}, 0, visit)
}

func (w *walk) below(page uint64, b bounds, depth int, visit func(leaf) error) error {
	r, err := w.page(page)
	switch {
	case err != nil:
		return err
	case r.flags == leafFlag && (r.count > 0 || depth == 0):
		return w.leaves(r, b, visit)
	case r.flags != branchFlag || r.count == 0 || depth == maxDepth || r.end-r.at > w.size+maxBranch:
		return corrupt("kind of a page")
	}
	children, err := w.children(r, b)
	if err != nil {
		return err
	}
	for i, c := range children {
		within := bounds{c.key, b.high}
		if i+1 < len(children) {
			within.high = children[i+1].key
		}
		if err := w.below(c.page, within, depth+1, visit); err != nil {
			return err
		}
	}
	return nil
}

type child struct {
	key  []byte
	page uint64
}

// children returns what a branch leads to.
func (w *walk) children(r run, b bounds) (all []child, err error) {
	err = w.elements(r, b, func(e []byte, key []byte, _ int64) (int64, error) {
		all = append(all, child{key, binary.NativeEndian.Uint64(e[8:])})
		return 0, nil
	})
	return all, err
}

// leaves calls visit with the elements of a leaf.
func (w *walk) leaves(r run, b bounds, visit func(leaf) error) error {
	return w.elements(r, b, func(e []byte, key []byte, at int64) (int64, error) {
		flags, length := binary.NativeEndian.Uint32(e), int64(binary.NativeEndian.Uint32(e[12:]))
		if flags > bucketElement || length > r.end-at {
			return 0, corrupt("element of a page")
		}
		return length, visit(leaf{key, flags == bucketElement, at, length})
	})
}

// elements calls do with each element of a page, a copy of its key, and where
// its value is; do returns how long that is.
func (w *walk) elements(r run, b bounds, do func(e, key []byte, at int64) (int64, error)) error {
	position, length := 4, 8 // on a leaf
	if r.flags == branchFlag {
		position, length = 0, 4
	}
	at := r.at + pageHeader + int64(r.count)*r.elementSize
	for i := range int64(r.count) {
		element := r.at + pageHeader + i*r.elementSize
		e, err := w.get(element, r.elementSize)
		if err != nil {
			return err
		}
		e = bytes.Clone(e)
		n := int64(binary.NativeEndian.Uint32(e[length:]))
		if element+int64(binary.NativeEndian.Uint32(e[position:])) != at || at > r.end || n > r.end-at {
			return corrupt("element of a page")
		}
		key, err := w.get(at, n)
		if err != nil {
			return err
		}
		key = bytes.Clone(key)
		if !b.hold(key) || n == 0 {
			return corrupt("order of keys")
		}
		value, err := do(e, key, at+n)
		if err != nil {
			return err
		}
		at += n + value
		b.low = append(bytes.Clone(key), 0) // the next one is greater
	}
	return nil
}

// bucket calls visit with what is in the bucket that a leaf's element is, and
// returns its sequence.
func (w *walk) bucket(l leaf, visit func(leaf) error) (sequence uint64, err error) {
	if !l.bucket || l.length < bucketHeader {
		return 0, corrupt("bucket")
	}
	b, err := w.get(l.at, bucketHeader)
	if err != nil {
		return 0, err
	}
	page, sequence := binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint64(b[8:])
	if page != 0 {
		return sequence, w.tree(page, visit)
	}
	if l.length < bucketHeader+pageHeader {
		return 0, corrupt("bucket")
	}
	if b, err = w.get(l.at+bucketHeader, pageHeader); err != nil {
		return 0, err
	}
	r := newRun(b, l.at+bucketHeader, l.at+l.length)
	if r.flags != leafFlag {
		return 0, corrupt("bucket")
	}
	return sequence, w.leaves(r, bounds{}, visit)
}

// newWalk begins a walk through what a head says.
func newWalk(ctx context.Context, f *os.File, h *head) *walk {
	return &walk{ctx: ctx, f: f, size: h.pageSize(), pages: h.pages(), known: map[uint64]uint64{}}
}
