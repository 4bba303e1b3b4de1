package person

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// linkEvery is how often a new device looks whether it is linked.
const linkEvery = 200 * time.Millisecond

// askToLink makes this a further device of somebody: it shows a code, waits until
// one types that into the old device, and has the account.
func askToLink(ctx context.Context, me session.Address, relay *Client, s Screen) (session.Account, error) {
	link, err := session.GenerateLink(me, nil)
	if err != nil {
		return session.Account{}, err
	}
	if err := relay.pin(ctx, me.User, post.LinkKey, link.PublicKey()); err != nil {
		return session.Account{}, err
	}
	s.Show(Event{Kind: LinkEvent, Text: link.Code()})
	for {
		sealed, err := relay.pinned(ctx, me.User, post.LinkAnswer)
		if err == nil {
			return link.Open(sealed)
		}
		if pause(ctx, linkEvery); ctx.Err() != nil || !errors.Is(err, post.ErrUnknown) {
			return session.Account{}, err
		}
	}
}

// Link gives the account to the new device that shows a code. The code comes by
// the eyes of its owner, so that no key of the relay's can stand in for that of
// the new device.
func (p *Person) Link(ctx context.Context, code string) error {
	key, err := p.relay.pinned(ctx, p.me.User, post.LinkKey)
	switch {
	case errors.Is(err, post.ErrUnknown):
		return session.ErrLink // no device waits
	case err != nil:
		return err
	}
	sealed, err := p.device.Link(ctx, code, key)
	if errors.Is(err, session.ErrMalformed) {
		return fmt.Errorf("%w: %w", session.ErrLink, err)
	}
	if err != nil {
		return err
	}
	return p.relay.pin(ctx, p.me.User, post.LinkAnswer, sealed)
}

// Remove takes another device of one's own off the relay's list. Nobody writes to
// it any more, once they have heard of that.
func (p *Person) Remove(ctx context.Context, device uint32) error {
	if device == p.me.Device {
		return plainly("own", thisDeviceText)
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
	p.screen.Show(Event{Kind: NoticeEvent, Text: fmt.Sprintf("device %d is removed", device)})
	return nil
}
