package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/session"
)

// write puts a message into the outbox.
func (p *person) write(ctx context.Context, to, text string) error {
	if _, changed := p.changedKey(to); changed {
		return fmt.Errorf("not sent: %s has another identity key than before; see /who, and /accept", to)
	}
	if err := p.notes.save(ctx, kindOutbox, &note{ID: newID(), At: time.Now(), Peer: to, Mine: true, Text: text}); err != nil {
		return err
	}
	p.wake()
	return nil
}

// wake makes sendAll look into the outbox.
func (p *person) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// sendAll empties the outbox whenever there is something in it.
func (p *person) sendAll(ctx context.Context) {
	for ctx.Err() == nil {
		left, err := p.sendSome(ctx)
		var again <-chan time.Time
		if left > 0 || err != nil {
			again = time.After(retryAfter)
		}
		select {
		case <-p.kick:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// sendSome sends what can be sent, and returns how many messages wait for
// something. Those to one person leave in the order in which they were written.
func (p *person) sendSome(ctx context.Context) (left int, err error) {
	all, err := p.notes.all(ctx, kindOutbox)
	if err != nil {
		p.screen.show(event{Kind: troubleEvent, Text: err.Error()})
		return 0, err
	}
	waits := map[string]bool{}
	for _, x := range all {
		if _, changed := p.changedKey(x.Peer); changed {
			waits[x.Peer] = true // and takes no bundle meanwhile
		}
		if !waits[x.Peer] {
			err := p.send(ctx, x)
			if ctx.Err() != nil {
				return left, ctx.Err()
			}
			p.explain(x.Peer, err)
			waits[x.Peer] = err != nil
		}
		if waits[x.Peer] {
			left++
		}
	}
	return left, nil
}

// send brings one message to the relay. It is saved before every step that
// cannot be repeated: as text, as ciphertext, as sent.
func (p *person) send(ctx context.Context, x *note) error {
	if x.Message == nil {
		m, err := p.encrypt(ctx, x.Peer, []byte(x.Text))
		if err != nil {
			return err
		}
		x.Message = m
		if err := p.notes.save(ctx, kindOutbox, x); err != nil {
			return err // this ciphertext never leaves; another will
		}
	}
	err := p.relay.send(ctx, x.Peer, envelope{ID: x.ID, From: p.name, Type: x.Message.Type, Bytes: x.Message.Bytes})
	if errors.Is(err, errRejected) {
		p.screen.show(event{Kind: troubleEvent, Text: "a message to " + x.Peer + " is not sent: " + err.Error()})
		return p.notes.drop(ctx, x)
	}
	if err != nil {
		return err
	}
	if err := p.notes.saveSent(ctx, x); err != nil {
		return err
	}
	p.screen.show(event{Kind: sentEvent, Peer: x.Peer, Mail: x.ID})
	return nil
}

// encrypt encrypts for someone, and begins a session if there is none.
func (p *person) encrypt(ctx context.Context, to string, text []byte) (*session.Message, error) {
	m, err := p.device.Encrypt(ctx, address(to), text)
	if !errors.Is(err, session.ErrNoSession) && !errors.Is(err, session.ErrStale) {
		return m, err
	}
	bundle, err := p.relay.bundle(ctx, to)
	if err != nil {
		return nil, err
	}
	if err := p.device.Begin(ctx, address(to), bundle); err != nil {
		return nil, err
	}
	return p.device.Encrypt(ctx, address(to), text)
}

// explain shows why messages to someone wait, once for each reason.
func (p *person) explain(name string, err error) {
	var untrusted *session.UntrustedIdentityError
	switch {
	case !p.isNews(name, err) || err == nil:
	case errors.As(err, &untrusted):
		p.noteChange(name, untrusted.Seen)
	default:
		p.screen.show(event{Kind: waitsEvent, Peer: name, Text: err.Error()})
	}
}

// accept accepts the identity key of someone that was shown as changed.
func (p *person) accept(ctx context.Context, name string) error {
	key, changed := p.changedKey(name)
	if !changed {
		return errors.New("no other identity key of " + name + " was shown")
	}
	if err := p.device.AcceptIdentity(ctx, address(name), key); err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.changed, name)
	p.mu.Unlock()
	p.isNews(name, nil)
	p.wake()
	return nil
}
