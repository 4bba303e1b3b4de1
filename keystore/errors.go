package keystore

import (
	"errors"
	"strconv"
)

// The errors of a store, and of reading what it holds. All but
// ErrCommitUnknown leave everything as it was.
var (
	// ErrInvalid reports a call that breaks the contract of [Store], which is
	// a fault of the program that made it: a Key without Scope or Kind, an
	// unknown Op, a Commit that names one Key twice.
	ErrInvalid = errors.New("keystore: invalid call")
	// ErrClosed reports a store that was closed.
	ErrClosed = errors.New("keystore: closed")
	// ErrCommitUnknown reports that a Commit was made in full or not at all,
	// and that the store cannot tell which, as after a lost connection. Load
	// and compare; expectations hold either way.
	ErrCommitUnknown = errors.New("keystore: outcome of commit unknown")
	// ErrLocked reports a store that someone else has open.
	ErrLocked = errors.New("keystore: locked by another process")
	// ErrFull reports that there is no room for a Commit.
	ErrFull = errors.New("keystore: full")
	// ErrReadOnly reports a Commit to what can only be read.
	ErrReadOnly = errors.New("keystore: read only")
	// ErrCorrupt reports a record, or a store, whose bytes nobody can have
	// written. Where single records are concerned, it comes as a *[CorruptError].
	ErrCorrupt = errors.New("keystore: corrupt record")
	// ErrRolledBack reports a store that was put back to an older state.
	// Package session finds it out, and says what is to be done.
	ErrRolledBack = errors.New("keystore: rolled back to an older state")
	// ErrNewerFormat reports a record, or a store, that a newer release of
	// the library wrote. It is left untouched.
	ErrNewerFormat = errors.New("keystore: newer format than known")
)

// A ConflictError reports a Commit whose expectations did not hold, because
// someone else was faster. Nothing was changed. The zero value names no key.
type ConflictError struct {
	Keys []Key // of all expectations that failed, in the order of the changes
}

// Error counts the keys; it does not name them, since they hold addresses.
func (e *ConflictError) Error() string {
	return "keystore: conflict: records changed by someone else: " + strconv.Itoa(len(e.Keys))
}

// A CorruptError reports records whose values were damaged, which is ErrCorrupt.
// The other records are as good as ever. The zero value names no key.
type CorruptError struct {
	Keys []Key
}

// Error counts the keys; it does not name them, since they hold addresses.
func (e *CorruptError) Error() string {
	return "keystore: damaged records: " + strconv.Itoa(len(e.Keys))
}

// Unwrap returns ErrCorrupt.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }
