package wire

import (
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
	rows  [SPQRRowCount][]byte
	count int
	start int // where the first row's tag begins in the message
	end   int // where the last row ended
	split bool
}

// add takes the row in f, which lies at [start, end) in its message.
func (c *spqrRowReader) add(r *reader, f *field, start, end int) {
	if c.count == SPQRRowCount {
		r.fail("too many rows")
		return
	}
	var row []byte
	r.bytes(f, &row)
	if c.count == 0 {
		c.start, c.end = start, start
	}
	minimal := 1 + protowire.SizeBytes(len(row)) // field numbers below 16 have tags of one byte
	c.split = c.split || start != c.end || end-start != minimal
	c.rows[c.count], c.end = row, end
	c.count++
}

// result returns the rows of field num of the message b, which r walked.
func (c *spqrRowReader) result(r *reader, b []byte, num int) SPQRRows {
	if c.count == 0 || r.err != nil {
		return SPQRRows{}
	}
	size := len(c.rows[0])
	if c.count != SPQRRowCount || size > maxSPQRRow {
		r.fail("number or length of rows")
		return SPQRRows{}
	}
	for _, row := range &c.rows {
		if len(row) != size {
			r.fail("rows of different lengths")
			return SPQRRows{}
		}
	}
	if !c.split {
		return SPQRRows{encoded: b[c.start:c.end:c.end], size: size}
	}
	rows := NewSPQRRows(num, size)
	for i, row := range &c.rows {
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
	for at := 0; r.next(&f); at = len(b) - len(r.buf) {
		switch end := len(b) - len(r.buf); f.num {
		case 1:
			r.uint32(&f, &e.Index)
		case SPQRPoints:
			points.add(&r, &f, at, end)
		case SPQRCoefficients:
			coefficients.add(&r, &f, at, end)
		}
	}
	e.Points = points.result(&r, b, SPQRPoints)
	e.Coefficients = coefficients.result(&r, b, SPQRCoefficients)
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
	for at := 0; r.next(&f); at = len(b) - len(r.buf) {
		switch end := len(b) - len(r.buf); f.num {
		case 1:
			r.uint32(&f, &d.Words)
		case SPQRDecoderPoints:
			points.add(&r, &f, at, end)
		case 4:
			r.bool(&f, &d.Complete)
		}
	}
	d.Points = points.result(&r, b, SPQRDecoderPoints)
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
