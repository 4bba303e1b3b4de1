package person

import (
	"context"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Me is the address of this device.
func (p *Person) Me() session.Address { return p.me }

// Role names what this device is: "person", "business", or "provider", which operates it.
func (p *Person) Role() string {
	switch {
	case p.role.hosted():
		return "provider"
	case p.role.business():
		return "business"
	}
	return "person"
}

// Identity is the identity key of this device.
func (p *Person) Identity() keys.IdentityKey { return p.device.Identity() }

// Peer is what is known of the identity key of somebody.
func (p *Person) Peer(ctx context.Context, name string) (session.PeerIdentity, error) {
	return p.device.PeerIdentity(ctx, session.Address{User: post.UserOf(name), Device: 1})
}

// Devices asks the relay which devices somebody has.
func (p *Person) Devices(ctx context.Context, name string) (devices []session.Address, err error) {
	list, err := p.relay.Devices(ctx, post.UserOf(name))
	for _, d := range list {
		devices = append(devices, session.Address{User: post.UserOf(name), Device: d.Device})
	}
	return devices, err
}

// Forget forgets the sessions with somebody, and all that was known of their keys.
func (p *Person) Forget(ctx context.Context, name string) error {
	if err := p.device.Forget(ctx, post.UserOf(name)); err != nil {
		return err
	}
	for a := range p.ChangedKeys(name) {
		if err := p.forgetChange(ctx, a); err != nil {
			return err
		}
	}
	p.settle(name)
	return p.calm(ctx, name)
}

// A Message is one that was read or sent.
type Message struct {
	At   time.Time
	Peer string // whom one talks with, or the group in which one does
	From string // who wrote it, in a group
	Mine bool
	Text string
	File *File // that the text is about
}

// Messages returns what was read and sent, oldest first.
func (p *Person) Messages(ctx context.Context) (out []Message, err error) {
	all, err := p.notes.all(ctx, kindHistory)
	for _, x := range all {
		b := x.body()
		out = append(out, Message{At: x.At, Peer: x.Peer, From: x.From, Mine: x.Mine, Text: b.says(), File: b.attached()})
	}
	return out, err
}
