package interop_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
)

var (
	seed = flag.Uint64("seed", 1, "seed of the random cases")
	long = flag.Bool("long", false, "ten times as many random cases")
)

// random returns the generator of one test.
func random(t *testing.T) *rand.Rand {
	t.Logf("-seed %d", *seed)
	var name uint64
	for _, c := range t.Name() {
		name = name*31 + uint64(c)
	}
	return rand.New(rand.NewPCG(*seed, name))
}

// cases is n, or a tenth of it with -short, or ten times as many with -long.
func cases(n int) int {
	if *long {
		return 10 * n
	}
	if testing.Short() {
		return n / 10
	}
	return n
}

// A codec is what gembok makes of one kind.
type codec struct {
	kind  interop.Kind
	parse func(b []byte) (outcome, error)
}

// An outcome is what the official library should make of bytes that parse.
type outcome struct {
	again   []byte         // the encoding
	written []byte         // of messages: the encoding that gembok writes
	fields  interop.Fields // what the accessors of the kind return
	fails   []string       // accessors that fail instead
}

// diff gives every input to both libraries and requires the same verdict, the
// same fields and the same encoding. A different verdict must be one of the
// divergences.
func (c codec) diff(t *testing.T, p *interop.Peer, inputs [][]byte) {
	t.Helper()
	sent := make([]interop.Parsing, len(inputs))
	for i, in := range inputs {
		sent[i] = p.SendParse(c.kind, in)
	}
	accepted := 0
	for i, in := range inputs {
		theirs, theirErr := sent[i].Parsed()
		if theirErr != nil {
			requirePeerError(t, theirErr)
		}
		ours, err := c.parse(in)
		switch {
		case (err == nil) != (theirErr == nil):
			d := divergenceOf(c.kind, in)
			require.NotNil(t, d, "%s %x\nofficial: %v\ngembok: %v", c.kind, in, theirErr, err)
			require.ErrorIs(t, err, d.err, "%s: %x", d.what, in)
		case err == nil:
			accepted++
			require.Equal(t, full(ours.again), theirs.Bytes, "%s %x", c.kind, in)
			require.ElementsMatch(t, ours.fails, slices.Collect(maps.Keys(theirs.Failed)), "%s %x\n%v", c.kind, in, theirs.Failed)
			if !p.Since(0, 100) { // before, a session without the new ratchet was usable
				theirs.Fields.Usable = ours.fields.Usable
			}
			require.Equal(t, ours.fields, theirs.Fields, "%s %x", c.kind, in)
		}
	}
	t.Logf("%s: %d cases, %d accepted by both", c.kind, len(inputs), accepted)
}

// requirePeerError requires an error of the official library, and not one of
// the pipe to it or of the child's own making.
func requirePeerError(t *testing.T, err error) {
	t.Helper()
	var pe *interop.PeerError
	require.ErrorAs(t, err, &pe)
	require.NotEqual(t, "ReferenceError", pe.Name, "%v", err)
	require.NotContains(t, pe.Message, "hex string")
}

// pick returns one of the choices.
func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// number is a uint32, often one near an edge.
func number(r *rand.Rand) uint32 {
	return pick(r, 0, 1, 127, 128, 1<<24-1, 1<<31-1, 1<<31, 1<<32-1, r.Uint32(), r.Uint32()>>16)
}

// mutate returns b with something wrong or odd about it: mostly one change,
// sometimes several. It does not write into b.
func mutate(r *rand.Rand, b []byte) []byte {
	out := append([]byte(nil), b...)
	for range pick(r, 1, 1, 1, 2, 5) {
		at := r.IntN(len(out) + 1)
		switch r.IntN(8) {
		case 0, 1: // one bit
			if at < len(out) {
				out[at] ^= 1 << r.IntN(8)
			}
		case 2: // one byte
			if at < len(out) {
				out[at] = byte(r.Uint32())
			}
		case 3: // the end is missing
			out = out[:at]
		case 4: // something in the middle is missing
			if at < len(out) {
				out = append(out[:at:at], out[at+1+r.IntN(min(4, len(out)-at)):]...)
			}
		case 5: // some bytes more
			out = append(out[:at:at], append(randomBytes(r, 1+r.IntN(4)), out[at:]...)...)
		case 6: // a whole field more, at the end or anywhere
			if r.IntN(2) == 0 {
				at = len(out)
			}
			out = append(out[:at:at], append(randomField(r), out[at:]...)...)
		case 7: // something twice
			end := min(len(out), at+r.IntN(80))
			out = append(out[:end:end], out[at:]...)
		}
	}
	return out
}

// randomField is a protobuf field, or what looks like one: unknown numbers,
// groups, over-long varints, wrong types, number 0.
func randomField(r *rand.Rand) []byte {
	num := pick(r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 99, 1<<29-1, 1<<29)
	typ := r.IntN(8)
	b := varint(uint64(num)<<3|uint64(typ), r.IntN(3)/2)
	switch typ {
	case 0:
		return append(b, varint(uint64(number(r)), r.IntN(6))...)
	case 1:
		return append(b, randomBytes(r, 8)...)
	case 2:
		n := r.IntN(40)
		return append(append(b, varint(uint64(n), r.IntN(3))...), randomBytes(r, n)...)
	case 3:
		for range r.IntN(3) {
			b = append(b, 0x08, byte(r.IntN(128)))
		}
		return append(b, varint(uint64(num)<<3|4, 0)...)
	case 5:
		return append(b, randomBytes(r, 4)...)
	}
	return b
}

// varint is v with so many bytes more than it needs.
func varint(v uint64, more int) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	b = append(b, byte(v))
	for range more {
		b[len(b)-1] |= 0x80
		b = append(b, 0)
	}
	return b
}
