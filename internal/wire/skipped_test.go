package wire_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// seed is a seed that tells its index.
func seed(index uint32) [32]byte {
	return [32]byte{byte(index), byte(index >> 8), byte(index >> 16), byte(index >> 24), 31: 0xEE}
}

func seedsFrom(first uint32, n int) [][32]byte {
	out := make([][32]byte, n)
	for i := range out {
		out[i] = seed(first + uint32(i))
	}
	return out
}

func indices(s wire.Skipped) []uint32 {
	out := []uint32{}
	for k := range s.All() {
		out = append(out, k.Index)
	}
	return out
}

// encodedKeys are the entries of indices as fields 4, in seed form.
func encodedKeys(list []uint32) []byte {
	var b []byte
	for _, i := range list {
		seed := seed(i)
		var fs []fld
		if i != 0 {
			fs = append(fs, num32(1, uint64(i)))
		}
		b = sub(4, append(fs, raw(5, seed[:]))).append(b)
	}
	return b
}

func receiver(t require.TestingT, entries []byte) wire.Skipped {
	s, err := wire.ParseSession(raw(7, entries).append(nil))
	require.NoError(t, err)
	return s.Receivers[0].Skipped
}

// spec/wire-core.md, Section 15.1, 8: after a jump of 2,500 from 0 the keys
// 500 to 2,499 are there.
func TestSkippedBound(t *testing.T) {
	s := wire.Skipped(nil).Prepend(0, seedsFrom(0, 2500))
	got := indices(s)
	require.Len(t, got, 2000)
	require.Equal(t, uint32(2499), got[0])
	require.Equal(t, uint32(500), got[1999])
	_, at := s.Find(499)
	require.Equal(t, -1, at)
	k, at := s.Find(500)
	require.Equal(t, seed(500), [32]byte(k.Seed))
	require.NotEqual(t, -1, at)

	// The same in small steps.
	var small wire.Skipped
	for i := uint32(0); i < 2500; i += 100 {
		small = small.Prepend(i, seedsFrom(i, 100))
	}
	require.Equal(t, s, small)
	require.Equal(t, s, s.Prepend(2500, nil))
	require.Equal(t, 2000, s.Len())
}

func TestSkippedIndices(t *testing.T) {
	edges := []uint32{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21, 1<<28 - 1, 1 << 28, 1<<31 - 1, 1 << 31, math.MaxUint32}
	var s wire.Skipped
	for _, i := range edges {
		s = s.Prepend(i, seedsFrom(i, 1))
	}
	slices.Reverse(edges)
	require.Equal(t, edges, indices(s))
	require.Equal(t, encodedKeys(edges), []byte(s))
	for _, i := range edges {
		k, at := s.Find(i)
		require.Equal(t, i, k.Index)
		require.Equal(t, seed(i), [32]byte(k.Seed))
		require.NotContains(t, indices(s.Remove(at)), i)
	}
	_, at := s.Find(77)
	require.Equal(t, -1, at)
}

// Usual entries are used where they stand; others are brought into their form.
func TestSkippedForms(t *testing.T) {
	usual := encodedKeys([]uint32{300, 5, 0})
	input := raw(7, usual).append(nil)
	s, err := wire.ParseSession(input)
	require.NoError(t, err)
	require.Equal(t, usual, []byte(s.Receivers[0].Skipped))
	require.Same(t, &input[2], &s.Receivers[0].Skipped[0])
	_ = append(s.Receivers[0].Skipped, 1)
	require.Equal(t, raw(7, usual).append(nil), input)

	key := seed(9)
	for name, c := range map[string]struct{ in, want []fld }{
		"other order":        {[]fld{raw(5, key[:]), num32(1, 9)}, []fld{num32(1, 9), raw(5, key[:])}},
		"unknown field":      {[]fld{num32(1, 9), raw(5, key[:]), num32(9, 1)}, []fld{num32(1, 9), raw(5, key[:])}},
		"explicit zero":      {[]fld{num32(1, 0), raw(5, key[:])}, []fld{raw(5, key[:])}},
		"long index":         {[]fld{num32(1, 1<<32+9), raw(5, key[:])}, []fld{num32(1, 9), raw(5, key[:])}},
		"expanded":           {oldKeyFields(), oldKeyFields()},
		"both":               {append(oldKeyFields(), raw(5, key[:])), append(oldKeyFields(), raw(5, key[:]))},
		"short seed":         {[]fld{num32(1, 9), raw(5, key[:31])}, []fld{num32(1, 9), raw(5, key[:31])}},
		"nothing":            {nil, nil},
		"wrong type of seed": {[]fld{num32(1, 9), num32(5, 9)}, nil},
	} {
		in := slices.Concat(usual, sub(4, c.in).append(nil), usual)
		s, err := wire.ParseSession(raw(7, in).append(nil))
		if name == "wrong type of seed" {
			require.ErrorIs(t, err, wire.ErrMalformed)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, slices.Concat(usual, sub(4, c.want).append(nil), usual), []byte(s.Receivers[0].Skipped), name)
		require.Equal(t, 7, s.Receivers[0].Skipped.Len(), name)
	}

	// Between fields of another kind.
	in := slices.Concat(encodedKeys([]uint32{3}), raw(1, key33(1)).append(nil), encodedKeys([]uint32{2, 1}))
	input = raw(7, in).append(nil)
	s, err = wire.ParseSession(input)
	require.NoError(t, err)
	require.Equal(t, encodedKeys([]uint32{3, 2, 1}), []byte(s.Receivers[0].Skipped))
	require.Equal(t, raw(7, in).append(nil), input)                                   // joined elsewhere
	varied := append([]byte{4<<3 | 2, 38, 8, 0x89, 0x80, 0, 5<<3 | 2, 32}, key[:]...) // an index in three bytes
	varied[1] = byte(len(varied) - 2)
	require.Equal(t, encodedKeys([]uint32{9}), []byte(receiver(t, varied)))
}

// spec/storage.md, Section 9, 5: a seed comes first; without one the expanded
// keys must have their lengths.
func TestMessageKeyForms(t *testing.T) {
	for _, c := range []struct {
		key      wire.MessageKey
		expanded bool
		want     error
	}{
		{wire.MessageKey{Seed: seq(32)}, false, nil},
		{wire.MessageKey{Seed: seq(32), CipherKey: seq(32), MACKey: seq(31), IV: seq(16)}, false, nil},
		{wire.MessageKey{CipherKey: seq(32), MACKey: seq(32), IV: seq(16)}, true, nil},
		{wire.MessageKey{CipherKey: seq(32), MACKey: seq(31), IV: seq(16)}, false, wire.ErrMalformed},
		{wire.MessageKey{CipherKey: seq(33), MACKey: seq(32), IV: seq(16)}, false, wire.ErrMalformed},
		{wire.MessageKey{CipherKey: seq(32), MACKey: seq(32), IV: seq(15)}, false, wire.ErrMalformed},
		{wire.MessageKey{Seed: []byte{}}, false, wire.ErrMalformed},
	} {
		got, err := c.key.Expanded()
		require.ErrorIs(t, err, c.want)
		require.Equal(t, c.expanded, got)
	}
}

// Lists that no parser made do no harm.
func TestSkippedGarbage(t *testing.T) {
	good := encodedKeys([]uint32{7})
	for _, b := range [][]byte{{0}, {4<<3 | 2}, {4<<3 | 2, 36, 8}, {4<<3 | 2, 0xFF, 0xFF}, raw(5, seq(3)).append(nil), {0x22, 1, 0xFF}, {0x22, 1}, {0x22, 2, 8}, {0x20, 1}} {
		for _, s := range []wire.Skipped{b, slices.Concat(good, b)} {
			require.LessOrEqual(t, s.Len(), 1)
			_, at := s.Find(8)
			require.Equal(t, -1, at)
			_ = s.Prepend(9, seedsFrom(9, 3))
			_ = s.Remove(0)
		}
	}
	require.Nil(t, wire.Skipped(good).Remove(0))
}

func TestSkippedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s wire.Skipped
		model := []uint32{}
		next := rapid.SampledFrom([]uint32{0, 100, 1 << 14, 1 << 28, 1<<32 - 5000}).Draw(t, "first")
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			before := slices.Clone(s)
			if len(model) > 0 && rapid.Bool().Draw(t, "take") {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				k, at := s.Find(model[i])
				require.Equal(t, seed(model[i]), [32]byte(k.Seed))
				old := s
				s = s.Remove(at)
				require.Equal(t, before, old) // never written in place
				model = slices.Delete(slices.Clone(model), i, i+1)
			} else {
				n := rapid.SampledFrom([]int{0, 1, 2, 3, 500, 1999, 2000, 2001}).Draw(t, "skip")
				if uint64(next)+uint64(n) > math.MaxUint32 {
					continue
				}
				s = s.Prepend(next, seedsFrom(next, n))
				for range n {
					model = slices.Insert(model, 0, next)
					next++
				}
				next++
				model = model[:min(len(model), wire.MaxSkipped)]
			}
			require.Equal(t, encodedKeys(model), append([]byte(nil), s...))
			if rapid.Bool().Draw(t, "store") {
				s = receiver(t, s)
			}
		}
	})
}
