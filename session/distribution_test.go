package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A distribution message goes to the devices that the message is for, also when
// they ask for it again, and never in a copy for the own others.
func TestDistribution(t *testing.T) {
	r := settled(t, session.Options{Content: true}, at(ani, 1), at(ani, 2), at(budi, 1))
	from := r.of(ani, 1)
	given := &session.Content{Body: []byte("text"), Distribution: []byte("the sender key of a group")}
	s, err := from.Send(ctx, []string{budi}, given, nil)
	require.NoError(t, err)
	reads := func(res session.Result) {
		t.Helper()
		got, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
		require.NoError(t, err)
		require.Equal(t, "text", string(got.Content.Body))
		if res.To.User == ani {
			require.Equal(t, budi, got.Content.SyncTo)
			require.Nil(t, got.Content.Distribution)
			testutil.NoTrace(t, string(got.Plaintext), given.Distribution)
			return
		}
		require.Equal(t, given.Distribution, got.Content.Distribution)
		require.Equal(t, got.Plaintext, got.Content.Bytes())
	}
	kept, _ := from.copied(t, s)
	for _, res := range s.Results {
		lost := r.sides[res.To].reopen(t)
		reads(res)
		lost.forgetSessions(t)
		ask := lost.asks(t, from, res.Message, s.SentAt, session.ReasonNoSession)
		out, err := from.Resend(ctx, res.To, ask)
		require.NoError(t, err)
		require.NotEqual(t, res.Session, out.Results[0].Session)
		reads(out.Results[0])
	}
	after, _ := from.copied(t, s)
	require.Equal(t, kept.Content, after.Content)
	stored, err := wire.ParseContent(after.Content)
	require.NoError(t, err)
	require.Equal(t, given.Distribution, stored.Distribution)

	copied := session.Content{Body: []byte("text"), Distribution: []byte("the sender key of a group"), SyncTo: budi}
	testutil.NoTrace(t, string(copied.Bytes()), given.Distribution)
}

// In a copy from an own device it counts as little as without Options.Content,
// with which it is ErrMalformed.
func TestDistributionNowhereElse(t *testing.T) {
	p := contents(t, session.Address{User: bobAddress.User, Device: 5}, nil)
	inner := wire.AppendContent(nil, &wire.Content{Body: []byte("text"), Distribution: []byte("the sender key of a group")})
	outer := wire.AppendContent(nil, &wire.Content{Distribution: []byte("another"), Sync: &wire.Sync{Recipient: "friend", Content: inner}})
	r, err := p.forged(t, wire.AppendPadded(nil, outer))
	require.NoError(t, err)
	require.Equal(t, "friend", r.Content.SyncTo)
	require.Nil(t, r.Content.Distribution)

	q := newRegistry(t, at(ani, 1), at(budi, 1))
	before := q.digest(t)
	s, err := q.of(ani, 1).Send(ctx, []string{budi}, &session.Content{Distribution: []byte("the sender key of a group")}, nil)
	refused(t, err, session.ErrMalformed)
	require.Nil(t, s)
	require.Equal(t, before, q.digest(t))
}

// What a package above stages says by itself whether the key is accepted, and the
// outcome depends on it; records beside come with one Load.
func TestStageAccepted(t *testing.T) {
	p := friends(t)
	bob, watch := p.bob.spied(t)
	stranger := session.Address{User: "nobody", Device: 1}
	beside := keystore.Key{Kind: "senderkey", Owner: aliceAddress.User, Name: "2"}
	for name, c := range map[string]struct {
		from     *session.Received
		accepted bool
	}{
		"accepted":  {&session.Received{From: aliceAddress, Identity: p.alice.Identity(), Accepted: false}, true},
		"another":   {&session.Received{From: aliceAddress, Identity: newIdentity().Public(), Accepted: true}, false},
		"stranger":  {&session.Received{From: stranger, Identity: newIdentity().Public(), Accepted: true}, false},
		"no key":    {&session.Received{From: stranger, Accepted: true}, false},
		"own":       {&session.Received{From: session.Address{User: bobAddress.User, Device: 9}, Identity: p.bob.Identity()}, true},
		"own other": {&session.Received{From: session.Address{User: bobAddress.User, Device: 9}, Identity: newIdentity().Public()}, false},
	} {
		watch.reset()
		require.NoError(t, bob.Update(ctx, nil, func(tx *session.Tx) error {
			old, err := tx.Staged(c.from.From, []byte(name), beside)
			require.NoError(t, err)
			require.Nil(t, old)
			require.Len(t, watch.loads, 1)
			_, _, err = tx.Get(beside)
			require.NoError(t, err)
			require.Len(t, watch.loads, 1)
			return tx.Stage(c.from, []byte(name))
		}))
		require.Equal(t, c.accepted, c.from.Accepted, name)
		require.False(t, p.bob.has(t, "identity", stranger.User, "1"))
	}

	// Another key is accepted meanwhile: it is done again, and says so.
	other, runs := newIdentity().Public(), 0
	watch.reset()
	watch.fail = func(call string, _ int) error {
		if call == "commit" && runs == 1 {
			return p.bob.AcceptIdentity(ctx, aliceAddress, other)
		}
		return nil
	}
	var r *session.Received
	require.NoError(t, bob.Update(ctx, nil, func(tx *session.Tx) error {
		runs++
		r = &session.Received{From: aliceAddress, Identity: p.alice.Identity()}
		return tx.Stage(r, []byte("raced"))
	}))
	require.Equal(t, 2, runs)
	require.False(t, r.Accepted)
	require.Equal(t, p.bob.Identity(), p.bob.IdentityKeyPair().Public())
}
