package session

import "github.com/gembok-e2ee/gembok/x3dh/keys"

// An EventKind says what an Event reports. The zero value is none.
type EventKind byte

const (
	// IdentityChanged: a handshake came from another identity key than the
	// accepted one. Sends are refused until a key is accepted.
	IdentityChanged EventKind = 1 + iota
	// SessionRenewed: the peer began a new session in place of the current one.
	SessionRenewed
)

// An Event is something the app should know of, beside a result. The zero
// value is none.
type Event struct {
	Kind    EventKind
	Address Address
	// Accepted and Seen are the identity keys of IdentityChanged.
	Accepted, Seen keys.IdentityKey
}
