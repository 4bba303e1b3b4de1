package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func (s *side) peerIdentity(t testing.TB, peer *side) session.PeerIdentity {
	t.Helper()
	id, err := s.PeerIdentity(ctx, peer.Address())
	require.NoError(t, err)
	return id
}

// A mark is about the accepted key, and goes with it.
func TestVerify(t *testing.T) {
	p := friends(t)
	now := p.reinstalled(t)
	require.False(t, p.bob.peerIdentity(t, p.alice).Verified)
	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
	require.True(t, p.bob.peerIdentity(t, p.alice).Verified)
	before := p.digest(t)
	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
	require.Equal(t, before, p.digest(t), "it was so before")
	p.goesOn(t)

	// Another key is seen, and this one accepted again: it is the one that was
	// compared.
	now.begin(t, p.bob)
	p.bob.reads(t, now, now.send(t, p.bob, "new"), "new")
	require.True(t, p.bob.peerIdentity(t, p.alice).Verified)
	p.unharmedStores(t, func() {
		e := refusedAs[*session.IdentityMismatchError](t, p.bob.Verify(ctx, aliceAddress, now.Identity(), true))
		require.Equal(t, &session.IdentityMismatchError{Address: aliceAddress, Expected: p.alice.Identity(), Seen: now.Identity()}, e)
	})
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	require.True(t, p.bob.peerIdentity(t, p.alice).Verified)
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, now.Identity()))
	require.False(t, p.bob.peerIdentity(t, p.alice).Verified)
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	require.False(t, p.bob.peerIdentity(t, p.alice).Verified, "nobody compared it since")

	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
	require.NoError(t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), false))
	require.False(t, p.bob.peerIdentity(t, p.alice).Verified)
	p.goesOn(t)
}

func TestVerifyNothing(t *testing.T) {
	p := strangers(t)
	p.unharmedStores(t, func() {
		e := refusedAs[*session.IdentityMismatchError](t, p.bob.Verify(ctx, aliceAddress, p.alice.Identity(), true))
		require.True(t, e.Expected.IsZero())
		refused(t, p.bob.Verify(ctx, aliceAddress, keys.IdentityKey{}, true), keys.ErrKey)
		refused(t, p.bob.Verify(ctx, session.Address{User: "alice", Device: 128}, p.alice.Identity(), true), session.ErrMalformed)
	})
}

// twin is another device of alice's account, as far as its name goes.
func (p *pair) twin(t *testing.T, id *keys.IdentityKeyPair) *side {
	t.Helper()
	return newSide(t, session.Address{User: aliceAddress.User, Device: 1}, id, p.alice.opts)
}

// Whoever speaks for the own account has the own identity key; another one is
// not trusted on first use.
func TestOwnAccountIsNotTrustedOnFirstUse(t *testing.T) {
	p := strangers(t)
	p.bob = p.twin(t, nil)
	want := &session.UntrustedIdentityError{Address: p.bob.Address(), Accepted: p.alice.Identity(), Seen: p.bob.Identity()}
	bundle := bundleOf(t, p.bob)
	p.unharmedStores(t, func() {
		require.Equal(t, want, refusedAs[*session.UntrustedIdentityError](t, p.alice.Begin(ctx, p.bob.Address(), bundle)))
	})

	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	p.bob.begin(t, p.alice)
	r := p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "I am you"), "I am you")
	require.False(t, r.Accepted)
	require.Equal(t, []session.Event{{Kind: session.IdentityChanged, Address: p.bob.Address(), At: p.now,
		Accepted: p.alice.Identity(), Seen: p.bob.Identity()}}, r.Events)
	r = p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "really"), "really")
	require.False(t, r.Accepted)
	require.Empty(t, r.Events)
	_, err := p.alice.Encrypt(ctx, p.bob.Address(), nil)
	refused(t, err, session.ErrNoSession)
	require.Equal(t, session.PeerIdentity{Accepted: p.alice.Identity(), AcceptedAt: p.now.Local(), Seen: p.bob.Identity()},
		p.alice.peerIdentity(t, p.bob))

	require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
	p.goesOn(t)
}

// A session that was there before anything was known of keys changes nothing:
// such a key is not accepted by a message either.
func TestOwnAccountOfAnotherKeyOnASession(t *testing.T) {
	p := strangers(t)
	p.bob = p.twin(t, nil)
	require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	p.alice.remove(t, "identity", p.bob.Address().User)
	r := p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "text"), "text")
	require.False(t, r.Accepted)
	require.Empty(t, p.alice.list(t, "identity", ""))
	p.unharmedStores(t, func() {
		_, err := p.alice.Encrypt(ctx, p.bob.Address(), nil)
		e := refusedAs[*session.UntrustedIdentityError](t, err)
		require.Equal(t, p.alice.Identity(), e.Accepted)
	})
}

func TestOwnAccountWithTheOwnKey(t *testing.T) {
	p := strangers(t)
	p.bob = p.twin(t, p.alice.identity)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	require.Equal(t, session.PeerIdentity{Accepted: p.alice.Identity(), AcceptedAt: p.now.Local(), Seen: p.alice.Identity()},
		p.bob.peerIdentity(t, p.alice))
	p.now = p.now.Add(time.Hour)
	p.bob.begin(t, p.alice)
	p.goesOn(t)
}
