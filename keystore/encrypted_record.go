package keystore

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed value is
//
//	1 byte    format: 1
//	4 bytes   number of the key, big-endian
//	24 bytes  nonce
//	          XChaCha20-Poly1305 of the value; where names are blinded, of
//	          owner, name and value
//	16 bytes  tag
//
// Its associated data is scope, kind, owner and name, as the store beneath has
// them. Where names are blinded, that is HMAC-SHA-256 of "owner" and owner in the
// place of the owner, and of "name", scope, kind, owner and name in the place of
// the name. Each of these parts, and of those in front of a value, stands behind
// its length, a varint as in protocol buffers.
//
// A later format comes with a later format of the header.
const (
	sealedFormat = 1
	sealedHead   = 1 + 4 + chacha20poly1305.NonceSizeX
)

// A nonce is drawn at random for each value, and never used again.
type nonce [chacha20poly1305.NonceSizeX]byte

func drawNonce() (n nonce) {
	rand.Read(n[:])
	return n
}

// A dataKey seals records.
type dataKey struct {
	_      [0]func()
	number uint32
	key    [32]byte
	aead   cipher.AEAD // of key
}

func newDataKey(number uint32, key *[32]byte) dataKey {
	return dataKey{number: number, key: *key, aead: newAEAD(key)}
}

func newAEAD(key *[32]byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		panic("keystore: internal error: " + err.Error()) // OpenEncrypted has tried it
	}
	return aead
}

// inUse is the key that seals.
func (h *header) inUse() *dataKey { return &h.keys[len(h.keys)-1] }

// sealedUnder returns the number of the key that a value says it is sealed
// under; false if it is no sealed value.
func sealedUnder(sealed []byte) (number uint32, ok bool) {
	if len(sealed) < sealedHead+chacha20poly1305.Overhead || sealed[0] != sealedFormat {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:]), true
}

// seal seals the value that c puts. Stored is the key it goes under.
func (h *header) seal(stored Key, c *Change, n nonce) []byte {
	size := sealedHead + len(c.Value) + chacha20poly1305.Overhead + partsLen(stored)
	if h.blind {
		size += partsLen(c.Key)
	}
	key := h.inUse()
	b := append(make([]byte, 0, size), sealedFormat)
	b = binary.BigEndian.AppendUint32(b, key.number)
	b = append(b, n[:]...)
	if h.blind {
		b = appendPart(appendPart(b, c.Key.Owner), c.Key.Name)
	}
	b = append(b, c.Value...)
	end := len(b) + chacha20poly1305.Overhead
	ad := appendKey(b[:end], stored)[end:] // behind it, for the call
	return key.aead.Seal(b[:sealedHead], b[sealedHead-len(n):sealedHead], b[sealedHead:], ad)
}

// open opens the value of a record in place, and gives the record its name. One
// that was not sealed like this has no value then and is left under the key that
// it is stored under; known tells whether h has the key that it is sealed under.
func (h *header) open(r *Record) (opened, known bool) {
	sealed := r.Value
	r.Value = nil
	number, ok := sealedUnder(sealed)
	i := slices.IndexFunc(h.keys, func(k dataKey) bool { return k.number == number })
	if !ok || i < 0 {
		return false, false
	}
	n, box := sealed[sealedHead-len(nonce{}):sealedHead], sealed[sealedHead:]
	plain, err := h.keys[i].aead.Open(box[:0], n, box, appendKey(make([]byte, 0, partsLen(r.Key)), r.Key))
	if err != nil {
		return false, true
	}
	if h.blind {
		return h.openNames(r, plain), true
	}
	r.Value = plain
	return true, true
}

// openNames takes a value apart that stands behind its names.
func (h *header) openNames(r *Record, plain []byte) bool {
	owner, plain, ok := cutPart(plain)
	name, plain, fine := cutPart(plain)
	if !ok || !fine { // nobody seals so
		return false
	}
	r.Key.Owner, r.Key.Name, r.Value = owner, name, plain
	return true
}

// appendKey appends the associated data of a record, of at most partsLen bytes.
func appendKey(b []byte, k Key) []byte {
	return appendPart(appendPart(appendPart(appendPart(b, k.Scope), k.Kind), k.Owner), k.Name)
}

func partsLen(k Key) int {
	return 4*binary.MaxVarintLen64 + len(k.Scope) + len(k.Kind) + len(k.Owner) + len(k.Name)
}

func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// cutPart undoes appendPart.
func cutPart(b []byte) (part string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	b = b[size:]
	return string(b[:n]), b[n:], true
}

// storedKeys returns the keys under which records are kept.
func (h *header) storedKeys(keys []Key) ([]Key, error) {
	for i := range keys {
		if !keys[i].Valid() || keys[i].Scope == headScope {
			return nil, fmt.Errorf("%w: load of key %d: empty or reserved scope, or empty kind", ErrInvalid, i)
		}
	}
	if !h.blind {
		return keys, nil
	}
	stored := make([]Key, len(keys))
	for i, k := range keys {
		stored[i] = h.stored(k)
	}
	return stored, nil
}

// stored returns the key under which the record of k is kept. A blinded owner is
// the same in all scopes and kinds, as List asks; a blinded name is not.
func (h *header) stored(k Key) Key {
	if h.blind {
		k.Name = h.hide("name", k.Scope, k.Kind, k.Owner, k.Name)
		k.Owner = h.hide("owner", k.Owner)
	}
	return k
}

// storedOwner returns what List asks for an owner, "" being any.
func (h *header) storedOwner(owner string) string {
	if !h.blind || owner == "" {
		return owner
	}
	return h.hide("owner", owner)
}

// hide returns HMAC-SHA-256 (RFC 2104), 32 bytes, of some parts, each behind its
// length. Crypto/hmac would do; it allocates seven times for one.
func (h *header) hide(parts ...string) string {
	var key [sha256.BlockSize]byte
	copy(key[:], h.secret[:])
	b := make([]byte, 0, 256) // for most names
	for _, x := range key {
		b = append(b, x^0x36)
	}
	for _, p := range parts {
		b = appendPart(b, p)
	}
	sum := sha256.Sum256(b)
	b = b[:0]
	for _, x := range key {
		b = append(b, x^0x5c)
	}
	sum = sha256.Sum256(append(b, sum[:]...))
	return string(sum[:])
}
