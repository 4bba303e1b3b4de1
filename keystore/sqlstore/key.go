package sqlstore

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/gembok-e2ee/gembok/keystore"
)

// An id is what a record is stored under: hashes, since parts of a key are as
// long as they like, and an index has a limit. Its bytes are
//
//	0..7    of SHA-256(Scope)
//	8..11   of SHA-256(Kind)
//	12..19  of SHA-256(Owner)
//	20..51  SHA-256 of the encoded key
//
// The last part alone tells keys apart. Those before it put what is listed
// together side by side; where two scopes, kinds or owners have the same one,
// a List reads more than it yields.
const (
	idSize  = 52
	kindAt  = 8
	ownerAt = 12
	hashAt  = 20
)

func appendID(b []byte, k *keystore.Key) []byte {
	for _, part := range []struct {
		text string
		size int
	}{{k.Scope, kindAt}, {k.Kind, ownerAt - kindAt}, {k.Owner, hashAt - ownerAt}} {
		b = append(b, partHash(part.text, part.size)...)
	}
	h := sha256.Sum256(appendKey(nil, k))
	return append(b, h[:]...)
}

// partHash returns the first bytes of a part's hash.
func partHash(part string, size int) []byte {
	h := sha256.Sum256([]byte(part))
	return h[:size]
}

// appendKey encodes a key: Scope, Kind and Owner, each behind its length as a
// uvarint, and Name.
func appendKey(b []byte, k *keystore.Key) []byte {
	for _, part := range []string{k.Scope, k.Kind, k.Owner} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return append(b, k.Name...)
}

// parseKey is the inverse of appendKey; ok tells whether b is a valid key that
// id belongs to.
func parseKey(b, id []byte) (k keystore.Key, ok bool) {
	rest := b
	for _, part := range []*string{&k.Scope, &k.Kind, &k.Owner} {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return keystore.Key{}, false
		}
		*part, rest = string(rest[used:used+int(n)]), rest[used+int(n):]
	}
	k.Name = string(rest)
	return k, k.Valid() && string(appendID(nil, &k)) == string(id)
}
