package sealed_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestOpen(t *testing.T) {
	for _, names := range [][2]string{{aliceID, bobID}, {"ani", "budi"}, {aliceID, "budi"}} {
		w := newWorld(t)
		alice, bob := w.joins(t, names[0], 1, nil), w.joins(t, names[1], 2, nil)
		first := alice.writes(t, bob, "first")
		require.Equal(t, session.TypePreKey, first.Type)
		r := bob.opens(t, w, alice.seals(t, bob, first), "first")
		require.Equal(t, alice.Address(), r.From)
		require.Equal(t, alice.Address(), r.Received.From)
		require.True(t, r.Identity.Equal(alice.Identity()))
		require.Equal(t, session.TypePreKey, r.Type)
		require.Equal(t, first, r.Inner)
		require.Equal(t, alice.cert.Bytes(), r.Sender.Bytes())
		require.Nil(t, r.Retry)

		answer := bob.writes(t, alice, "answer")
		require.Equal(t, session.TypeSignal, answer.Type)
		r = alice.opens(t, w, bob.seals(t, alice, answer), "answer")
		require.Equal(t, bob.Address(), r.From)
		require.Equal(t, session.TypeSignal, r.Type)
		require.NoError(t, alice.Acknowledge(ctx, r.Received))
	}
}

// The certificate's spelling of a service id is not that of the session.
func TestOpenCanonicalAddress(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	c := w.claims(alice)
	c.User = strings.ToUpper(c.User)
	alice.certified(t, w.issue(t, c))
	require.Equal(t, alice.Address(), bob.opens(t, w, alice.seals(t, bob, alice.writes(t, bob, "hi")), "hi").From)
}

// A certificate may name somebody who is nobody's address.
func TestOpenNoAddress(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	c := w.claims(alice)
	c.User = strings.Repeat("a", 1025)
	m := alice.writes(t, bob, "hi")
	request := requestOf(t, w, alice, bob)
	alice.certified(t, w.issue(t, c))
	for _, m := range []*session.Message{m, request} {
		r, err := bob.refuses(t, w, alice.seals(t, bob, m))
		require.ErrorIs(t, err, session.ErrMalformed)
		require.Nil(t, r)
	}
}

// Of one envelope that is opened by many at once, one result is new.
func TestOpenAtOnce(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	bob.receiver = sealed.NewReceiver(bob.Device, bob.groups,
		&sealed.Trust{Roots: w.trust.Roots, Cache: 2}, &sealed.Options{Cache: 2})
	for range 4 {
		e := alice.seals(t, bob, alice.writes(t, bob, "hi"))
		var fresh atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				r, err := bob.receiver.Open(ctx, e, w.now, nil)
				if assert.NoError(t, err) && !r.Redelivered {
					fresh.Add(1)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, fresh.Load())
	}
}

func TestSS_05_SelfSend(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	other := w.joins(t, aliceID, 2, alice.IdentityKeyPair())
	const number, another = "+14151111111", "+14152222222"
	message := bob.writes(t, alice, "to herself")
	for name, c := range map[string]struct {
		user, e164, own string
		device          uint32
		self            bool
	}{
		"lower case":           {user: aliceID, device: 1, self: true},
		"upper case":           {user: strings.ToUpper(aliceID), device: 1, self: true},
		"another device":       {user: aliceID, device: 2},
		"a PNI":                {user: "PNI:" + aliceID, device: 1},
		"number alone":         {user: bobID, e164: number, own: number, device: 1, self: true},
		"number, other device": {user: bobID, e164: number, own: number, device: 2},
		"another number":       {user: bobID, e164: another, own: number, device: 1},
		"both without number":  {user: bobID, device: 1},
		"name and number":      {user: aliceID, e164: another, own: number, device: 1, self: true},
	} {
		t.Run(name, func(t *testing.T) {
			cert := w.issue(t, sealed.Claims{User: c.user, E164: c.e164, Device: c.device,
				Identity: alice.Identity(), Expires: w.now.Add(time.Hour)})
			sender, err := sealed.NewSender(alice.IdentityKeyPair(), cert, nil)
			require.NoError(t, err)
			e, err := sender.Seal(alice.Identity(), message, sealed.HintDefault, nil)
			require.NoError(t, err)
			receiver := sealed.NewReceiver(alice.Device, alice.groups, w.trust, &sealed.Options{E164: c.own})
			alice.unchanged(t, func() {
				r, err := receiver.Open(ctx, e.Bytes, w.now, nil)
				require.Error(t, err) // none of them is by the key it says
				require.Equal(t, c.self, errors.Is(err, sealed.ErrSelfSend), "%v", err)
				require.Equal(t, c.self, r == nil)
			})
			// What the certificate says counts only when it holds.
			alice.unchanged(t, func() {
				_, err := receiver.Open(ctx, e.Bytes, w.now.Add(2*time.Hour), nil)
				require.ErrorAs(t, err, new(*sealed.CertificateError))
			})
		})
	}
	// Own devices write to each other.
	m := other.writes(t, alice, "from my tablet")
	alice.opens(t, w, other.seals(t, alice, m), "from my tablet")
}

func TestSS_06_CarolWrapsAlice(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	first := alice.writes(t, bob, "first")
	r, err := bob.refuses(t, w, carol.seals(t, bob, first))
	requireMismatch(t, err, carol.Identity(), alice.Identity())
	require.Equal(t, carol.Address(), r.From) // nothing says alice
	require.Zero(t, session.ReasonOf(err))

	// Carol is nobody yet, and then somebody, with a session of her own.
	bob.opens(t, w, alice.seals(t, bob, first), "first")
	w.friends(t, bob, alice)
	second := alice.writes(t, bob, "second")
	require.Equal(t, session.TypeSignal, second.Type)
	_, err = bob.refuses(t, w, carol.seals(t, bob, second))
	require.ErrorIs(t, err, session.ErrNoSession)
	w.friends(t, bob, carol)
	_, err = bob.refuses(t, w, carol.seals(t, bob, second))
	require.ErrorIs(t, err, session.ErrAuth)
	bob.opens(t, w, alice.seals(t, bob, second), "second")
}

// A server, or whoever has its key, certifies another key for alice.
func TestSS_06_CertificateOfAnotherKey(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	w.friends(t, alice, bob)
	c := w.claims(alice)
	c.Identity = carol.Identity()
	carol.certified(t, w.issue(t, c))
	for _, m := range []*session.Message{alice.writes(t, bob, "signal"), {Type: session.TypePreKey, Bytes: nil}} {
		if m.Bytes == nil { // a session begun anew
			require.NoError(t, alice.Archive(ctx, bob.Address()))
			m = alice.writes(t, bob, "prekey")
			require.Equal(t, session.TypePreKey, m.Type)
		}
		_, err := bob.refuses(t, w, carol.seals(t, bob, m))
		requireMismatch(t, err, carol.Identity(), alice.Identity())
		r, err := bob.receiver.Open(ctx, alice.seals(t, bob, m), w.now, nil)
		require.NoError(t, err)
		require.True(t, r.Accepted)

		// One that was read is not given to another either.
		_, err = bob.refuses(t, w, carol.seals(t, bob, m))
		requireMismatch(t, err, carol.Identity(), alice.Identity())
	}
}

// A message of a group is of the device, and of the identity key, that its sender
// key came from.
func TestSS_06_Group(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	m := w.grouped(t, alice, bob, "from alice")
	r, err := bob.refuses(t, w, carol.seals(t, bob, m))
	require.ErrorIs(t, err, group.ErrNoSenderKey)
	require.NotZero(t, session.ReasonOf(err))
	require.Equal(t, carol.Address(), r.From)
	w.grouped(t, carol, bob, "from carol") // a key of hers under the same id
	_, err = bob.refuses(t, w, carol.seals(t, bob, m))
	require.ErrorIs(t, err, group.ErrNoSenderKey)

	c := w.claims(alice)
	c.Identity = carol.Identity()
	carol.certified(t, w.issue(t, c))
	_, err = bob.refuses(t, w, carol.seals(t, bob, m))
	requireMismatch(t, err, carol.Identity(), alice.Identity())
	c = w.claims(alice)
	c.Device = 2
	sender, err := sealed.NewSender(alice.IdentityKeyPair(), w.issue(t, c), nil)
	require.NoError(t, err)
	e, err := sender.Seal(bob.Identity(), m, sealed.HintDefault, nil)
	require.NoError(t, err)
	_, err = bob.refuses(t, w, e.Bytes)
	require.ErrorIs(t, err, group.ErrNoSenderKey)

	r = bob.opens(t, w, alice.seals(t, bob, m), "from alice")
	require.True(t, r.Accepted)
	_, err = bob.refuses(t, w, carol.seals(t, bob, m)) // which was read
	requireMismatch(t, err, carol.Identity(), alice.Identity())
}

// A key that comes for a group is taken in by the commit of its message, or not
// at all.
func TestSS_06_DistributionOfAnother(t *testing.T) {
	w := newWorld(t)
	alice, bob, carol := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil), w.joins(t, carolID, 1, nil)
	id := group.DistributionID{1}
	key, err := alice.groups.Distribution(ctx, id)
	require.NoError(t, err)
	s, err := alice.Send(ctx, []string{bobID}, &session.Content{Distribution: key}, nil)
	require.NoError(t, err)
	_, err = bob.refuses(t, w, carol.seals(t, bob, s.Results[0].Message))
	requireMismatch(t, err, carol.Identity(), alice.Identity())
	m, err := alice.groups.Encrypt(ctx, id, (&session.Content{Body: []byte("hi")}).Bytes())
	require.NoError(t, err)
	for _, p := range []*party{alice, carol} {
		_, err = bob.refuses(t, w, p.seals(t, bob, m))
		require.ErrorIs(t, err, group.ErrNoSenderKey)
	}
	bob.opens(t, w, alice.seals(t, bob, s.Results[0].Message), "")
	bob.opens(t, w, alice.seals(t, bob, m), "hi")
}

// The certificate's device is that of the session.
func TestSS_06_CertificateOfAnotherDevice(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	w.friends(t, alice, bob)
	c := w.claims(alice)
	c.Device = 2
	alice.certified(t, w.issue(t, c))
	r, err := bob.refuses(t, w, alice.seals(t, bob, alice.writes(t, bob, "signal")))
	require.ErrorIs(t, err, session.ErrNoSession)
	require.Equal(t, session.Address{User: aliceID, Device: 2}, r.From)
}

// What the caller demands must hold, too.
func TestOpenDemandsIdentity(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	e := alice.seals(t, bob, alice.writes(t, bob, "hi"))
	request := alice.seals(t, bob, requestOf(t, w, alice, bob))
	want := bob.Identity()
	for _, e := range [][]byte{e, request} {
		bob.unchanged(t, func() {
			_, err := bob.receiver.Open(ctx, e, w.now, &session.DecryptOptions{Identity: &want})
			requireMismatch(t, err, want, alice.Identity())
		})
	}
	want = alice.Identity()
	r, err := bob.receiver.Open(ctx, e, w.now, &session.DecryptOptions{Identity: &want, Expires: w.now.Add(time.Hour)})
	require.NoError(t, err)
	require.Equal(t, w.now.Add(time.Hour).UnixMilli(), r.Expires.UnixMilli())
}

func requireMismatch(t testing.TB, err error, expected, seen keys.IdentityKey) {
	t.Helper()
	var mismatch *session.IdentityMismatchError
	require.ErrorAs(t, err, &mismatch)
	require.True(t, mismatch.Expected.Equal(expected) && mismatch.Seen.Equal(seen))
}

func TestSS_14_HintsAndGroups(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	for _, hint := range []sealed.Hint{sealed.HintDefault, sealed.HintResendable, sealed.HintImplicit, 200, 1<<32 - 1} {
		for _, id := range [][]byte{nil, []byte("g"), make([]byte, 32)} {
			e, err := alice.sender.Seal(bob.Identity(), alice.writes(t, bob, "hi"), hint, id)
			require.NoError(t, err)
			r := bob.opens(t, w, e.Bytes, "hi")
			require.Equal(t, hint, r.Hint)
			require.Equal(t, id, r.Group)
		}
	}
}

func TestSS_18_SameMessageInAnotherEnvelope(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	for _, message := range []func() *session.Message{
		func() *session.Message { return alice.writes(t, bob, "hi") },
		func() *session.Message { w.friends(t, bob, alice); return alice.writes(t, bob, "hi") },
		func() *session.Message { return w.grouped(t, alice, bob, "hi") },
	} {
		m := message()
		e := alice.seals(t, bob, m)
		r := bob.opens(t, w, e, "hi")
		require.False(t, r.Redelivered)
		other := alice.seals(t, bob, m)
		require.NotEqual(t, e, other)
		padded := append(append([]byte(nil), e...), 0x78, 1) // field 15, which nobody knows
		for _, e := range [][]byte{e, other, padded} {
			again := bob.opens(t, w, e, "hi")
			require.True(t, again.Redelivered)
			require.Equal(t, r.ID, again.ID)
		}
		bare, err := bob.groups.Decrypt(ctx, alice.Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, r.ID, bare.ID)
		require.NoError(t, bob.Acknowledge(ctx, r.Received))
		for _, e := range [][]byte{e, other, padded} {
			_, err := bob.refuses(t, w, e)
			require.ErrorIs(t, err, session.ErrDuplicate)
		}
	}
}

func TestOpenExpiredCertificate(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	e := alice.seals(t, bob, alice.writes(t, bob, "hi"))
	expires := alice.cert.Claims().Expires
	for _, at := range []time.Time{expires.Add(time.Millisecond), expires.Add(time.Hour)} {
		bob.unchanged(t, func() {
			r, err := bob.receiver.Open(ctx, e, at, nil)
			require.ErrorAs(t, err, new(*sealed.CertificateError))
			require.Nil(t, r)
		})
	}
	_, err := bob.receiver.Open(ctx, e, expires, nil)
	require.NoError(t, err)
}

// Of a certificate that does not hold, nothing is told.
func TestOpenTellsNothingBefore(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	e := alice.seals(t, bob, alice.writes(t, bob, "hi"))
	for name, trust := range map[string]*sealed.Trust{
		"no root":      {},
		"another root": {Roots: []keys.VerifyKey{keys.GenerateSigningKey().Public()}},
		"revoked":      {Roots: w.trust.Roots, Revoked: []uint32{w.server.ID()}},
	} {
		r, err := sealed.NewReceiver(bob.Device, nil, trust, nil).Open(ctx, e, w.now, nil)
		require.ErrorAs(t, err, new(*sealed.CertificateError), name)
		require.Nil(t, r)
		testutil.NoTrace(t, err.Error(), []byte(aliceID), alice.Identity().Bytes())
		require.Zero(t, session.ReasonOf(err))
	}
}

// In a transaction of the app's, what is read is there at once.
func TestOpenWithinTransaction(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	e := alice.seals(t, bob, alice.writes(t, bob, "hi"))
	r, err := bob.receiver.Open(new(keystore.Pending).In(ctx), e, w.now, nil)
	require.NoError(t, err)
	require.Equal(t, "hi", string(r.Content.Body))
}

func TestMEM_03_NothingPrintsSecrets(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.joins(t, aliceID, 1, nil), w.joins(t, bobID, 1, nil)
	const plaintext = "a plaintext that nobody but the two may read"
	e := alice.seals(t, bob, alice.writes(t, bob, plaintext))
	r := bob.opens(t, w, e, plaintext)
	opener := sealed.NewOpener(bob.IdentityKeyPair(), w.trust, &sealed.Options{Cache: 1})
	m, err := opener.Open(e, w.now)
	require.NoError(t, err)
	shared, err := bob.IdentityKeyPair().Agree(alice.Identity().PublicKey())
	require.NoError(t, err)
	secrets := [][]byte{[]byte(plaintext), bob.IdentityKeyPair().PrivateBytes(), alice.IdentityKeyPair().PrivateBytes(), shared[:]}
	testutil.RequireRedacted(t, r, secrets...)
	values := map[string]any{
		"Receiver": bob.receiver, "Received": r, "Opener": opener, "Sender": alice.sender, "Message": m, "Trust": w.trust,
		"SenderCertificate": alice.cert, "ServerCertificate": w.server, "Claims": alice.cert.Claims(), "Options": sealed.Options{E164: "+1"},
		"Hint": r.Hint, "Recipient": sealed.Recipient{Identity: bob.Identity()}, "Device": sealed.Device{ID: 1},
		"Upload": new(sealed.Upload), "Delivery": sealed.Delivery{User: bobID},
		"RecipientError": &sealed.RecipientError{Err: session.ErrNoSession}, "CertificateError": &sealed.CertificateError{Reason: "expired"},
	}
	for _, name := range testutil.ExportedTypes(t) {
		require.Contains(t, values, name)
		for _, text := range testutil.Printed(t, values[name]) {
			testutil.NoTrace(t, text, secrets...)
		}
	}
}

// requestOf is a request of from's for a message of to's.
func requestOf(t testing.TB, w *world, from, to *party) *session.Message {
	t.Helper()
	lost := to.writes(t, from, "lost")
	m, err := from.RequestRetry(ctx, to.Address(), lost, w.now, session.ErrNoSession)
	require.NoError(t, err)
	return m
}
