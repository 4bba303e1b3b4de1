package wire_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func archiveFields() []fld {
	return []fld{raw(1, []byte("app")), raw(2, []byte("pesan/1é")), raw(3, seq(40)), num64(4, 1<<41)}
}

func archiveCount(name string, n uint64) fld {
	return sub(1, []fld{raw(1, []byte(name)), num64(2, n)})
}

func archiveEndFields() []fld {
	return []fld{archiveCount("app", 300), archiveCount("label", math.MaxUint64), raw(2, seq(32))}
}

var (
	roundArchiveEntry = value(wire.ParseArchiveEntry, wire.AppendArchiveEntry)
	roundArchiveEnd   = value(wire.ParseArchiveEnd, wire.AppendArchiveEnd)
)

func TestArchiveEntry(t *testing.T) {
	want := wire.ArchiveEntry{Type: "app", Name: "pesan/1é", Data: seq(40), Time: 1 << 41}
	got, err := wire.ParseArchiveEntry(encode(archiveFields()))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, encode(archiveFields()), wire.AppendArchiveEntry(nil, &want))
	for i, f := range archiveFields()[1:] { // what may be absent
		b := without(archiveFields(), i+1)
		again, err := roundArchiveEntry(b)
		require.NoError(t, err, f.num)
		require.Equal(t, b, again)
	}
	for name, f := range map[string]fld{
		"no type": raw(1, nil), "long type": raw(1, []byte(strings.Repeat("a", 65))), "type": raw(1, []byte("\xFF")),
	} {
		_, err := wire.ParseArchiveEntry(append(f.append(nil), without(archiveFields(), 0)...))
		require.ErrorIs(t, err, wire.ErrMalformed, name)
	}
	_, err = wire.ParseArchiveEntry(encode([]fld{raw(1, []byte("app")), raw(2, []byte("\xFF"))}))
	require.ErrorIs(t, err, wire.ErrMalformed)
	_, err = wire.ParseArchiveEntry(encode([]fld{raw(1, []byte("app")), num64(4, 1<<63)}))
	require.ErrorIs(t, err, wire.ErrMalformed)
	require.ErrorIs(t, (&wire.ArchiveEntry{Type: "app", Name: "\xFF"}).Check(), wire.ErrMalformed)
}

func TestArchiveEntryBounds(t *testing.T) {
	long := wire.ArchiveEntry{Type: strings.Repeat("t", 64), Name: strings.Repeat("n", 32<<10), Data: make([]byte, 64<<20), Time: math.MaxInt64}
	b := wire.AppendArchiveEntry(nil, &long)
	require.LessOrEqual(t, len(b), wire.MaxArchiveEntry)
	_, err := wire.ParseArchiveEntry(b)
	require.NoError(t, err)
	long.Data = append(long.Data, 0)
	_, err = wire.ParseArchiveEntry(wire.AppendArchiveEntry(nil, &long))
	require.ErrorIs(t, err, wire.ErrTooLarge)
	long.Data, long.Name = nil, long.Name+"n"
	_, err = wire.ParseArchiveEntry(wire.AppendArchiveEntry(nil, &long))
	require.ErrorIs(t, err, wire.ErrTooLarge)
	_, err = wire.ParseArchiveEntry(make([]byte, wire.MaxArchiveEntry+1))
	require.ErrorIs(t, err, wire.ErrTooLarge)
}

func TestArchiveEnd(t *testing.T) {
	want := wire.ArchiveEnd{Counts: []wire.ArchiveCount{{Type: "app", Count: 300}, {Type: "label", Count: math.MaxUint64}}, Hash: seq(32)}
	got, err := wire.ParseArchiveEnd(encode(archiveEndFields()))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, encode(archiveEndFields()), wire.AppendArchiveEnd(nil, &want))
	_, err = wire.ParseArchiveEnd(encode([]fld{raw(2, seq(32))})) // of an archive with nothing in it
	require.NoError(t, err)

	all := func(n int) []byte {
		var fs []fld
		for i := range n {
			fs = append(fs, archiveCount(fmt.Sprintf("%03d%s", i, strings.Repeat("t", 61)), math.MaxUint64))
		}
		return encode(append(fs, raw(2, seq(32))))
	}
	_, err = wire.ParseArchiveEnd(all(wire.MaxArchiveTypes))
	require.NoError(t, err)
	hash := raw(2, seq(32))
	for name, b := range map[string][]byte{
		"too many types": all(wire.MaxArchiveTypes + 1), "empty": {}, "no hash": encode(archiveEndFields()[:2]),
		"short hash": encode([]fld{raw(2, seq(31))}), "long hash": encode([]fld{raw(2, seq(33))}),
		"order": encode([]fld{archiveCount("b", 1), archiveCount("a", 1), hash}), "twice": encode([]fld{archiveCount("a", 1), archiveCount("a", 1), hash}),
		"none": encode([]fld{archiveCount("a", 0), hash}), "no type": encode([]fld{archiveCount("", 1), hash}),
		"long type": encode([]fld{archiveCount(strings.Repeat("a", 65), 1), hash}), "UTF-8": encode([]fld{archiveCount("\xFF", 1), hash}),
	} {
		e, err := wire.ParseArchiveEnd(b)
		require.ErrorIs(t, err, wire.ErrMalformed, name)
		require.Zero(t, e.Hash)
	}
	_, err = wire.ParseArchiveEnd(make([]byte, 64<<10+1))
	require.ErrorIs(t, err, wire.ErrTooLarge)
}

// One encoding is that of a record, and one that of the end: no unknown field,
// no default, no other order, no longer varint, nothing twice, nothing cut off.
func TestArchiveCanonical(t *testing.T) {
	counts := archiveEndFields()[1:]
	for name, c := range map[string]struct {
		fields []fld
		frame  func([]byte) []byte
		round  func([]byte) ([]byte, error)
	}{
		"record": {archiveFields(), func(p []byte) []byte { return p }, roundArchiveEntry},
		"end":    {archiveEndFields(), func(p []byte) []byte { return p }, roundArchiveEnd},
		"count": {[]fld{raw(1, []byte("app")), num64(2, 300)}, func(p []byte) []byte {
			return slices.Concat(raw(1, p).append(nil), encode(counts))
		}, roundArchiveEnd},
	} {
		refused := func(what string, p []byte) {
			t.Helper()
			_, err := c.round(c.frame(p))
			require.ErrorIs(t, err, wire.ErrMalformed, "%s: %s", name, what)
		}
		b, err := c.round(c.frame(encode(c.fields)))
		require.NoError(t, err, name)
		require.Equal(t, c.frame(encode(c.fields)), b)
		for i, f := range c.fields {
			before, after := encode(c.fields[:i]), encode(c.fields[i+1:])
			for _, u := range unknown() {
				refused("unknown", slices.Concat(before, u, f.append(nil), after))
				refused("unknown", slices.Concat(before, f.append(nil), u, after))
			}
			refused("twice", slices.Concat(before, f.append(nil), f.append(nil), after))
			if i > 0 {
				swapped := slices.Clone(c.fields)
				swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
				refused("order", encode(swapped))
			}
			tag := protowire.AppendTag(before, f.num, f.typ)
			if f.typ == protowire.VarintType {
				refused("long", slices.Concat(tag, varint10(f.u), after))
				refused("zero", slices.Concat(tag, []byte{0}, after))
			} else {
				refused("long", slices.Concat(tag, varint10(uint64(len(f.b))), f.b, after))
				for _, n := range []uint64{1<<31 - 1, 1 << 32, 1<<64 - 1} {
					refused("length", slices.Concat(tag, protowire.AppendVarint(nil, n), f.b))
				}
				if f.num != 1 {
					refused("empty", slices.Concat(tag, []byte{0}, after))
				}
			}
			refused("type", slices.Concat(protowire.AppendTag(before, f.num, protowire.Fixed32Type), []byte{1, 2, 3, 4}, after))
			for n := range f.append(nil) {
				if n > 0 {
					refused("cut", append(before[:len(before):len(before)], f.append(nil)[:n]...))
				}
			}
		}
	}
}

func FuzzArchive(f *testing.F) {
	fuzz(f, [][]byte{encode(archiveFields()), encode(archiveEndFields())}, roundArchiveEntry, roundArchiveEnd)
}
