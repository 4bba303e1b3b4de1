package erasure_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// A hexBytes is a byte string that JSON holds as hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// sizes are the lengths of the objects of the protocol.
var sizes = []int{96, 160, 960, 1152}

// object returns the test object of Section 10.2.
func object(size int) (b []byte) {
	for i := range size / 32 {
		block := sha256.Sum256(fmt.Appendf(nil, "spqr ek %d", i))
		b = append(b, block[:]...)
	}
	return b
}

// chunkAt returns chunk k of the object.
func chunkAt(object []byte, k uint16) [32]byte {
	_, index, chunk := erasure.NewEncoder(object).WithIndex(uint32(k)).Next()
	if index != k {
		panic("index")
	}
	return chunk
}

func TestEncoderVectors(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Encoder, 4)
	for _, c := range v.Encoder {
		require.NotEmpty(t, c.Chunks)
		for index, want := range c.Chunks {
			k, err := strconv.ParseUint(index, 10, 16)
			require.NoError(t, err)
			got := chunkAt(c.Object, uint16(k))
			require.Equal(t, []byte(want), got[:], "chunk %d of %d bytes", k, len(c.Object))
		}
	}
}

// TestEncoderSequence compares chunks made one after the other, across the
// change to coefficients, with chunks made alone.
func TestEncoderSequence(t *testing.T) {
	for _, size := range sizes {
		o := object(size)
		e := erasure.NewEncoder(o)
		for k := range uint16(3 * size / 32) {
			before := e
			next, index, chunk := e.Next()
			require.Equal(t, before, e, "Next leaves its receiver alone")
			require.Equal(t, k, index)
			require.Equal(t, chunkAt(o, k), chunk)
			if int(k) < size/32 {
				require.Equal(t, o[32*k:32*k+32], chunk[:])
			}
			e = roundTripEncoder(t, next, size)
		}
	}
}

func roundTripEncoder(t testing.TB, e erasure.Encoder, size int) erasure.Encoder {
	t.Helper()
	var w wire.SPQREncoder
	e.Store(&w)
	got, ok := erasure.ParseEncoder(&w, size)
	require.True(t, ok)
	require.Equal(t, e, got)
	return got
}

func TestEncoderStored(t *testing.T) {
	e := erasure.NewEncoder(object(96))
	for range 4 {
		e, _, _ = e.Next()
	}
	s := wire.SPQRState{HasMachine: true, Machine: wire.SPQRMachine{State: wire.SPQRCt2Sampled}}
	e.Store(&s.Machine.Encoder)
	require.False(t, s.Machine.Encoder.Points.Present())
	require.Equal(t, "8b1d239d0a55", hex.EncodeToString(s.Machine.Encoder.Coefficients.Row(0)))
	require.Equal(t, "1837a6244148", hex.EncodeToString(s.Machine.Encoder.Coefficients.Row(15)))
	b := s.Append(nil)
	sum := sha256.Sum256(b[len(b)-2-16*8:]) // the encoder is what ends the state
	require.Equal(t, "4644642d92a338229eac92edcb669509242c0a13cc08bd3a5453df6e3a987d9b", hex.EncodeToString(sum[:]))
}

func TestEncoderIndexWraps(t *testing.T) {
	o := object(96)
	e := erasure.NewEncoder(o).WithIndex(math.MaxUint16)
	e, index, chunk := e.Next()
	require.Equal(t, uint16(math.MaxUint16), index)
	require.Equal(t, chunkAt(o, math.MaxUint16), chunk)
	e, index, chunk = e.Next() // the first chunk again, now from coefficients
	require.Equal(t, uint16(0), index)
	require.Equal(t, o[:32], chunk[:])
	var w wire.SPQREncoder
	e.Store(&w)
	require.Equal(t, uint32(1<<16+1), w.Index)

	e, index, _ = e.WithIndex(math.MaxUint32).Next()
	require.Equal(t, uint16(math.MaxUint16), index)
	e.Store(&w)
	require.Zero(t, w.Index)
}

// add adds chunk k of o, or what replace makes of it, through the stored form.
func add(t testing.TB, d erasure.Decoder, o []byte, k uint16, chunk [32]byte) (erasure.Decoder, []byte) {
	t.Helper()
	before := d
	next, got := d.Add(k, &chunk)
	require.Equal(t, before, d, "Add leaves its receiver alone")
	if got != nil {
		return erasure.Decoder{}, got
	}
	var w wire.SPQRDecoder
	next.Store(&w)
	parsed, ok := erasure.ParseDecoder(&w, len(o))
	require.True(t, ok)
	require.Equal(t, next, parsed)
	return parsed, nil
}

// collect adds chunks in the order of ks and requires that the last, and no
// earlier one, gives the object.
func collect(t testing.TB, o []byte, ks []uint16) {
	t.Helper()
	d := erasure.NewDecoder(len(o))
	for i, k := range ks {
		var got []byte
		d, got = add(t, d, o, k, chunkAt(o, k))
		if i < len(ks)-1 {
			require.Nil(t, got)
			continue
		}
		require.Equal(t, o, got, "chunks %v", ks)
	}
}

func TestDecoderVector(t *testing.T) {
	o := object(96)
	collect(t, o, []uint16{7, 9, 40000})
	collect(t, o, []uint16{40000, 9, 7})
	d := erasure.NewDecoder(96)
	d, _ = add(t, d, o, 40000, chunkAt(o, 40000))
	d, _ = add(t, d, o, 7, chunkAt(o, 7))
	var w wire.SPQRDecoder
	d.Store(&w)
	require.Equal(t, "0007e79f9c409ff3", hex.EncodeToString(w.Points.Row(0)))
	require.Equal(t, uint32(48), w.Words)
}

func TestSPQR_06_AnySubset(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 6))
	for _, size := range sizes {
		o, n := object(size), size/32
		for round := range 40 {
			limit := 1 << 16 // all indices, or few, so that many are of the object itself
			if round%2 == 0 {
				limit = 2 * n
			}
			ks := make([]uint16, 0, n)
			for seen := map[int]bool{}; len(ks) < n; {
				if k := random.IntN(limit); !seen[k] {
					seen[k] = true
					ks = append(ks, uint16(k))
				}
			}
			collect(t, o, ks)
		}
		var last []uint16 // none that is of the object itself, up to the last index
		for i := range n {
			last = append(last, uint16(1<<16-1-i))
		}
		collect(t, o, last)
	}
}

func TestSPQR_06_DuplicateReplaces(t *testing.T) {
	for _, size := range sizes {
		o, n := object(size), size/32
		for _, again := range []int{0, n / 2, n - 2} { // first, middle and last entry
			d := erasure.NewDecoder(size)
			for k := range uint16(n - 1) {
				chunk := chunkAt(o, 2*k+1)
				if int(k) == again {
					chunk[5] ^= 1 // wrong at first
				}
				d, _ = add(t, d, o, 2*k+1, chunk)
			}
			have := d.Have()
			k := uint16(2*again + 1)
			d, got := add(t, d, o, k, chunkAt(o, k))
			require.Nil(t, got)
			require.Equal(t, have, d.Have())
			_, got = add(t, d, o, 0, chunkAt(o, 0))
			require.Equal(t, o, got)
		}
	}
}

func TestSPQR_06_ConflictChangesObject(t *testing.T) {
	o := object(1152)
	d := erasure.NewDecoder(1152)
	var got []byte
	for k := range uint16(36) {
		chunk := chunkAt(o, k+1)
		if k == 3 {
			chunk[0] ^= 1
		}
		d, got = add(t, d, o, k+1, chunk)
	}
	require.Len(t, got, 1152)
	require.NotEqual(t, o, got, "which the MAC or the hash over it shows")
}

func TestParseEncoderRefuses(t *testing.T) {
	var good wire.SPQREncoder
	erasure.NewEncoder(object(96)).Store(&good)
	coefficients := wire.NewSPQRRows(wire.SPQRCoefficients, 6)
	for name, w := range map[string]wire.SPQREncoder{
		"neither":      {Index: 1},
		"both":         {Points: good.Points, Coefficients: coefficients},
		"short":        {Points: wire.NewSPQRRows(wire.SPQRPoints, 4)},
		"long":         {Coefficients: wire.NewSPQRRows(wire.SPQRCoefficients, 8)},
		"odd":          {Points: wire.NewSPQRRows(wire.SPQRPoints, 5)},
		"empty rows":   {Points: wire.NewSPQRRows(wire.SPQRPoints, 0)},
		"other object": {Points: wire.NewSPQRRows(wire.SPQRPoints, 60)},
	} {
		_, ok := erasure.ParseEncoder(&w, 96)
		require.False(t, ok, name)
	}
	_, ok := erasure.ParseEncoder(&wire.SPQREncoder{Coefficients: coefficients}, 96)
	require.True(t, ok)
}

// points returns rows with those x, in that order, for all sixteen polynomials.
func points(xs ...byte) wire.SPQRRows {
	r := wire.NewSPQRRows(wire.SPQRDecoderPoints, 4*len(xs))
	for j := range 16 {
		for i, x := range xs {
			r.Row(j)[4*i+1] = x
		}
	}
	return r
}

func TestParseDecoderRefuses(t *testing.T) {
	uneven := points(1, 2)
	uneven.Row(9)[5] = 3
	for name, w := range map[string]wire.SPQRDecoder{
		"no points":      {Words: 48},
		"words":          {Words: 47, Points: points(1)},
		"many words":     {Words: math.MaxUint32, Points: points(1)},
		"complete":       {Words: 48, Points: points(1), Complete: true},
		"as many as all": {Words: 48, Points: points(1, 2, 3)},
		"order":          {Words: 48, Points: points(2, 1)},
		"twice":          {Words: 48, Points: points(2, 2)},
		"uneven":         {Words: 48, Points: uneven},
		"not whole":      {Words: 48, Points: wire.NewSPQRRows(wire.SPQRDecoderPoints, 6)},
	} {
		_, ok := erasure.ParseDecoder(&w, 96)
		require.False(t, ok, name)
	}
	for _, p := range []wire.SPQRRows{points(), points(255), points(1, 2)} {
		_, ok := erasure.ParseDecoder(&wire.SPQRDecoder{Words: 48, Points: p}, 96)
		require.True(t, ok)
	}
}

// naive returns the object that points of the sixteen polynomials determine, by
// Lagrange's formula.
func naive(size int, chunks map[uint16][32]byte) []byte {
	out := make([]byte, size)
	for x := range uint16(size / 32) {
		for xi, c := range chunks {
			weight := uint16(1)
			for xj := range chunks {
				if xj != xi {
					weight = schoolMul(weight, schoolMul(x^xj, erasure.Inverse(xi^xj)))
				}
			}
			for j := 32 * int(x); j < 32*int(x)+32; j += 2 {
				term := schoolMul(weight, uint16(c[j%32])<<8|uint16(c[j%32+1]))
				out[j] ^= byte(term >> 8)
				out[j+1] ^= byte(term)
			}
		}
	}
	return out
}

// FuzzF35ErasureDecode gives a decoder any chunks and compares what comes out
// with the naive formula.
func FuzzF35ErasureDecode(f *testing.F) {
	f.Add(byte(0), bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7}, 40))
	f.Add(byte(1), object(1152))
	f.Add(byte(0), append(object(96), make([]byte, 68)...))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		size := sizes[which%2] // the long ones only take longer
		d := erasure.NewDecoder(size)
		chunks := map[uint16][32]byte{}
		for len(data) >= 34 {
			k, chunk := uint16(data[0])<<8|uint16(data[1]), [32]byte(data[2:34])
			data = data[34:]
			chunks[k] = chunk
			var got []byte
			if d, got = add(t, d, make([]byte, size), k, chunk); got != nil {
				require.Equal(t, naive(size, chunks), got)
				return
			}
			require.Equal(t, len(chunks), d.Have())
		}
	})
}

func TestDecodeAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(35, 35))
	for _, size := range sizes {
		d := erasure.NewDecoder(size)
		chunks := map[uint16][32]byte{}
		for {
			var chunk [32]byte
			for i := range chunk {
				chunk[i] = byte(random.Uint32())
			}
			k := uint16(random.Uint32() >> (random.Uint32() % 16))
			chunks[k] = chunk
			var got []byte
			if d, got = add(t, d, make([]byte, size), k, chunk); got != nil {
				require.Equal(t, naive(size, chunks), got)
				break
			}
		}
	}
}
