package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A person is one end of the conversation.
type person interface {
	name() string
	who() session.Address
	bundle(ctx context.Context) (*x3dh.Bundle, error)
	begin(ctx context.Context, peer session.Address, b *x3dh.Bundle) error
	encrypt(ctx context.Context, peer session.Address, text []byte) (*session.Message, error)
	// decrypt answers a duplicate with session.ErrDuplicate.
	decrypt(ctx context.Context, peer session.Address, m *session.Message) ([]byte, error)
}

// newPeer returns the second person, and what ends it.
func newPeer(ctx context.Context, kind string) (person, func() error, error) {
	if kind == "official" {
		return newOfficial("Budi", budiAddress)
	}
	p, err := newGembok(ctx, "Budi", budiAddress)
	return p, func() error { return nil }, err
}

// A gembokPerson has a Device of this library.
type gembokPerson struct {
	called string
	device *session.Device
}

func newGembok(ctx context.Context, name string, a session.Address) (person, error) {
	d, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: a}, nil)
	if err != nil {
		return nil, err
	}
	return &gembokPerson{name, d}, nil
}

func (p *gembokPerson) name() string         { return p.called }
func (p *gembokPerson) who() session.Address { return p.device.Address() }

func (p *gembokPerson) bundle(ctx context.Context) (*x3dh.Bundle, error) { return p.device.Bundle(ctx) }

func (p *gembokPerson) begin(ctx context.Context, peer session.Address, b *x3dh.Bundle) error {
	return p.device.Begin(ctx, peer, b)
}

func (p *gembokPerson) encrypt(ctx context.Context, peer session.Address, text []byte) (*session.Message, error) {
	return p.device.Encrypt(ctx, peer, text)
}

func (p *gembokPerson) decrypt(ctx context.Context, peer session.Address, m *session.Message) ([]byte, error) {
	r, err := p.device.Decrypt(ctx, peer, m, nil)
	if err != nil {
		return nil, err
	}
	return r.Plaintext, nil
}

// An officialPerson is a party of the official library.
type officialPerson struct {
	called string
	party  *interop.Party
}

func newOfficial(name string, a session.Address) (person, func() error, error) {
	peer, err := interop.Open("")
	if err != nil {
		return nil, nil, err
	}
	party, err := peer.NewParty(interop.PartyOptions{Name: a.User, Device: a.Device, RegistrationID: 4711})
	if err != nil {
		return nil, nil, errors.Join(err, peer.Close())
	}
	return &officialPerson{fmt.Sprintf("%s (official library %s)", name, peer.Version()), party}, peer.Close, nil
}

func (p *officialPerson) name() string { return p.called }

func (p *officialPerson) who() session.Address {
	return session.Address{User: p.party.Address.Name, Device: p.party.Address.Device}
}

func (p *officialPerson) bundle(context.Context) (*x3dh.Bundle, error) {
	b, err := p.party.MakeBundle(interop.BundleOptions{OneTime: true})
	if err != nil {
		return nil, err
	}
	return b.ToBundle()
}

func (p *officialPerson) begin(_ context.Context, peer session.Address, b *x3dh.Bundle) error {
	return p.party.ProcessBundle(official(peer), interop.FromBundle(b), time.Time{})
}

func (p *officialPerson) encrypt(_ context.Context, peer session.Address, text []byte) (*session.Message, error) {
	m, err := p.party.Encrypt(official(peer), text, time.Time{})
	if err != nil {
		return nil, err
	}
	return &session.Message{Type: session.MessageType(m.Type), Bytes: m.Bytes}, nil
}

func (p *officialPerson) decrypt(_ context.Context, peer session.Address, m *session.Message) ([]byte, error) {
	text, err := p.party.Decrypt(official(peer), interop.Message{Type: int(m.Type), Bytes: m.Bytes})
	if e := (*interop.PeerError)(nil); errors.As(err, &e) && e.Name == "DuplicatedMessage" {
		return nil, session.ErrDuplicate
	}
	return text, err
}

func official(a session.Address) interop.Address {
	return interop.Address{Name: a.User, Device: a.Device}
}
