package hosting_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// carry has all who get it read a Sending, and takes it for submitted.
func (w *town) carry(t testing.TB, from *side, g *group.Groups, groups map[*side]*group.Groups, s *session.Sending) {
	t.Helper()
	for _, r := range s.Results {
		require.NoError(t, r.Err)
		to := w.sides[r.To]
		got, err := groups[to].Decrypt(ctx, from.Address(), r.Message, nil)
		require.NoError(t, err)
		require.NoError(t, to.Acknowledge(ctx, got))
	}
	require.NoError(t, g.Accept(ctx, s))
}

// A hosted member joins, or a member moves to a provider: nobody gets anything, nor
// the next sender key, before the user agreed, and then all do.
func TestAttackGroupWithHostedMember(t *testing.T) {
	w := newTown()
	b, k, c := w.add(t, at(budi, 1), pair(50)), w.add(t, at(toko, 1), deviceKey(1)), w.add(t, at("cici", 1), pair(51))
	groups := map[*side]*group.Groups{b: group.New(b.Device, nil), k: group.New(k.Device, nil), c: group.New(c.Device, nil)}
	g := groups[b]
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	require.NoError(t, g.Set(ctx, "rt", []string{toko, "cici"}, nil))
	_, err := g.Distribute(ctx, "rt", nil)
	require.Error(t, err) // cici says nothing of herself
	consentTo(t, b, err)
	s, err := g.Distribute(ctx, "rt", nil)
	require.NoError(t, err)
	w.carry(t, b, g, groups, s)
	s, err = g.Send(ctx, "rt", &session.Content{Body: []byte("halo")}, nil)
	require.NoError(t, err)
	w.carry(t, b, g, groups, s)
	before, err := g.Get(ctx, "rt")
	require.NoError(t, err)

	// toko adds a provider's device, and the server shows it.
	host := w.add(t, at(toko, 2), deviceKey(2))
	groups[host] = group.New(host.Device, nil)
	m2 := follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan()))
	w.manifests[toko], w.bundled[toko] = m2.Bytes(), m2.Bytes()
	require.NoError(t, b.Refresh(ctx, toko))
	_, err = g.Send(ctx, "rt", &session.Content{Body: []byte("rahasia")}, nil) // which asks the server once more
	consentIn(t, err)
	store := testutil.StoreDigest(t, b.store)
	for range 2 {
		_, err = g.Distribute(ctx, "rt", nil)
		e := consentIn(t, err)
		require.Equal(t, m2.Hash(), e.To)
		_, err = g.Send(ctx, "rt", &session.Content{Body: []byte("rahasia")}, nil)
		consentIn(t, err)
		_, err = b.Send(ctx, []string{"cici", toko}, &session.Content{Body: []byte("rahasia")}, nil)
		consentIn(t, err)
	}
	require.Equal(t, store, testutil.StoreDigest(t, b.store))
	now, err := g.Get(ctx, "rt")
	require.NoError(t, err)
	require.Equal(t, before, now)
	// cici alone may be written to.
	_, err = b.Send(ctx, []string{"cici"}, &session.Content{Body: []byte("hai")}, nil)
	require.NoError(t, err)

	consentTo(t, b, func() error { _, err := g.Distribute(ctx, "rt", nil); return err }())
	s, err = g.Distribute(ctx, "rt", nil)
	require.NoError(t, err)
	w.carry(t, b, g, groups, s)
	s, err = g.Send(ctx, "rt", &session.Content{Body: []byte("baiklah")}, nil)
	require.NoError(t, err)
	require.Len(t, s.Results, 3)
	w.carry(t, b, g, groups, s)
	require.True(t, b.label(t, toko, "cici").Hosted())
}

func consentTo(t testing.TB, s *side, err error) {
	t.Helper()
	e := consentIn(t, err)
	require.NoError(t, s.gate.Consent(ctx, s.Device, e.Account, e.Token, hosting.Yes))
}

// A message that went out before is not given out again, in another ciphertext,
// once somebody is to be agreed to.
func TestAttackResendToHosted(t *testing.T) {
	w, b, k := met(t)
	m1 := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "halo")
	b.says(t, k, "ya")
	s, err := b.send(toko)
	require.NoError(t, err)
	require.NoError(t, b.Accept(ctx, s))
	sent := s.Results[0].Message
	sent.Bytes[len(sent.Bytes)-1] ^= 1 // on its way
	_, err = k.Decrypt(ctx, b.Address(), sent, nil)
	require.Error(t, err)
	request, err := k.RequestRetry(ctx, b.Address(), sent, s.SentAt, err)
	require.NoError(t, err)
	w.manifests[toko] = follow(t, m1, own(1, hosting.OwnerServer), hosted(2, awan())).Bytes()
	require.NoError(t, b.Refresh(ctx, toko))
	_, err = b.Resend(ctx, k.Address(), request) // which asks the server once more
	consentIn(t, err)
	before := testutil.StoreDigest(t, b.store)
	for range 2 {
		_, err = b.Resend(ctx, k.Address(), request)
		consentIn(t, err)
		require.Equal(t, before, testutil.StoreDigest(t, b.store))
	}
	consentTo(t, b, err)
	again, err := b.Resend(ctx, k.Address(), request)
	require.NoError(t, err)
	require.NotNil(t, again.Results[0].Message)
	k.reads(t, b, again.Results[0].Message, "halo")
}
