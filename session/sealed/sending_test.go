package sealed_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// sealing are options under which all that p sends is sealed.
func (p *party) sealing(group string) *session.SendOptions {
	o := &session.SendOptions{Group: group}
	if group == "" {
		o.Seal = p.sender.SealAll(sealed.HintResendable, nil)
	} else {
		o.Seal = p.sender.SealAll(sealed.HintResendable, []byte(group))
	}
	return o
}

// envelopes are what a server makes of a Sending, for each device.
func envelopes(t testing.TB, s *session.Sending) map[session.Address][]byte {
	t.Helper()
	out := make(map[session.Address][]byte)
	for _, r := range s.Results {
		require.NoError(t, r.Err)
		if r.Message != nil {
			require.Equal(t, session.TypeSealed, r.Message.Type)
			out[r.To] = r.Message.Bytes
		}
	}
	if s.Envelope == nil {
		return out
	}
	upload, err := sealed.Split(s.Envelope)
	require.NoError(t, err)
	for i := range upload.Deliveries {
		d := &upload.Deliveries[i]
		for _, device := range d.Devices {
			to := session.Address{User: d.User, Device: device.ID}
			require.NotContains(t, out, to)
			out[to] = upload.Received(d)
		}
	}
	require.Len(t, out, len(s.Results))
	return out
}

func TestSealAll(t *testing.T) {
	for _, names := range [][3]string{{aliceID, bobID, carolID}, {"ani", "budi", "citra"}} {
		w := newWorld(t)
		alice, bob, carol := w.joins(t, names[0], 1, nil), w.joins(t, names[1], 1, nil), w.joins(t, names[2], 1, nil)
		tablet := w.joins(t, names[0], 2, alice.IdentityKeyPair())
		other := w.joins(t, names[1], 2, nil) // under another identity key
		s, err := alice.Send(ctx, []string{names[1], names[2]}, &session.Content{Body: []byte("to all")}, alice.sealing("friends"))
		require.NoError(t, err)
		require.Nil(t, s.Envelope)
		sent := envelopes(t, s)
		require.Len(t, sent, 4)
		for _, p := range []*party{bob, other, carol, tablet} {
			r := p.opens(t, w, sent[p.Address()], "to all")
			require.Equal(t, alice.Address(), r.From)
			require.Equal(t, sealed.HintResendable, r.Hint)
			require.Equal(t, "friends", string(r.Group))
			require.Equal(t, p == tablet, r.Content.SyncTo != "")
		}

		// What the server says is missing is sealed, too, and nothing twice.
		third := w.joins(t, names[2], 3, carol.IdentityKeyPair())
		require.NoError(t, alice.Reconcile(ctx, s, session.Difference{User: names[2], Missing: []uint32{3}}))
		again := envelopes(t, s)
		for to, e := range sent {
			require.Equal(t, e, again[to])
		}
		require.Len(t, again, 5)
		r := third.opens(t, w, again[third.Address()], "to all")
		require.Equal(t, "friends", string(r.Group))
		require.NoError(t, alice.Accept(ctx, s))
	}
}

// What cannot be sealed is not sent, and nothing happened.
func TestSealAllFails(t *testing.T) {
	w := newWorld(t)
	alice, _ := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	o := alice.sealing("")
	o.Seal = alice.sender.SealAll(sealed.HintDefault, make([]byte, wire.MaxSealed)) // more than fits in an envelope
	alice.unchanged(t, func() {
		_, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("hi")}, o)
		require.ErrorIs(t, err, session.ErrTooLarge)
	})
	s, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("hi")}, alice.sealing(""))
	require.NoError(t, err)
	envelopes(t, s)

	broken := errors.New("broken")
	o.Seal = func(*session.Sending) error { return broken }
	alice.unchanged(t, func() {
		_, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("hi")}, o)
		require.ErrorIs(t, err, broken)
	})
}

// A device that gets nothing stays so, and the others have theirs.
func TestSealAllWithoutSome(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	s, err := alice.Send(ctx, []string{bobID, carolID}, &session.Content{Body: []byte("hi")}, alice.sealing(""))
	require.NoError(t, err)
	require.Len(t, s.Results, 2)
	for _, r := range s.Results {
		if r.To.User == carolID {
			require.Error(t, r.Err)
			require.Nil(t, r.Message)
			continue
		}
		bob.opens(t, w, r.Message.Bytes, "hi")
	}
}

// In a transaction of the app's, a Sending comes sealed, when that is
// committed; what is not there yet cannot be sealed.
func TestSealAllWithinTransaction(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	pending := new(keystore.Pending)
	s, err := alice.Send(pending.In(ctx), []string{bobID}, &session.Content{Body: []byte("hi")}, alice.sealing(""))
	require.NoError(t, err)
	require.ErrorIs(t, alice.sealing("").Seal(s), session.ErrMalformed)
	pending.Committed()
	require.NoError(t, alice.sealing("").Seal(s)) // which it is already
	bob.opens(t, w, envelopes(t, s)[bob.Address()], "hi")
}

// A message that could not be read is asked for and sent again, and the relay
// sees nothing of either.
func TestSealedRetry(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	require.NoError(t, bob.Forget(ctx, aliceID)) // and with her the session
	o := alice.sealing("friends")
	s, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("lost")}, o)
	require.NoError(t, err)
	lost, cause := bob.refuses(t, w, envelopes(t, s)[bob.Address()])
	require.ErrorIs(t, cause, session.ErrNoSession)
	require.Equal(t, alice.Address(), lost.From)
	require.Equal(t, sealed.HintResendable, lost.Hint)

	request, err := bob.RequestRetry(ctx, lost.From, lost.Inner, s.SentAt, cause)
	require.NoError(t, err)
	e, err := bob.sender.Seal(lost.Sender.Claims().Identity, request, sealed.HintImplicit, lost.Group)
	require.NoError(t, err)
	var asked *sealed.Received
	alice.unchanged(t, func() {
		asked, err = alice.receiver.Open(ctx, e.Bytes, w.now, nil)
		require.NoError(t, err)
	})
	require.Equal(t, request, asked.Retry)
	require.Nil(t, asked.Received)
	require.Equal(t, bob.Address(), asked.From)
	require.Equal(t, sealed.HintImplicit, asked.Hint)

	for range 2 { // the same answer, in another envelope
		answer, err := alice.Resend(ctx, asked.From, asked.Retry)
		require.NoError(t, err)
		require.NoError(t, alice.sender.SealAll(sealed.HintResendable, asked.Group)(answer))
		r := bob.opens(t, w, envelopes(t, answer)[bob.Address()], "lost")
		require.Equal(t, "friends", string(r.Group))
		require.Equal(t, s.SentAt.UnixMilli(), r.Content.SentAt.UnixMilli())
	}
}

// A device that was set up anew, under another key, opens nothing that is for the
// old one; by the server's word the sender finds out, and by nothing else.
func TestSealedForAnOldKey(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	bob = w.joins(t, bobID, 1, nil)
	s, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("hi")}, alice.sealing(""))
	require.NoError(t, err)
	r, err := bob.refuses(t, w, envelopes(t, s)[bob.Address()])
	require.Equal(t, session.ErrAuth, err)
	require.Nil(t, r)

	stale := session.Difference{User: bobID, Stale: []uint32{1}}
	require.NoError(t, alice.Reconcile(ctx, s, stale))
	require.ErrorAs(t, s.Results[0].Err, new(*session.UntrustedIdentityError))
	require.Nil(t, s.Results[0].Message)
	require.NoError(t, alice.AcceptIdentity(ctx, bob.Address(), bob.Identity()))
	require.NoError(t, alice.Reconcile(ctx, s, stale))
	bob.opens(t, w, envelopes(t, s)[bob.Address()], "hi")
}

// Whoever is not the one who was written to gets nothing by a request.
func TestSealedRetryOfAnother(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	lost, err := alice.Send(ctx, []string{bobID}, &session.Content{Body: []byte("lost")}, alice.sealing(""))
	require.NoError(t, err)
	inner, err := sealed.NewOpener(bob.IdentityKeyPair(), w.trust, nil).Open(envelopes(t, lost)[bob.Address()], w.now)
	require.NoError(t, err)
	request, err := bob.RequestRetry(ctx, alice.Address(), &session.Message{Type: inner.Type, Bytes: inner.Bytes}, lost.SentAt, session.ErrNoSession)
	require.NoError(t, err)
	asked, err := alice.receiver.Open(ctx, carol.seals(t, alice, request), w.now, nil)
	require.NoError(t, err)
	require.Equal(t, carol.Address(), asked.From)
	alice.unchanged(t, func() {
		_, err := alice.Resend(ctx, asked.From, asked.Retry)
		require.ErrorIs(t, err, session.ErrNoRetry)
	})
}

// A message that many get alike goes in one envelope; those who have no place in
// that get theirs as a server would have made it.
func TestSealAllShared(t *testing.T) {
	const daveID = "e80f7bbe-5b94-471e-bd8c-2173654ea3d1"
	w := newWorld(t)
	alice := w.joins(t, aliceID, 1, nil)
	tablet := w.joins(t, aliceID, 2, alice.IdentityKeyPair())
	bob, dave, budi := w.joins(t, bobID, 1, nil), w.joins(t, daveID, 1, nil), w.joins(t, "budi", 1, nil)
	inside := []*party{bob, w.joins(t, bobID, 2, bob.IdentityKeyPair()), dave}
	apart := []*party{w.joins(t, daveID, 2, nil), budi, w.joins(t, "budi", 2, budi.IdentityKeyPair()), w.joins(t, "budi", 3, nil)}
	for _, p := range append(append([]*party{tablet}, inside...), apart...) {
		w.friends(t, alice, p)
	}
	o := alice.sealing("friends")
	m := &session.Message{Type: session.TypeSenderKey, Bytes: []byte("to all alike")}
	o.Shared = func(*session.Tx, []session.Result, []byte) (*session.Message, error) { return m, nil }
	s, err := alice.Send(ctx, []string{bobID, daveID, "budi"}, &session.Content{Body: []byte("to all alike")}, o)
	require.NoError(t, err)

	sent := envelopes(t, s)
	require.Len(t, sent, 8)
	tablet.opens(t, w, sent[tablet.Address()], "to all alike")
	for _, r := range s.Results {
		isInside := func(p *party) bool { return p.Address() == r.To }
		require.Equal(t, slices.ContainsFunc(inside, isInside), r.Message == nil, "%v", r.To)
	}
	for _, p := range append(inside, apart...) {
		got, err := sealed.NewOpener(p.IdentityKeyPair(), w.trust, nil).Open(sent[p.Address()], w.now)
		require.NoError(t, err)
		require.Equal(t, m, &session.Message{Type: got.Type, Bytes: got.Bytes})
		require.Equal(t, "friends", string(got.Group))
		require.Equal(t, alice.cert.Bytes(), got.Sender.Bytes())
	}
	require.Equal(t, sent[session.Address{User: "budi", Device: 1}], sent[session.Address{User: "budi", Device: 2}])
	upload, err := sealed.Split(s.Envelope)
	require.NoError(t, err)
	require.Len(t, upload.Deliveries, 2)
	for _, d := range upload.Deliveries {
		for _, device := range d.Devices {
			p := w.published[session.Address{User: d.User, Device: device.ID}]
			require.Equal(t, p.RegistrationID, device.RegistrationID)
		}
	}
	require.NoError(t, alice.Accept(ctx, s))
}

// Whoever cannot be sealed for is named, however his message goes.
func TestSealAllNamesTheRecipient(t *testing.T) {
	i := newIssuer(1)
	s, err := sealed.NewSender(pair(t, 0x33), i.issue(t, nil), nil)
	require.NoError(t, err)
	none, err := keys.ParseIdentityKey(testutil.SmallOrderKeys()[2]) // u = 1
	require.NoError(t, err)
	for _, user := range []string{"budi", bobID} {
		for _, typ := range []session.MessageType{session.TypeSignal, session.TypeSenderKey} {
			m := &session.Message{Type: typ, Bytes: count(20)}
			sending := &session.Sending{SentAt: expires, Results: []session.Result{
				{To: session.Address{User: "ani", Device: 1}, Identity: pair(t, 0x44).Public(), Message: m},
				{To: session.Address{User: user, Device: 2}, Identity: none, Message: m},
			}}
			var e *sealed.RecipientError
			require.ErrorAs(t, s.SealAll(sealed.HintDefault, nil)(sending), &e)
			require.ErrorIs(t, e, keys.ErrZeroAgreement)
			require.Equal(t, user, e.Address.User)
		}
	}
}
