package keystore

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// headScope is the scope of an encrypted store's own record.
const headScope = "encryption"

var headKey = Key{Scope: headScope, Kind: "header"}

// An Unlock is what opens an encrypted store: a key of 32 uniformly random
// bytes, or a passphrase. The zero Unlock opens none.
//
// A passphrase is its bytes: what looks the same and is written otherwise, as in
// another normal form of Unicode, is another one. Whoever lets people type it on
// several systems normalizes it first.
//
// It prints as "redacted".
type Unlock struct {
	Key        *[32]byte
	Passphrase string
}

// EncryptedOptions are for making a store, or for a new passphrase; a store that
// is there has its own. The zero value, like nil, is the defaults.
type EncryptedOptions struct {
	// Blind keeps the owners and names of records from whoever reads the store
	// beneath: there they are HMAC-SHA-256 of themselves. It is chosen when the
	// store is made.
	Blind bool
	// Time (passes), Memory (KiB) and Threads are the cost of a passphrase by
	// Argon2id, by default 3, 65,536 and 4 (RFC 9106, Section 4, the second
	// recommended option). At most they are 64, 262,144 and 64, so that no
	// header that someone else wrote makes us work for hours; Memory is at least
	// 8 for each thread.
	Time, Memory uint32
	Threads      uint8
}

const (
	maxTime    = 64
	maxMemory  = 256 << 10 // KiB
	maxThreads = 64
)

// A header is what an encrypted store knows of itself. It is stored as
//
//	1 byte    format: 1
//	1 byte    1 if owners and names are blinded, else 0
//	4 bytes   Argon2id: passes, 0 without a passphrase, as are the next three
//	4 bytes   memory, KiB
//	1 byte    threads
//	16 bytes  salt
//	4 bytes   number of the key in use
//	24 bytes  nonce
//	          XChaCha20-Poly1305, under the caller's key or 32 bytes of Argon2id
//	          (version 0x13) of the passphrase and the salt, of the key that
//	          blinds (32 bytes) and the keys of the store, the one in use last:
//	          number (4 bytes) and key (32 bytes) of each
//	16 bytes  tag; its associated data is what comes before the nonce
//	8 bytes   the first of SHA-256 of all that comes before: it tells damage
//	          from a wrong passphrase
//
// Numbers are big-endian. There is one key of the store, or two while records
// are sealed anew. A header never changes; another one takes its place.
type header struct {
	preface
	secret [32]byte  // blinds owners and names
	keys   []dataKey // the one in use last
	lock   [32]byte  // what the header is sealed under
}

// A preface is what anyone can read of a header.
type preface struct {
	blind        bool
	time, memory uint32
	threads      uint8
	salt         [16]byte
	number       uint32 // of the key in use
	version      uint64 // of the record
}

const (
	headFormat  = 1
	prefaceLen  = 1 + 1 + 4 + 4 + 1 + 16 + 4
	dataKeyLen  = 4 + 32
	maxDataKeys = 2
	checkLen    = 8
	headMin     = prefaceLen + chacha20poly1305.NonceSizeX + 32 + dataKeyLen + chacha20poly1305.Overhead + checkLen
)

// hasPassphrase tells whether the header is sealed under one.
func (p *preface) hasPassphrase() bool { return p.time != 0 }

func (p *preface) append(b []byte) []byte {
	b = append(b, headFormat, 0)
	if p.blind {
		b[len(b)-1] = 1
	}
	b = binary.BigEndian.AppendUint32(b, p.time)
	b = binary.BigEndian.AppendUint32(b, p.memory)
	b = append(append(b, p.threads), p.salt[:]...)
	return binary.BigEndian.AppendUint32(b, p.number)
}

// parsePreface reads what anyone can read of a header, and checks the form of
// the rest. What it asks of us is bounded.
func parsePreface(r *Record) (p preface, err error) {
	b := r.Value
	if r.Version == 0 {
		return p, fmt.Errorf("%w: an encrypted store without a header, or plain records", ErrCorrupt)
	}
	if len(b) > 0 && b[0] > headFormat {
		return p, fmt.Errorf("%w: header of an encrypted store, format %d", ErrNewerFormat, b[0])
	}
	more := len(b) - headMin
	if more < 0 || more > (maxDataKeys-1)*dataKeyLen || more%dataKeyLen != 0 || b[0] != headFormat || b[1] > 1 {
		return p, fmt.Errorf("%w: header of an encrypted store", ErrCorrupt)
	}
	end := len(b) - checkLen
	if sum := sha256.Sum256(b[:end]); string(sum[:checkLen]) != string(b[end:]) { // no secret
		return p, fmt.Errorf("%w: header of an encrypted store: checksum", ErrCorrupt)
	}
	p.blind = b[1] == 1
	p.time, p.memory, p.threads = binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:]), b[10]
	p.salt = [16]byte(b[11:])
	p.number, p.version = binary.BigEndian.Uint32(b[27:]), r.Version
	if p.hasPassphrase() && !p.bounded() {
		return p, fmt.Errorf("%w: header of an encrypted store: cost of the passphrase", ErrCorrupt)
	}
	return p, nil
}

func (p *preface) bounded() bool {
	return 0 < p.time && p.time <= maxTime &&
		0 < p.threads && p.threads <= maxThreads && 8*uint32(p.threads) <= p.memory && p.memory <= maxMemory
}

// derive returns the key that u stands for here. Work does not depend on
// whether it is the right one.
func (p *preface) derive(u Unlock) (lock [32]byte, err error) {
	if p.hasPassphrase() != (u.Key == nil) {
		return lock, ErrPassphrase
	}
	if u.Key != nil {
		return *u.Key, nil
	}
	return [32]byte(argon2.IDKey([]byte(u.Passphrase), p.salt[:], p.time, p.memory, p.threads, 32)), nil
}

// choose makes u what opens the header from now on.
func (h *header) choose(u Unlock, o *EncryptedOptions, salt *[16]byte) (err error) {
	if (u.Key == nil) == (u.Passphrase == "") {
		return fmt.Errorf("%w: one of a key and a passphrase is needed", ErrInvalid)
	}
	h.time, h.memory, h.threads, h.salt = 0, 0, 0, [16]byte{}
	if u.Key == nil {
		h.cost(o)
		h.salt = *salt
		if !h.bounded() {
			return fmt.Errorf("%w: cost of the passphrase", ErrInvalid)
		}
	}
	h.lock, err = h.derive(u)
	return err
}

func (p *preface) cost(o *EncryptedOptions) {
	p.time, p.memory, p.threads = 3, 64<<10, 4
	if o == nil {
		return
	}
	if o.Time != 0 {
		p.time = o.Time
	}
	if o.Memory != 0 {
		p.memory = o.Memory
	}
	if o.Threads != 0 {
		p.threads = o.Threads
	}
}

// bytes returns the stored form.
func (h *header) bytes(n nonce) []byte {
	b := h.preface.append(nil)
	body := slices.Clone(h.secret[:])
	for i := range h.keys {
		body = binary.BigEndian.AppendUint32(body, h.keys[i].number)
		body = append(body, h.keys[i].key[:]...)
	}
	defer clear(body)
	b = newAEAD(&h.lock).Seal(append(b, n[:]...), n[:], body, b)
	sum := sha256.Sum256(b)
	return append(b, sum[:checkLen]...)
}

// unseal opens the header that r holds, whose preface is p, under lock.
func (p *preface) unseal(r *Record, lock *[32]byte) (*header, error) {
	b := r.Value[:len(r.Value)-checkLen]
	n, box := b[prefaceLen:prefaceLen+len(nonce{})], b[prefaceLen+len(nonce{}):]
	body, err := newAEAD(lock).Open(nil, n, box, b[:prefaceLen])
	if err != nil {
		return nil, ErrPassphrase
	}
	defer clear(body)
	h := &header{preface: *p, secret: [32]byte(body), lock: *lock}
	for body := body[32:]; len(body) > 0; body = body[dataKeyLen:] {
		h.keys = append(h.keys, newDataKey(binary.BigEndian.Uint32(body), (*[32]byte)(body[4:])))
	}
	return h, nil
}

// openHeader opens the header of a store, or makes one where the store is empty.
func openHeader(ctx context.Context, inner Store, u Unlock, o *EncryptedOptions) (*header, error) {
	r, err := loadHeader(ctx, inner)
	if err != nil {
		return nil, err
	}
	if r.Version == 0 {
		if h, err := makeHeader(ctx, inner, u, o); h != nil || err != nil {
			return h, err
		}
		if r, err = loadHeader(ctx, inner); err != nil {
			return nil, err
		}
	}
	p, err := parsePreface(r)
	if err != nil {
		return nil, err
	}
	lock, err := p.derive(u)
	if err != nil {
		return nil, err
	}
	return p.unseal(r, &lock)
}

func loadHeader(ctx context.Context, inner Store) (*Record, error) {
	recs, told, err := loadTold(ctx, inner, []Key{headKey})
	if err == nil && told != nil {
		err = fmt.Errorf("%w: header of an encrypted store", ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	return &recs[0], nil
}

// makeHeader commits the header of a store that is empty. It returns nil where
// there is a record, or another process is faster: the header, which was not
// there before, is there now, as it comes before any record.
func makeHeader(ctx context.Context, inner Store, u Unlock, o *EncryptedOptions) (*header, error) {
	for _, err := range inner.List(ctx, "", "", "") {
		return nil, err
	}
	if PendingIn(ctx) != nil { // the header would be used before it counts
		return nil, fmt.Errorf("%w: an encrypted store made in a transaction of the caller's", ErrInvalid)
	}
	h := &header{keys: []dataKey{drawDataKey(1)}}
	h.number = 1
	h.blind = o != nil && o.Blind
	rand.Read(h.secret[:])
	err := h.choose(u, o, drawSalt())
	if err != nil {
		return nil, err
	}
	err = h.replace(ctx, inner)
	if conflict := (*ConflictError)(nil); errors.As(err, &conflict) {
		return nil, nil
	}
	return h, err
}

// replace commits h in the place of the header of its version. Its stored form,
// with a nonce of its own, tells whether a commit of unknown outcome was made.
func (h *header) replace(ctx context.Context, inner Store) (err error) {
	value := h.bytes(drawNonce())
	h.version, err = inner.Commit(ctx, Change{Op: Put, Key: headKey, Expect: h.version, Value: value})
	if !errors.Is(err, ErrCommitUnknown) {
		return err
	}
	if r, lookErr := loadHeader(ctx, inner); lookErr == nil && bytes.Equal(r.Value, value) {
		h.version, err = r.Version, nil
	}
	return err
}

func drawSalt() *[16]byte {
	salt := new([16]byte)
	rand.Read(salt[:])
	return salt
}

func drawDataKey(number uint32) dataKey {
	var key [32]byte
	rand.Read(key[:])
	defer clear(key[:])
	return newDataKey(number, &key)
}

// reload reads the header again, and returns the one that counts now. Whoever
// changed the passphrase alone does not lock out those who have the store open.
func (s *Encrypted) reload(ctx context.Context, old *header) (*header, error) {
	next, p, err := readHeader(ctx, s.inner, &old.lock)
	if errors.Is(err, ErrPassphrase) {
		now, closed := s.current()
		switch {
		case closed != nil:
			return nil, closed
		case now.version != old.version: // this process has changed the passphrase
			return now, nil
		case p.number == old.number:
			same := *old
			same.version = p.version
			next, err = &same, nil
		}
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == old { // or someone else replaced it
		s.head = next
	}
	return next, nil
}

// readHeader loads the header of a store that has one. The preface is there with
// ErrPassphrase, too.
func readHeader(ctx context.Context, inner Store, lock *[32]byte) (*header, preface, error) {
	r, err := loadHeader(ctx, inner)
	if err != nil {
		return nil, preface{}, err
	}
	p, err := parsePreface(r)
	if err != nil {
		return nil, p, err
	}
	h, err := p.unseal(r, lock)
	return h, p, err
}

// Format implements [fmt.Formatter].
func (Unlock) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Unlock) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (Unlock) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
