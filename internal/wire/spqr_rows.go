package wire

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// SPQRRowCount is the number of polynomials of an erasure code, and so of the
// rows of a stored encoder or decoder.
const SPQRRowCount = 16

// maxSPQRRow is the length of the longest row: 36 points of 4 bytes.
const maxSPQRRow = 36 * 4

// SPQRRows is a repeated bytes field of 16 rows of one length, kept as it is
// encoded, so that storing rows that did not change is one copy. The zero value
// is an absent field. Rows are shared by copies of the struct: whoever fills
// the rows of NewSPQRRows does so before handing them on.
type SPQRRows struct {
	encoded []byte // 16 times tag || varint length || row
	size    int    // length of a row
}

// NewSPQRRows returns rows of size zero bytes each, for field num, which is one
// of SPQRPoints, SPQRCoefficients and SPQRDecoderPoints.
func NewSPQRRows(num, size int) SPQRRows {
	r := SPQRRows{size: size}
	r.encoded = make([]byte, 0, SPQRRowCount*(3+size))
	for range SPQRRowCount {
		r.encoded = append(r.encoded, byte(num<<3|int(protowire.BytesType)))
		r.encoded = appendSPQRVarint(r.encoded, uint64(size))
		r.encoded = r.encoded[:len(r.encoded)+size]
	}
	return r
}

// Present reports whether the field was there, be its rows empty or not.
func (r SPQRRows) Present() bool { return r.encoded != nil }

// Size returns the length of each row.
func (r SPQRRows) Size() int { return r.size }

// Row returns row i, 0 to 15, of rows that are present.
func (r SPQRRows) Row(i int) []byte {
	end := len(r.encoded) / SPQRRowCount * (i + 1)
	return r.encoded[end-r.size : end : end]
}

// A spqrRowReader collects the rows of one field on a walk through a message.
type spqrRowReader struct {
	rows SPQRRows // all of them, where they were in the form that is written
	any  [][]byte // one by one, where they were not
}

// add takes the row in f, which r read at the start of b, and the others behind
// it, if they come at once and in the form that is written.
func (c *spqrRowReader) add(r *reader, f *field, b []byte) {
	var row []byte
	r.bytes(f, &row)
	switch {
	case c.rows.Present() || len(c.any) == SPQRRowCount:
		r.fail("too many rows")
	case c.any == nil && standardRows(b, len(row)):
		n := SPQRRowCount * (1 + protowire.SizeBytes(len(row)))
		c.rows = SPQRRows{encoded: b[:n:n], size: len(row)}
		r.buf = b[n:]
	default:
		c.any = append(c.any, row)
	}
}

// standardRows reports whether b begins with 16 rows of size bytes that are
// encoded alike, and as NewSPQRRows does it.
func standardRows(b []byte, size int) bool {
	head := 1 + protowire.SizeVarint(uint64(size)) // a field number below 16 has a tag of one byte
	stride := head + size
	if size > maxSPQRRow || len(b) < SPQRRowCount*stride || b[0] >= 0x80 || b[head-1] >= 0x80 {
		return false // too long or too few, or tag or length longer than need be
	}
	for i := 1; i < SPQRRowCount; i++ {
		if !bytes.HasPrefix(b[i*stride:], b[:head]) {
			return false
		}
	}
	return true
}

// result returns the rows of field num of the message that r walked.
func (c *spqrRowReader) result(r *reader, num int) SPQRRows {
	if c.any == nil || r.err != nil {
		return c.rows
	}
	size := len(c.any[0])
	if len(c.any) != SPQRRowCount || size > maxSPQRRow {
		r.fail("number or length of rows")
		return SPQRRows{}
	}
	rows := NewSPQRRows(num, size)
	for i, row := range c.any {
		if len(row) != size {
			r.fail("rows of different lengths")
			return SPQRRows{}
		}
		copy(rows.Row(i), row)
	}
	return rows
}

// Field numbers of SPQRRows.
const (
	SPQRPoints        = 2 // of an encoder: the values at 0, 1, …
	SPQRCoefficients  = 3 // of an encoder: the coefficients, constant term first
	SPQRDecoderPoints = 3 // of a decoder: 4-byte points, x || y
)

// An SPQREncoder is an encoder: one of Points and Coefficients, never both.
type SPQREncoder struct {
	Index        uint32
	Points       SPQRRows
	Coefficients SPQRRows
}

// An SPQRDecoder is a decoder.
type SPQRDecoder struct {
	Words    uint32 // number of 16-bit words of the object
	Points   SPQRRows
	Complete bool
}

func (e *SPQREncoder) parse(outer *reader, b []byte) {
	*e = SPQREncoder{}
	r := reader{buf: b, err: outer.err}
	var f field
	var points, coefficients spqrRowReader
	for at := b; r.next(&f); at = r.buf {
		switch f.num {
		case 1:
			r.uint32(&f, &e.Index)
		case SPQRPoints:
			points.add(&r, &f, at)
		case SPQRCoefficients:
			coefficients.add(&r, &f, at)
		}
	}
	e.Points = points.result(&r, SPQRPoints)
	e.Coefficients = coefficients.result(&r, SPQRCoefficients)
	outer.err = r.err
}

func (e *SPQREncoder) append(dst []byte, num protowire.Number) []byte {
	dst, at := openMessage(dst, num, 2)
	dst = appendUint(dst, 1, uint64(e.Index))
	dst = append(dst, e.Points.encoded...)
	dst = append(dst, e.Coefficients.encoded...)
	return closeMessage(dst, at, 2)
}

func (d *SPQRDecoder) parse(outer *reader, b []byte) {
	*d = SPQRDecoder{}
	r := reader{buf: b, err: outer.err}
	var f field
	var points spqrRowReader
	for at := b; r.next(&f); at = r.buf {
		switch f.num {
		case 1:
			r.uint32(&f, &d.Words)
		case SPQRDecoderPoints:
			points.add(&r, &f, at)
		case 4:
			r.bool(&f, &d.Complete)
		}
	}
	d.Points = points.result(&r, SPQRDecoderPoints)
	outer.err = r.err
}

func (d *SPQRDecoder) append(dst []byte, num protowire.Number) []byte {
	dst, at := openMessage(dst, num, 2)
	dst = appendUint(dst, 1, uint64(d.Words))
	dst = appendUint(dst, 2, SPQRRowCount)
	dst = append(dst, d.Points.encoded...)
	dst = appendBool(dst, 4, d.Complete)
	return closeMessage(dst, at, 2)
}
