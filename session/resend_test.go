package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A lost session is healed by one retry, whichever side lost it.
func TestLostSessionIsHealed(t *testing.T) {
	for _, aliceLoses := range []bool{true, false} {
		p := losing(t)
		loses, sends := p.bob, p.alice
		if aliceLoses {
			loses, sends = p.alice, p.bob
		}
		m, at := p.posts(t, sends, loses, "text")
		loses.forget(t, sends.Address().User)
		request := loses.asks(t, sends, m, at, session.ReasonNoSession)
		loses.saves(t, sends, sends.resends(t, loses, request, at), "text")
		p.goesOn(t)
		require.Equal(t, 1, p.dir.calls)
		require.Len(t, sends.index(t, loses.Address()).Archived, 1)
		refused(t, loses.decrypt(sends, m), session.ErrAuth) // it never comes twice
	}
}

// What was lost with a session is sent again on one new session, in whatever
// order it is asked for.
func TestOneResetForManyMessages(t *testing.T) {
	p := losing(t)
	type lost struct {
		m  *session.Message
		at time.Time
	}
	var all []lost
	for i := range 12 {
		m, at := p.posts(t, p.alice, p.bob, fmt.Sprint(i))
		all = append(all, lost{m, at})
	}
	p.bob.forget(t, aliceAddress.User)
	var requests []*session.Message
	for _, l := range all {
		requests = append(requests, p.bob.asks(t, p.alice, l.m, l.at, session.ReasonNoSession))
	}
	var answers []*session.Message
	for _, i := range permutation(len(all), 5) {
		answers = append(answers, p.alice.resends(t, p.bob, requests[i], all[i].at))
	}
	for n, i := range permutation(len(all), 5) {
		p.bob.reads(t, p.alice, answers[n], fmt.Sprint(i))
	}
	require.Equal(t, 1, p.dir.calls)
	require.Len(t, p.alice.index(t, bobAddress).Archived, 1)
	p.goesOn(t)
}

// Where the session was renewed meanwhile, the message goes out on that.
func TestResendOnTheCurrentSession(t *testing.T) {
	for name, renews := range map[string]func(p *lossy){
		"by the sender":   func(p *lossy) { p.alice.begin(t, p.bob) },
		"by the receiver": func(p *lossy) { p.bob.begin(t, p.alice); p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "new"), "new") },
		"by an answer": func(p *lossy) { // the session works after all
			p.bob.begin(t, p.alice)
			p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "a"), "a")
			p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "b"), "b")
			p.alice.reads(t, p.bob, p.bob.send(t, p.alice, "c"), "c")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := losing(t)
			m, at := p.posts(t, p.alice, p.bob, "text")
			request := p.bob.asks(t, p.alice, flip(m, -1, 1), at, session.ReasonUnreadable)
			renews(p)
			p.bob.reads(t, p.alice, p.alice.resends(t, p.bob, request, at), "text")
			require.Zero(t, p.dir.calls)
			require.Zero(t, p.alice.retry(t, p.bob).Reset)
			p.goesOn(t)
		})
	}
}

// Where there is no session to send on, one is begun, which is no reset.
func TestResendWithoutASession(t *testing.T) {
	for name, loses := range map[string]func(p *lossy){
		"archived": func(p *lossy) { require.NoError(t, p.alice.Archive(ctx, bobAddress)) },
		"gone":     func(p *lossy) { p.alice.forget(t, bobAddress.User) },
		"damaged": func(p *lossy) {
			p.alice.put(t, sessionKey(p.alice, bobAddress), wire.AppendSessionIndex(nil, &wire.SessionIndex{Current: []byte{0xFF}}))
		},
		"unanswered": func(p *lossy) { p.alice.begin(t, p.bob); p.now = p.now.Add(31 * day) },
	} {
		t.Run(name, func(t *testing.T) {
			p := losing(t)
			p.alice.opts.RetryFor = 60 * day
			p.alice = p.alice.reopen(t)
			m, at := p.posts(t, p.alice, p.bob, "text")
			request := p.bob.asks(t, p.alice, flip(m, -1, 1), at, session.ReasonUnreadable)
			loses(p)
			p.bob.reads(t, p.alice, p.alice.resends(t, p.bob, request, at), "text")
			require.Equal(t, 1, p.dir.calls)
			require.Zero(t, p.alice.retry(t, p.bob).Reset)
			p.goesOn(t)
		})
	}
}

// A copy is not sent after its time: that of copies, or its own.
func TestResendOfACopyPastItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		retryFor time.Duration
		expires  time.Duration
		last     time.Duration
	}{
		"14 days":        {0, 0, 14*day - milli},
		"an hour":        {time.Hour, 0, time.Hour - milli},
		"its own expiry": {0, time.Minute, time.Minute - milli},
		"the earlier":    {time.Minute, time.Hour, time.Minute - milli},
	} {
		t.Run(name, func(t *testing.T) {
			p := losing(t)
			p.alice.opts.RetryFor = c.retryFor
			p.alice = p.alice.reopen(t)
			m, at := p.posts(t, p.alice, p.bob, "text")
			if c.expires != 0 {
				p.alice.keeps(t, at, []byte("text"), at.Add(c.expires), p.bob)
			}
			p.bob.forget(t, aliceAddress.User)
			request := p.bob.asks(t, p.alice, m, at, session.ReasonNoSession)
			p.now = at.Add(c.last + milli)
			p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
			p.now = at.Add(c.last)
			p.bob.reads(t, p.alice, p.alice.resends(t, p.bob, request, at), "text")
		})
	}
	p := losing(t)
	p.alice.opts.RetryFor = -1
	p.alice = p.alice.reopen(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.alice.ignores(t, bobAddress, p.request(m, at, 0, nil), session.ErrNoRetry)
}

// fails requires that the device alone did not get an answer, and nothing else
// happened.
func (s *side) fails(t testing.TB, from *side, request *session.Message, at time.Time) error {
	t.Helper()
	before := testutil.StoreDigest(t, s.store)
	out, err := s.Resend(ctx, from.Address(), request)
	require.NoError(t, err)
	require.True(t, at.Equal(out.SentAt))
	require.Len(t, out.Results, 1)
	require.Equal(t, from.Address(), out.Results[0].To)
	require.Nil(t, out.Results[0].Message)
	require.Error(t, out.Results[0].Err)
	requireQuiet(t, out.Results[0].Err)
	require.Equal(t, before, testutil.StoreDigest(t, s.store))
	return out.Results[0].Err
}

func TestResendToAnotherIdentity(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	fake := newSide(t, bobAddress, nil, p.bob.opts)
	p.dir.sides[1] = fake
	request := p.request(m, at, 0, nil)
	err := p.alice.fails(t, p.bob, request, at)
	untrusted := refusedAs[*session.UntrustedIdentityError](t, err)
	require.Equal(t, &session.UntrustedIdentityError{Address: bobAddress, Accepted: p.bob.Identity(), Seen: fake.Identity()}, untrusted)
	require.Equal(t, 1, p.dir.calls)

	// Once that key was seen in a handshake, not even a bundle is fetched.
	fake.begin(t, p.alice)
	p.alice.reads(t, fake, fake.send(t, p.alice, "it is me"), "it is me")
	refusedAs[*session.UntrustedIdentityError](t, p.alice.fails(t, p.bob, request, at))
	require.Equal(t, 1, p.dir.calls)

	// When it is accepted, what went to the other one does not go there, and what
	// is sent from then on does.
	require.NoError(t, p.alice.AcceptIdentity(ctx, bobAddress, fake.Identity()))
	p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
	require.Equal(t, 1, p.dir.calls)
	later, at := p.posts(t, p.alice, fake, "later")
	request = fake.asks(t, p.alice, flip(later, -1, 1), at, session.ReasonUnreadable)
	fake.reads(t, p.alice, p.alice.resends(t, fake, request, at), "later")
}

func TestResendWithoutABundle(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	request := p.request(m, at, 0, nil)
	for name, c := range map[string]struct {
		want error
		fail func(session.Address) (*x3dh.Bundle, error)
	}{
		"error":     {errInjected, func(session.Address) (*x3dh.Bundle, error) { return nil, errInjected }},
		"nothing":   {session.ErrMalformed, func(session.Address) (*x3dh.Bundle, error) { return nil, nil }},
		"another's": {session.ErrMalformed, func(session.Address) (*x3dh.Bundle, error) { return bundleOf(t, p.alice.reopen(t)), nil }},
		"panic":     {nil, func(session.Address) (*x3dh.Bundle, error) { panic("a bug") }},
		"registration id": {session.ErrRegistrationID, func(session.Address) (*x3dh.Bundle, error) {
			b := bundleOf(t, p.bob.reopen(t))
			b.RegistrationID = 16381
			return b, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p.dir.fail = c.fail
			err := p.alice.fails(t, p.bob, request, at)
			got := refusedAs[*session.DirectoryError](t, err)
			require.Equal(t, bobAddress, session.Address{User: got.User, Device: got.Device})
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
			}
		})
	}
	p.dir.fail = func(session.Address) (*x3dh.Bundle, error) {
		b := bundleOf(t, p.bob.reopen(t))
		b.SignedPreKey.Signature[3] ^= 1
		return b, nil
	}
	require.Error(t, p.alice.fails(t, p.bob, request, at))

	// One that hangs does so as long as the context.
	ended, cancel := context.WithCancel(ctx)
	p.dir.fail = func(session.Address) (*x3dh.Bundle, error) { cancel(); return nil, ended.Err() }
	before := testutil.StoreDigest(t, p.alice.store)
	_, err := p.alice.Resend(ended, bobAddress, request)
	refused(t, err, context.Canceled)
	require.Equal(t, before, testutil.StoreDigest(t, p.alice.store))

	none := *p.alice.opts
	none.Directory = nil
	d, err := session.Open(ctx, p.alice.store, aliceAddress, &none)
	require.NoError(t, err)
	require.Error(t, (&side{Device: d, store: p.alice.store}).fails(t, p.bob, request, at))
	p.dir.fail = nil
	p.bob.reads(t, p.alice, p.alice.resends(t, p.bob, request, at), "text")
}

// A device that is no longer its user's gets nothing, nor does a user who is
// blocked.
func TestResendToWhomNothingIsSent(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	request := p.request(m, at, 0, nil)
	listed := wire.PeerDevice{ID: bobAddress.Device, RegistrationID: 4711}
	gone := listed
	gone.StaleSince = 1
	key := p.alice.key("peer", bobAddress.User, "")
	for name, rec := range map[string]wire.Peer{
		"blocked":     {Devices: []wire.PeerDevice{listed}, Blocked: true},
		"gone":        {Devices: []wire.PeerDevice{gone}},
		"never there": {},
	} {
		t.Run(name, func(t *testing.T) {
			p.alice.put(t, key, wire.AppendPeer(nil, &rec))
			p.alice.ignores(t, bobAddress, request, session.ErrNoRetry)
			if rec.Blocked {
				p.alice.ignores(t, bobAddress, request, session.ErrBlocked)
			}
		})
	}
	p.alice.write(t, key, []byte("\x01\xFF"))
	p.alice.ignores(t, bobAddress, request, session.ErrCorrupt)
	require.Zero(t, p.dir.calls)
	p.alice.knows(t, p.bob)
	p.alice.resends(t, p.bob, request, at)
}

// A device that was set up anew, under the same key, is noted as what its bundle
// says.
func TestResendNotesTheRegistrationID(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.alice.put(t, p.alice.key("peer", bobAddress.User, ""), wire.AppendPeer(nil, &wire.Peer{Devices: []wire.PeerDevice{{ID: bobAddress.Device, RegistrationID: 9}}}))
	p.alice.resends(t, p.bob, p.request(m, at, 0, nil), at)
	rec := p.alice.load(t, p.alice.key("peer", bobAddress.User, ""))
	known, err := wire.ParsePeer(rec.Value[1:])
	require.NoError(t, err)
	require.Equal(t, []wire.PeerDevice{{ID: bobAddress.Device, RegistrationID: 4711}}, known.Devices)
}

// Damage is told, and blocks nothing that does not need what is damaged.
func TestResendOfDamagedRecords(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	request := p.request(m, at, 0, nil)
	for _, key := range []keystore.Key{p.alice.sentKey(at), p.alice.retryKey(p.bob), sessionKey(p.alice, bobAddress), p.alice.key("identity", bobAddress.User, decimal(bobAddress.Device))} {
		was := p.alice.load(t, key)
		p.alice.write(t, key, []byte{9})
		p.alice.ignores(t, bobAddress, request, keystore.ErrNewerFormat)
		switch key.Kind {
		case "sent":
			p.alice.write(t, key, []byte("\x01\xFF"))
			p.alice.ignores(t, bobAddress, request, session.ErrCorrupt)
		case "session", "identity":
			p.alice.write(t, key, []byte("\x01\xFF"))
			require.ErrorIs(t, p.alice.fails(t, p.bob, request, at), session.ErrCorrupt)
		}
		if was.Version == 0 {
			_, err := p.alice.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: key, Expect: p.alice.load(t, key).Version})
			require.NoError(t, err)
		} else {
			p.alice.write(t, key, was.Value)
		}
	}
	require.Zero(t, p.dir.calls)
	p.alice.write(t, p.alice.retryKey(p.bob), []byte("\x01\xFF")) // counts as none
	p.bob.reads(t, p.alice, p.alice.resends(t, p.bob, request, at), "text")
}

// The gate has its say, and a refusal changes nothing.
func TestResendAtAGate(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	gated := *p.alice.opts
	gated.Gate = toll{t}
	p.alice.opts = &gated
	p.alice = p.alice.reopen(t)
	request := p.request(m, at, 0, nil)
	p.alice.ignores(t, bobAddress, request, errUnpaid)
	pay(t, p.alice, bobAddress.User)
	p.alice.resends(t, p.bob, request, at)
}

// Two devices over one store, and several goroutines: each request is answered
// the same, all on one new session.
func TestConcurrentResends(t *testing.T) {
	p := losing(t)
	second, err := session.Open(ctx, p.alice.store, aliceAddress, p.alice.opts)
	require.NoError(t, err)
	const messages, twice = 6, 4
	var requests []*session.Message
	for i := range messages {
		m, at := p.posts(t, p.alice, p.bob, fmt.Sprint(i))
		requests = append(requests, p.request(m, at, 0, nil))
	}
	p.bob.forget(t, aliceAddress.User)
	var mu sync.Mutex
	answers := map[int]*session.Message{}
	var wg sync.WaitGroup
	for i := range messages * twice {
		d := []*session.Device{p.alice.Device, second}[i%2]
		wg.Go(func() {
			out, err := d.Resend(ctx, bobAddress, requests[i/twice])
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && out.Results[0].Err == nil:
				if m := answers[i/twice]; m != nil && !bytes.Equal(m.Bytes, out.Results[0].Message.Bytes) {
					t.Error("answered twice")
				}
				answers[i/twice] = out.Results[0].Message
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Len(t, answers, messages)
	for i, m := range answers {
		p.bob.reads(t, p.alice, m, fmt.Sprint(i))
	}
	require.Len(t, p.alice.index(t, bobAddress).Archived, 1)
	p.goesOn(t)
}

// When nobody knows whether an answer was committed, the one that is there counts,
// or another is made: it was not answered for nothing, nor twice.
func TestResendWhenNobodyKnows(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		for _, happened := range []string{"commit", "committed"} { // not, and so
			p := losing(t)
			m, at := p.posts(t, p.alice, p.bob, "text")
			p.bob.forget(t, aliceAddress.User)
			request := p.bob.asks(t, p.alice, m, at, session.ReasonNoSession)
			if renewed {
				p.alice.begin(t, p.bob)
			}
			alice, watch := p.alice.spied(t)
			lost := false
			watch.fail = func(call string, _ int) error {
				if call != happened || lost {
					return nil
				}
				lost = true
				return keystore.ErrCommitUnknown
			}
			again := alice.resends(t, p.bob, request, at)
			p.bob.reads(t, alice, again, "text")
			require.True(t, lost)
			watch.fail = nil
			require.Equal(t, again, alice.resends(t, p.bob, request, at))
			p.goesOn(t)
		}
	}
}

// In a transaction of the app's an answer is there once that was committed, and
// a request, too.
func TestRetryWhilePending(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.bob.forget(t, aliceAddress.User)
	var pending keystore.Pending
	request, err := p.bob.RequestRetry(pending.In(ctx), aliceAddress, m, at, session.ErrNoSession)
	require.NoError(t, err)
	require.Equal(t, &session.Message{}, request)
	pending.Committed()
	require.NotEmpty(t, request.Bytes)
	var answering keystore.Pending
	out, err := p.alice.Resend(answering.In(ctx), bobAddress, request)
	require.NoError(t, err)
	require.Equal(t, &session.Sending{}, out)
	answering.Committed()
	require.Len(t, out.Results, 1)
	p.bob.reads(t, p.alice, out.Results[0].Message, "text")
	p.goesOn(t)
}

// A store that was rolled back answers nothing, and asks for nothing.
func TestRetryAfterARollback(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.alice.rolledBack(t)
	p.alice.ignores(t, bobAddress, p.request(m, at, 0, nil), keystore.ErrRolledBack)
	_, err := p.alice.RequestRetry(ctx, bobAddress, m, at, session.ErrAuth)
	refused(t, err, keystore.ErrRolledBack)
}

// retries are the operations of retries, for the tests of all operations.
var retries = []operation{
	{"RequestRetry", func(t *testing.T) (*side, run) {
		p := losing(t)
		m := p.alice.send(t, p.bob, "text")
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			out, err := d.RequestRetry(ctx, aliceAddress, m, p.now, session.ErrAuth)
			if err != nil && out != nil {
				return errors.New("a request beside the error")
			}
			return err
		})
	}},
	{"Resend and Encrypt anew", resending(false)},
	{"Resend and Encrypt", resending(true)},
}

// resending is Resend of bob's, on a session that was renewed or after a reset.
func resending(renewed bool) func(t *testing.T) (*side, run) {
	return func(t *testing.T) (*side, run) {
		p := losing(t)
		m, at := p.posts(t, p.bob, p.alice, "text")
		request := p.request(m, at, bobAddress.Device, nil)
		bundle := bundleOf(t, p.alice)
		p.dir.fail = func(session.Address) (*x3dh.Bundle, error) { return bundle, nil }
		if renewed {
			require.NoError(t, p.bob.Begin(ctx, aliceAddress, bundle))
		}
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			out, err := d.Resend(ctx, aliceAddress, request)
			switch {
			case err != nil && out != nil:
				return errors.New("an answer beside the error")
			case err != nil:
				return err
			}
			return out.Results[0].Err
		})
	}
}

// An answer that was given before is not given for a request about the message
// that is under the same ratchet key now.
func TestResendOfWhatWasSentUnderTheKeyAgain(t *testing.T) {
	p := losing(t)
	m, at := p.posts(t, p.alice, p.bob, "text")
	p.bob.forget(t, aliceAddress.User)
	request := p.bob.asks(t, p.alice, m, at, session.ReasonNoSession)
	first := p.alice.resends(t, p.bob, request, at)
	p.bob.reads(t, p.alice, first, "text")

	k := p.alice.sentKey(at)
	rec, err := wire.ParseSent(p.alice.load(t, k).Value[1:])
	require.NoError(t, err)
	rec.Recipients[0].Hint = hintOf(inner(t, m).RatchetKey, p.bob.Identity())
	p.alice.put(t, k, wire.AppendSent(nil, &rec))
	second := p.alice.resends(t, p.bob, request, at)
	require.NotEqual(t, first, second)
	require.Equal(t, second, p.alice.resends(t, p.bob, request, at), "the newest one")
	p.bob.reads(t, p.alice, second, "text")
}
