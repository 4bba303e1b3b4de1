package crash

import (
	"context"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// copies is how many messages are kept for retries, of those that are sent to
// users.
const copies = 12

// A listing is what the server says of a device.
type listing struct {
	Peer           session.Address
	RegistrationID uint32
	Bundle         []byte // nil: only its bundle is listed, or none is needed
	Hidden         bool   // it is not on the list of its user
}

// A result is a session.Result.
type result struct {
	To             session.Address
	RegistrationID uint32
	Type           byte
	Bytes          []byte
	Err            string
}

// Devices makes an actor the Directory of its Device.
func (a *actor) Devices(_ context.Context, user string) (out []session.PeerDevice, err error) {
	for _, l := range a.lists {
		if l.Peer.User == user && !l.Hidden {
			out = append(out, session.PeerDevice{Device: l.Peer.Device, RegistrationID: l.RegistrationID})
		}
	}
	return out, nil
}

func (a *actor) Bundle(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
	i := slices.IndexFunc(a.lists, func(l listing) bool { return l.Peer == peer })
	if i < 0 {
		return nil, session.ErrNoDevice
	}
	return x3dh.ParseBundle(a.lists[i].Bundle)
}

func (*actor) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// sent is the outcome of a Sending.
func (r *reply) sent(s *session.Sending) {
	r.SentAt = s.SentAt.UTC()
	for _, one := range s.Results {
		out := result{To: one.To, RegistrationID: one.RegistrationID, Err: errorName(one.Err)}
		if one.Message != nil {
			out.Type, out.Bytes = byte(one.Message.Type), one.Message.Bytes
		}
		r.Results = append(r.Results, out)
	}
}

func (a *actor) send(c *command, r *reply) error {
	s, err := a.d.Send(ctx, c.Users, &session.Content{Body: []byte(c.Text)}, nil)
	if err == nil {
		a.sending = s
		r.sent(s)
	}
	return err
}

// reconcile has the newest Sending do what is said of one user.
func (a *actor) reconcile(c *command, r *reply) error {
	err := a.d.Reconcile(ctx, a.sending, session.Difference{User: c.Users[0], Missing: c.Missing, Stale: c.Stale, Extra: c.Extra})
	if err == nil {
		r.sent(a.sending)
	}
	return err
}

func (a *actor) resend(c *command, r *reply) error {
	s, err := a.d.Resend(ctx, c.Peer, c.message())
	if err == nil {
		r.sent(s)
	}
	return err
}

func (a *actor) request(c *command, r *reply) error {
	m, err := a.d.RequestRetry(ctx, c.Peer, c.message(), c.Expires, session.ErrAuth)
	if err == nil {
		r.Type, r.Bytes = byte(m.Type), m.Bytes
	}
	return err
}

func (a *actor) verify(c *command, _ *reply) error {
	key, err := keys.ParseIdentityKey(c.Bytes)
	if err != nil {
		return err
	}
	return a.d.Verify(ctx, c.Peer, key, c.Yes)
}

// copyTime is how long copies are kept, and answerTime answers.
const (
	copyTime   = 14 * 24 * time.Hour
	answerTime = 24 * time.Hour
)
