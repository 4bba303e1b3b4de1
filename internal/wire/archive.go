package wire

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
)

// The payload of an export archive (spec/gembok.md, Section 5) is ArchiveLine,
// then records, each behind its length, a big-endian uint32, and last an
// ArchiveEnd in a record of type ArchiveEndType.
const (
	ArchiveLine     = "gembok-export/1\n"
	ArchiveEndType  = "end"
	MaxArchiveEntry = maxArchiveData + 64<<10 // bytes of a record
	MaxArchiveTypes = 256                     // different types of records

	maxArchiveData = 64 << 20 // bytes
	maxArchiveName = 32 << 10
	maxArchiveType = 64
	maxArchiveEnd  = 64 << 10
)

// An ArchiveEntry is a record of an archive. It is canonical.
type ArchiveEntry struct {
	Secret
	Type string // 1: 1 to 64 bytes
	Name string // 2: at most 32 KiB
	Data []byte // 3: at most 64 MiB
	Time uint64 // 4: milliseconds since 1970, at most 2^63−1; 0: unknown
}

// ParseArchiveEntry reads a record of at most MaxArchiveEntry bytes. Bytes that
// AppendArchiveEntry would not write are ErrMalformed. Errors are ErrTooLarge
// and ErrMalformed.
func ParseArchiveEntry(b []byte) (ArchiveEntry, error) {
	var e ArchiveEntry
	r, f := bounded(b, MaxArchiveEntry), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &e.Type)
		case 2:
			r.string(&f, &e.Name)
		case 3:
			r.bytes(&f, &e.Data)
		case 4:
			r.uint64(&f, &e.Time)
		}
	}
	if r.err == nil {
		r.err = e.Check()
	}
	if r.err == nil && !e.is(b) {
		r.fail("not canonical")
	}
	return orZero(e, r.err)
}

// Check holds a record against the bounds. Errors are ErrTooLarge and
// ErrMalformed.
func (e *ArchiveEntry) Check() error {
	switch {
	case e.Type == "", len(e.Type) > maxArchiveType, !utf8.ValidString(e.Type), !utf8.ValidString(e.Name):
		return fmt.Errorf("%w: type or name of a record", ErrMalformed)
	case e.Time > math.MaxInt64:
		return fmt.Errorf("%w: time of a record", ErrMalformed)
	case len(e.Name) > maxArchiveName, len(e.Data) > maxArchiveData:
		return fmt.Errorf("%w: record with a name of %d bytes and %d of data", ErrTooLarge, len(e.Name), len(e.Data))
	}
	return nil
}

// is reports whether b is the encoding of e, whose Data is a part of b: it
// compares what is around that, and copies none of up to 64 MiB.
func (e *ArchiveEntry) is(b []byte) bool {
	head, tail := e.around()
	return len(b) == len(head)+len(e.Data)+len(tail) && bytes.HasPrefix(b, head) && bytes.HasSuffix(b, tail)
}

// around returns what is written before and after Data.
func (e *ArchiveEntry) around() (head, tail []byte) {
	head = appendString(nil, 1, e.Type)
	head = appendString(head, 2, e.Name)
	if len(e.Data) > 0 {
		head = mustLen(head, 3, len(e.Data))
	}
	return head, appendUint(nil, 4, e.Time)
}

// AppendArchiveEntry appends the encoding of e.
func AppendArchiveEntry(dst []byte, e *ArchiveEntry) []byte {
	head, tail := e.around()
	return append(append(append(dst, head...), e.Data...), tail...)
}

// An ArchiveEnd says what is in an archive. It is canonical.
type ArchiveEnd struct {
	Counts []ArchiveCount // 1: ascending by type, at most MaxArchiveTypes
	Hash   []byte         // 2, 32 bytes: SHA-256 of all that is before the last record
}

// An ArchiveCount is how many records of a type there are.
type ArchiveCount struct {
	Type  string // 1
	Count uint64 // 2: from 1
}

// ParseArchiveEnd reads an ArchiveEnd of at most 64 KiB. Bytes that
// AppendArchiveEnd would not write are ErrMalformed. Errors are ErrTooLarge and
// ErrMalformed.
func ParseArchiveEnd(b []byte) (ArchiveEnd, error) {
	var e ArchiveEnd
	r, f := bounded(b, maxArchiveEnd), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			c, err := parseArchiveCount(r.message(&f))
			r.nested(err)
			if n := len(e.Counts); n == MaxArchiveTypes || n > 0 && c.Type <= e.Counts[n-1].Type {
				r.fail("types of an archive")
			}
			e.Counts = append(e.Counts, c)
		case 2:
			r.bytes(&f, &e.Hash)
		}
	}
	if r.err == nil && (len(e.Hash) != 32 || !bytes.Equal(AppendArchiveEnd(nil, &e), b)) {
		r.fail("end of an archive")
	}
	return orZero(e, r.err)
}

func parseArchiveCount(b []byte) (ArchiveCount, error) {
	var c ArchiveCount
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &c.Type)
		case 2:
			r.uint64(&f, &c.Count)
		}
	}
	if c.Type == "" || len(c.Type) > maxArchiveType || c.Count == 0 {
		r.fail("count of an archive")
	}
	return orZero(c, r.err)
}

// AppendArchiveEnd appends the encoding of e.
func AppendArchiveEnd(dst []byte, e *ArchiveEnd) []byte {
	for i := range e.Counts {
		c := &e.Counts[i]
		dst = mustLen(dst, 1, sizeBytes(1, len(c.Type))+sizeUint(2, c.Count))
		dst = appendString(dst, 1, c.Type)
		dst = appendUint(dst, 2, c.Count)
	}
	return appendBytes(dst, 2, e.Hash)
}
