// Package group is messages to many with one encryption: sender keys, and groups
// on top of them (sealed-groups-fingerprint, Sections 4 and 5).
//
// # How an app sends
//
// Set says who is in a group. A message then goes to all devices of all members,
// which have to have the own sender key before:
//
//	for {
//		key, err := groups.Distribute(ctx, name, nil)
//		if key != nil { // who lacks it gets it, each in a message of his session
//			// submit it, Reconcile it as long as the server has something to say, Accept it
//		}
//		s, err := groups.Send(ctx, name, content, nil)
//		// a WaitingError: Refresh the users that its Errs are about, Set excludes
//		// whom they, or those in the Results of key, are about still; begin again
//		// submit it, and Reconcile it: after session.ErrUnsettled, begin again
//		// Accept it: done
//	}
//
// Most often Distribute has nothing to do. Whoever cannot be reached holds up the
// group until the app excludes him, by name: he would miss what the others read.
// Decrypt takes whatever comes, of a session or of a group; what cannot be read
// Device.RequestRetry asks for, and Resend answers.
//
// # Who can read
//
// The Results of a message name all devices that can read it, and Get those that
// could read the next one. When one of them is gone, excluded, blocked or set up anew,
// another key is made before the next message, and also after 7 days or 10,000
// messages, since whoever has got hold of a key can read until then. A message is
// under the old key only if it was committed before Set. Those who come read nothing
// from before.
//
// Who is in a group the app has to know for sure, from somebody who may say so: a
// server that can name members reads along. And a sender key says only who had it:
// with the server's help a member may show the words of another one as his own, which
// the certificates of package sealed prevent.
//
// # Sender keys alone
//
// An app that keeps its own account of who has which key does without groups:
// Distribution makes the message that gives a key, which goes to each device in
// session.Content.Distribution, Encrypt encrypts once for all who have it, and
// Decrypt takes in what comes. Of each sender, the five newest keys of a distribution
// id are kept, and of each of his devices 1,000 ids; of each key, what reads the
// newest 2,000 messages that were passed over, and up to 25,000 ahead. One that went
// out for newer ones comes back from where it was then, and not from before.
//
// # Divergences
//
//   - A key is bound to the identity key of the message that brought it, which the
//     record keeps beside what deployed peers keep. One that came under another key
//     than the accepted one takes nothing from those that came under that.
//   - Signing keys of small order and out of range are refused (ErrKey), and so are
//     signatures that are not reduced.
//   - A message of one's own is ErrDuplicate, wherever its chain is.
//   - The older format (Section 4.10), with numbers for ids, is not spoken.
//   - A message from before the sender key that a device was given is ErrNoSenderKey,
//     so that it is asked for; deployed peers take it for one that was read, and
//     whoever lost the first key and got it anew later loses what lies between.
//   - A key that went out for five newer ones is taken in again from where it was,
//     and not from before, so that nothing is read twice.
package group

import (
	"context"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// ErrNoSenderKey reports a message whose sender key did not come, or is gone;
// and, when sending, that there is none yet. It is session.ErrNoSession, too.
var ErrNoSenderKey = fmt.Errorf("group: no sender key: %w", session.ErrNoSession)

// Options are the policies of Groups. The zero value, like nil, is the defaults.
type Options struct {
	// MaxAge is how long a sender key is used, in whole milliseconds, at least one; 0 and
	// less is 7 days.
	MaxAge time.Duration
	// MaxMessages is for how many messages; 0 is 10,000. It is 25,000 at most: whoever
	// missed more could not read the next one.
	MaxMessages uint32
}

// Groups are the sender keys of a Device: its own, and those it was given. New
// makes one, and there is one to a Device. It is safe for concurrent use, and
// prints as redacted.
type Groups struct {
	wire.Secret

	d    *session.Device
	opts Options

	names   locks[string]          // of groups
	ids     locks[DistributionID]  // of own sender keys; taken after those
	senders locks[session.Address] // of those of others
	signing signing
}

// New returns the Groups of a Device.
func New(d *session.Device, o *Options) *Groups {
	g := &Groups{d: d}
	if o != nil {
		g.opts = *o
	}
	if g.opts.MaxAge <= 0 {
		g.opts.MaxAge = 7 * 24 * time.Hour
	}
	if g.opts.MaxMessages == 0 {
		g.opts.MaxMessages = 10000
	}
	g.opts.MaxMessages = min(g.opts.MaxMessages, maxJump)
	return g
}

// hold waits for the lock of a group, or for the end of ctx.
func (g *Groups) hold(ctx context.Context, name string) (release func(), err error) {
	if err := g.names.lock(ctx, name); err != nil {
		return nil, err
	}
	return func() { g.names.unlock(ctx, name) }, nil
}
