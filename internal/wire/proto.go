package wire

import (
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxGroupDepth bounds the nesting of unknown groups that are skipped. The
// innermost of so many must be empty.
const maxGroupDepth = 100

// A field is one tag and its value. Of num, b is meant for BytesType and v
// for VarintType, Fixed32Type and Fixed64Type.
type field struct {
	num protowire.Number
	typ protowire.Type
	v   uint64
	b   []byte
}

// What parsers and writers call for nearly every field is not inlined: in hundreds
// of places that makes a program larger, and none faster.

// A reader walks the fields of one message. Its zero value is an empty
// message; the first error ends the walk and stays.
type reader struct {
	buf []byte
	err error
}

// bounded returns the reader of a parser: its error is ErrTooLarge for more
// than limit bytes.
func bounded(b []byte, limit int) reader { return reader{buf: b, err: tooLarge(b, limit)} }

// orZero returns v, or with an error the zero value: what a parser returns.
func orZero[T any](v T, err error) (T, error) {
	if err != nil {
		v = *new(T)
	}
	return v, err
}

func (r *reader) fail(what string) bool {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	return false
}

// next reads one field into f; false means the end of the message or an
// error, which r.err tells apart. Groups are skipped here.
func (r *reader) next(f *field) bool {
	if r.err != nil || len(r.buf) == 0 {
		return false
	}
	num, typ, ok := r.tag()
	switch {
	case !ok:
		return false
	case typ == protowire.StartGroupType:
		*f = field{num: num, typ: typ}
		return r.skipGroup(num)
	}
	return r.value(f, num, typ)
}

// tag reads a tag; r.buf is not empty.
func (r *reader) tag() (protowire.Number, protowire.Type, bool) {
	if c := r.buf[0]; 1<<3 <= c && c < 0x80 { // nearly all of them
		r.buf = r.buf[1:]
		return protowire.Number(c >> 3), protowire.Type(c & 7), true
	}
	return r.longTag()
}

func (r *reader) longTag() (protowire.Number, protowire.Type, bool) {
	v, n := protowire.ConsumeVarint(r.buf)
	if n < 0 {
		return 0, 0, r.fail("tag")
	}
	num, typ := v>>3, protowire.Type(v&7)
	if num < 1 || num > uint64(protowire.MaxValidNumber) {
		return 0, 0, r.fail("field number")
	}
	r.buf = r.buf[n:]
	return protowire.Number(num), typ, true
}

func (r *reader) value(f *field, num protowire.Number, typ protowire.Type) bool {
	*f = field{num: num, typ: typ}
	n := -1
	switch typ {
	case protowire.VarintType:
		f.v, n = protowire.ConsumeVarint(r.buf)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(r.buf)
		f.v = uint64(v)
	case protowire.Fixed64Type:
		f.v, n = protowire.ConsumeFixed64(r.buf)
	case protowire.BytesType:
		f.b, n = protowire.ConsumeBytes(r.buf)
		f.b = f.b[:len(f.b):len(f.b)]
	}
	if n < 0 {
		return r.fail("field value")
	}
	r.buf = r.buf[n:]
	return true
}

// skipGroup skips to the end of the group num, whose start was read.
func (r *reader) skipGroup(num protowire.Number) bool {
	open := []protowire.Number{num}
	var f field
	for len(open) > 0 {
		if len(r.buf) == 0 {
			return r.fail("unfinished group")
		}
		num, typ, ok := r.tag()
		switch {
		case !ok:
			return false
		case typ == protowire.EndGroupType:
			if open[len(open)-1] != num {
				return r.fail("group end")
			}
			open = open[:len(open)-1]
		case len(open) == maxGroupDepth:
			return r.fail("groups nested too deep")
		case typ == protowire.StartGroupType:
			open = append(open, num)
		case !r.value(&f, num, typ):
			return false
		}
	}
	return true
}

// bytes stores a bytes field. A present but empty field is an empty slice
// that is not nil: it points into the input like any other.
//
//go:noinline
func (r *reader) bytes(f *field, dst *[]byte) {
	if f.typ != protowire.BytesType {
		r.fail("wire type")
		return
	}
	*dst = f.b
}

func (r *reader) uint32(f *field, dst *uint32) {
	var v uint64
	r.uint64(f, &v)
	*dst = uint32(v) // the low 32 bits: Parsing rules
}

//go:noinline
func (r *reader) uint64(f *field, dst *uint64) {
	if f.typ != protowire.VarintType {
		r.fail("wire type")
		return
	}
	*dst = f.v
}

func (r *reader) fixed64(f *field, dst *uint64) {
	if f.typ != protowire.Fixed64Type {
		r.fail("wire type")
		return
	}
	*dst = f.v
}

func (r *reader) bool(f *field, dst *bool) {
	var v uint64
	r.uint64(f, &v)
	*dst = v != 0
}

func (r *reader) string(f *field, dst *string) {
	switch {
	case f.typ != protowire.BytesType:
		r.fail("wire type")
	case !utf8.Valid(f.b):
		r.fail("UTF-8")
	default:
		*dst = string(f.b)
	}
}

// message returns the bytes of a nested message. A singular one that comes
// again is decoded into the same struct: so protobuf merges.
//
//go:noinline
func (r *reader) message(f *field) []byte {
	if f.typ != protowire.BytesType {
		r.fail("wire type")
		return nil
	}
	return f.b
}

// nested keeps the error of a nested message.
func (r *reader) nested(err error) {
	if r.err == nil {
		r.err = err
	}
}

// require fails unless seen, a bit for each field number, has all of want.
func (r *reader) require(seen, want uint32) {
	if seen&want != want {
		r.fail("missing field")
	}
}

// tooLarge is the check that every parser starts with.
func tooLarge(b []byte, limit int) error {
	if len(b) > limit {
		return fmt.Errorf("%w: %d bytes, of at most %d", ErrTooLarge, len(b), limit)
	}
	return nil
}

// appendTag and appendVarint take the short way for what is short, as nearly all
// is.

func appendTag(b []byte, num protowire.Number, typ protowire.Type) []byte {
	return appendVarint(b, protowire.EncodeTag(num, typ))
}

func appendVarint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return protowire.AppendVarint(b, v)
}

// The writers append one field. The plain ones follow proto3 and leave out a
// zero or empty value; the "must" ones always write.

//go:noinline
func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return mustUint(b, num, v)
}

func mustUint(b []byte, num protowire.Number, v uint64) []byte {
	b = appendTag(b, num, protowire.VarintType)
	return appendVarint(b, v)
}

func appendFixed64(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return mustFixed64(b, num, v)
}

func mustFixed64(b []byte, num protowire.Number, v uint64) []byte {
	b = appendTag(b, num, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}

//go:noinline
func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return mustBytes(b, num, v)
}

func mustBytes(b []byte, num protowire.Number, v []byte) []byte {
	b = appendTag(b, num, protowire.BytesType)
	return append(appendVarint(b, uint64(len(v))), v...)
}

func appendString(b []byte, num protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	return mustString(b, num, v)
}

func mustString(b []byte, num protowire.Number, v string) []byte {
	b = appendTag(b, num, protowire.BytesType)
	return append(appendVarint(b, uint64(len(v))), v...)
}

// mustLen appends the tag and the length of a nested message of n bytes.
func mustLen(b []byte, num protowire.Number, n int) []byte {
	b = appendTag(b, num, protowire.BytesType)
	return appendVarint(b, uint64(n))
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return mustUint(b, num, 1)
}

// The sizes of what the writers append, given the length of bytes fields.

//go:noinline
func sizeUint(num protowire.Number, v uint64) int {
	if v == 0 {
		return 0
	}
	return sizeMustUint(num, v)
}

func sizeMustUint(num protowire.Number, v uint64) int {
	return protowire.SizeTag(num) + protowire.SizeVarint(v)
}

func sizeBool(num protowire.Number, v bool) int {
	if !v {
		return 0
	}
	return sizeMustUint(num, 1)
}

//go:noinline
func sizeBytes(num protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return sizeMustBytes(num, n)
}

func sizeMustBytes(num protowire.Number, n int) int {
	return protowire.SizeTag(num) + protowire.SizeBytes(n)
}
