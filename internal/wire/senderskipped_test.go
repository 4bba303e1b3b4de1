package wire_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func iterations(s wire.SenderSkipped) []uint32 {
	out := []uint32{}
	for k := range s.All() {
		out = append(out, k.Iteration)
	}
	return out
}

// senderEntries are the entries of iterations as fields 4.
func senderEntries(list []uint32) []byte {
	var b []byte
	for _, i := range list {
		seed := seed(i)
		var fs []fld
		if i != 0 {
			fs = append(fs, num32(1, uint64(i)))
		}
		b = sub(4, append(fs, raw(2, seed[:]))).append(b)
	}
	return b
}

func senderState(t require.TestingT, entries []byte) wire.SenderSkipped {
	rec, err := wire.ParseSenderKeyRecord(raw(1, entries).append(nil))
	require.NoError(t, err)
	return rec.States[0].Skipped
}

// After a jump of 2,500 from 0 the keys 500 to 2,499 are there, the oldest first.
func TestSenderSkippedBound(t *testing.T) {
	s := wire.SenderSkipped(nil).Append(0, seedsFrom(0, 2500))
	got := iterations(s)
	require.Len(t, got, 2000)
	require.Equal(t, []uint32{500, 2499}, []uint32{got[0], got[1999]})
	_, at := s.Find(499)
	require.Equal(t, -1, at)
	k, at := s.Find(500)
	require.Zero(t, at)
	require.Equal(t, seed(500), [32]byte(k.Seed))

	var small wire.SenderSkipped
	for i := uint32(0); i < 2500; i += 100 {
		small = small.Append(i, seedsFrom(i, 100))
	}
	require.Equal(t, s, small)
	require.Equal(t, s, s.Append(2500, nil))
	// One more list than may be, of a record that others wrote.
	long := senderState(t, senderEntries(slices.Concat(got, []uint32{2500, 2501})))
	require.Equal(t, iterations(s.Append(2500, seedsFrom(2500, 3))), iterations(long.Append(2502, seedsFrom(2502, 1))))
}

func TestSenderSkippedIterations(t *testing.T) {
	edges := []uint32{0, 1, 127, 128, 1<<14 - 1, 1 << 14, 1<<21 - 1, 1 << 21, 1<<28 - 1, 1 << 28, 1<<31 - 1, 1 << 31, math.MaxUint32}
	var s wire.SenderSkipped
	for _, i := range edges {
		s = s.Append(i, seedsFrom(i, 1))
	}
	require.Equal(t, edges, iterations(s))
	require.Equal(t, senderEntries(edges), []byte(s))
	for _, i := range edges {
		k, at := s.Find(i)
		require.Equal(t, i, k.Iteration)
		require.Equal(t, seed(i), [32]byte(k.Seed))
		require.NotContains(t, iterations(s.Remove(at)), i)
	}
	_, at := s.Find(77)
	require.Equal(t, -1, at)
}

// Usual entries are used where they stand; others are brought into their form.
func TestSenderSkippedForms(t *testing.T) {
	usual := senderEntries([]uint32{300, 5, 0})
	input := raw(1, usual).append(nil)
	rec, err := wire.ParseSenderKeyRecord(input)
	require.NoError(t, err)
	require.Equal(t, usual, []byte(rec.States[0].Skipped))
	require.Same(t, &input[2], &rec.States[0].Skipped[0])
	_ = append(rec.States[0].Skipped, 1)
	require.Equal(t, raw(1, usual).append(nil), input)

	key := seed(9)
	for name, c := range map[string]struct{ in, want []fld }{
		"other order":   {[]fld{raw(2, key[:]), num32(1, 9)}, []fld{num32(1, 9), raw(2, key[:])}},
		"unknown field": {[]fld{num32(1, 9), raw(2, key[:]), num32(9, 1)}, []fld{num32(1, 9), raw(2, key[:])}},
		"explicit zero": {[]fld{num32(1, 0), raw(2, key[:])}, []fld{raw(2, key[:])}},
		"long number":   {[]fld{num32(1, 1<<32+9), raw(2, key[:])}, []fld{num32(1, 9), raw(2, key[:])}},
		"short seed":    {[]fld{num32(1, 9), raw(2, key[:31])}, []fld{num32(1, 9), raw(2, key[:31])}},
		"nothing":       {nil, nil},
	} {
		mixed := slices.Concat(usual, sub(4, c.in).append(nil), usual)
		want := slices.Concat(usual, sub(4, c.want).append(nil), usual)
		require.Equal(t, want, []byte(senderState(t, mixed)), name)
	}
}

func TestSenderSkippedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list wire.SenderSkipped
		var model []uint32
		next := uint32(rapid.SampledFrom([]int{0, 100, 1 << 20, math.MaxInt32}).Draw(t, "first"))
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if len(model) > 0 && rapid.Bool().Draw(t, "remove") {
				i := rapid.IntRange(0, len(model)-1).Draw(t, "at")
				k, at := list.Find(model[i])
				require.Equal(t, seed(model[i]), [32]byte(k.Seed))
				list, model = list.Remove(at), slices.Delete(slices.Clone(model), i, i+1)
			} else {
				n := rapid.SampledFrom([]int{0, 1, 3, 700, 1999, 2000, 2001, 4000}).Draw(t, "n")
				list = list.Append(next, seedsFrom(next, n))
				for range n {
					model, next = append(model, next), next+1
				}
				model = model[max(0, len(model)-wire.MaxSkipped):]
				next++
			}
			require.True(t, slices.Equal(model, iterations(list)))
			require.Equal(t, iterations(list), iterations(senderState(t, list)))
		}
	})
}
