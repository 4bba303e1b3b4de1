package session_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// everyOperation is what the tests of faults, damage and expectations run.
func everyOperation() []operation {
	return slices.Concat(operations, upkeeps, restores, peerings)
}

// peerings are the operations on what is known of a peer.
var peerings = []operation{
	{"Block", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Block(ctx, aliceAddress.User, true) })
	}},
	{"Block no more", func(t *testing.T) (*side, run) {
		p := friends(t)
		require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Block(ctx, aliceAddress.User, false) })
	}},
	{"Verify", func(t *testing.T) (*side, run) {
		p := friends(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			return d.Verify(ctx, aliceAddress, p.alice.Identity(), true)
		})
	}},
	{"Begin with an own device", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.alice = newSide(t, aliceAddress, p.bob.identity, p.bob.opts)
		p.bob = newSide(t, session.Address{User: aliceAddress.User, Device: 1}, p.bob.identity, p.bob.opts)
		b := bundleOf(t, p.alice)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Begin(ctx, aliceAddress, b) })
	}},
	{"Decrypt first, own, other key", func(t *testing.T) (*side, run) {
		p := strangers(t)
		p.bob = newSide(t, session.Address{User: aliceAddress.User, Device: 1}, nil, p.bob.opts)
		require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
		p.alice.begin(t, p.bob)
		return p.bob, reading(p.alice.send(t, p.bob, "text"))
	}},
}
