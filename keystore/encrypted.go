package keystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrPassphrase reports a key or passphrase that does not open an encrypted
// store. Nothing was changed.
var ErrPassphrase = errors.New("keystore: wrong key or passphrase")

// An Encrypted is a [Store] that keeps its records in another one, encrypted.
//
// Each value is sealed with XChaCha20-Poly1305 under a random key of the store
// and a random nonce, with the record's scope, kind, owner and name as
// associated data. A value that was changed, or put under another key, is a
// [CorruptError] when it is read, and no other record suffers. The key of the
// store is itself sealed, under the caller's key or one made of the passphrase,
// in a record of its own, the header.
//
// All methods do what Store says. Besides, each may return ErrPassphrase after
// another process changed both the passphrase and the key of the store, which
// then has to be opened again; ErrCorrupt once the header is damaged or gone;
// and ErrNewerFormat once a newer release has written it. The scope
// "encryption" is the header's own: its keys are [ErrInvalid]. The header takes
// the first version, so that a store is made with Generation 1.
//
// # What stays visible
//
// To whoever reads the store beneath: how many records there are, their sizes
// and versions, their scopes and kinds, and when they change; their owners and
// names too, unless these are blinded, and then still which records are of one
// owner. A scope is the own address of a device.
//
// # What is not noticed
//
// One old record put back in the place of a newer one under the same key, and
// one that was removed; whoever removes all, the header too, leaves an empty
// store. That a whole store was put back to an older state is told by
// Generation, to an app that keeps it elsewhere.
//
// The header is such a record. One that is put back alone, or that of another
// store with the same key or passphrase, is opened by what opened it there, and
// all records that were sealed under another key than it holds are damaged. What
// is written then is sealed under the key that it holds: an old one, where that
// was replaced because someone knew it.
//
// An Encrypted may be used from several goroutines, and where the store beneath
// may be open in several processes, in each of them. The zero Encrypted is
// closed. It holds keys, and prints as "redacted".
type Encrypted struct {
	inner Store

	mu   sync.RWMutex
	head *header // replaced, never changed; nil once closed

	changing sync.Mutex // held by who makes another header
}

var _ Store = (*Encrypted)(nil)

// maxReloads bounds how often a Commit begins again because someone changed the
// header meanwhile.
const maxReloads = 8

// OpenEncrypted opens the encrypted store that inner holds, or makes one where
// inner is empty; when two processes do at once, one of them makes it. Closing
// it closes inner. After an error inner is still the caller's to close.
//
// Errors: ErrPassphrase; [ErrInvalid] for an Unlock with both a key and a
// passphrase, and, where inner is empty, for one with neither, for options out
// of bounds, and in a context that has a [Pending]; [ErrCorrupt] for a damaged
// header, and for an inner store that holds records and no header, be they plain
// ones or those of an encrypted store that lost it; [ErrNewerFormat]; those of
// inner. Nothing was changed then, [ErrCommitUnknown] excepted, after which the
// store may be empty or made.
func OpenEncrypted(ctx context.Context, inner Store, u Unlock, o *EncryptedOptions) (*Encrypted, error) {
	if _, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize)); err != nil {
		return nil, fmt.Errorf("keystore: no encryption: %w", err) // in FIPS 140 mode only
	}
	if u.Key != nil && u.Passphrase != "" {
		return nil, fmt.Errorf("%w: both a key and a passphrase", ErrInvalid)
	}
	h, err := openHeader(ctx, inner, u, o)
	if err != nil {
		return nil, err
	}
	return &Encrypted{inner: inner, head: h}, nil
}

// Load implements [Store].
func (s *Encrypted) Load(ctx context.Context, keys ...Key) ([]Record, error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	stored, err := h.storedKeys(keys)
	if err != nil {
		return nil, err
	}
	recs, bad, err := s.fetch(ctx, stored)
	if err != nil {
		return nil, err
	}
	for i := range recs {
		recs[i].Key = keys[i]
	}
	if bad == nil {
		return recs, nil
	}
	damaged := new(CorruptError)
	for _, i := range bad {
		damaged.Keys = append(damaged.Keys, keys[i])
	}
	return recs, damaged
}

// fetch loads records by the keys they are stored under, and opens them. Bad
// are the indices of damaged ones.
//
// Where a key that seals is not known, the header is read again, and then the
// records too: they may have been sealed anew, and that key dropped.
func (s *Encrypted) fetch(ctx context.Context, stored []Key) (recs []Record, bad []int, err error) {
	h, err := s.current()
	for again := 0; err == nil; again++ {
		var told []Key
		if recs, told, err = loadTold(ctx, s.inner, stored); err != nil {
			break
		}
		known := false
		if bad, known = h.openAll(recs, told); known {
			return recs, bad, nil
		}
		old := h
		if h, err = s.reload(ctx, old); err == nil && (h.version == old.version || again == maxReloads) {
			return recs, bad, nil // no other key was in use
		}
	}
	return nil, nil, err
}

// loadTold loads records, and the keys of those that the store says to be
// damaged.
func loadTold(ctx context.Context, s Store, keys []Key) (recs []Record, told []Key, err error) {
	recs, err = s.Load(ctx, keys...)
	if err != nil {
		damaged := (*CorruptError)(nil)
		if !errors.As(err, &damaged) {
			return nil, nil, err
		}
		told = damaged.Keys
	}
	if len(recs) != len(keys) {
		return nil, nil, fmt.Errorf("%w: %d records for %d keys", ErrCorrupt, len(recs), len(keys))
	}
	for i := range recs {
		recs[i].Key = keys[i] // what was asked for, whatever the store says, or it does not open
	}
	return recs, told, nil
}

// openAll opens records. Told are the stored keys of those that the store
// beneath says to be damaged, bad the indices of all that are, which have no
// value then. Known is false if one says that another key has sealed it than
// those of h.
func (h *header) openAll(recs []Record, told []Key) (bad []int, known bool) {
	known = true
	for i := range recs {
		if slices.Contains(told, recs[i].Key) {
			recs[i].Value = nil
			bad = append(bad, i)
			continue
		}
		if recs[i].Version == 0 {
			continue
		}
		opened, has := h.open(&recs[i])
		if known = known && has; !opened {
			bad = append(bad, i)
		}
	}
	return bad, known
}

// Commit implements [Store].
func (s *Encrypted) Commit(ctx context.Context, changes ...Change) (uint64, error) {
	if err := Validate(changes); err != nil {
		return 0, err
	}
	for i := range changes {
		if changes[i].Key.Scope == headScope {
			return 0, fmt.Errorf("%w: change %d: reserved scope", ErrInvalid, i)
		}
	}
	for again := 0; ; again++ {
		h, err := s.current()
		if err != nil {
			return 0, err
		}
		out := h.sealChanges(changes)
		version, err := s.inner.Commit(ctx, out...)
		conflict := (*ConflictError)(nil)
		if !errors.As(err, &conflict) {
			return version, err
		}
		keys := named(conflict.Keys, out, changes)
		lost, over := error(&ConflictError{Keys: keys}), false
		if err != error(conflict) { // the store has more to say: a transaction of the caller's may be over
			lost, over = fmt.Errorf("%w: %w", lost, err), PendingIn(ctx) != nil
		}
		if len(keys) == len(conflict.Keys) || over || again == maxReloads {
			return 0, lost
		}
		if _, err := s.reload(ctx, h); err != nil {
			return 0, err
		}
	}
}

// sealChanges returns the changes as they are made beneath. What is sealed
// relies on the key's being in use, and so on the header.
func (h *header) sealChanges(changes []Change) []Change {
	out := make([]Change, len(changes), len(changes)+1)
	seals := false
	for i := range changes {
		c := &changes[i]
		out[i] = Change{Op: c.Op, Key: h.stored(c.Key), Expect: c.Expect}
		if c.Op == Put {
			seals = true
			out[i].Value = h.seal(out[i].Key, c, drawNonce())
		}
	}
	if seals {
		out = append(out, Change{Op: Check, Key: headKey, Expect: h.version})
	}
	return out
}

// named returns the names of keys, which are among those of stored, and leaves
// out the header's, which is behind the changes.
func named(keys []Key, stored, changes []Change) (names []Key) {
	at := make(map[Key]int, len(changes))
	for i := range changes {
		at[stored[i].Key] = i
	}
	for _, k := range keys {
		if i, ok := at[k]; ok {
			names = append(names, changes[i].Key)
		}
	}
	return names
}

// List implements [Store]. Of a damaged record whose name is blinded Owner and
// Name are not known.
func (s *Encrypted) List(ctx context.Context, scope, kind, owner string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		h, err := s.current()
		if err != nil {
			yield(Record{}, err)
			return
		}
		for r, err := range s.inner.List(ctx, scope, kind, h.storedOwner(owner)) {
			if r.Key.Scope == headScope {
				continue
			}
			damaged := (*CorruptError)(nil)
			switch {
			case err == nil:
				r, err = s.listed(ctx, h, r)
			case errors.As(err, &damaged):
				r, err = h.unread(r.Key, r.Version)
			}
			switch {
			case err == nil && r.Version == 0: // it is gone
			case err != nil && !errors.As(err, &damaged):
				yield(Record{}, err)
				return
			case !yield(r, err):
				return
			}
		}
	}
}

// listed opens a record that h, or another header since, has the key for.
func (s *Encrypted) listed(ctx context.Context, h *header, r Record) (Record, error) {
	stored := r.Key
	opened, known := h.open(&r)
	if !known {
		recs, bad, err := s.fetch(ctx, []Key{stored})
		if err != nil {
			return Record{}, err
		}
		r, opened = recs[0], bad == nil
	}
	if opened {
		return r, nil
	}
	return h.unread(stored, r.Version)
}

// unread returns what is known of a damaged record.
func (h *header) unread(stored Key, version uint64) (Record, error) {
	if h.blind {
		stored.Owner, stored.Name = "", ""
	}
	return Record{Key: stored, Version: version}, &CorruptError{Keys: []Key{stored}}
}

// Generation implements [Store].
func (s *Encrypted) Generation(ctx context.Context) (uint64, error) {
	if _, err := s.current(); err != nil {
		return 0, err
	}
	return s.inner.Generation(ctx)
}

// Close gives up the keys, of which memory may hold copies until it is used
// again, and closes the store beneath.
func (s *Encrypted) Close() error {
	s.mu.Lock()
	s.head = nil
	s.mu.Unlock()
	if s.inner == nil {
		return nil
	}
	return s.inner.Close()
}

// current returns the header.
func (s *Encrypted) current() (*header, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.head == nil {
		return nil, ErrClosed
	}
	return s.head, nil
}

// Format implements [fmt.Formatter].
func (*Encrypted) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (*Encrypted) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (*Encrypted) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
