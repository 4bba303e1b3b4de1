package kem

import (
	"crypto/sha3"
	"encoding/binary"

	"github.com/cloudflare/circl/simd/keccakf1600"
)

// A stream is what one polynomial is sampled from: uniform or noise.
type stream struct {
	f     *poly
	seed  *[32]byte
	tail  [2]byte // follows the seed; noise has the first byte only
	noise bool
}

// uniform fills f with SampleNTT(ρ || j || i) (FIPS 203, Algorithm 7), each
// coefficient 0 … q−1. The stream is public. It is read for as long as needed:
// three blocks nearly always do, but no number of blocks always does.
func uniform(f *poly, rho *[32]byte, j, i byte) stream {
	return stream{f: f, seed: rho, tail: [2]byte{j, i}}
}

// noise fills f with SamplePolyCBD₂(PRF₂(r, n)) (FIPS 203, Algorithm 8 and
// Equation 4.3), each coefficient −2 … +2.
func noise(f *poly, r *[32]byte, n byte) stream {
	return stream{f: f, seed: r, tail: [2]byte{n}, noise: true}
}

const (
	rate128 = 168 // SHAKE128, in bytes
	rate256 = 136 // SHAKE256
)

// sample does the work of four streams, on the fastest permutation there is.
func sample(s *[4]stream) {
	if fourfold {
		sampleFourfold(s)
		return
	}
	for i := range s {
		s[i].sample()
	}
}

// fourfold says that four permutations at once cost less than four.
var fourfold = keccakf1600.IsEnabledX4()

func (s *stream) sample() {
	var xof *sha3.SHAKE
	var block [rate128]byte
	if s.noise {
		xof = sha3.NewSHAKE256()
		xof.Write(s.seed[:])
		xof.Write(s.tail[:1])
		xof.Read(block[:128])
		s.f.setCBD((*[128]byte)(block[:]))
		clear(block[:])
		return
	}
	xof = sha3.NewSHAKE128()
	xof.Write(s.seed[:])
	xof.Write(s.tail[:])
	for n := 0; n < len(s.f); {
		xof.Read(block[:])
		n = s.f.accept(n, &block)
	}
}

// sampleFourfold runs four sponges in one state: word w of sponge k is
// state[4w+k]. Seed, tail, domain 1111 and padding 10*1 (FIPS 202, Sections 5.1
// and 6.2) fit one block; noise needs one block of output.
func sampleFourfold(s *[4]stream) {
	var x4 keccakf1600.StateX4
	state := x4.Initialize(false)
	for k := range s {
		s[k].absorb(state[k:])
	}
	var n [4]int // coefficients that stream k has
	var block [rate128]byte
	for n != [4]int{256, 256, 256, 256} {
		x4.Permute()
		for k := range s {
			if n[k] < 256 {
				squeeze(&block, state[k:])
				n[k] = s[k].take(n[k], &block)
			}
		}
	}
	clear(state)
	clear(block[:])
}

// absorb sets a fresh sponge of every fourth word to the padded input.
func (s *stream) absorb(state []uint64) {
	for w := range 4 {
		state[4*w] = binary.LittleEndian.Uint64(s.seed[8*w:])
	}
	state[4*4] = uint64(s.tail[0]) | uint64(s.tail[1])<<8 | 0x1f<<16
	last := rate128/8 - 1
	if s.noise {
		state[4*4] = uint64(s.tail[0]) | 0x1f<<8
		last = rate256/8 - 1
	}
	state[4*last] = 1 << 63
}

// squeeze copies the rate of SHAKE128 from every fourth word.
func squeeze(block *[rate128]byte, state []uint64) {
	state = state[:4*rate128/8-3]
	for w := range rate128 / 8 {
		binary.LittleEndian.PutUint64(block[8*w:], state[4*w])
	}
}

// take turns a block of output into coefficients, n of which there were, and
// returns how many there are now.
func (s *stream) take(n int, block *[rate128]byte) int {
	if s.noise {
		s.f.setCBD((*[128]byte)(block[:]))
		return len(s.f)
	}
	return s.f.accept(n, block)
}

// accept takes 12-bit numbers from a block, keeps those below q at f[n:], and
// returns the new n. Nothing here is secret; it does without a branch for each
// number because those would be mispredicted.
func (f *poly) accept(n int, block *[rate128]byte) int {
	for k := 0; k < len(block) && n < len(f); k += 3 {
		b0, b1, b2 := int32(block[k]), int32(block[k+1]), int32(block[k+2])
		d1, d2 := b0|b1&15<<8, b1>>4|b2<<4
		f[n] = d1
		n += below(d1)
		if n < len(f) {
			f[n] = d2
			n += below(d2)
		}
	}
	return n
}

// below returns 1 if d < q, else 0.
func below(d int32) int {
	return int(uint32(d-q) >> 31)
}

// setCBD is SamplePolyCBD₂. Four bits make a coefficient: the sum of the first
// two less the sum of the last two. 16 are made at once, each plus 4, in the
// sixteen nibbles of a word.
func (f *poly) setCBD(b *[128]byte) {
	const ones, twos = 0x5555555555555555, 0x3333333333333333
	const four = 0x4444444444444444
	for i := range 16 {
		x := binary.LittleEndian.Uint64(b[8*i:])
		sums := x&ones + x>>1&ones // of two bits each, in two bits
		x = four + sums&twos - sums>>2&twos
		g := (*[16]int32)(f[16*i:])
		for j := range g {
			g[j] = int32(x>>(4*j))&15 - 4
		}
	}
}
