package session

import (
	"context"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// SendOptions are the choices of one Send. The zero value, like nil, is the
// defaults.
type SendOptions struct {
	// Exclude names devices that get nothing, now and when a server says that
	// they are missing.
	Exclude []Address
	// NoOwnDevices keeps the message from the account's other devices.
	NoOwnDevices bool
	// Group is what the other devices of the account are told that the message
	// was sent to; "" is the one user.
	Group string
	// Expires is when the copy that is kept for retries goes, if that is before
	// Options.RetryFor is over; zero is not.
	Expires time.Time
}

// A Sending is a message on its way to all devices of some users: what is to be
// submitted to a server, and what Reconcile needs to go on with it. It is for
// one goroutine at a time, holds the message, and prints as redacted. The zero
// value is none.
type Sending struct {
	wire.Secret

	// SentAt names the message: no other one of this Device has the same. A
	// receiver needs it to ask for the message again.
	SentAt time.Time
	// Results are one for each device, in the order of their addresses.
	Results []Result
}

// A Result is what became of a message for one device. Device 0 stands for a
// user of whom no device could be found, or is to be sent to.
type Result struct {
	To             Address
	RegistrationID uint32 // to be submitted with the message
	Message        *Message
	// Err is why there is no Message: ErrNoSession, ErrStale, ErrBlocked,
	// ErrCorrupt, UntrustedIdentityError, DirectoryError.
	Err error
}

// A Difference is what a server that got a Sending says of its devices of one
// user. No device may be named twice.
type Difference struct {
	User    string
	Missing []uint32 // devices of the user without a message
	Stale   []uint32 // devices that were set up anew: their session is gone
	Extra   []uint32 // those that are no devices of the user
}

// ErrUnsettled reports that a server said too often that a Sending is not for
// the right devices.
var ErrUnsettled = errors.New("session: server does not agree on the devices")

// Send encrypts a message for all devices of users and the own other ones.
func (d *Device) Send(ctx context.Context, users []string, c *Content, o *SendOptions) (*Sending, error) {
	return nil, errors.ErrUnsupported
}

// Reconcile encrypts what a server says is missing of a Sending.
func (d *Device) Reconcile(ctx context.Context, s *Sending, said ...Difference) error {
	return errors.ErrUnsupported
}

// Accept records that a server took a Sending.
func (d *Device) Accept(ctx context.Context, s *Sending) error {
	return errors.ErrUnsupported
}
