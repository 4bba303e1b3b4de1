// Package keystore says what gembok asks of a store, and has one that lives in
// memory.
//
// A store holds versioned, opaque records. It knows no protocol: a session, a
// prekey and a staged message are keys and bytes to it. Every operation of a
// Device is one Load, computing on values, and one Commit of what changed,
// which expects the versions that were loaded. Whoever lost a race is told by
// a [ConflictError] and computes again; nothing else keeps two writers apart,
// be they goroutines, processes or machines.
package keystore

import (
	"context"
	"iter"
)

// A Store is a place for records. It may be used from several goroutines at
// once, and, where it says so, be opened by several processes.
//
// # What a caller may rely on
//
// Records are values: what goes in and comes out is copied, so that neither
// side sees the other write to it. A Value that is nil and one that is empty
// are the same; a record is there if and only if its Version is not 0.
//
// Versions come from one counter for the whole store. A version is never given
// out twice, also not after its record was deleted, after the store was closed
// and opened again, or after a Commit that failed; a later Commit has a higher
// one.
//
// A method that returns an error has changed nothing, [ErrCommitUnknown]
// excepted. Errors wrap the sentinels of this package with %w; a context's end
// is reported as its [context.Context.Err]. Other errors of what lies beneath
// are wrapped as well and never swallowed. The text of an error holds no part
// of a Key and no Value.
//
// A call that breaks this contract, such as a Key without Scope or Kind, is
// [ErrInvalid]. After Close every method but Close is [ErrClosed].
//
// # What an implementer guarantees
//
// All of the above, and what the methods say. A key's four parts are any
// bytes, U+0000 and invalid UTF-8 included, and are compared byte for byte. A
// store never gives a meaning to a Value. A method leaves nothing running
// when it returns. Package keystoretest tells whether all of it is so.
type Store interface {
	// Load returns the records of keys, in the order asked; one that is not
	// there has Version 0 and no Value, and one asked for twice comes twice.
	// Together they are one snapshot: no Commit lies between two of them.
	// Whatever was committed before Load was called is in it.
	//
	// A store that tells damaged records apart returns all records that were
	// asked for, and beside them a *[CorruptError] that names those: they have
	// their Key and Version, and no Value. After any other error there are none.
	Load(ctx context.Context, keys ...Key) ([]Record, error)

	// Commit checks the expectation of every change and then makes all of
	// them, or none. When err is nil they are durable, in the sense the store
	// documents, and seen by every Load that starts from then on.
	//
	// Version is new, and is the Version of every record that this Commit
	// put. A Commit with no Put and no Delete gives out no version and
	// returns 0; its Checks are judged together all the same.
	//
	// Where expectations fail, err is a *[ConflictError] that names the keys
	// of all of them. Two changes of one key in one Commit are [ErrInvalid].
	// When it cannot be known whether the changes were made, err is
	// [ErrCommitUnknown]; no other error leaves that open.
	Commit(ctx context.Context, changes ...Change) (version uint64, err error)

	// List yields the records of a scope, kind and owner, each an exact value
	// or "" for any; keys with an Owner of "" are therefore found under any
	// owner only. Every use of the sequence lists anew.
	//
	// There is no promised order, and no snapshot. A record that is there
	// unchanged from the first step to the last is yielded exactly once, any
	// other at most once, as it was at some moment in between. No lock is
	// held while the loop's body runs, so it may call any method, Commit too.
	// An error is yielded once, with an empty Record, and ends the sequence; but
	// a *[CorruptError] is yielded with each damaged record, as Load returns it,
	// and the others follow. Of the Key of such a one only Scope and Kind may be
	// known.
	List(ctx context.Context, scope, kind, owner string) iter.Seq2[Record, error]

	// Generation returns the newest version ever given out, 0 for a store
	// that never gave one. An app that keeps it elsewhere notices by it that
	// a whole store was put back to an older state. It never falls.
	Generation(ctx context.Context) (uint64, error)

	// Close gives up what the store holds, once the calls that are under way
	// have ended; closing again does nothing.
	Close() error
}
