package session_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// blocks requires that s sends p.alice nothing, and that this changes nothing.
func (p *pair) blocks(t *testing.T) {
	t.Helper()
	bundle := bundleOf(t, p.alice)
	before := p.digest(t)
	m, err := p.bob.Encrypt(ctx, p.alice.Address(), []byte("text"))
	require.Nil(t, m)
	refused(t, err, session.ErrBlocked)
	refused(t, p.bob.Begin(ctx, p.alice.Address(), bundle), session.ErrBlocked)
	require.NoError(t, p.bob.Update(ctx, []session.Address{p.alice.Address()}, func(tx *session.Tx) error {
		m, err := tx.Encrypt(p.alice.Address(), []byte("text"))
		require.Nil(t, m)
		refused(t, err, session.ErrBlocked)
		return nil
	}))
	require.Equal(t, before, p.digest(t))
}

// Nothing is sent to who is blocked. What comes is read, also on new sessions.
func TestBlock(t *testing.T) {
	p := friends(t)
	other := newSide(t, session.Address{User: "somebody else", Device: 1}, nil, p.alice.opts)
	p.bob.begin(t, other)
	require.NoError(t, p.bob.Block(ctx, strings.ToUpper(aliceAddress.User), true))
	p.blocks(t)
	p.goesOnWith(t, "on the session that there is")
	p.alice.begin(t, p.bob)
	p.goesOnWith(t, "on a new one")
	p.blocks(t)
	other.reads(t, p.bob, p.bob.send(t, other, "hello"), "hello")
	p.bob = p.bob.reopen(t)
	p.blocks(t)

	before := p.digest(t)
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
	require.Equal(t, before, p.digest(t), "it was so before")
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, false))
	p.goesOn(t)
	before = p.digest(t)
	for _, user := range []string{aliceAddress.User, "nobody"} {
		require.NoError(t, p.bob.Block(ctx, user, false))
	}
	require.Equal(t, before, p.digest(t))
	for _, user := range []string{"", "\xff", strings.Repeat("x", 1025)} {
		refused(t, p.bob.Block(ctx, user, true), session.ErrMalformed)
	}
	require.Equal(t, before, p.digest(t))
}

// One may be blocked before anything is known of it.
func TestBlockStranger(t *testing.T) {
	p := met(t)
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, true))
	p.blocks(t)
	p.goesOnWith(t, "hello")
	p.blocks(t)
	require.NoError(t, p.bob.Block(ctx, aliceAddress.User, false))
	p.goesOn(t)
}

// Another process blocks while a message, or a bundle, is on its way out.
func TestBlockedMeanwhile(t *testing.T) {
	p := friends(t)
	bundle := bundleOf(t, p.alice)
	bob, watch := p.bob.spied(t)
	sends := []func() error{
		func() error { _, err := bob.Encrypt(ctx, aliceAddress, nil); return err },
		func() error { return bob.Begin(ctx, aliceAddress, bundle) },
		func() error {
			return bob.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) error {
				_, err := tx.Encrypt(aliceAddress, nil)
				return err
			})
		},
	}
	for _, send := range sends {
		done := false
		watch.fail = func(call string, _ int) error {
			if call != "commit" || done {
				return nil
			}
			done = true
			return p.bob.Block(ctx, aliceAddress.User, true)
		}
		before := p.bob.record(t, p.alice)
		refused(t, send(), session.ErrBlocked)
		require.True(t, done)
		require.Equal(t, before, p.bob.record(t, p.alice))
		require.NoError(t, p.bob.Block(ctx, aliceAddress.User, false))
	}
	p.goesOn(t)
}

// While nobody can tell whether a user is blocked, nothing is sent, and all is
// read.
func TestBlockDamaged(t *testing.T) {
	p := friends(t)
	k := p.bob.key("peer", aliceAddress.User, "")
	bundle := bundleOf(t, p.alice)
	for value, want := range map[string]error{"": session.ErrCorrupt, "\x01\xff": session.ErrCorrupt, "\x02": keystore.ErrNewerFormat} {
		p.bob.write(t, k, []byte(value))
		before := p.digest(t)
		_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
		refused(t, err, want)
		refused(t, p.bob.Begin(ctx, aliceAddress, bundle), want)
		refused(t, p.bob.Block(ctx, aliceAddress.User, true), want)
		require.Equal(t, before, p.digest(t))
		p.goesOnWith(t, "still here")
	}
	p.bob.put(t, k, wire.AppendPeer(nil, &wire.Peer{}))
	p.goesOn(t)
}
