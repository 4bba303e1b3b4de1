//go:build !wasm

package boltstore

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/gembok-e2ee/gembok/keystore"
)

// The stored form of a record is a key and a value of bucket "records".
//
//	key    scope || kind || owner || name, each of them as
//	       length (1 byte, at most 254) || bytes
//	       0xFF || SHA-256(bytes), if there are more
//	value  version (8 bytes, big endian)
//	       version that the record had when there was none before it (8 bytes)
//	       form (1 byte): inline or outside
//	       CRC-32C of the key and of the rest of the value (4 bytes, big endian)
//	       for each part of the key that is hashed there, in order:
//	           length (uvarint) || bytes
//	       inline: the record's Value, at most inlineMax bytes
//	       outside: id (8 bytes) || length (8 bytes) || CRC-32C (4 bytes) of a Value
//	                in bucket "large"
//
// No part is the beginning of another one, so that what begins like a scope, a
// kind and an owner is theirs, and bbolt's limit for a key is never met.
const (
	hashed  = 0xFF
	inline  = 0
	outside = 1

	createdAt  = 8
	formAt     = 16
	sumAt      = 17
	headerSize = 21
	refSize    = 20

	// inlineMax bounds a value that stands beside others: bbolt writes a page
	// anew for any change of it, and puts at least two records on one.
	inlineMax = 16 << 10
)

// parts returns the parts of a key in the order that they are stored.
func parts(k *keystore.Key) [4]string { return [4]string{k.Scope, k.Kind, k.Owner, k.Name} }

func appendKey(dst []byte, k *keystore.Key) []byte {
	for _, part := range parts(k) {
		dst = appendPart(dst, part)
	}
	return dst
}

func appendPart(dst []byte, part string) []byte {
	if len(part) < hashed {
		return append(append(dst, byte(len(part))), part...)
	}
	sum := sha256.Sum256([]byte(part))
	return append(append(dst, hashed), sum[:]...)
}

// castagnoli has the polynomial of CRC-32C, which processors compute.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns what stands at sumAt of a value, at least a header long.
func checksum(key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, key)
	sum = crc32.Update(sum, castagnoli, value[:sumAt])
	return crc32.Update(sum, castagnoli, value[headerSize:])
}

// seal fills in what is known last: the versions, and the checksum of it all.
func seal(key, value []byte, created, version uint64) {
	binary.BigEndian.PutUint64(value, version)
	binary.BigEndian.PutUint64(value[createdAt:], created)
	binary.BigEndian.PutUint32(value[sumAt:], checksum(key, value))
}

// appendHeader appends what stands before the Value of k's record, with the
// versions and the checksum left 0.
func appendHeader(dst []byte, k *keystore.Key, form byte) []byte {
	dst = append(dst, make([]byte, headerSize)...)
	dst[len(dst)-headerSize+formAt] = form
	for _, part := range parts(k) {
		if len(part) >= hashed {
			dst = binary.AppendUvarint(dst, uint64(len(part)))
			dst = append(dst, part...)
		}
	}
	return dst
}

// storedSize bounds the bytes of appendKey and appendHeader together.
func storedSize(k *keystore.Key) int {
	n := headerSize
	for _, part := range parts(k) {
		n += 1 + sha256.Size + binary.MaxVarintLen64 + len(part)
	}
	return n
}

// An entry is a stored record, taken apart. Its slices are bbolt's: they point
// into the file and end with the transaction.
//
// One that is damaged has what could be read of its versions and of the parts of
// its key; it is version that a Commit expects which deletes or replaces it.
type entry struct {
	version uint64
	created uint64 // the version of the first of the Puts since it was absent
	parts   [4][]byte
	form    byte
	rest    []byte // the Value, or where it is
}

// parse takes a stored record apart; its error is [keystore.ErrCorrupt].
func parse(key, value []byte) (e entry, err error) {
	intact := len(value) >= headerSize && binary.BigEndian.Uint32(value[sumAt:]) == checksum(key, value)
	if len(value) >= headerSize {
		e.version, e.created = versions(value)
		e.form, e.rest = value[formAt], value[headerSize:]
	}
	for i := range e.parts {
		if key, e.rest, err = e.parsePart(i, key, e.rest); err != nil {
			return e, err
		}
	}
	if !intact || len(key) > 0 || e.created == 0 || e.created > e.version || e.form > outside || e.form == outside && len(e.rest) != refSize {
		return e, corrupt("record that nobody wrote so")
	}
	return e, nil
}

// versions returns the first two parts of a value.
func versions(value []byte) (version, created uint64) {
	return binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[createdAt:])
}

// parsePart takes part i, and returns what follows it in key and value.
func (e *entry) parsePart(i int, key, value []byte) (_, _ []byte, err error) {
	if len(key) > sha256.Size && key[0] == hashed {
		n, size := binary.Uvarint(value)
		if size <= 0 || n < hashed || n > uint64(len(value)-size) {
			return nil, nil, corrupt("part of a key")
		}
		e.parts[i] = value[size:][:n]
		return key[1+sha256.Size:], value[size:][n:], nil
	}
	if len(key) == 0 || key[0] == hashed || int(key[0]) > len(key)-1 {
		return nil, nil, corrupt("part of a key")
	}
	n := 1 + int(key[0])
	e.parts[i] = key[1:n]
	return key[n:], value, nil
}

// is tells whether the entry is k's record.
func (e *entry) is(k *keystore.Key) bool {
	for i, part := range parts(k) {
		if string(e.parts[i]) != part {
			return false
		}
	}
	return true
}

func (e *entry) key() keystore.Key {
	return keystore.Key{
		Scope: string(e.parts[0]), Kind: string(e.parts[1]),
		Owner: string(e.parts[2]), Name: string(e.parts[3]),
	}
}

// A reference is where a Value is that is not inline.
type reference struct {
	id, length uint64
	sum        uint32
}

func parseReference(b []byte) reference {
	return reference{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])}
}

func (r *reference) appendTo(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, r.id)
	dst = binary.BigEndian.AppendUint64(dst, r.length)
	return binary.BigEndian.AppendUint32(dst, r.sum)
}

func corrupt(what string) error {
	return fmt.Errorf("boltstore: %w: %s", keystore.ErrCorrupt, what)
}
