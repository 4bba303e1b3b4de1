//go:build !wasm

package boltstore

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"os"

	bolterrors "go.etcd.io/bbolt/errors"
)

// A head is the part of one of the first two pages of a bbolt file, version 2,
// that is looked at before bbolt is let near it: bbolt believes what it reads
// there, and looks for free pages in a goroutine of its own, from which a panic
// cannot be recovered, if the file has no list of them. Integers are in the
// byte order of the machine.
//
//	 0  page: number (8), flags (2), count (2), overflow (4)
//	16  magic (4), version (4), page size (4), flags (4)
//	32  root page (8), sequence (8), page of the list of free pages (8)
//	56  pages in use (8), transaction (8), FNV-1a of bytes 16 to 71 (8)
type head [80]byte

const (
	headMagic   = 0xED0CDAED
	headVersion = 2
	maxPageSize = 16 << 20

	noFreeList   = ^uint64(0)
	freeListFlag = 0x10
)

func (h *head) uint16(at int) uint16 { return binary.NativeEndian.Uint16(h[at:]) }
func (h *head) uint32(at int) uint32 { return binary.NativeEndian.Uint32(h[at:]) }
func (h *head) uint64(at int) uint64 { return binary.NativeEndian.Uint64(h[at:]) }

func (h *head) pageSize() int64     { return int64(h.uint32(24)) }
func (h *head) root() uint64        { return h.uint64(32) }
func (h *head) freeList() uint64    { return h.uint64(48) }
func (h *head) pages() uint64       { return h.uint64(56) }
func (h *head) transaction() uint64 { return h.uint64(64) }

// intact tells whether all of a head was written, by any version of bbolt.
func (h *head) intact() bool {
	sum := fnv.New64a()
	_, _ = sum.Write(h[16:72])
	return h.uint32(16) == headMagic && h.uint64(72) == sum.Sum64()
}

// checkFile refuses a file that bbolt should not open, and returns the head that
// counts. An empty one, which has none, will be made a database.
func checkFile(f *os.File) (*head, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	h, err := readHead(f)
	if err != nil {
		return nil, err
	}
	switch pages := h.pages(); {
	case pages > uint64(info.Size()/h.pageSize()):
		return nil, corrupt("short file")
	case h.freeList() == noFreeList:
		return nil, corrupt("no list of free pages")
	case h.root() >= pages, h.freeList() >= pages:
		return nil, corrupt("page beyond the last one")
	}
	return &h, checkFreeList(f, &h)
}

// checkFreeList looks at the page of the list of free pages, which every
// Commit gives up with all the pages that it says it takes.
func checkFreeList(f *os.File, h *head) error {
	var p head
	free := h.freeList()
	if _, err := f.ReadAt(p[:24], int64(free)*h.pageSize()); err != nil {
		return err
	}
	count, more := uint64(p.uint16(10)), uint64(p.uint32(12))
	if count == 0xFFFF { // too many to say so: the first entry does
		count = p.uint64(16) + 1
	}
	size := (more + 1) * uint64(h.pageSize())
	if p.uint64(0) != free || p.uint16(8) != freeListFlag || more >= h.pages()-free || count > (size-16)/8 {
		return corrupt("list of free pages")
	}
	return nil
}

// readHead returns the head that counts, which is the newer one.
func readHead(f *os.File) (newest head, err error) {
	first, err := headAt(f, 0)
	if err == nil {
		second, err := headAt(f, first.pageSize())
		if err == nil && second.transaction() > first.transaction() {
			return second, nil
		}
		if err != nil && err != errNoHead {
			return second, err // bbolt would take it
		}
	}
	// Where the second page begins is lost with the first one.
	for at := int64(1024); err == errNoHead && at <= maxPageSize; at *= 2 {
		first, err = headAt(f, at)
	}
	return first, err
}

var errNoHead = corrupt("not a database")

// headAt reads the head of the page at an offset, which is 0 or the size of a
// page. What was not written in whole is errNoHead.
func headAt(f *os.File, at int64) (h head, err error) {
	if _, err := f.ReadAt(h[:], at); err != nil && err != io.EOF {
		return h, err
	} else if err != nil || !h.intact() {
		return h, errNoHead
	}
	if h.uint32(20) > headVersion {
		return h, bolterrors.ErrVersionMismatch
	}
	size := h.pageSize()
	if h.uint32(20) < headVersion || size < 1024 || size > maxPageSize || at != 0 && at != size {
		return h, corrupt("head")
	}
	return h, nil
}
