package fingerprint

import (
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"slices"
)

// A digest is what a fingerprint has of one party
// (spec/sealed-groups-fingerprint.md, Section 6.1).
type digest [sha512.Size]byte

// newDigest returns h_n:
//
//	h_1 = SHA-512(first(version, p))
//	h_i = SHA-512(h_(i-1) ‖ key)
func newDigest(version uint32, p Party, rounds uint32) (digest, error) {
	if len(p.ID) == 0 || p.Key.IsZero() {
		return digest{}, ErrParty
	}
	key := p.Key.Bytes()
	input, err := first(version, p.ID, key)
	if err != nil {
		return digest{}, err
	}
	h := sha512.Sum512(input)
	var next [sha512.Size + keyLen]byte
	copy(next[sha512.Size:], key)
	for range rounds - 1 {
		copy(next[:], h[:])
		h = sha512.Sum512(next[:])
	}
	return h, nil
}

// keyLen is the length of an identity key, 0x05 ‖ u.
const keyLen = 33

// first returns what the first round hashes. Versions 1 and 2 differ in what
// their ids are, and hash the same:
//
//	0x0000 ‖ key ‖ id ‖ key
func first(version uint32, id, key []byte) ([]byte, error) {
	switch version {
	case 1, 2:
		return slices.Concat([]byte{0, 0}, key, id, key), nil
	}
	return nil, fmt.Errorf("%w: fingerprint of version %d", ErrVersion, version)
}

// digits returns 30 decimal digits: six times five bytes, big endian, modulo
// 100,000 (Section 6.2).
func (d *digest) digits() string {
	var text []byte
	for i := range 6 {
		var group [8]byte
		copy(group[3:], d[5*i:][:5])
		text = fmt.Appendf(text, "%05d", binary.BigEndian.Uint64(group[:])%100_000)
	}
	return string(text)
}

// scannable returns the first 32 bytes (Section 6.3).
func (d *digest) scannable() []byte { return slices.Clone(d[:32]) }
