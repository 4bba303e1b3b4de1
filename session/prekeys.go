package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// Publish makes what is missing of the device's prekeys, a signed one, a
// last-resort KEM one and one-time ones up to PreKeyPolicy.OneTime of each
// kind, and returns what a directory should have: the two lasting ones, and the
// one-time ones that MarkPublished was not told of. Calling it again before
// that returns the same keys. It is for the first time, or for a directory that
// lost its own; Upkeep does the rest.
//
// A prekey whose record is damaged is passed over and counts as missing. Errors
// are keystore.ErrNewerFormat, ErrCorrupt for the record of the ids, and those
// of the store.
func (d *Device) Publish(ctx context.Context) (*x3dh.Publication, error) {
	var out *x3dh.Publication
	err := d.run(ctx, ownOwner, func(t *Tx) error {
		a, err := t.allocator()
		if err != nil {
			return err
		}
		a.fill(d.opts.PreKeys.orDefaults().OneTime)
		p, err := a.publication()
		if err != nil {
			return err
		}
		a.close()
		out = withhold(t, p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// MarkPublished records that a directory has the prekeys of p, so that they
// are not published again. Those used up or replaced meanwhile stay so, and
// what is not a prekey of this device is passed over. No publication is
// ErrMalformed.
func (d *Device) MarkPublished(ctx context.Context, p *x3dh.Publication) error {
	if p == nil {
		return fmt.Errorf("%w: no publication", ErrMalformed)
	}
	all := d.published(p)
	wanted := make([]keystore.Key, len(all))
	for i := range all {
		wanted[i] = all[i].key
	}
	return d.run(ctx, ownOwner, func(t *Tx) error {
		if err := t.load(wanted...); err != nil {
			return err
		}
		for i := range all {
			if err := t.markPublished(&all[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// A published prekey is the record that it belongs to, and its public key.
type published struct {
	key    keystore.Key
	public []byte
}

func (d *Device) published(p *x3dh.Publication) []published {
	out := []published{
		{d.idKey(kindSigned, p.SignedPreKey.ID), p.SignedPreKey.Key.Bytes()},
		{d.idKey(kindLastResort, p.LastResort.ID), p.LastResort.Key.Bytes()},
	}
	for i := range p.PreKeys {
		out = append(out, published{d.idKey(kindPreKey, p.PreKeys[i].ID), p.PreKeys[i].Key.Bytes()})
	}
	for i := range p.KEMPreKeys {
		out = append(out, published{d.idKey(kindKEM, p.KEMPreKeys[i].ID), p.KEMPreKeys[i].Key.Bytes()})
	}
	return out
}

// markPublished marks the loaded record of a prekey, if it is that one's.
func (t *Tx) markPublished(p *published) error {
	stored, err := t.storedPreKey(p.key)
	if errors.Is(err, ErrCorrupt) {
		return nil // it is not offered again
	}
	if err != nil || stored == nil || stored.Published != 0 {
		return err
	}
	_, public, err := halves(p.key.Kind, stored.Record)
	if err != nil || !bytes.Equal(public, p.public) {
		return nil
	}
	stored.Published = t.d.now()
	t.put(p.key, wire.AppendStoredPreKey(nil, stored))
	return nil
}

// Bundle makes a bundle to be handed to one peer directly. Its one-time
// prekeys are its own: no Publication has them, and they do not count as ones
// that a directory has. They go when they are used, or with the signed prekey
// of the bundle.
func (d *Device) Bundle(ctx context.Context) (*x3dh.Bundle, error) {
	var out *x3dh.Bundle
	err := d.run(ctx, ownOwner, func(t *Tx) error {
		a, err := t.allocator()
		if err != nil {
			return err
		}
		b := &x3dh.Bundle{RegistrationID: d.regID, DeviceID: d.address.Device, IdentityKey: d.identity.Public()}
		if b.SignedPreKey, err = a.signed(); err != nil {
			return err
		}
		retired := max(d.now(), a.current(kindSigned).Created) // never before the signed one, whatever the clock
		one := a.preKey(retired)
		b.PreKey, b.KEMPreKey = &one, a.kem(kindKEM, retired)
		a.close()
		out = withhold(t, b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
