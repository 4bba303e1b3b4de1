//go:build !wasm

package boltstore

import (
	"encoding/binary"
	"hash/crc32"
)

// A Value of more than inlineMax bytes is in a bucket of its own within bucket
// "large", named by an id that does not return (8 bytes, big endian), in pieces
// under their numbers (4 bytes, big endian). No other record is written anew
// with it, it needs no long run of free pages, and its pages are given up
// without reading it.
const pieceSize = 256 << 10

func (t *tables) putLarge(value []byte) (ref reference, err error) {
	ref = reference{length: uint64(len(value)), sum: crc32.Checksum(value, castagnoli)}
	if ref.id, err = t.large().NextSequence(); err != nil {
		return ref, err
	}
	b, err := t.large().CreateBucket(number(ref.id))
	if err != nil {
		return ref, err
	}
	for i := uint32(0); len(value) > 0; i++ {
		n := min(len(value), pieceSize)
		if err := b.Put(binary.BigEndian.AppendUint32(nil, i), value[:n]); err != nil {
			return ref, err
		}
		value = value[n:]
	}
	return ref, nil
}

// getLarge returns a copy of a Value.
func (t *tables) getLarge(ref reference) ([]byte, error) {
	if ref.length > uint64(t.tx.Size()) {
		return nil, corrupt("length of a large value")
	}
	b := t.large().Bucket(number(ref.id))
	if b == nil {
		return nil, corrupt("large value is missing")
	}
	value := make([]byte, 0, ref.length)
	c := b.Cursor()
	for _, piece := c.First(); piece != nil; _, piece = c.Next() {
		if len(piece) > cap(value)-len(value) {
			return nil, corrupt("large value is too long")
		}
		value = append(value, piece...)
	}
	if uint64(len(value)) != ref.length || crc32.Checksum(value, castagnoli) != ref.sum {
		return nil, corrupt("large value")
	}
	return value, nil
}

// dropLarge gives up the pages of a Value. One that is missing, which Load
// reports, does not keep its record from being deleted.
func (t *tables) dropLarge(id uint64) error {
	if t.large().Bucket(number(id)) == nil {
		return nil
	}
	return t.large().DeleteBucket(number(id))
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
