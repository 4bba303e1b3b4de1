package keystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Relock changes what opens the store, in one commit: afterwards u does, and what
// did before does not. O is the cost of a passphrase, and nothing else of it
// counts. Others that have the store open go on until its key changes.
//
// A copy of the store from before is still opened by what opened it then, and
// has the same key; where that matters, call Rekey after it.
//
// Errors: [ErrInvalid] for an Unlock with neither or both, for options out of
// bounds, and in a context that has a [Pending]; ErrPassphrase if another
// process has changed what opens the store since this one opened it; those of
// the store beneath. Nothing was changed then; after [ErrCommitUnknown] either
// the old or the new opens the store.
func (s *Encrypted) Relock(ctx context.Context, u Unlock, o *EncryptedOptions) error {
	return s.change(ctx, func(h *header) (bool, error) { return true, h.choose(u, o, drawSalt()) })
}

// Rekey gives the store a new key, and seals all its records anew, some in each
// commit; each of them gets a new version, which for whoever is about to change
// it is a conflict like any other. The store is in use meanwhile, by other
// processes too. The key that blinds owners and names stays: to change that, copy
// the records into another store.
//
// After an error, or a crash, the store may hold both keys; it works as before,
// and Rekey goes on where it was.
//
// Errors: a *[CorruptError] that names the damaged records, by the keys that the
// store beneath has them under. All others are sealed anew then, and the old key
// stays until those are deleted there, or repaired, and Rekey is called again.
// ErrPassphrase if another process has changed what opens the store; ErrInvalid
// in a context that has a [Pending]; those of the store beneath.
func (s *Encrypted) Rekey(ctx context.Context) error {
	var number uint32
	err := s.change(ctx, func(h *header) (bool, error) {
		begins := len(h.keys) < maxDataKeys
		if begins { // the count may begin again: two numbers have to differ, no more
			h.number++
			h.keys = append(h.keys, drawDataKey(h.number))
		}
		number = h.number
		return begins, nil
	})
	if err != nil {
		return err
	}
	damaged, err := s.sealAnew(ctx, number)
	if err != nil {
		return err
	}
	return s.change(ctx, func(h *header) (bool, error) {
		switch {
		case h.number != number || len(h.keys) == 1: // another process was faster
			return false, nil
		case damaged != nil:
			return false, &CorruptError{Keys: damaged}
		}
		h.keys = h.keys[1:]
		return true, nil
	})
}

// change puts another header in the place of the one that is there, which edit
// makes of it, or keeps that if edit returns false.
func (s *Encrypted) change(ctx context.Context, edit func(*header) (bool, error)) error {
	if PendingIn(ctx) != nil { // the header would be used before it counts
		return fmt.Errorf("%w: a key or passphrase changed in a transaction of the caller's", ErrInvalid)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	for again := 0; ; again++ {
		old, err := s.current()
		if err != nil {
			return err
		}
		h, _, err := readHeader(ctx, s.inner, &old.lock)
		if err != nil {
			return err
		}
		isOther, err := edit(h)
		if err != nil {
			return err
		}
		if isOther {
			err = h.replace(ctx, s.inner)
		}
		if conflict := (*ConflictError)(nil); errors.As(err, &conflict) && again < maxReloads {
			continue
		}
		if err == nil {
			s.adopt(h)
		}
		return err
	}
}

// adopt makes h the header, unless the store was closed.
func (s *Encrypted) adopt(h *header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head != nil {
		s.head = h
	}
}

// What is sealed anew in one commit is bounded in number and in bytes.
const (
	anewRecords = 64
	anewBytes   = 1 << 20
)

// sealAnew seals the records that are under another key than that of a number,
// which is in use. It returns the stored keys of damaged ones.
//
// One pass finds them all: every commit relies on the header, and so nobody has
// sealed under the other key since that of the number is in use. What a List
// leaves out, or has in an old version, someone sealed meanwhile.
func (s *Encrypted) sealAnew(ctx context.Context, number uint32) (damaged []Key, err error) {
	h, err := s.current()
	if err != nil {
		return nil, err
	}
	var batch []Change
	bytes := 0
	for r, err := range s.inner.List(ctx, "", "", "") {
		told := (*CorruptError)(nil)
		if err != nil && !errors.As(err, &told) {
			return nil, err
		}
		stored := r.Key
		under, ok := sealedUnder(r.Value)
		if stored == headKey || err == nil && ok && under == number {
			continue
		}
		if opened, _ := h.open(&r); err != nil || !opened {
			damaged = append(damaged, stored)
			continue
		}
		batch = append(batch, Change{Op: Put, Key: r.Key, Expect: r.Version, Value: r.Value})
		if bytes += len(r.Value); len(batch) < anewRecords && bytes < anewBytes {
			continue
		}
		if err := s.commitAnew(ctx, batch); err != nil {
			return nil, err
		}
		batch, bytes = nil, 0
	}
	return damaged, s.commitAnew(ctx, batch)
}

// commitAnew commits a batch, without what others changed meanwhile: that they
// sealed themselves.
func (s *Encrypted) commitAnew(ctx context.Context, batch []Change) error {
	for len(batch) > 0 {
		_, err := s.Commit(ctx, batch...)
		conflict := (*ConflictError)(nil)
		if !errors.As(err, &conflict) || len(conflict.Keys) == 0 {
			return err
		}
		batch = slices.DeleteFunc(batch, func(c Change) bool { return slices.Contains(conflict.Keys, c.Key) })
	}
	return nil
}
