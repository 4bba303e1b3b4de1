package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An officialDevice is a device of the official library, which runs in a child
// process. It keeps all in memory, stages nothing and replaces no prekeys.
type officialDevice struct {
	peer     *interop.Peer
	party    *interop.Party
	identity keys.IdentityKey
}

func newOfficial(name string) (*officialDevice, error) {
	peer, err := interop.Open("")
	if err != nil {
		return nil, err
	}
	a := address(name)
	party, err := peer.NewParty(interop.PartyOptions{Name: a.User, Device: a.Device, RegistrationID: 4711})
	if err != nil {
		return nil, errors.Join(err, peer.Close())
	}
	identity, err := keys.ParseIdentityKey(party.Identity)
	if err != nil {
		return nil, errors.Join(err, peer.Close())
	}
	return &officialDevice{peer, party, identity}, nil
}

func (d *officialDevice) close() { _ = d.peer.Close() }

func (d *officialDevice) Identity() keys.IdentityKey { return d.identity }

// Publish makes a publication of one bundle.
func (d *officialDevice) Publish(context.Context) (*x3dh.Publication, error) {
	made, err := d.party.MakeBundle(interop.BundleOptions{OneTime: true, LastResort: true})
	if err != nil {
		return nil, err
	}
	b, err := made.ToBundle()
	if err != nil {
		return nil, err
	}
	return &x3dh.Publication{
		RegistrationID: b.RegistrationID, DeviceID: b.DeviceID, IdentityKey: b.IdentityKey,
		SignedPreKey: b.SignedPreKey, LastResort: b.KEMPreKey, PreKeys: []x3dh.PreKey{*b.PreKey},
	}, nil
}

func (d *officialDevice) MarkPublished(context.Context, *x3dh.Publication) error { return nil }

func (d *officialDevice) Upkeep(context.Context) (*x3dh.Publication, error) { return nil, nil }

func (d *officialDevice) Due(context.Context) (session.Due, error) {
	return session.Due{At: time.Now().AddDate(1, 0, 0)}, nil
}

func (d *officialDevice) Begin(_ context.Context, peer session.Address, b *x3dh.Bundle) error {
	return d.party.ProcessBundle(official(peer), interop.FromBundle(b), time.Time{})
}

func (d *officialDevice) Encrypt(_ context.Context, peer session.Address, text []byte) (*session.Message, error) {
	if ok, _, err := d.party.HasSession(official(peer), time.Time{}); err != nil || !ok {
		return nil, errors.Join(err, session.ErrNoSession)
	}
	m, err := d.party.Encrypt(official(peer), text, time.Time{})
	if err != nil {
		return nil, err
	}
	return &session.Message{Type: session.MessageType(m.Type), Bytes: m.Bytes}, nil
}

func (d *officialDevice) Decrypt(_ context.Context, from session.Address, m *session.Message, _ *session.DecryptOptions) (*session.Received, error) {
	text, err := d.party.Decrypt(official(from), interop.Message{Type: int(m.Type), Bytes: m.Bytes})
	switch e := (*interop.PeerError)(nil); {
	case errors.As(err, &e) && e.Name == "DuplicatedMessage":
		return nil, session.ErrDuplicate
	case errors.As(err, &e):
		return nil, fmt.Errorf("%w: %w", session.ErrAuth, err)
	case err != nil:
		return nil, err
	}
	return &session.Received{ID: sha256.Sum256(m.Bytes), From: from, Accepted: true, Plaintext: text, ReceivedAt: time.Now()}, nil
}

func (d *officialDevice) Acknowledge(context.Context, ...*session.Received) error { return nil }

func (d *officialDevice) Unacknowledged(context.Context) iter.Seq2[*session.Received, error] {
	return func(func(*session.Received, error) bool) {}
}

func (d *officialDevice) PeerIdentity(_ context.Context, peer session.Address) (session.PeerIdentity, error) {
	b, err := d.party.IdentityOf(official(peer))
	if err != nil || b == nil {
		return session.PeerIdentity{}, err
	}
	k, err := keys.ParseIdentityKey(b)
	return session.PeerIdentity{Accepted: k, Seen: k}, err
}

func (d *officialDevice) AcceptIdentity(_ context.Context, peer session.Address, key keys.IdentityKey) error {
	return d.party.SetIdentity(official(peer), key.Bytes())
}

func official(a session.Address) interop.Address {
	return interop.Address{Name: a.User, Device: a.Device}
}
