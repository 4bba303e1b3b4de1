// Package erasure cuts an object into a practically unlimited supply of 32-byte
// chunks, any N of which give it back, N being its length in chunks: the code of
// spqr.md, Section 2, Reed–Solomon over GF(2^16).
//
// The 16-bit words of an object are dealt to sixteen polynomials in turn: word i
// is the value of polynomial i mod 16 at x = i div 16. Chunk k has the values of
// all sixteen at x = k, so chunks 0 to N−1 are the object itself.
//
// What is computed here travels in clear, so time depends on it. Encoders and
// decoders are values: a step returns the next one and leaves its receiver
// alone. They keep references into the bytes that they were parsed from.
package erasure

import (
	"encoding/binary"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// ChunkSize is the length of a chunk in bytes: a word of each polynomial.
const ChunkSize = wire.SPQRChunkSize

// rows is the number of polynomials.
const rows = wire.SPQRRowCount

// MaxChunks is the length of the longest object, in chunks.
const MaxChunks = 36

// An Encoder makes the chunks of one object. The zero value is not usable.
type Encoder struct {
	n     int // chunks in the object
	index uint32
	// rows has n words for each polynomial: its values at 0 to n−1 or, from the
	// first chunk on that is not one of those, its coefficients, constant first.
	rows         wire.SPQRRows
	coefficients bool
}

// NewEncoder returns the encoder of object, whose length is a multiple of 32
// bytes and at most 36·32.
func NewEncoder(object []byte) Encoder {
	e := Encoder{n: len(object) / ChunkSize}
	e.rows = wire.NewSPQRRows(wire.SPQRPoints, 2*e.n)
	for j := range rows {
		row := e.rows.Row(j)
		for i := range e.n {
			copy(row[2*i:2*i+2], object[ChunkSize*i+2*j:])
		}
	}
	return e
}

// Next returns a chunk and its index. Indices repeat after 65,536 chunks.
func (e Encoder) Next() (next Encoder, index uint16, chunk [ChunkSize]byte) {
	index = uint16(e.index)
	e.index++ // wraps, as the official library's does
	if !e.coefficients && int(index) >= e.n {
		e.rows, e.coefficients = interpolate(e.rows, e.n), true
	}
	if e.coefficients {
		chunk = evaluate(e.rows, e.n, index)
	} else {
		column := gather(e.rows, 2*int(index))
		column.put(chunk[:])
	}
	return e, index, chunk
}

// ParseEncoder returns the stored encoder of an object of size bytes, if it is
// one: it has rows of one kind, and they have the length that Next relies on.
func ParseEncoder(s *wire.SPQREncoder, size int) (e Encoder, ok bool) {
	e = Encoder{n: size / ChunkSize, index: s.Index, rows: s.Points}
	if s.Coefficients.Present() {
		e.rows, e.coefficients = s.Coefficients, true
	}
	return e, s.Points.Present() != s.Coefficients.Present() && e.rows.Size() == 2*e.n
}

// Store puts e into its stored form.
func (e Encoder) Store(s *wire.SPQREncoder) {
	s.Index = e.index
	if e.coefficients {
		s.Coefficients = e.rows
	} else {
		s.Points = e.rows
	}
}

// A Decoder collects the chunks of one object, at most as many as the object
// has. The zero value is not usable.
type Decoder struct {
	n, have int // chunks in the object and here; have < n
	// rows has the points of each polynomial, x || value, 4 bytes each, in
	// ascending order of x. All sixteen have the same x.
	rows wire.SPQRRows
}

// NewDecoder returns the empty decoder of an object of size bytes.
func NewDecoder(size int) Decoder {
	return Decoder{n: size / ChunkSize, rows: wire.NewSPQRRows(wire.SPQRDecoderPoints, 0)}
}

// Add returns the decoder that has chunk, too, in place of an earlier one of the
// same index; or the object, once it is complete.
func (d Decoder) Add(index uint16, chunk *[ChunkSize]byte) (next Decoder, object []byte) {
	place, found := d.find(index)
	next = Decoder{n: d.n, have: d.have}
	if !found {
		next.have++
	}
	next.rows = wire.NewSPQRRows(wire.SPQRDecoderPoints, 4*next.have)
	tail := next.have - place - 1 // points after the new one
	for j := range rows {
		from, to := d.rows.Row(j), next.rows.Row(j)
		copy(to, from[:4*place])
		binary.BigEndian.PutUint16(to[4*place:], index)
		copy(to[4*place+2:4*place+4], chunk[2*j:])
		copy(to[4*place+4:], from[len(from)-4*tail:])
	}
	if next.have == d.n {
		return Decoder{}, next.decode()
	}
	return next, nil
}

// find returns where the point at x is, or would be.
func (d Decoder) find(x uint16) (place int, found bool) {
	row := d.rows.Row(0)
	for ; place < d.have; place++ {
		if at := binary.BigEndian.Uint16(row[4*place:]); at >= x {
			return place, at == x
		}
	}
	return place, false
}

// decode returns the object of a decoder that has n points a row.
func (d Decoder) decode() []byte {
	object := make([]byte, ChunkSize*d.n)
	var curve lagrange
	for k := range uint16(d.n) {
		chunk := object[ChunkSize*int(k):]
		place, found := d.find(k)
		if found {
			column := gather(d.rows, 4*place+2)
			column.put(chunk)
			continue
		}
		if curve.n == 0 {
			curve.through(d.rows, d.n)
		}
		column := curve.at(k)
		column.put(chunk)
	}
	return object
}

// ParseDecoder returns the stored decoder of an object of size bytes, if it is
// one: of that object, and of points that Add would have stored, in the same
// order in all rows. It is never complete, since whoever has all chunks has the
// object.
func ParseDecoder(s *wire.SPQRDecoder, size int) (d Decoder, ok bool) {
	d = Decoder{n: size / ChunkSize, have: s.Points.Size() / 4, rows: s.Points}
	if !s.Points.Present() || s.Points.Size()%4 != 0 || d.have >= d.n ||
		int64(s.Words) != int64(size/2) || s.Complete {
		return Decoder{}, false
	}
	first := d.rows.Row(0)
	for i := 4; i < len(first); i += 4 {
		if binary.BigEndian.Uint16(first[i-4:]) >= binary.BigEndian.Uint16(first[i:]) {
			return Decoder{}, false
		}
	}
	for j := 1; j < rows; j++ {
		row := d.rows.Row(j)
		for i := 0; i < len(first); i += 4 {
			if [2]byte(row[i:]) != [2]byte(first[i:]) {
				return Decoder{}, false
			}
		}
	}
	return d, true
}

// Store puts d into its stored form.
func (d Decoder) Store(s *wire.SPQRDecoder) {
	s.Words = uint32(d.n * ChunkSize / 2)
	s.Points = d.rows
}
