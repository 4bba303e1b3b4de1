package erasure_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/ratchet/internal/erasure"
)

// schoolMul multiplies bit by bit, reducing after each.
func schoolMul(a, b uint16) (p uint16) {
	for i := 15; i >= 0; i-- {
		high := p >> 15
		p <<= 1
		if high != 0 {
			p ^= 0x100B
		}
		if b>>i&1 != 0 {
			p ^= a
		}
	}
	return p
}

type vectorFile struct {
	Mul     [][3]string `json:"gf_mul"`
	Inverse [][2]string `json:"gf_inv"`
	Encoder []struct {
		Object hexBytes
		Chunks map[string]hexBytes
	}
}

func readVectors(t testing.TB) (v vectorFile) {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/spqr/spqr-vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	return v
}

func element(t testing.TB, s string) uint16 {
	t.Helper()
	v, err := strconv.ParseUint(s, 16, 16)
	require.NoError(t, err)
	return uint16(v)
}

func TestFieldVectors(t *testing.T) {
	v := readVectors(t)
	require.NotEmpty(t, v.Mul)
	for _, c := range v.Mul {
		a, b, want := element(t, c[0]), element(t, c[1]), element(t, c[2])
		require.Equal(t, want, erasure.Mul(a, b), c)
		require.Equal(t, want, erasure.MulTable(a, b), c)
	}
	require.NotEmpty(t, v.Inverse)
	for _, c := range v.Inverse {
		require.Equal(t, element(t, c[1]), erasure.Inverse(element(t, c[0])), c)
	}
	require.Equal(t, uint16(0x18F2), erasure.Mul(0x1234, erasure.Inverse(0x5678)))
}

// edges are elements with few bits, or few bits missing, and some without order.
func edges() (e []uint16) {
	for i := range 16 {
		e = append(e, 1<<i, 1<<i-1, ^uint16(1<<i), 0x1234<<i|0x5678>>i)
	}
	return append(e, 0, 0xFFFF, 0x100B, 0x8805, 0xABCD)
}

func TestSPQR_12_FieldMultiplication(t *testing.T) {
	constants := edges()
	if testing.Short() {
		constants = constants[:16]
	}
	for _, c := range constants {
		for a := range 1 << 16 {
			a := uint16(a)
			want := schoolMul(a, c)
			if erasure.Mul(a, c) != want || erasure.Mul(c, a) != want || erasure.MulTable(a, c) != want {
				require.FailNow(t, "product", "%04x · %04x", a, c)
			}
		}
	}
	for _, w := range edges() {
		for start := 0; start < 1<<16; start += 16 * 17 {
			var chunk [32]byte
			for j := range 16 {
				binary.BigEndian.PutUint16(chunk[2*j:], uint16(start+j*257))
			}
			got := erasure.MulColumn(&chunk, w)
			for j := range 16 {
				want := schoolMul(uint16(start+j*257), w)
				require.Equal(t, want, binary.BigEndian.Uint16(got[2*j:]), "element %d, %04x", j, w)
			}
		}
	}
}

func TestSPQR_12_FieldInverses(t *testing.T) {
	for a := 1; a < 1<<16; a++ {
		if erasure.Mul(uint16(a), erasure.Inverse(uint16(a))) != 1 {
			require.FailNow(t, "inverse", "%04x", a)
		}
	}
}

func TestSPQR_12_FieldLaws(t *testing.T) {
	e := edges()
	for _, a := range e {
		for _, b := range e {
			for _, c := range e {
				if erasure.Mul(a, erasure.Mul(b, c)) != erasure.Mul(erasure.Mul(a, b), c) ||
					erasure.Mul(a, b^c) != erasure.Mul(a, b)^erasure.Mul(a, c) {
					require.FailNow(t, "law", "%04x %04x %04x", a, b, c)
				}
			}
		}
	}
}

func TestBasis(t *testing.T) {
	// Section 10.1 lists the polynomials; rows here are powers of x.
	require.Equal(t, [][]uint16{
		{0x0001, 0x0000, 0x0000},
		{0x8804, 0xF007, 0x7803},
		{0x8805, 0xF006, 0x7803},
	}, erasure.Basis(3))
	for _, n := range []int{3, 5, 30, 36} {
		b := erasure.Basis(n)
		for x := range n {
			for j := range n { // Lⱼ(x) is 1 for x = j, else 0
				value, power := uint16(0), uint16(1)
				for i := range n {
					value ^= schoolMul(b[i][j], power)
					power = schoolMul(power, uint16(x))
				}
				want := uint16(0)
				if x == j {
					want = 1
				}
				require.Equal(t, want, value)
			}
		}
	}
}
