package session

import (
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The classes of bad input, the same values as in the packages below.
var (
	ErrMalformed    = wire.ErrMalformed
	ErrVersion      = wire.ErrVersion
	ErrTooLarge     = wire.ErrTooLarge
	ErrAuth         = wire.ErrAuth
	ErrDuplicate    = ratchet.ErrDuplicate
	ErrTooFar       = ratchet.ErrTooFar
	ErrTooExpensive = ratchet.ErrTooExpensive
	ErrExhausted    = ratchet.ErrExhausted
	ErrCorrupt      = keystore.ErrCorrupt
)

var (
	// ErrNoSession reports that there is no session to send on. Begin one from
	// a bundle.
	ErrNoSession = errors.New("session: no session")
	// ErrStale reports a session that the peer never answered in 30 days.
	// Begin a new one from a bundle; receiving on it goes on.
	ErrStale = errors.New("session: unanswered session too old")
	// ErrBlocked reports a send to a user that is blocked. Block lifts it.
	ErrBlocked = errors.New("session: user is blocked")
	// ErrRegistrationID reports a registration id outside 1 to 16380.
	ErrRegistrationID = errors.New("session: registration id out of range")
	// ErrExists reports that the store has a device of this address, that the
	// account has one of this number, or that a user of this name is known.
	ErrExists = errors.New("session: exists already")
	// ErrLink reports the code of a Link that was used before, and a Link that was
	// opened or is older than 10 minutes.
	ErrLink = errors.New("session: link used or expired")
	// ErrHosted reports a device that is not to have the account's identity: by
	// its manifest a provider or a platform keeps that device's key.
	ErrHosted = errors.New("session: device with a key in foreign hands")
	// ErrNoDevice reports that the store has no device of this address; in a
	// DirectoryError, that a user has none; from a Gate, that he has none of this key.
	ErrNoDevice = errors.New("session: no such device")
)

// A PreKeyNotFoundError reports that a message names a prekey that this device
// does not have, or no longer. Nothing changed.
type PreKeyNotFoundError struct {
	Kind string // "one-time", "signed" or "KEM"
	ID   uint32
}

func (e *PreKeyNotFoundError) Error() string {
	return fmt.Sprintf("session: no %s prekey %d", e.Kind, e.ID)
}

// A BaseKeyReusedError reports a first message whose base key began a session
// before, with the same prekeys: a replay. Nothing changed.
type BaseKeyReusedError struct {
	SignedPreKeyID, KEMPreKeyID uint32
}

func (e *BaseKeyReusedError) Error() string {
	return fmt.Sprintf("session: base key reused with prekeys %d and %d", e.SignedPreKeyID, e.KEMPreKeyID)
}

// An IdentityMismatchError reports a message or record whose identity key is
// not the one that its session, or the caller, says it must be. Nothing
// changed.
type IdentityMismatchError struct {
	Address        Address
	Expected, Seen keys.IdentityKey
}

func (e *IdentityMismatchError) Error() string {
	return "session: identity key is not the expected one"
}

// An UntrustedIdentityError reports that a peer's identity key is not the
// accepted one. Sends return it, and beginning a session; nothing was
// encrypted and nothing changed. AcceptIdentity accepts a key.
type UntrustedIdentityError struct {
	Address        Address
	Accepted, Seen keys.IdentityKey
}

func (e *UntrustedIdentityError) Error() string {
	return "session: identity key has changed and is not accepted"
}

// corrupt reports damage of a stored session or record.
func corrupt(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }

// ratchetError gives ratchet.ErrCorrupt the name it has here.
func ratchetError(err error) error {
	if errors.Is(err, ratchet.ErrCorrupt) {
		return corrupt(err)
	}
	return err
}
