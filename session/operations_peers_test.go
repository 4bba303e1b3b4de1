package session_test

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// everyOperation is what the tests of faults, damage and expectations run.
func everyOperation() []operation {
	return slices.Concat(operations, upkeeps, restores, peerings, linkings, retries, sendings, timers)
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
	{"Rename", func(t *testing.T) (*side, run) {
		p := known(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Rename(ctx, aliceAddress.User, "alice") })
	}},
	{"Rename a name", func(t *testing.T) (*side, run) {
		p := strangers(t)
		require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Rename(ctx, aliceAddress.User, "alice") })
	}},
	{"Forget", func(t *testing.T) (*side, run) {
		p := known(t)
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.Forget(ctx, aliceAddress.User) })
	}},
}

// known are friends of whom bob has a record of every kind that there is about
// a user.
func known(t *testing.T) *pair {
	t.Helper()
	p, _ := many(t, 2)
	p.bob.put(t, p.bob.key("peer", aliceAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{ListedAt: 1,
		Devices: []wire.PeerDevice{{ID: aliceAddress.Device, RegistrationID: 4711}}}))
	for _, text := range []string{"small", large} {
		p.bob.reads(t, p.alice, p.alice.send(t, p.bob, text), text)
	}
	emit(t, p.bob, aliceAddress)
	p.bob.put(t, p.bob.key("retry", aliceAddress.User, "2"), nil)
	p.bob.put(t, p.bob.key("senderkey", aliceAddress.User, "2,id"), []byte("key"))
	plantSent(t, p.bob, 1, bobAddress.User, bobAddress, session.Address{User: "peer", Device: 1}, aliceAddress)
	plantSent(t, p.bob, 2, aliceAddress.User, aliceAddress, session.Address{User: bobAddress.User, Device: 2})
	plantSent(t, p.bob, 3, "a group", aliceAddress)
	plantSent(t, p.bob, 4, "a group", session.Address{User: "peer", Device: 1})
	return p
}

// plantSent writes a copy of a message that was sent.
func plantSent(t *testing.T, s *side, at uint64, syncTo string, to ...session.Address) {
	t.Helper()
	rec := wire.Sent{Content: []byte("text"), SyncTo: syncTo}
	for _, a := range to {
		rec.Recipients = append(rec.Recipients, wire.Recipient{User: a.User, Device: a.Device, Hint: make([]byte, wire.HintSize)})
	}
	s.put(t, s.key("sent", "-", strconv.FormatUint(at, 10)), wire.AppendSent(nil, &rec))
}
