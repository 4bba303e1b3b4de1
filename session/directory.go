package session

import (
	"context"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/x3dh"
)

// A Directory is what an app's server knows of users: how the app connects it.
// A Device asks it and believes it nothing that it need not: a bundle must
// verify, and be for the device that was asked for.
//
// Its methods return when ctx ends, and may be called from several goroutines,
// of which none outlives the operation that asks. They are called without any
// lock. An error of theirs, or a panic, is a DirectoryError about this user or
// device, and no other one's.
type Directory interface {
	// Devices returns the devices of a user, this Device among them when the
	// user is its own; of a user without any, none.
	Devices(ctx context.Context, user string) ([]PeerDevice, error)
	// Bundle returns the bundle of a device, its one-time prekeys for this
	// caller only.
	Bundle(ctx context.Context, peer Address) (*x3dh.Bundle, error)
	// Manifest returns the signed hosting manifest of a user; nil is none.
	Manifest(ctx context.Context, user string) ([]byte, error)
}

// A PeerDevice is one device of a user, from 1 to 127. The zero value is none.
type PeerDevice struct {
	Device uint32
	// RegistrationID is from 1 to 16380; another one than before says that the
	// device was set up anew.
	RegistrationID uint32
	// Stale is since when the device is gone. In what Device.Peer returns the
	// zero time is a current device; a Directory leaves it zero.
	Stale time.Time
}

// A DirectoryError reports that the Directory did not say what was needed, or
// what cannot be: ErrMalformed and ErrRegistrationID are some of what it may
// wrap. Of this user or device nothing changed.
type DirectoryError struct {
	User   string
	Device uint32 // 0: the list of the user's devices
	Err    error
}

func (e *DirectoryError) Error() string {
	if e.Device == 0 {
		return "session: no list of devices from the directory"
	}
	return "session: no bundle from the directory"
}

// Unwrap returns what was wrong.
func (e *DirectoryError) Unwrap() error { return e.Err }

var (
	errNoDirectory = errors.New("session: no directory")
	errPanicked    = errors.New("session: directory panicked")
)

// A Peer is what is known of a user. The zero value is nobody.
type Peer struct {
	User    string
	Blocked bool         // nothing is sent to the user
	Devices []PeerDevice // by number
}

// Peer returns what is known of a user: nothing but the name when that is
// nothing. The Directory is not asked.
func (d *Device) Peer(ctx context.Context, user string) (*Peer, error) {
	return nil, errors.ErrUnsupported
}

// Refresh asks the Directory anew for the devices of users.
func (d *Device) Refresh(ctx context.Context, users ...string) error { return errors.ErrUnsupported }
