package sealed

import (
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// SealAll returns what seals all messages of a Sending: what SendOptions.Seal is
// to be, and what is done to that of a Device.Resend before it is submitted.
//
// A message for one device goes in an envelope of version 1 in its place. A
// message of a group, which many devices get, becomes the Sending's Envelope, of
// version 2 in the form that is sent to a server, for Split; devices that have no
// part in that, of users whose names are no service ids or who have another
// identity key on another device, have theirs in place, as Split would have made
// it.
//
// An envelope is for one identity key. A device that has another one by now cannot
// open it, and does not know whom to ask for it again; a server that compares the
// registration ids says so before (session.Difference).
//
// Errors: those of Seal and SealMany; ErrMalformed for a Sending that is not
// there yet, in a transaction of the app's that was not committed. The Sending
// is not to be used then.
func (s *Sender) SealAll(hint Hint, group []byte) func(*session.Sending) error {
	return func(sending *session.Sending) error {
		if sending.SentAt.IsZero() {
			return fmt.Errorf("%w: sending of a transaction that is not committed", session.ErrMalformed)
		}
		var own, shared []*session.Result
		for i := range sending.Results {
			switch r := &sending.Results[i]; {
			case r.Message == nil || r.Message.Type == session.TypeSealed: // nothing to do, or done
			case r.Message.Type == session.TypeSenderKey:
				shared = append(shared, r)
			default:
				own = append(own, r)
			}
		}
		if err := s.sealOwn(own, hint, group); err != nil || len(shared) == 0 {
			return err
		}
		return s.sealShared(sending, shared, hint, group)
	}
}

// sealOwn seals messages each of which is for one device.
func (s *Sender) sealOwn(results []*session.Result, hint Hint, group []byte) error {
	bad, err := parallel(len(results), func(i int) (err error) {
		r := results[i]
		r.Message, err = s.Seal(r.Identity, r.Message, hint, group)
		return err
	})
	if err != nil {
		return &RecipientError{Address: results[bad].To, Err: err}
	}
	return nil
}

// sealShared seals the one message that all results have, which are in the order
// of their addresses.
func (s *Sender) sealShared(sending *session.Sending, results []*session.Result, hint Hint, group []byte) error {
	m := results[0].Message
	var to []Recipient
	var apart []*session.Result
	for _, r := range results {
		_, err := wire.ParseServiceID(r.To.User)
		device := Device{ID: r.To.Device, RegistrationID: r.RegistrationID}
		last := len(to) - 1
		switch again := last >= 0 && to[last].User == r.To.User; {
		case err != nil, again && !to[last].Identity.Equal(r.Identity):
			apart = append(apart, r)
			continue
		case again:
			to[last].Devices = append(to[last].Devices, device)
		default:
			to = append(to, Recipient{User: r.To.User, Devices: []Device{device}, Identity: r.Identity})
		}
		r.Message = nil
	}
	if err := s.sealApart(apart, m, hint, group); err != nil || len(to) == 0 {
		return err
	}
	var err error
	sending.Envelope, err = s.SealMany(to, nil, m, hint, group)
	return err
}

// sealApart seals a message for many, the received form for each.
func (s *Sender) sealApart(results []*session.Result, m *session.Message, hint Hint, group []byte) error {
	if len(results) == 0 {
		return nil
	}
	c, err := s.content(m, hint, group)
	if err != nil {
		return err
	}
	at := make(map[keys.IdentityKey]int, len(results))
	var identities []keys.IdentityKey
	for _, r := range results {
		if _, again := at[r.Identity]; !again {
			at[r.Identity] = len(identities)
			identities = append(identities, r.Identity)
		}
	}
	made, bad, err := s.sealReceived(identities, c)
	if err != nil {
		whose := slices.IndexFunc(results, func(r *session.Result) bool { return r.Identity == identities[bad] })
		return &RecipientError{Address: results[whose].To, Err: err}
	}
	for _, r := range results {
		r.Message = made[at[r.Identity]]
	}
	return nil
}

// sealReceived makes the received form for each identity key. Of what fails it
// returns the first.
func (s *Sender) sealReceived(to []keys.IdentityKey, c *wire.SealedContent) (out []*session.Message, bad int, err error) {
	var coins [32]byte
	rand.Read(coins[:])
	x := newV2(&coins)
	defer x.clear()
	clear(coins[:])
	made, bad, err := s.keys(x, len(to), func(i int) keys.IdentityKey { return to[i] })
	if err != nil {
		return nil, bad, err
	}
	shared := x.appendShared(nil, c)
	out = make([]*session.Message, len(to))
	for i := range made {
		out[i] = &session.Message{Type: session.TypeSealed, Bytes: wire.AppendSealedReceived(nil, &made[i], shared)}
	}
	return out, 0, nil
}
