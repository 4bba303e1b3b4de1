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
	input, err := first(version, &p)
	if err != nil {
		return digest{}, err
	}
	h := sha512.Sum512(input)
	var next [sha512.Size + keyLen]byte
	copy(next[sha512.Size:], p.Key.Bytes())
	for range rounds - 1 {
		copy(next[:], h[:])
		h = sha512.Sum512(next[:])
	}
	return h, nil
}

const (
	keyLen = 33  // an identity key, 0x05 ‖ u
	maxID  = 255 // of version 128, where the length is one byte
)

// first returns what the first round hashes. Versions 1 and 2 differ in what
// their ids are, and hash the same; version 128 is of spec/gembok.md, Section 7:
//
//	1, 2  0x0000 ‖ key ‖ id ‖ key
//	128   0x0080 ‖ key ‖ len(id), one byte ‖ id ‖ manifest hash, or 32 zero bytes ‖ key
func first(version uint32, p *Party) ([]byte, error) {
	if len(p.ID) == 0 || p.Key.IsZero() {
		return nil, ErrParty
	}
	key := p.Key.Bytes()
	switch {
	case version == 1 || version == 2:
		if p.Manifest != [32]byte{} {
			return nil, fmt.Errorf("%w: manifest in version %d", ErrParty, version)
		}
		return slices.Concat([]byte{0, 0}, key, p.ID, key), nil
	case version == labelVersion:
		if len(p.ID) > maxID {
			return nil, fmt.Errorf("%w: id of %d bytes", ErrParty, len(p.ID))
		}
		return slices.Concat([]byte{0, labelVersion}, key, []byte{byte(len(p.ID))}, p.ID, p.Manifest[:], key), nil
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
