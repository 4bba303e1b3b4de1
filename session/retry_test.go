package session_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A bundler is a directory that has bundles of sides, from themselves.
type bundler struct {
	sides []*side
	mu    sync.Mutex
	calls int
	fail  func(session.Address) (*x3dh.Bundle, error) // if set, answers instead
}

func (b *bundler) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	for _, s := range b.sides {
		if a := s.Address(); a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: s.RegistrationID()})
		}
	}
	return out, nil
}

func (b *bundler) Bundle(_ context.Context, a session.Address) (*x3dh.Bundle, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.fail != nil {
		return b.fail(a)
	}
	for _, s := range b.sides {
		if s.Address() == a {
			return s.Bundle(ctx)
		}
	}
	return nil, errors.New("no such device")
}

func (b *bundler) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// A lossy is a pair of which each may ask the other for what it could not read.
type lossy struct {
	*pair
	dir *bundler
}

func losing(t testing.TB) *lossy {
	t.Helper()
	p := &pair{now: time.UnixMilli(1_700_000_000_000).UTC()}
	dir := &bundler{}
	o := &session.Options{Now: func() time.Time { return p.now }, Directory: dir}
	p.alice, p.bob = newSide(t, aliceAddress, nil, o), newSide(t, bobAddress, nil, o)
	dir.sides = []*side{p.alice, p.bob}
	p.alice.knows(t, p.bob)
	p.bob.knows(t, p.alice)
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	return &lossy{p, dir}
}

// knows lists the device of peer as its user's.
func (s *side) knows(t testing.TB, peer *side) {
	t.Helper()
	a := peer.Address()
	s.put(t, s.key("peer", a.User, ""), wire.AppendPeer(nil, &wire.Peer{
		Devices: []wire.PeerDevice{{ID: a.Device, RegistrationID: peer.RegistrationID()}}, ListedAt: 1}))
}

// posts encrypts text, and keeps a copy of it, as Send does.
func (p *lossy) posts(t testing.TB, from, to *side, text string) (*session.Message, time.Time) {
	t.Helper()
	p.now = p.now.Add(milli)
	m := from.send(t, to, text)
	from.keeps(t, p.now, []byte(text), time.Time{}, to)
	return m, p.now
}

// keeps keeps a copy of what was sent to devices last.
func (s *side) keeps(t testing.TB, at time.Time, content []byte, expires time.Time, to ...*side) {
	t.Helper()
	rec := wire.Sent{Content: content}
	if !expires.IsZero() {
		rec.Expires = uint64(expires.UnixMilli())
	}
	for _, peer := range to {
		a := peer.Address()
		rec.Recipients = append(rec.Recipients, wire.Recipient{User: a.User, Device: a.Device, Hint: hintOf(s.current(t, peer).SenderKey(), peer.Identity())})
	}
	s.put(t, s.sentKey(at), wire.AppendSent(nil, &rec))
}

func (s *side) sentKey(at time.Time) keystore.Key {
	return s.key("sent", "-", strconv.FormatInt(at.UnixMilli(), 10))
}

func hintOf(ratchetKey []byte, identity keys.IdentityKey) []byte {
	h := sha256.Sum256(append(ratchetKey, identity.Bytes()...))
	return h[:wire.HintSize]
}

// asks requires that m cannot be read, and asks for it again.
func (s *side) asks(t testing.TB, from *side, m *session.Message, at time.Time, reason session.RetryReason) *session.Message {
	t.Helper()
	err := s.decrypt(from, m)
	require.Equal(t, reason, session.ReasonOf(err), "%v", err)
	out, err := s.RequestRetry(ctx, from.Address(), m, at, err)
	require.NoError(t, err)
	require.Equal(t, session.TypePlaintext, out.Type)
	return out
}

// resends requires an answer.
func (s *side) resends(t testing.TB, to *side, request *session.Message, at time.Time) *session.Message {
	t.Helper()
	sending, err := s.Resend(ctx, to.Address(), request)
	require.NoError(t, err)
	require.True(t, at.Equal(sending.SentAt))
	require.Len(t, sending.Results, 1)
	r := sending.Results[0]
	require.NoError(t, r.Err)
	require.Equal(t, to.Address(), r.To)
	require.Equal(t, to.RegistrationID(), r.RegistrationID)
	require.NotNil(t, r.Message)
	return r.Message
}

// ignores requires that a request is not answered, and leaves everything as it
// was.
func (s *side) ignores(t testing.TB, from session.Address, request *session.Message, want error) {
	t.Helper()
	before := testutil.StoreDigest(t, s.store)
	out, err := s.Resend(ctx, from, request)
	refused(t, err, want)
	require.Nil(t, out)
	require.Equal(t, before, testutil.StoreDigest(t, s.store))
}

// Each reason comes from a message that is lost in that way, and is healed.
func TestReasons(t *testing.T) {
	far := func(p *lossy) (*session.Message, time.Time) {
		require.NoError(t, p.alice.Update(ctx, nil, func(tx *session.Tx) error { // in one commit
			for range 25001 {
				if _, err := tx.Encrypt(bobAddress, []byte("lost")); err != nil {
					return err
				}
			}
			return nil
		}))
		return p.posts(t, p.alice, p.bob, "far")
	}
	for _, c := range []struct {
		name   string
		reason session.RetryReason
		loses  func(p *lossy) (*session.Message, time.Time)
	}{
		{"no session", session.ReasonNoSession, func(p *lossy) (*session.Message, time.Time) {
			m, at := p.posts(t, p.alice, p.bob, "text")
			p.bob.forget(t, aliceAddress.User)
			return m, at
		}},
		{"no prekey", session.ReasonNoPreKey, func(p *lossy) (*session.Message, time.Time) {
			p.alice.begin(t, p.bob)
			m, at := p.posts(t, p.alice, p.bob, "text")
			for _, kind := range []string{"prekey", "signed", "kem", "lastresort"} {
				p.bob.remove(t, kind, "-")
			}
			return m, at
		}},
		{"flipped MAC", session.ReasonUnreadable, func(p *lossy) (*session.Message, time.Time) {
			m, at := p.posts(t, p.alice, p.bob, "text")
			return flip(m, -1, 1), at
		}},
		{"another session", session.ReasonUnreadable, func(p *lossy) (*session.Message, time.Time) {
			m, at := p.posts(t, p.alice, p.bob, "text")
			p.bob.forget(t, aliceAddress.User)
			p.bob.begin(t, p.alice)
			return m, at
		}},
		{"version 3", session.ReasonUnreadable, func(p *lossy) (*session.Message, time.Time) {
			p.alice.begin(t, p.bob)
			m, at := p.posts(t, p.alice, p.bob, "text")
			return edit(t, m, func(o *wire.PreKeySignalMessage) { o.Version = 3; o.HasKEM = false; o.KEMCiphertext = nil }), at
		}},
		{"damaged session", session.ReasonUnreadable, func(p *lossy) (*session.Message, time.Time) {
			m, at := p.posts(t, p.alice, p.bob, "text")
			p.bob.put(t, sessionKey(p.bob, aliceAddress), wire.AppendSessionIndex(nil, &wire.SessionIndex{Current: []byte{0xFF}}))
			return m, at
		}},
		{"too far", session.ReasonTooFar, far},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := losing(t)
			m, at := c.loses(p)
			before := p.digest(t)
			require.Error(t, p.bob.decrypt(p.alice, m))
			require.Equal(t, before, p.digest(t))
			request := p.bob.asks(t, p.alice, m, at, c.reason)
			again := p.alice.resends(t, p.bob, request, at)
			require.Equal(t, session.TypePreKey, again.Type, "a new session")
			r, err := p.bob.Decrypt(ctx, aliceAddress, again, nil)
			require.NoError(t, err)
			require.Contains(t, []string{"text", "far"}, string(r.Plaintext))
			require.Equal(t, 1, p.dir.calls)
			p.goesOn(t)
		})
	}
}

func TestReasonOf(t *testing.T) {
	for err, want := range map[error]session.RetryReason{
		nil:                              0,
		session.ErrDuplicate:             0,
		session.ErrMalformed:             0,
		session.ErrVersion:               0,
		session.ErrTooLarge:              0,
		keys.ErrKey:                      0,
		x3dh.ErrZeroAgreement:            0,
		&session.BaseKeyReusedError{}:    0,
		&session.IdentityMismatchError{}: 0,
		keystore.ErrCommitUnknown:        0,
		keystore.ErrRolledBack:           0,
		keystore.ErrNewerFormat:          0,
		context.Canceled:                 0,
		errInjected:                      0,
		session.ErrNoSession:             session.ReasonNoSession,
		&session.PreKeyNotFoundError{}:   session.ReasonNoPreKey,
		session.ErrAuth:                  session.ReasonUnreadable,
		session.ErrExhausted:             session.ReasonUnreadable,
		session.ErrCorrupt:               session.ReasonUnreadable,
		session.ErrTooFar:                session.ReasonTooFar,
		session.ErrTooExpensive:          session.ReasonTooFar,
	} {
		require.Equal(t, want, session.ReasonOf(err), "%v", err)
		if err != nil {
			require.Equal(t, want, session.ReasonOf(errors.Join(errInjected, err)), "%v", err)
		}
	}
	require.Zero(t, session.ReasonOf(errors.Join(session.ErrAuth, session.ErrDuplicate)))
}

// What is not to be asked for is not, and nothing is noted.
func TestRequestRetryRefuses(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	before := testutil.StoreDigest(t, p.bob.store)
	for _, c := range []struct {
		from  session.Address
		m     *session.Message
		at    time.Time
		cause error
		want  error
	}{
		{aliceAddress, m, at, nil, session.ErrNoRetry},
		{aliceAddress, m, at, session.ErrDuplicate, session.ErrNoRetry},
		{aliceAddress, m, at, session.ErrMalformed, session.ErrNoRetry},
		{aliceAddress, m, at, errInjected, session.ErrNoRetry},
		{aliceAddress, &session.Message{Type: session.TypePlaintext, Bytes: m.Bytes}, at, session.ErrAuth, session.ErrNoRetry},
		{aliceAddress, &session.Message{Type: session.TypeSealed, Bytes: m.Bytes}, at, session.ErrAuth, session.ErrNoRetry},
		{bobAddress, m, at, session.ErrAuth, session.ErrNoRetry},
		{aliceAddress, nil, at, session.ErrAuth, session.ErrMalformed},
		{aliceAddress, &session.Message{Type: session.TypeSignal, Bytes: m.Bytes[:5]}, at, session.ErrAuth, session.ErrMalformed},
		{aliceAddress, &session.Message{Type: session.TypePreKey, Bytes: m.Bytes}, at, session.ErrAuth, session.ErrMalformed},
		{aliceAddress, m, time.Time{}, session.ErrAuth, session.ErrMalformed},
		{aliceAddress, m, time.UnixMilli(0), session.ErrAuth, session.ErrMalformed},
		{session.Address{User: aliceAddress.User, Device: 128}, m, at, session.ErrAuth, session.ErrMalformed},
		{session.Address{}, m, at, session.ErrAuth, session.ErrMalformed},
	} {
		out, err := p.bob.RequestRetry(ctx, c.from, c.m, c.at, c.cause)
		refused(t, err, c.want)
		require.Nil(t, out)
	}
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))

	p.bob.put(t, p.bob.key("peer", aliceAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{Blocked: true}))
	before = testutil.StoreDigest(t, p.bob.store)
	_, err := p.bob.RequestRetry(ctx, aliceAddress, m, at, session.ErrAuth)
	refused(t, err, session.ErrNoRetry)
	refused(t, err, session.ErrBlocked)
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
}

// A request says what was not read, and no more; it is not for Decrypt.
func TestRequestRetrySays(t *testing.T) {
	p := losing(t)
	for _, begins := range []bool{false, true} {
		if begins {
			p.alice.begin(t, p.bob)
		}
		m, at := p.posts(t, p.alice, p.bob, "text")
		out, err := p.bob.RequestRetry(ctx, aliceAddress, m, at.Add(999*time.Microsecond), session.ErrAuth)
		require.NoError(t, err)
		dem, err := wire.ParsePlaintextContent(out.Bytes)
		require.NoError(t, err)
		require.Equal(t, wire.DecryptionErrorMessage{RatchetKey: p.alice.current(t, p.bob).SenderKey(),
			Timestamp: uint64(at.UnixMilli()), Device: aliceAddress.Device}, dem)
		before := p.digest(t)
		refused(t, p.alice.decrypt(p.bob, out), session.ErrMalformed)
		require.Equal(t, before, p.digest(t))
	}
}

// One message is asked for five times, and 300 times an hour anything. What is
// noted of it is bounded, and goes.
func TestRequestRetryLimits(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	ask := func(at time.Time) error {
		_, err := p.bob.RequestRetry(ctx, aliceAddress, m, at, session.ErrAuth)
		return err
	}
	for range 5 {
		require.NoError(t, ask(at))
	}
	before := testutil.StoreDigest(t, p.bob.store)
	refused(t, ask(at), session.ErrNoRetry)
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
	for i := range 295 {
		require.NoError(t, ask(at.Add(time.Duration(i+1)*milli)))
	}
	before = testutil.StoreDigest(t, p.bob.store)
	refused(t, ask(at.Add(time.Hour)), session.ErrNoRetry)
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
	require.Len(t, p.bob.retry(t, p.alice).Requests, 100)

	// Another device of the same user, and the other direction, have their own.
	_, err := p.bob.RequestRetry(ctx, session.Address{User: aliceAddress.User, Device: 77}, m, at, session.ErrAuth)
	require.NoError(t, err)

	p.now = p.now.Add(time.Hour)
	for range 5 {
		require.NoError(t, ask(at.Add(time.Hour)))
	}
	refused(t, ask(at.Add(time.Hour)), session.ErrNoRetry)
	p.now = p.now.Add(24 * time.Hour)
	require.NoError(t, ask(at.Add(time.Hour)), "the day after")
	require.Len(t, p.bob.retry(t, p.alice).Requests, 1)

	// A clock that was far ahead does not silence anybody.
	p.bob.put(t, p.bob.retryKey(p.alice), wire.AppendRetry(nil, &wire.Retry{AskedSince: 1 << 50, Asked: math.MaxUint32,
		Requests: []wire.RetryRequest{{SentAt: uint64(at.UnixMilli()), Count: 5, Last: 1 << 50}}}))
	require.NoError(t, ask(at))
	require.Len(t, p.bob.retry(t, p.alice).Requests, 1)

	// A damaged record counts as none, one of a newer format is not touched.
	p.bob.write(t, p.bob.retryKey(p.alice), []byte("\x01\xFF"))
	require.NoError(t, ask(at))
	p.bob.write(t, p.bob.retryKey(p.alice), []byte("\x02"))
	refused(t, ask(at), keystore.ErrNewerFormat)
}

func (s *side) retryKey(peer *side) keystore.Key {
	return s.key("retry", peer.Address().User, decimal(peer.Address().Device))
}

func (s *side) retry(t testing.TB, peer *side) wire.Retry {
	t.Helper()
	rec := s.load(t, s.retryKey(peer))
	require.NotEmpty(t, rec.Value)
	out, err := wire.ParseRetry(rec.Value[1:])
	require.NoError(t, err)
	return out
}
