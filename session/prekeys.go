package session

import (
	"context"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// Policy of design, Section 7.
const (
	oneTimeCount = 100     // one-time prekeys of each kind after a top-up
	idSpace      = 1 << 24 // ids are 24 bits
)

// Publish makes what is missing of the device's prekeys, a signed one, a
// last-resort KEM one and one-time ones up to 100 of each kind, and returns
// what a directory should have: the two lasting ones, and the one-time ones
// that MarkPublished was not told of. Calling it again before that returns the
// same keys.
func (d *Device) Publish(ctx context.Context) (*x3dh.Publication, error) {
	var out *x3dh.Publication
	err := d.run(ctx, ownOwner, func(t *tx) (err error) {
		out, err = d.publish(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (d *Device) publish(t *tx) (*x3dh.Publication, error) {
	a, err := t.allocator()
	if err != nil {
		return nil, err
	}
	out := &x3dh.Publication{RegistrationID: d.regID, DeviceID: d.address.Device, IdentityKey: d.identity.Public()}
	if out.SignedPreKey, err = a.signed(); err != nil {
		return nil, err
	}
	if out.LastResort, err = a.lastResort(); err != nil {
		return nil, err
	}
	oneTime, kem, err := a.unpublished()
	if err != nil {
		return nil, err
	}
	for n := len(a.held[kindPreKey]); n < oneTimeCount; n++ {
		oneTime = append(oneTime, a.preKey(0))
	}
	for n := len(a.held[kindKEM]); n < oneTimeCount; n++ {
		kem = append(kem, a.kem(kindKEM, 0))
	}
	out.PreKeys, out.KEMPreKeys = oneTime, kem
	a.close()
	return out, nil
}

// MarkPublished records that a directory has the one-time prekeys of p, so
// that they are not published again. Those used up meanwhile stay so. No
// publication is ErrMalformed.
func (d *Device) MarkPublished(ctx context.Context, p *x3dh.Publication) error {
	if p == nil {
		return fmt.Errorf("%w: no publication", ErrMalformed)
	}
	var all []keystore.Key
	for i := range p.PreKeys {
		all = append(all, d.idKey(kindPreKey, p.PreKeys[i].ID))
	}
	for i := range p.KEMPreKeys {
		all = append(all, d.idKey(kindKEM, p.KEMPreKeys[i].ID))
	}
	return d.run(ctx, ownOwner, func(t *tx) error {
		if err := t.load(all...); err != nil {
			return err
		}
		for _, k := range all {
			rec, err := t.storedPreKey(k)
			if err != nil {
				return err
			}
			if rec == nil || rec.Published != 0 {
				continue
			}
			rec.Published = d.now()
			t.put(k, wire.AppendStoredPreKey(nil, rec))
		}
		return nil
	})
}

// Bundle makes a bundle to be handed to one peer directly. Its one-time
// prekeys are its own; no Publication has them.
func (d *Device) Bundle(ctx context.Context) (*x3dh.Bundle, error) {
	var out *x3dh.Bundle
	err := d.run(ctx, ownOwner, func(t *tx) error {
		a, err := t.allocator()
		if err != nil {
			return err
		}
		out = &x3dh.Bundle{RegistrationID: d.regID, DeviceID: d.address.Device, IdentityKey: d.identity.Public()}
		if out.SignedPreKey, err = a.signed(); err != nil {
			return err
		}
		one := a.preKey(d.now())
		out.PreKey, out.KEMPreKey = &one, a.kem(kindKEM, d.now())
		a.close()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
