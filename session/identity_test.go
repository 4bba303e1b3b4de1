package session_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// reinstalled is a new device at alice's address, under another identity key.
func (p *pair) reinstalled(t *testing.T) *side {
	t.Helper()
	return newSide(t, aliceAddress, nil, p.alice.opts)
}

func TestSES_08_IdentityChange(t *testing.T) {
	p := friends(t)
	old, now := p.alice, p.reinstalled(t)
	now.begin(t, p.bob)
	first := now.send(t, p.bob, "I have a new phone")
	r := p.bob.reads(t, now, first, "I have a new phone")
	require.False(t, r.Accepted)
	require.Equal(t, []session.Event{{Kind: session.IdentityChanged, Address: aliceAddress, At: p.now, Accepted: old.Identity(), Seen: now.Identity()}}, r.Events)
	id, err := p.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(t, err)
	require.Equal(t, session.PeerIdentity{Accepted: old.Identity(), AcceptedAt: p.now.Local(), Seen: now.Identity()}, id)

	// It is reported once. Sending is refused, the old session still reads.
	r = p.bob.reads(t, now, now.send(t, p.bob, "really"), "really")
	require.False(t, r.Accepted)
	require.Empty(t, r.Events)
	p.bob.refusesToSend(t, old, now)
	r = p.bob.reads(t, old, old.send(t, p.bob, "from the old phone"), "from the old phone")
	require.True(t, r.Accepted)
	p.bob.refusesToSend(t, old, now)

	// On accept the session under the new key takes the place of the old one,
	// which is archived.
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, now.Identity()))
	require.Equal(t, 1, len(p.bob.index(t, aliceAddress).Archived))
	now.reads(t, p.bob, p.bob.send(t, now, "welcome back"), "welcome back")
	q := &pair{alice: now, bob: p.bob}
	q.goesOn(t)
	r = p.bob.reads(t, old, old.send(t, p.bob, "again from the old phone"), "again from the old phone")
	require.False(t, r.Accepted)
	now.reads(t, p.bob, p.bob.send(t, now, "to the new one"), "to the new one")
	id, err = p.bob.PeerIdentity(ctx, aliceAddress)
	require.NoError(t, err)
	require.Equal(t, now.Identity(), id.Accepted)
	require.Equal(t, now.Identity(), id.Seen)
}

// refusesToSend requires that the change of identity keys keeps s from sending
// and from beginning a session.
func (s *side) refusesToSend(t *testing.T, accepted, seen *side) {
	t.Helper()
	want := &session.UntrustedIdentityError{Address: accepted.Address(), Accepted: accepted.Identity(), Seen: seen.Identity()}
	before := testutil.StoreDigest(t, s.store)
	m, err := s.Encrypt(ctx, accepted.Address(), []byte("secret"))
	require.Nil(t, m)
	require.Equal(t, want, refusedAs[*session.UntrustedIdentityError](t, err))
	b := bundleOf(t, seen)
	err = s.Begin(ctx, accepted.Address(), b)
	require.Equal(t, want, refusedAs[*session.UntrustedIdentityError](t, err))
	require.Equal(t, before, testutil.StoreDigest(t, s.store))
}

// Staying with the key that was accepted is a decision like any other.
func TestSES_08_KeepTheOldKey(t *testing.T) {
	p := friends(t)
	now := p.reinstalled(t)
	now.begin(t, p.bob)
	p.bob.reads(t, now, now.send(t, p.bob, "it is me"), "it is me")
	p.bob.refusesToSend(t, p.alice, now)
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	p.goesOn(t)
	r := p.bob.reads(t, now, now.send(t, p.bob, "really"), "really")
	require.False(t, r.Accepted)
	p.goesOn(t) // a message in a known session is no handshake
}

// A session that expired before its key was accepted is not used again.
func TestSES_08_AcceptedTooLate(t *testing.T) {
	p := friends(t)
	now := p.reinstalled(t)
	now.begin(t, p.bob)
	p.bob.reads(t, now, now.send(t, p.bob, "new"), "new")
	p.now = p.now.Add(30*24*time.Hour + time.Millisecond)
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, now.Identity()))
	_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	require.Equal(t, 1, len(p.bob.index(t, aliceAddress).Archived), "the session under the key before")
}

func TestSES_08_Alternating(t *testing.T) {
	p := friends(t)
	now := p.reinstalled(t)
	for i := range 6 {
		now.begin(t, p.bob)
		r := p.bob.reads(t, now, now.send(t, p.bob, "new"), "new")
		require.False(t, r.Accepted)
		require.Len(t, r.Events, 1, i)
		require.Equal(t, session.IdentityChanged, r.Events[0].Kind)
		p.bob.refusesToSend(t, p.alice, now)
		p.alice.begin(t, p.bob)
		r = p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "old"), "old")
		require.True(t, r.Accepted)
		require.Equal(t, []session.Event{{Kind: session.SessionRenewed, Address: aliceAddress, At: p.now}}, r.Events)
		p.goesOn(t) // the newest handshake was the accepted key's
	}
	idx := p.bob.index(t, aliceAddress)
	unaccepted := 0
	for i := range idx.Archived {
		if idx.Archived[i].Unaccepted {
			unaccepted++
		}
	}
	require.Equal(t, 4, unaccepted)
	require.Equal(t, 10, len(idx.Archived))
}

// Sessions that nobody accepted displace none that were.
func TestSES_08_UnacceptedSessionsAreFew(t *testing.T) {
	p, ends := many(t, 41)
	var strange []*side
	for range 6 {
		now := p.reinstalled(t)
		now.begin(t, p.bob)
		p.bob.reads(t, now, now.send(t, p.bob, "let me in"), "let me in")
		strange = append(strange, now)
		p.bob.index(t, aliceAddress)
	}
	for _, end := range ends {
		p.bob.reads(t, p.alice, says(t, end, "still here"), "still here")
		require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, p.alice.Identity()))
	}
	for _, now := range strange { // there was no room for a single one
		refusedAs[*session.PreKeyNotFoundError](t, p.bob.decrypt(now, now.send(t, p.bob, "again")))
	}

	// With room there are four, and what is accepted gets all of them.
	q := friends(t)
	one, two := q.reinstalled(t), q.reinstalled(t)
	var oneEnds, twoEnds []*session.Message
	for range 3 {
		one.begin(t, q.bob)
		q.bob.reads(t, one, one.send(t, q.bob, "one"), "one")
		oneEnds = append(oneEnds, one.send(t, q.bob, "one"))
		two.begin(t, q.bob)
		q.bob.reads(t, two, two.send(t, q.bob, "two"), "two")
		twoEnds = append(twoEnds, two.send(t, q.bob, "two"))
	}
	require.Equal(t, 4, len(q.bob.index(t, aliceAddress).Archived))
	refusedAs[*session.PreKeyNotFoundError](t, q.bob.decrypt(one, oneEnds[0]))
	refusedAs[*session.PreKeyNotFoundError](t, q.bob.decrypt(two, twoEnds[0]))
	require.NoError(t, q.bob.AcceptIdentity(ctx, aliceAddress, one.Identity()))
	require.Equal(t, baseKey(q.bob.index(t, aliceAddress).Current), outerOf(t, oneEnds[2]).BaseKey, "the newest")
	one.reads(t, q.bob, q.bob.send(t, one, "accepted"), "accepted")
	for _, m := range oneEnds[1:] {
		require.True(t, q.bob.reads(t, one, m, "one").Accepted)
	}
	for _, m := range twoEnds[1:] {
		require.False(t, q.bob.reads(t, two, m, "two").Accepted)
	}
	require.False(t, q.bob.reads(t, q.alice, q.alice.send(t, q.bob, "old"), "old").Accepted)
}

// Two first messages under different keys race each other: one key is trusted,
// the other reported, whoever comes first.
func TestSES_08_Race(t *testing.T) {
	for range 20 {
		p := strangers(t)
		other := p.reinstalled(t)
		p.alice.begin(t, p.bob)
		other.begin(t, p.bob)
		ms := []*session.Message{p.alice.send(t, p.bob, "race"), other.send(t, p.bob, "race")}
		got := make([]*session.Received, 2)
		second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts) // as in another process
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i, d := range []*session.Device{p.bob.Device, second} {
			wg.Go(func() {
				r, err := d.Decrypt(ctx, aliceAddress, ms[i], nil)
				if err != nil {
					t.Error(err)
				}
				got[i] = r
			})
		}
		wg.Wait()
		require.False(t, t.Failed())
		require.NotEqual(t, got[0].Accepted, got[1].Accepted)
		winner, loser := p.alice, other
		if got[1].Accepted {
			winner, loser = other, p.alice
		}
		id, err := p.bob.PeerIdentity(ctx, aliceAddress)
		require.NoError(t, err)
		require.Equal(t, winner.Identity(), id.Accepted)
		require.Equal(t, loser.Identity(), id.Seen)
		require.Len(t, got[0].Events, map[bool]int{true: 0, false: 1}[got[0].Accepted])
		require.Len(t, got[1].Events, map[bool]int{true: 0, false: 1}[got[1].Accepted])
		p.bob.refusesToSend(t, winner, loser)
		idx := p.bob.index(t, aliceAddress)
		require.NotNil(t, idx.Current)
		require.Equal(t, 1, len(idx.Archived))
	}
}

// A bundle under another key than the accepted one changes nothing.
func TestSES_08_BundleOfAnotherKey(t *testing.T) {
	p := friends(t)
	now := p.reinstalled(t)
	b := bundleOf(t, now)
	p.unharmed(t, func() {
		e := refusedAs[*session.UntrustedIdentityError](t, p.bob.Begin(ctx, aliceAddress, b))
		require.Equal(t, now.Identity(), e.Seen)
	})
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, now.Identity()))
	_, err := p.bob.Encrypt(ctx, aliceAddress, nil)
	refused(t, err, session.ErrNoSession)
	p.bob.begin(t, now)
	q := &pair{alice: now, bob: p.bob}
	now.reads(t, p.bob, p.bob.send(t, now, "hello"), "hello")
	q.goesOn(t)
}

// The key that the caller demands is demanded before anything is computed, or
// else before anything is kept.
func TestDecryptDemandsAnIdentity(t *testing.T) {
	p := met(t)
	other := keys.GenerateIdentityKeyPair().Public()
	demand := func(m *session.Message, key keys.IdentityKey) error {
		_, err := p.bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Identity: &key})
		return err
	}
	for range 3 {
		m := p.alice.send(t, p.bob, "who is it")
		p.unharmedStores(t, func() {
			e := refusedAs[*session.IdentityMismatchError](t, demand(m, other))
			require.Equal(t, &session.IdentityMismatchError{Address: p.alice.Address(), Expected: other, Seen: p.alice.Identity()}, e)
		})
		require.NoError(t, demand(m, p.alice.Identity()))
		p.goesOn(t)
	}
}

func TestPeerIdentityOfAStranger(t *testing.T) {
	p := strangers(t)
	id, err := p.bob.PeerIdentity(ctx, p.alice.Address())
	require.NoError(t, err)
	require.Equal(t, session.PeerIdentity{}, id)
	require.True(t, id.Accepted.IsZero())
	require.Equal(t, time.Time{}, id.AcceptedAt)
	p.unharmedStores(t, func() { refused(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), id.Accepted), keys.ErrKey) })
	// One may be accepted in advance.
	require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
	other := p.reinstalled(t)
	b := bundleOf(t, other)
	refusedAs[*session.UntrustedIdentityError](t, p.bob.Begin(ctx, aliceAddress, b))
	p.bob.begin(t, p.alice)
	p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "hello"), "hello")
}

// A session on which nothing was read does not become the current one again: its
// peer may not know of it, and it sends no first messages any more.
func TestAcceptedKeyOfAnUnansweredSession(t *testing.T) {
	p := met(t)
	p.alice.send(t, p.bob, "lost")
	require.NoError(t, p.alice.Archive(ctx, p.bob.Address()))
	require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
	_, err := p.alice.Encrypt(ctx, p.bob.Address(), []byte("nobody could read this"))
	refused(t, err, session.ErrNoSession)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	require.NoError(t, p.alice.Archive(ctx, p.bob.Address()))
	require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
	p.goesOn(t)
}
