package testutil

import (
	"encoding/hex"
	"math/big"
	"slices"
)

// prime is 2^255 − 19.
var prime = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))

// encode returns the 33 bytes 0x05 ‖ u.
func encode(u *big.Int) []byte {
	b := u.FillBytes(make([]byte, 33))
	b[0] = 5 // not of the number, which has 32 bytes
	slices.Reverse(b[1:])
	return b
}

// SmallOrderKeys returns the Curve25519 keys (33 bytes) with which every
// agreement is all zero: the u of 0, 1, two of order 8, p−1, and beyond the
// range p and p+1, each without and with the top bit, which X25519 ignores.
func SmallOrderKeys() (all [][]byte) {
	eight := []string{
		"00b8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0",
		"57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5f",
	}
	us := []*big.Int{big.NewInt(0), big.NewInt(1), plus(-1), plus(0), plus(1)}
	for _, s := range eight {
		u, _ := new(big.Int).SetString(s, 16)
		us = append(us, u)
	}
	for _, u := range us {
		all = append(all, encode(u), TopBit(encode(u)))
	}
	return all
}

func plus(n int64) *big.Int { return new(big.Int).Add(prime, big.NewInt(n)) }

// OutOfRangeKeys returns the 19 keys whose u is from p to 2^255−1.
func OutOfRangeKeys() (all [][]byte) {
	for n := range int64(19) {
		all = append(all, encode(plus(n)))
	}
	return all
}

// TopBit returns the key with the top bit of u changed.
func TopBit(key []byte) []byte {
	b := slices.Clone(key)
	b[32] ^= 0x80
	return b
}

// TorsionedKeys returns a private key (32 bytes) and the seven keys that are
// its public key plus a point of small order: other keys with the same
// agreements.
func TorsionedKeys() (private []byte, all [][]byte) {
	for _, s := range []string{
		"a1eea6b5804b42b112d0993043300f5e0aa870450a221961690b5ae76e12ea72",
		"8d172d22d0ce428a64484e11eef09b58da1cc11cdbfbdfd633113d09701f7055",
		"8bef6e4d199c3eb0d206c72de2d18da95449b863e050c8277850f68eccc4f511",
		"9a6540d42424dbd6ee29923c23d6b5fe374d6d07a3f96085b0fbc417ec6e9d3b",
		"cc466302165ff0f8c7ac99060d1295067eb0b49e05c2bad9bd911d013cb1b079",
		"2199ace59dcc9e61e053ebb182dcc8a06328aad86e0f43a5bc1aa3a571c44d5a",
		"a8bd6f91db2f0badf788e40b25b4b7f575d4c7114ec5f6f585e71502cf3e3873",
	} {
		b, _ := hex.DecodeString(s)
		all = append(all, append([]byte{5}, b...))
	}
	return slices.Repeat([]byte{8}, 32), all
}
