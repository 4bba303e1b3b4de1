package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/session"
)

// linkEvery is how often a new device looks whether it is linked.
const linkEvery = 200 * time.Millisecond

// askToLink makes this a further device of somebody: it shows a code, waits until
// one types that into the old device, and has the account.
func askToLink(ctx context.Context, me session.Address, relay *client, s screen) (session.Account, error) {
	link, err := session.GenerateLink(me, nil)
	if err != nil {
		return session.Account{}, err
	}
	if err := relay.pin(ctx, me.User, linkKey, link.PublicKey()); err != nil {
		return session.Account{}, err
	}
	s.show(event{Kind: linkEvent, Text: link.Code()})
	for {
		sealed, err := relay.pinned(ctx, me.User, linkAnswer)
		if err == nil {
			return link.Open(sealed)
		}
		if pause(ctx, linkEvery); ctx.Err() != nil || !errors.Is(err, errUnknown) {
			return session.Account{}, err
		}
	}
}

// link gives the account to the new device that shows a code. The code comes by
// the eyes of its owner, so that no key of the relay's can stand in for that of
// the new device.
func (p *person) link(ctx context.Context, code string) error {
	key, err := p.relay.pinned(ctx, p.me.User, linkKey)
	if err != nil {
		return err
	}
	sealed, err := p.device.Link(ctx, code, key)
	if err != nil {
		return err
	}
	return p.relay.pin(ctx, p.me.User, linkAnswer, sealed)
}

// remove takes another device of one's own off the relay's list. Nobody writes to
// it any more, once they have heard of that.
func (p *person) remove(ctx context.Context, device uint32) error {
	if device == p.me.Device {
		return errors.New("that is this device; remove it by another one")
	}
	if err := p.relay.remove(ctx, session.Address{User: p.me.User, Device: device}); err != nil {
		return err
	}
	if err := p.declare(ctx, withoutDevice(device)); err != nil {
		return err
	}
	if err := p.device.Refresh(ctx, p.me.User); err != nil {
		return err
	}
	if err := p.news(ctx); err != nil {
		return err
	}
	p.screen.show(event{Kind: noticeEvent, Text: fmt.Sprintf("device %d is removed", device)})
	return nil
}
