package kem_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// slowSwapped is the rule of spqr.md, Section 3.2, value by value.
func slowSwapped(e2 []byte) bool {
	for i := 0; i < 512; i += 2 {
		switch binary.LittleEndian.Uint16(e2[i:]) {
		case 0x0000, 0xFFFF:
			continue
		case 0x0100, 0x0200, 0xFEFF:
			return true
		default: // 0x0001, 0x0002, 0xFFFE, or not a state at all: as it is
			return false
		}
	}
	return false
}

// TestSwapped tries every value as the first that may decide, and then others
// behind it that must not matter.
func TestSwapped(t *testing.T) {
	for _, undecided := range []uint16{0, 0xFFFF} {
		for x := range 1 << 16 {
			if testing.Short() && byte(x+2) > 4 && byte(x>>8+2) > 4 {
				continue // neither byte is near 0
			}
			var e2 [512]byte
			for i := range 256 {
				binary.LittleEndian.PutUint16(e2[2*i:], undecided)
			}
			at := x % 255
			binary.LittleEndian.PutUint16(e2[2*at:], uint16(x))
			for _, behind := range []uint16{undecided, 0x0001, 0x0100, 0xFEFF, 0xFFFE} {
				binary.LittleEndian.PutUint16(e2[2*at+2:], behind)
				want := uint16(0)
				if slowSwapped(e2[:]) {
					want = 0xFFFF
				}
				if got := kem.Swapped(e2[:]); got != want {
					require.Equal(t, want, got, "%#x then %#x", x, behind)
				}
			}
		}
	}
}

// The last value decides too.
func TestSwappedLast(t *testing.T) {
	var e2 [512]byte
	require.Zero(t, kem.Swapped(e2[:]))
	e2[511] = 1 // 0x0100
	require.Equal(t, uint16(0xFFFF), kem.Swapped(e2[:]))
}

// The vector that a key shows cannot be appended to over the rest of the key.
func TestVectorIsFenced(t *testing.T) {
	dk := kem.Generate768(new([64]byte))
	before := *dk
	_ = append(kem.Vector768(dk), before[2304]^0xFF)
	require.Equal(t, before, *dk)
}

// TestStateImport: any representative of a residue is read, and the centred
// one is written.
func TestStateImport(t *testing.T) {
	var y [3]kem.Poly
	var e2 kem.Poly
	var m [32]byte
	e2[0] = 1 // not swapped
	for base := -1 << 15; base < 1<<15; base += 768 {
		var want [3]kem.Poly
		for i := range 768 {
			x := min(base+i, 1<<15-1)
			y[i/256][i%256] = int32(x)
			want[i/256][i%256] = centred(int64(x))
		}
		require.Equal(t, kem.NewState(&want, &e2, &m), kem.ParseState(kem.NewState(&y, &e2, &m)))
	}
}
