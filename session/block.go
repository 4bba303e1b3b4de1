package session

import (
	"context"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Block says whether anything is sent to a user. While one is blocked, Encrypt,
// Begin and Send are ErrBlocked for all devices of that user, in every process
// that works on the store; what comes from them is read as before, and it is the
// app's to show it. Sessions and identity keys stay as they are.
//
// Errors: ErrMalformed for a user name; keystore.ErrNewerFormat, ErrCorrupt,
// those of the store. After an error nothing changed.
func (d *Device) Block(ctx context.Context, user string, blocked bool) error {
	user, err := userName(user)
	if err != nil {
		return err
	}
	return d.run(ctx, "", func(t *Tx) error {
		k := d.peerKey(Address{User: user})
		if err := t.load(k); err != nil {
			return err
		}
		p, err := t.peer(user)
		if err != nil || p.Blocked == blocked {
			return err
		}
		p.Blocked = blocked
		t.put(k, wire.AppendPeer(nil, &p))
		return nil
	})
}

// peer reads the loaded record "peer" of a user; the zero value where there is
// none.
func (t *Tx) peer(user string) (wire.Peer, error) {
	body, ok, err := t.get(t.d.peerKey(Address{User: user}))
	if err != nil || !ok {
		return wire.Peer{}, err
	}
	p, err := wire.ParsePeer(body)
	if err != nil {
		return wire.Peer{}, corrupt(err)
	}
	return p, nil
}

// mayReach refuses to send to a user that is blocked, going by the loaded record
// "peer", which the outcome then depends on.
func (t *Tx) mayReach(user string) error {
	p, err := t.peer(user)
	if err != nil {
		return err
	}
	if p.Blocked {
		return ErrBlocked
	}
	t.check(t.d.peerKey(Address{User: user}))
	return nil
}
