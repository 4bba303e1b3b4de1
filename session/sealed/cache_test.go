package sealed_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What is used of late stays; there are never more than the limit.
func TestRecent(t *testing.T) {
	var r sealed.Recent
	for i := range 1000 {
		n, room := r.Put(50, i, i+1)
		require.LessOrEqual(t, n, 50)
		require.LessOrEqual(t, room, 50)
		require.Equal(t, 1, r.Get(0)) // so it is used
	}
	found := 0
	for i := range 1000 {
		if v := r.Get(i); v != 0 {
			require.Equal(t, i+1, v)
			found++
		}
	}
	require.Equal(t, 50, found)
	n, _ := r.Put(50, 0, 7)
	require.Equal(t, 50, n)
	require.Equal(t, 1, r.Get(0)) // what is there stays

	var one sealed.Recent
	for i := range 5 {
		n, _ := one.Put(1, i, i+1)
		require.Equal(t, 1, n)
		require.Equal(t, i+1, one.Get(i))
	}
	var none sealed.Recent
	for _, limit := range []int{0, -1} {
		n, _ := none.Put(limit, 1, 1)
		require.Zero(t, n)
	}
	var grown sealed.Recent
	for i := range 8 {
		grown.Put(100, i, i+1)
	}
	require.True(t, grown.Overwritten(100))
}

// An Opener keeps agreements with senders whose certificates were good, and with
// no others: those cost nothing to make.
func TestOpenerCache(t *testing.T) {
	i, bob := newIssuer(1), pair(t, 0x44)
	o := sealed.NewOpener(bob, i.trust(), &sealed.Options{Cache: 4})
	m := &session.Message{Type: session.TypeSignal}
	seal := func(i *issuer, who *keys.IdentityKeyPair) []byte {
		c := i.issue(t, func(c *sealed.Claims) { c.Identity = who.Public() })
		s, err := sealed.NewSender(who, c, nil)
		require.NoError(t, err)
		b, err := s.Seal(bob.Public(), m, 0, nil)
		require.NoError(t, err)
		return b.Bytes
	}
	alice := pair(t, 0x33)
	_, err := o.Open(seal(newIssuer(1), alice), expires)
	require.Error(t, err)
	n, kept := o.Kept(alice.Public())
	require.False(t, kept)
	require.Zero(t, n)
	envelope := seal(i, alice)
	_, err = o.Open(envelope, expires.Add(time.Hour))
	require.Error(t, err)
	_, kept = o.Kept(alice.Public())
	require.False(t, kept)
	for range 3 {
		_, err = o.Open(envelope, expires)
		require.NoError(t, err)
		_, kept = o.Kept(alice.Public())
		require.True(t, kept)
	}
	for range 20 {
		_, err := o.Open(seal(i, keys.GenerateIdentityKeyPair()), expires)
		require.NoError(t, err)
	}
	n, _ = o.Kept(alice.Public())
	require.Equal(t, 4, n)

	plain := sealed.NewOpener(bob, i.trust(), nil)
	_, err = plain.Open(envelope, expires)
	require.NoError(t, err)
	n, _ = plain.Kept(alice.Public())
	require.Zero(t, n)
}

// What a Trust remembers is of no use to another certificate, root or time.
func TestTrustCache(t *testing.T) {
	i, other := newIssuer(1), newIssuer(1)
	trust := i.trust()
	trust.Cache = 3
	c := i.issue(t, nil)
	require.NoError(t, trust.Verify(c, expires))
	require.Equal(t, 2, trust.Kept()) // the server's and the sender's
	require.NoError(t, trust.Verify(c, expires))
	require.Equal(t, 2, trust.Kept())
	refused(t, trust, c, expires.Add(time.Hour), "expired")
	refused(t, trust, other.issue(t, nil), expires, "untrusted")
	b := body(t, c.Bytes())
	refused(t, trust, parsed(t, signed(b, other.key.Sign(b))), expires, "untrusted") // the server's is known
	require.Equal(t, 2, trust.Kept())
	for range 10 {
		require.NoError(t, trust.Verify(i.issue(t, nil), expires))
	}
	require.Equal(t, 3, trust.Kept())
}

func TestSenderCache(t *testing.T) {
	i, alice, bob := newIssuer(1), pair(t, 0x33), pair(t, 0x44)
	s, err := sealed.NewSender(alice, i.issue(t, nil), &sealed.Options{Cache: 2})
	require.NoError(t, err)
	o := sealed.NewOpener(bob, i.trust(), nil)
	for n := range 3 {
		require.Equal(t, n == 0, s.Fresh(bob.Public()))
		b, err := s.Seal(bob.Public(), &session.Message{Type: session.TypeSignal}, 0, nil)
		require.NoError(t, err)
		_, err = o.Open(b.Bytes, expires)
		require.NoError(t, err)
		size, kept := s.Kept(bob.Public())
		require.True(t, kept)
		require.Equal(t, 1, size)
	}
	require.False(t, s.Fresh(bob.Public()))
	_, err = s.SealMany(manyRecipients(t, 20), nil, &session.Message{Type: session.TypeSignal}, 0, nil)
	require.NoError(t, err)
	n, _ := s.Kept(bob.Public())
	require.LessOrEqual(t, n, 2)
}

// All of them are for several goroutines, with caches that are too small.
func TestConcurrent(t *testing.T) {
	i, bob := newIssuer(1), pair(t, 0x44)
	trust := i.trust()
	trust.Cache = 2
	o := sealed.NewOpener(bob, trust, &sealed.Options{Cache: 2})
	var senders []*sealed.Sender
	for range 5 {
		who := keys.GenerateIdentityKeyPair()
		s, err := sealed.NewSender(who, i.issue(t, func(c *sealed.Claims) { c.Identity = who.Public() }), &sealed.Options{Cache: 1})
		require.NoError(t, err)
		senders = append(senders, s)
	}
	to := []sealed.Recipient{toBob(t), carol2(t)}
	var all sync.WaitGroup
	errs := make(chan error, 100)
	for g := range 4 {
		all.Go(func() {
			for n := range 6 {
				s := senders[(g+n)%len(senders)]
				m := &session.Message{Type: session.TypeSignal, Bytes: []byte{byte(n)}}
				one, err := s.Seal(bob.Public(), m, 0, nil)
				errs <- err
				_, err = o.Open(one.Bytes, expires)
				errs <- err
				many, err := s.SealMany(to, nil, m, 0, nil)
				errs <- err
				up, err := sealed.Split(many)
				errs <- err
				_, err = o.Open(up.Received(&up.Deliveries[0]), expires)
				errs <- err
			}
		})
	}
	go func() { all.Wait(); close(errs) }()
	for err := range errs {
		require.NoError(t, err)
	}
}

func carol2(t *testing.T) sealed.Recipient {
	c := manyRecipients(t, 1)[0]
	c.Identity = pair(t, 0x66).Public()
	return c
}

// Senders and Openers hold the identity's private key, and agreements.
func TestRedactedSenders(t *testing.T) {
	i, alice, bob := newIssuer(1), pair(t, 0x33), keys.GenerateIdentityKeyPair()
	s, err := sealed.NewSender(alice, i.issue(t, nil), &sealed.Options{Cache: 2})
	require.NoError(t, err)
	b, err := s.Seal(bob.Public(), &session.Message{Type: session.TypeSignal}, 0, nil)
	require.NoError(t, err)
	o := sealed.NewOpener(bob, i.trust(), &sealed.Options{Cache: 2})
	_, err = o.Open(b.Bytes, expires)
	require.NoError(t, err)
	shared, err := bob.Agree(alice.Public().PublicKey())
	require.NoError(t, err)
	for _, v := range []any{s, o, []any{s, o}, struct{ S, O any }{s, o}} {
		for how, text := range testutil.Printed(t, v) {
			if how == "%T" {
				continue
			}
			testutil.NoTrace(t, text, bob.PrivateBytes(), shared[:])
			require.Contains(t, text, "redacted", how)
		}
	}
}
