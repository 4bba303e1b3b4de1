package session_test

import (
	"cmp"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A guide is a Directory that says the same each time: alice's one device with
// this registration id, and this bundle.
type guide struct {
	registrationID uint32
	bundle         *x3dh.Bundle
	manifest       []byte
}

func (g *guide) Devices(_ context.Context, user string) ([]session.PeerDevice, error) {
	if user != aliceAddress.User {
		return nil, nil
	}
	return []session.PeerDevice{{Device: aliceAddress.Device, RegistrationID: g.registrationID}}, nil
}

func (g *guide) Bundle(context.Context, session.Address) (*x3dh.Bundle, error) { return g.bundle, nil }

func (g *guide) Manifest(context.Context, string) ([]byte, error) { return g.manifest, nil }

// guided gives bob a Directory.
func (p *pair) guided(t *testing.T, registrationID uint32) {
	t.Helper()
	o := *p.bob.opts
	o.Directory = &guide{registrationID: registrationID, bundle: bundleOf(t, p.alice)}
	p.bob.opts = &o
	p.bob = p.bob.reopen(t)
}

// knows has bob know who there is, and keep no copies, of which each would have
// another name.
func (p *pair) knows(t *testing.T) {
	t.Helper()
	require.NoError(t, p.bob.Refresh(ctx, aliceAddress.User, bobAddress.User))
	p.bob.opts.RetryFor = -1
}

// sendingText is the run that sends to alice, and must come to one ciphertext.
var sendingText = on(func(ctx context.Context, d *session.Device) error {
	s, err := d.Send(ctx, []string{aliceAddress.User}, &session.Content{Body: []byte("text")}, nil)
	switch {
	case err != nil && s != nil:
		return errors.New("a sending beside the error")
	case err != nil:
		return err
	case len(s.Results) != 1:
		return errors.New("no result")
	}
	return s.Results[0].Err
})

// reconciling is the run that does what a server says of a Sending, on a copy.
func reconciling(s *session.Sending, said session.Difference) run {
	return on(func(ctx context.Context, d *session.Device) error {
		c := *s
		return d.Reconcile(ctx, &c, said)
	})
}

// sendings are the operations on many devices. Those that encrypt have it in
// their names.
var sendings = []operation{
	{"Send and Encrypt", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		p.knows(t)
		return p.bob, sendingText
	}},
	{"Send and Encrypt first", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.guided(t, 4711)
		return p.bob, sendingText
	}},
	{"Send and Encrypt for all alike", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		p.knows(t)
		o := new(chorus).options()
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			s, err := d.Send(ctx, []string{aliceAddress.User}, &session.Content{Body: []byte("text")}, o)
			if err != nil && s != nil {
				return errors.New("a sending beside the error")
			}
			return err
		})
	}},
	{"Reconcile what all got alike", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		s, err := p.bob.Send(ctx, []string{aliceAddress.User}, &session.Content{Body: []byte("text")}, new(chorus).options())
		require.NoError(t, err)
		leave := reconciling(s, session.Difference{User: aliceAddress.User, Extra: []uint32{aliceAddress.Device}})
		return p.bob, func(ctx context.Context, d *session.Device, store keystore.Store) error {
			if err := leave(ctx, d, store); !errors.Is(err, session.ErrUnsettled) {
				return cmp.Or(err, errors.New("settled"))
			}
			return nil
		}
	}},
	{"Send and Encrypt anew", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4712)
		p.knows(t)
		return p.bob, sendingText
	}},
	{"Reconcile and Encrypt anew", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		return p.bob, reconciling(p.bob.sendsTo(t, p.alice), session.Difference{User: aliceAddress.User, Stale: []uint32{aliceAddress.Device}})
	}},
	{"Reconcile and leave out", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		return p.bob, reconciling(p.bob.sendsTo(t, p.alice), session.Difference{User: aliceAddress.User, Extra: []uint32{aliceAddress.Device}})
	}},
	{"Accept", func(t *testing.T) (*side, run) {
		p, _ := many(t, 2)
		p.guided(t, 4711)
		s := p.bob.sendsTo(t, p.alice)
		s.Results = nil
		p.bob.put(t, p.bob.key("peer", aliceAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{ListedAt: 1,
			Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 1}, {ID: aliceAddress.Device, RegistrationID: 4711, StaleSince: 1}}}))
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Accept(ctx, s) })
	}},
	{"Refresh", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		p.bob.put(t, p.bob.key("peer", aliceAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{ListedAt: 1,
			Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 1}}}))
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Refresh(ctx, aliceAddress.User) })
	}},
	{"Send and Encrypt at a gate", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		p.knows(t)
		p.bob.hears(t)
		p.bob.shows(t, aliceAddress.User, "theirs")
		return p.bob, sendingText
	}},
	{"Refresh at a gate", func(t *testing.T) (*side, run) {
		p := friends(t)
		p.guided(t, 4711)
		p.bob.opts.Directory.(*guide).manifest = []byte("theirs")
		p.bob.hears(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Refresh(ctx, aliceAddress.User) })
	}},
	{"Peer", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Peer(ctx, aliceAddress.User)
			return err
		})
	}},
}

// sendsTo is the Sending of a text to all that a peer has.
func (s *side) sendsTo(t *testing.T, to *side) *session.Sending {
	t.Helper()
	out, err := s.Send(ctx, []string{to.Address().User}, &session.Content{Body: []byte("text")}, nil)
	require.NoError(t, err)
	return out
}
