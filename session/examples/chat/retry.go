package main

import (
	"context"
	"errors"

	"github.com/gembok-e2ee/gembok/session"
)

// refuse shows a message that cannot be read, and asks its sender for it again
// where that may help: the request goes to the device that sent it, and needs no
// session.
func (p *person) refuse(ctx context.Context, e envelope, m *session.Message, cause error) error {
	kind := refusedEvent
	request, err := p.device.RequestRetry(ctx, e.From, m, e.SentAt, cause)
	if err == nil {
		said, err := p.relay.submit(ctx, p.me, "again-"+e.ID, &submission{
			SentAt: e.SentAt, Letters: []letter{{To: e.From, Type: request.Type, Bytes: request.Bytes}},
		})
		if err != nil && !hopeless(err) {
			return err // and the message comes again
		}
		if err == nil && len(said) == 0 {
			kind = askedEvent
		}
	} else if !errors.Is(err, session.ErrNoRetry) && !unreadable(err) {
		return err
	}
	p.screen.show(event{Kind: kind, Peer: nameOf(e.From.User), Mail: e.ID, Text: cause.Error()})
	return nil
}

// hopeless reports whether the relay will answer so every time.
func hopeless(err error) bool { return errors.Is(err, errRejected) || errors.Is(err, errUnknown) }

// resend answers somebody who could not read a message, by the same one in a
// ciphertext that they can read. It is in the outbox before the request is
// confirmed. Requests for what is no longer kept, or that come too often, are
// not answered.
func (p *person) resend(ctx context.Context, e envelope, m *session.Message) error {
	s, err := p.device.Resend(ctx, e.From, m)
	if err == nil {
		err = s.Results[0].Err
	}
	var untrusted *session.UntrustedIdentityError
	switch {
	case err == nil:
		if err := p.seal(ctx, &note{ID: newID(), At: s.SentAt, Peer: nameOf(e.From.User), Again: true}, s); err != nil {
			return err
		}
		p.wake()
	case unreadable(err) || errors.Is(err, session.ErrNoRetry) || errors.Is(err, session.ErrBlocked) || errors.As(err, &untrusted):
		p.screen.show(event{Kind: refusedEvent, Peer: nameOf(e.From.User), Mail: e.ID, Text: err.Error()})
	default:
		return err
	}
	return p.relay.confirm(ctx, p.me, e.ID)
}
