package person

import (
	"context"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// refuse shows a message that cannot be read, and asks its sender for it again
// where that may help: the request goes to the device that sent it, and needs no
// session.
func (p *Person) refuse(ctx context.Context, e incoming, cause error) error {
	if !post.ValidAddress(e.From) { // nobody is known to have sent anything
		return p.ignore(e, cause)
	}
	request, err := p.device.RequestRetry(ctx, e.From, e.message(), e.SentAt, cause)
	if errors.Is(err, session.ErrNoRetry) || unreadable(err) {
		return p.ignore(e, cause)
	}
	if err != nil {
		return err
	}
	if e.by != nil { // it came sealed, and so does the answer
		sender, _, err := p.sealer(ctx)
		if err != nil {
			return err
		}
		s := &session.Sending{SentAt: e.SentAt, Results: []session.Result{{To: e.From, Identity: e.by.Claims().Identity, Message: request}}}
		if err := sender.SealAll(sealed.HintImplicit, e.group)(s); err != nil {
			return p.ignore(e, err)
		}
		request = s.Results[0].Message
	}
	part := &post.Submission{ID: newID(), SentAt: e.SentAt, Letters: []post.Letter{{To: e.From, Type: request.Type, Bytes: request.Bytes}}}
	if e.by == nil {
		part.From = p.me
	}
	said, err := p.relay.submit(ctx, part)
	switch {
	case len(said) > 0 || errors.Is(err, post.ErrRejected) || errors.Is(err, post.ErrUnknown): // nobody to ask
		return p.ignore(e, cause)
	case err != nil:
		return err // and the message comes again
	}
	if err := p.tellAsked(ctx, e); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: AskedEvent, Peer: post.NameOf(e.From.User), Mail: e.ID, Text: cause.Error()})
	return nil
}

// tellAsked announces that, in a conversation with somebody who is known: anybody
// can send what cannot be read.
func (p *Person) tellAsked(ctx context.Context, e incoming) error {
	id, err := p.device.PeerIdentity(ctx, e.From)
	if err != nil || id.Accepted.IsZero() {
		return err
	}
	name := post.NameOf(e.From.User)
	return p.notes.announce(ctx, announced(name, AskedEvent, saying(askedText, nil, name)).of(e.ID, time.Now()))
}

// resend answers somebody who could not read a message, by the same one in a
// ciphertext that they can read. It is in the outbox before the request is
// confirmed. What is no longer kept, or asked for too often, is not sent again; an
// answer that was made and not saved is given again when the request comes again.
func (p *Person) resend(ctx context.Context, e incoming) error {
	s, err := p.answer(ctx, e)
	switch {
	case err == nil && s.Results[0].Err == nil:
		err = p.seal(ctx, &note{ID: newID(), At: s.SentAt, Peer: post.NameOf(e.From.User), Again: true}, s)
		p.wake()
	case err == nil:
		err = s.Results[0].Err
		if !errors.Is(err, post.ErrGone) {
			err = p.ignore(e, err)
		}
	case unreadable(err) || errors.Is(err, session.ErrNoRetry):
		err = p.ignore(e, err)
	}
	if err != nil {
		return err // and the request comes again
	}
	return p.relay.confirm(ctx, p.me, e.ID)
}

// answer makes the message again, and seals it if the request was.
func (p *Person) answer(ctx context.Context, e incoming) (*session.Sending, error) {
	var s *session.Sending
	var err error
	if p.groups != nil {
		s, err = p.groups.Resend(ctx, e.From, e.message())
	} else {
		s, err = p.device.Resend(ctx, e.From, e.message())
	}
	if err != nil || p.unsealed() {
		return s, err
	}
	sender, _, err := p.sealer(ctx)
	if err != nil {
		return nil, err
	}
	return s, sender.SealAll(sealed.HintResendable, nil)(s)
}

// ignore shows a message that nothing comes of.
func (p *Person) ignore(e incoming, cause error) error {
	p.screen.Show(Event{Kind: RefusedEvent, Peer: post.NameOf(e.From.User), Mail: e.ID, Text: cause.Error()})
	return nil
}
