package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// parseSPQR parses a message of version 1 whole.
func parseSPQR(b []byte) (m wire.SPQRMessage, err error) {
	rest, err := m.ParsePreamble(b)
	if err == nil {
		err = m.ParsePayload(rest)
	}
	return m, err
}

func TestSPQRMessageVectors(t *testing.T) {
	var chunk [32]byte
	for i := range chunk {
		chunk[i] = 0x5A
	}
	for want, m := range map[string]wire.SPQRMessage{
		"01010100":       {Version: 1, Epoch: 1, Index: 1},
		"01ac02f0a20404": {Version: 1, Epoch: 300, Index: 70000, Kind: wire.SPQRCt1Ack},
		"01020305808001" + hex.EncodeToString(chunk[:]): {
			Version: 1, Epoch: 2, Index: 3, Kind: wire.SPQRCt1, ChunkIndex: 16384, Chunk: chunk,
		},
		"01ffffffffffffffffff01ffffffff0f02ffff03" + hex.EncodeToString(chunk[:]): {
			Version: 1, Epoch: math.MaxUint64, Index: math.MaxUint32, Kind: wire.SPQREk, ChunkIndex: math.MaxUint16, Chunk: chunk,
		},
	} {
		b := m.Append(nil)
		require.Equal(t, want, hex.EncodeToString(b))
		require.LessOrEqual(t, len(b), wire.SPQRMaxMessage)
		got, err := parseSPQR(b)
		require.NoError(t, err)
		require.Equal(t, m, got)
		for n := range b { // every truncation
			_, err := parseSPQR(b[:n])
			require.ErrorIs(t, err, wire.ErrMalformed)
		}
		got, err = parseSPQR(append(b, 1, 2, 3)) // extensions
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
}

func TestSPQRPreamble(t *testing.T) {
	for _, c := range []struct {
		in    string
		epoch uint64 // 0: malformed
		index uint32
		rest  string
	}{
		{"0101", 0, 0, ""},
		{"010001", 0, 0, ""},
		{"01", 0, 0, ""},
		{"010101", 1, 1, ""},
		{"010100aa", 1, 0, "aa"},
		{"ff0102aabb", 1, 2, "aabb"},
		{"00810002", 1, 2, ""},                            // not minimal
		{"0181808080808080808000" + "01", 1, 1, ""},       // ten bytes
		{"018180808080808080807e" + "01", 1, 1, ""},       // bits from the 64th on are dropped
		{"018080808080808080807e" + "01", 0, 0, ""},       // so that this is epoch 0
		{"0180808080808080808001" + "01", 1 << 63, 1, ""}, // the 63rd is not
		{"018180808080808080808000" + "01", 0, 0, ""},     // eleven bytes
		{"0101ffffffff0f", 1, math.MaxUint32, ""},         // 2^32−1
		{"01018080808010", 0, 0, ""},                      // 2^32
		{"0101ff80808080808080807e", 1, 0x7F, ""},         // dropped again
		{"0101", 0, 0, ""},
	} {
		var m wire.SPQRMessage
		rest, err := m.ParsePreamble(unhex(t, c.in))
		if c.epoch == 0 {
			require.ErrorIs(t, err, wire.ErrMalformed, c.in)
			continue
		}
		require.NoError(t, err, c.in)
		require.Equal(t, c.epoch, m.Epoch, c.in)
		require.Equal(t, c.index, m.Index, c.in)
		require.Equal(t, c.rest, hex.EncodeToString(rest), c.in)
	}
	var m wire.SPQRMessage
	rest, err := m.ParsePreamble(nil)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Zero(t, m, "an empty message is version 0")
}

func TestSPQRPayload(t *testing.T) {
	chunk := bytes.Repeat([]byte{7}, 32)
	for _, c := range []struct {
		in []byte
		ok bool
	}{
		{nil, false},
		{[]byte{0}, true},
		{[]byte{4}, true},
		{append([]byte{7, 0}, chunk...), false},
		{[]byte{255}, false},
		{append([]byte{1, 0}, chunk...), true},
		{append([]byte{1, 0}, chunk[:31]...), false},
		{append([]byte{6, 0xFF, 0xFF, 0x03}, chunk...), true},
		{append([]byte{6, 0x80, 0x80, 0x04}, chunk...), false}, // 65536
		{append([]byte{5, 0x81, 0x80, 0x00}, chunk...), true},
		{[]byte{5, 0x81}, false},
	} {
		var m wire.SPQRMessage
		err := m.ParsePayload(c.in)
		if c.ok {
			require.NoError(t, err, "%x", c.in)
			continue
		}
		require.ErrorIs(t, err, wire.ErrMalformed, "%x", c.in)
	}
}

// FuzzF16SPQRMessage parses anything; what was understood encodes to what was
// read, but for the form of varints and what follows.
func FuzzF16SPQRMessage(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte{1, 1, 1, 0})
	f.Add(append([]byte{1, 0xAC, 2, 0xF0, 0xA2, 4, 5, 0x80, 0x80, 1}, make([]byte, 33)...))
	f.Add([]byte{1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7E, 1, 0})
	f.Add([]byte{2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		m, err := parseSPQR(b)
		require.Equal(t, in, b)
		if err != nil {
			require.ErrorIs(t, err, wire.ErrMalformed)
			return
		}
		if len(b) > 1 && m.Epoch < 1<<57 {
			epoch, n := binary.Uvarint(b[1:])
			require.True(t, n <= 0 || epoch == m.Epoch)
		}
		out := m.Append(nil)
		again, err := parseSPQR(out)
		require.NoError(t, err)
		require.Equal(t, m, again)
		require.LessOrEqual(t, len(out), len(b))
	})
}

// spqrState returns a state that has every part.
func spqrState(state byte) *wire.SPQRState {
	fill := func(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
	rows := func(num, size int) wire.SPQRRows {
		r := wire.NewSPQRRows(num, size)
		for i := range wire.SPQRRowCount {
			copy(r.Row(i), fill(size, byte(i+1)))
		}
		return r
	}
	params := wire.SPQRParams{Present: true, MaxJump: 7}
	s := &wire.SPQRState{
		HasNegotiation: true,
		Negotiation:    wire.SPQRNegotiation{AuthKey: fill(32, 1), Direction: 1, MinVersion: 1, Params: params},
		HasChain:       true,
		Chain: wire.SPQRChain{
			Direction: 1, CurrentEpoch: 1 << 40, SendEpoch: 3, NextRoot: fill(32, 2), Params: params, LinkCount: 2,
		},
		HasMachine: true,
		Machine:    wire.SPQRMachine{State: state, Epoch: 1 << 50, RootKey: fill(32, 3), MACKey: fill(32, 4)},
	}
	s.Chain.Links[0] = wire.SPQRLink{Send: wire.SPQRHalf{Present: true, Counter: 9}, Recv: wire.SPQRHalf{Present: true, Next: fill(32, 5), History: fill(72_000, 6)}}
	s.Chain.Links[1] = wire.SPQRLink{Send: wire.SPQRHalf{Present: true, Next: fill(32, 7)}, Recv: wire.SPQRHalf{Present: true, Next: fill(32, 8), History: fill(36, 9)}}
	parts := [12]int{0, 0, 2, 1, 2, 2, 0, 1, 3, 3, 3, 0}[state]
	for i := range parts {
		s.Machine.Parts[i] = fill(1000*i+60, byte(10+i))
	}
	switch state {
	case 2, 3, 4, 8, 9, 11:
		s.Machine.Encoder = wire.SPQREncoder{Index: 300, Points: rows(wire.SPQRPoints, 72)}
		if state%2 == 0 {
			s.Machine.Encoder = wire.SPQREncoder{Coefficients: rows(wire.SPQRCoefficients, 72)}
		}
	}
	switch state {
	case 3, 5, 6, 7, 8, 10:
		s.Machine.Decoder = wire.SPQRDecoder{Words: 480, Points: rows(wire.SPQRDecoderPoints, 140), Complete: state == 7}
		if state == 6 {
			s.Machine.Decoder.Points = rows(wire.SPQRDecoderPoints, 0)
		}
	}
	return s
}

func TestSPQRStateRoundTrip(t *testing.T) {
	for state := byte(1); state <= wire.SPQRCt2Sampled; state++ {
		s := spqrState(state)
		b := s.Append(nil)
		require.LessOrEqual(t, cap(b), len(b)*9/8+600) // grown once
		var got wire.SPQRState
		require.NoError(t, got.Parse(b))
		require.Equal(t, b, got.Append(nil), "state %d", state)
		require.Equal(t, s.Negotiation, got.Negotiation)
		require.Equal(t, s.Machine.Parts, got.Machine.Parts)
		require.Equal(t, s.Machine.Encoder, got.Machine.Encoder)
		require.Equal(t, s.Machine.Decoder, got.Machine.Decoder)
		require.Equal(t, s.Chain.Links[0].Recv, got.Chain.Links[0].Recv)
		requireCanonical(t, b)
	}
}

// requireCanonical checks that all lengths are minimal varints, by walking as
// deep as bytes look like messages of this format: all lengths of sub-messages
// of the two outer levels.
func requireCanonical(t *testing.T, b []byte) {
	t.Helper()
	for level := b; len(level) > 0; {
		_, typ, n := protowire.ConsumeTag(level)
		require.Equal(t, protowire.BytesType, typ)
		v, m := protowire.ConsumeBytes(level[n:])
		require.Equal(t, protowire.SizeBytes(len(v)), m)
		level = level[n+m:]
	}
}

func TestSPQRStateUnknownFieldsDropped(t *testing.T) {
	s := spqrState(3)
	b := s.Append(nil)
	with := protowire.AppendTag(bytes.Clone(b), 9, protowire.BytesType)
	with = protowire.AppendBytes(with, []byte("later"))
	with = protowire.AppendTag(with, 10, protowire.VarintType)
	with = protowire.AppendVarint(with, 5)
	var got wire.SPQRState
	require.NoError(t, got.Parse(with))
	require.Equal(t, b, got.Append(nil))
}

// message wraps parts of a machine in state 11, whose encoder is encoder.
func spqrCt2Sampled(encoder []byte) []byte {
	inner := protowire.AppendTag(nil, 2, protowire.BytesType)
	inner = protowire.AppendBytes(inner, encoder)
	machine := protowire.AppendTag(nil, wire.SPQRCt2Sampled, protowire.BytesType)
	machine = protowire.AppendBytes(machine, inner)
	return protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), machine)
}

// TestSPQRRowsAnyForm reads rows that are not in one piece, or whose lengths are
// not minimal, or that come before the index.
func TestSPQRRowsAnyForm(t *testing.T) {
	row := func(b []byte, i int) []byte {
		b = protowire.AppendTag(b, wire.SPQRPoints, protowire.BytesType)
		return protowire.AppendBytes(b, []byte{byte(i), 1, 2, 3})
	}
	var plain, split, long, late []byte
	plain = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 5)
	for i := range 16 {
		plain, split = row(plain, i), row(split, i)
		split = protowire.AppendVarint(protowire.AppendTag(split, 1, protowire.VarintType), 5)
		long = append(long, 0x12, 0x84, 0x00, byte(i), 1, 2, 3)
		late = row(late, i)
	}
	index := []byte{0x08, 5}
	long, late = append(long, index...), append(late, index...)
	var want wire.SPQRState
	require.NoError(t, want.Parse(spqrCt2Sampled(plain)))
	for _, b := range [][]byte{split, long, late} {
		var got wire.SPQRState
		require.NoError(t, got.Parse(spqrCt2Sampled(b)))
		require.Equal(t, want.Machine.Encoder, got.Machine.Encoder)
		require.Equal(t, want.Append(nil), got.Append(nil))
	}
}

func TestSPQRRowsMalformed(t *testing.T) {
	rows := func(n int, size func(i int) int) (b []byte) {
		for i := range n {
			b = protowire.AppendTag(b, wire.SPQRPoints, protowire.BytesType)
			b = protowire.AppendBytes(b, make([]byte, size(i)))
		}
		return b
	}
	for name, b := range map[string][]byte{
		"fifteen":   rows(15, func(int) int { return 6 }),
		"seventeen": rows(17, func(int) int { return 6 }),
		"uneven":    rows(16, func(i int) int { return 6 + i/15 }),
		"shorter":   rows(16, func(i int) int { return 6 - i/15 }),
		"too long":  rows(16, func(int) int { return 36*4 + 1 }),
		"varint":    {0x10, 1},
	} {
		var got wire.SPQRState
		require.ErrorIs(t, got.Parse(spqrCt2Sampled(b)), wire.ErrMalformed, name)
	}
	var got wire.SPQRState
	require.NoError(t, got.Parse(spqrCt2Sampled(nil)))
	require.False(t, got.Machine.Encoder.Points.Present())
	require.NoError(t, got.Parse(spqrCt2Sampled(rows(16, func(int) int { return 36 * 4 }))))
	require.Equal(t, 36*4, got.Machine.Encoder.Points.Size())
}

// Parsed rows cannot be appended to over the next row, or over what follows.
func TestSPQRRowsAreFenced(t *testing.T) {
	b := spqrState(3).Append(nil)
	before := bytes.Clone(b)
	var got wire.SPQRState
	require.NoError(t, got.Parse(b))
	for i := range wire.SPQRRowCount {
		_ = append(got.Machine.Encoder.Points.Row(i), 0xEE)
		_ = append(got.Machine.Decoder.Points.Row(i), 0xEE)
	}
	require.Equal(t, before, b)
}

// Of several states the last one counts, and nothing of the others is left;
// parts that a state does not have are unknown fields.
func TestSPQRStateLastCounts(t *testing.T) {
	whole, last := spqrState(8), &wire.SPQRState{HasMachine: true, Machine: wire.SPQRMachine{State: wire.SPQRKeysUnsampled, Epoch: 3}}
	whole.HasNegotiation, whole.HasChain = false, false
	first, second := inner(t, whole.Append(nil)), inner(t, last.Append(nil))
	var got wire.SPQRState
	require.NoError(t, got.Parse(protowire.AppendBytes([]byte{0x1A}, append(first, second...))))
	require.Equal(t, last.Machine, got.Machine)

	core := []byte{0x08, 3, 0x1A, 2, 7, 7, 0x22, 1, 7, 0x2A, 1, 7}
	state := protowire.AppendBytes([]byte{0x0A}, protowire.AppendBytes([]byte{0x0A}, core))
	require.NoError(t, got.Parse(protowire.AppendBytes([]byte{0x1A}, state)))
	require.Equal(t, wire.SPQRMachine{State: 1, Epoch: 3}, got.Machine)
}

// inner is the one bytes field that b consists of.
func inner(t *testing.T, b []byte) []byte {
	_, _, n := protowire.ConsumeTag(b)
	v, m := protowire.ConsumeBytes(b[n:])
	require.Equal(t, len(b), n+m)
	return v
}

func TestSPQRStateMalformed(t *testing.T) {
	for _, in := range []string{
		"1a00",         // a machine without a state
		"1a026200",     // only field 12: unknown
		"0801",         // negotiation of another wire type
		"1001",         // chain
		"1801",         // machine
		"1a0358",       // truncated
		"1a025801",     // state of another wire type
		"0a02080a",     // auth key of another wire type
		"120208",       // truncated
		"12021a0a",     // link with a truncated send
		"0a0412020a00", // direction of another wire type
		"1204080a0b0c", // group end without a start
		"07",
	} {
		var got wire.SPQRState
		require.ErrorIs(t, got.Parse(unhex(t, in)), wire.ErrMalformed, in)
	}
	five := spqrState(1)
	five.Chain.LinkCount = wire.SPQRMaxLinks
	b := five.Append(nil)
	var got wire.SPQRState
	require.NoError(t, got.Parse(b))
	chain := protowire.AppendBytes([]byte{0x12}, bytes.Repeat([]byte{0x1A, 0}, wire.SPQRMaxLinks+1))
	require.ErrorIs(t, got.Parse(chain), wire.ErrMalformed)
}
