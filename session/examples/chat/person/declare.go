package person

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	day = 24 * time.Hour
	// statedFor is how long a manifest is good, and renewBefore how long before its
	// end there is a new one.
	statedFor, renewBefore = 30 * day, 10 * day
	// acceptedFor is how long a device's own signature in it is good.
	acceptedFor = 365 * day
)

// state sees to it, once a day, that others can know who holds the key of this
// device. Of the official library's nothing is known, and that is shown.
func (p *Person) state(ctx context.Context) (err error) {
	switch {
	case p.own == nil:
	case p.role.hosted():
		err = p.apply(ctx)
	default:
		err = p.declare(ctx, p.withMe)
	}
	if err == nil {
		p.restate = time.Now().Add(day)
	}
	return err
}

// declare publishes who holds the keys of the account: those devices that change
// makes of those that were there. A device adds itself before it publishes its
// prekeys, so that nobody hears of it before.
func (p *Person) declare(ctx context.Context, change func([]hosting.Endpoint) ([]hosting.Endpoint, error)) error {
	account, err := p.accountKey()
	if err != nil {
		return err
	}
	for range 5 { // another device of the account may do the same meanwhile
		last, err := p.stated(ctx)
		if err != nil {
			return err
		}
		next, err := p.successor(last, account, change)
		if err != nil {
			return err
		}
		err = p.relay.declare(ctx, p.me.User, next.Bytes())
		switch {
		case err == nil:
			return p.holds(ctx, next)
		case !errors.Is(err, post.ErrDiffers):
			return err
		}
	}
	return post.ErrDiffers
}

// stated returns the newest manifest of the account, that of the relay or the one
// that is held here, nil for none.
func (p *Person) stated(ctx context.Context) (*hosting.Manifest, error) {
	held, err := p.gate.Manifest(ctx, p.own, p.me.User)
	if err != nil {
		return nil, err
	}
	signed, err := p.relay.Manifest(ctx, p.me.User)
	if err != nil || signed == nil {
		return held, err
	}
	m, err := hosting.Parse(signed)
	if err == nil {
		err = m.Verify(m.NotBefore)
	}
	if held != nil && (err != nil || m.Epoch <= held.Epoch) {
		return held, nil // the relay started anew, or shows an old one
	}
	return m, err
}

// successor returns the manifest after last, or last itself where that says it all and
// is good for long enough. Of one by another account key, that of an installation
// that is gone, only the number counts.
func (p *Person) successor(last *hosting.Manifest, account *keys.IdentityKeyPair, change func([]hosting.Endpoint) ([]hosting.Endpoint, error)) (*hosting.Manifest, error) {
	now := time.Now().Truncate(time.Second)
	m := &hosting.Manifest{Account: p.me.User, Kind: p.role.kind(), Epoch: 1, NotBefore: now, NotAfter: now.Add(statedFor)}
	var before []hosting.Endpoint
	if last != nil {
		m.Epoch, m.Previous = last.Epoch+1, last.Hash()
		if last.Key.Equal(account.Public()) {
			before = last.Endpoints
		}
	}
	var err error
	if m.Endpoints, err = change(slices.Clone(before)); err != nil {
		return nil, err
	}
	if before != nil && slices.EqualFunc(before, m.Endpoints, same) && now.Before(last.NotAfter.Add(-renewBefore)) {
		return last, nil
	}
	slices.SortFunc(m.Endpoints, func(a, b hosting.Endpoint) int { return int(a.Device) - int(b.Device) })
	_, err = m.Sign(account)
	return m, err
}

func same(a, b hosting.Endpoint) bool {
	return a.Device == b.Device && a.Identity.Equal(b.Identity) && a.NotAfter.Equal(b.NotAfter)
}

// withMe adds this device, or renews what is said of it, and of the others that
// have the same key.
func (p *Person) withMe(list []hosting.Endpoint) ([]hosting.Endpoint, error) {
	mine := func(e hosting.Endpoint) bool { return e.Identity.Equal(p.device.Identity()) }
	list = slices.DeleteFunc(list, func(e hosting.Endpoint) bool { return e.Device == p.me.Device && !mine(e) })
	if !slices.ContainsFunc(list, func(e hosting.Endpoint) bool { return e.Device == p.me.Device }) {
		e := p.role.endpoint()
		e.Device, e.Identity = p.me.Device, p.device.Identity()
		list = append(list, e)
	}
	for i := range list {
		if e := &list[i]; mine(*e) && time.Until(e.NotAfter) < statedFor+day {
			if err := p.accepts(e); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// accepts signs what is said of a device that has the key of this one.
func (p *Person) accepts(e *hosting.Endpoint) error {
	account, err := p.accountKey()
	if err != nil {
		return err
	}
	e.NotAfter = time.Now().Add(acceptedFor).Truncate(time.Second)
	return e.Accept(p.me.User, account.Public(), p.own.IdentityKeyPair())
}

// withoutDevice leaves a device out.
func withoutDevice(device uint32) func([]hosting.Endpoint) ([]hosting.Endpoint, error) {
	return func(list []hosting.Endpoint) ([]hosting.Endpoint, error) {
		return slices.DeleteFunc(list, func(e hosting.Endpoint) bool { return e.Device == device }), nil
	}
}

// accountKey is the key that signs for the account.
func (p *Person) accountKey() (*keys.IdentityKeyPair, error) {
	switch {
	case p.own == nil:
		return nil, errors.New("the official library states nothing here")
	case p.role.hosted():
		return nil, errors.New("the key of the account is not here")
	case p.role.business():
		return keys.NewIdentityKeyPair(p.role.Account)
	}
	return p.own.IdentityKeyPair(), nil
}

// holds takes note of the manifest in force, of which the device's messages tell.
func (p *Person) holds(ctx context.Context, m *hosting.Manifest) error {
	held, err := p.gate.Manifest(ctx, p.own, p.me.User)
	if err == nil && (held == nil || held.Epoch < m.Epoch) {
		err = p.gate.Publish(ctx, p.own, m.Bytes())
	}
	return err
}
