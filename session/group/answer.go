package group

import (
	"context"
	"errors"
	"strconv"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// Reconcile does what a server says that a Sending of Send or Distribute lacks, as
// Device.Reconcile: what is missing gets a message of its own session. Whoever is
// none of a user's devices any more, or was set up anew, makes another key due: then
// what was sent to the group is taken back, and the error is session.ErrUnsettled,
// after which Distribute and Send are to be called again, once the app has done
// something about other errors in the Results, such as another identity key. Devices of a Distribute
// are reconciled each for itself; its error is that one only when the group
// changed since, or has another key.
//
// Errors are those of Device.Reconcile.
func (g *Groups) Reconcile(ctx context.Context, s *session.Sending, said ...session.Difference) error {
	return g.d.Reconcile(ctx, s, said...)
}

// Accept records that a server took a Sending of Send or Distribute, as
// Device.Accept does. Those to whom a Distribute gave the key have it from then on,
// if it is the group's still.
//
// Errors are those of Device.Accept.
func (g *Groups) Accept(ctx context.Context, s *session.Sending) error { return g.d.Accept(ctx, s) }

// Resend answers a request of another device, as Device.Resend does, also for what
// was sent to a group. A device that could not read that is taken to lack the sender
// key, and gets it from Distribute before the next message, unless it was given it
// since.
//
// Errors are those of Device.Resend, and those of the store after it: the same
// request again is answered with the same message.
func (g *Groups) Resend(ctx context.Context, from session.Address, m *session.Message) (*session.Sending, error) {
	s, err := g.d.Resend(ctx, from, m)
	if err != nil {
		return nil, err
	}
	name, sentAt, err := g.groupOf(ctx, m)
	if err != nil || name == "" {
		return s, err
	}
	if from, err = from.Canonical(); err != nil {
		return nil, err
	}
	err = g.update(ctx, name, func(t *session.Tx) error {
		r, err := loadGroup(t, name)
		switch {
		case errors.Is(err, ErrNoGroup), errors.Is(err, session.ErrCorrupt):
			return nil
		case err != nil:
			return err
		case !asked(r, from, sentAt, clock(t)):
			return t.Check(groupKey(name))
		}
		return putGroup(t, name, r)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// groupOf returns what the message was sent to that a request is about: the name of
// a group, or of a user, and when; "" is unknown.
func (g *Groups) groupOf(ctx context.Context, m *session.Message) (name string, sentAt uint64, err error) {
	dem, err := wire.ParsePlaintextContent(m.Bytes)
	if err != nil {
		return "", 0, err
	}
	k := keystore.Key{Kind: "sent", Owner: "-", Name: strconv.FormatUint(dem.Timestamp, 10)}
	err = g.d.Update(ctx, nil, func(t *session.Tx) error {
		body, ok, err := t.Get(k)
		if err != nil || !ok {
			return err
		}
		sent, err := wire.ParseSent(body)
		name = sent.SyncTo
		return err
	})
	return name, dem.Timestamp, err
}
