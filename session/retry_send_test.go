package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// asks has a device that could not read its message of a Sending ask for it.
func (r *registry) asks(t testing.TB, from *side, s *session.Sending, to session.Address) *session.Message {
	t.Helper()
	for _, res := range s.Results {
		if res.To == to {
			reason := session.ReasonNoSession
			if res.Message.Type == session.TypePreKey {
				reason = session.ReasonNoPreKey
			}
			return r.sides[to].asks(t, from, res.Message, s.SentAt, reason)
		}
	}
	t.Fatal("no message for the device")
	return nil
}

// settled are devices of two users that have all read a message of each other's.
func settled(t testing.TB, o session.Options, devices ...session.Address) *registry {
	t.Helper()
	r := newRegistry(t)
	o.Now, o.Directory = r.opts.Now, r
	r.opts = o
	for _, a := range devices {
		r.add(t, a)
	}
	for _, a := range devices {
		others := map[string]bool{}
		for _, b := range devices {
			others[b.User] = b.User != a.User
		}
		for user, other := range others {
			if !other {
				continue
			}
			s, err := r.sides[a].Send(ctx, []string{user}, &session.Content{Body: []byte("hi")}, nil)
			require.NoError(t, err)
			for _, res := range s.Results {
				_, err := r.sides[res.To].Decrypt(ctx, a, res.Message, nil)
				require.NoError(t, err)
			}
		}
	}
	return r
}

// Whoever could not read what Send sent gets it once more: other users' devices
// what they were sent, the own other ones what says so, each on one new session.
func TestRetryOfASend(t *testing.T) {
	for _, o := range []session.Options{{}, {Content: true}} {
		r := settled(t, o, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7))
		from := r.of(ani, 1)
		sent := r.sends(t, from, "text", budi)
		require.Len(t, sent.Results, 3)
		for _, res := range sent.Results {
			r.sides[res.To].forgetSessions(t)
		}
		for _, res := range sent.Results {
			to := r.sides[res.To]
			fetched := r.bundles[res.To]
			out, err := from.Resend(ctx, res.To, r.asks(t, from, sent, res.To))
			require.NoError(t, err)
			require.Equal(t, sent.SentAt, out.SentAt)
			require.Len(t, out.Results, 1)
			require.Equal(t, session.TypePreKey, out.Results[0].Message.Type)
			require.Equal(t, to.RegistrationID(), out.Results[0].RegistrationID)
			require.Equal(t, fetched+1, r.bundles[res.To])
			got, err := to.Decrypt(ctx, from.Address(), out.Results[0].Message, nil)
			require.NoError(t, err)
			if !o.Content {
				require.Equal(t, "text", string(got.Plaintext))
			} else {
				want := session.Content{Body: []byte("text"), SentAt: sent.SentAt}
				if res.To.User == ani {
					want.SyncTo = budi
				}
				require.True(t, want.SentAt.Equal(got.Content.SentAt))
				want.SentAt = got.Content.SentAt
				require.Equal(t, &want, got.Content)
			}

			// It is for this device, and not what Send returns.
			before := r.digest(t)
			refused(t, from.Reconcile(ctx, out, session.Difference{User: res.To.User, Missing: []uint32{3}}), session.ErrMalformed)
			refused(t, from.Accept(ctx, out), session.ErrMalformed)
			require.Equal(t, before, r.digest(t))
		}
		again := r.sends(t, from, "again", budi)
		for _, res := range again.Results {
			_, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
			require.NoError(t, err)
		}
	}
}

// Two that both lost everything, with messages under way to each other, have a
// session again once both have answered.
func TestBothLostTheirSessions(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1))
	a, b := r.of(ani, 1), r.of(budi, 1)
	toB, toA := r.sends(t, a, "from a", budi), r.sends(t, b, "from b", ani)
	a.forgetSessions(t)
	b.forgetSessions(t)
	askA, askB := r.asks(t, a, toB, b.Address()), r.asks(t, b, toA, a.Address())
	b.reads(t, a, a.resends(t, b, askA, toB.SentAt), "from a")
	a.reads(t, b, b.resends(t, a, askB, toA.SentAt), "from b")
	p := &pair{alice: a, bob: b}
	p.goesOn(t)
	require.Empty(t, a.index(t, b.Address()).Archived, "one session does")
	require.Empty(t, b.index(t, a.Address()).Archived)
}

// What there is no copy of is not sent again: to whom it was not sent, what
// disappeared meanwhile, what is too large; nor is anything to a device that is
// gone, or to a user who is blocked.
func TestNoRetryOfASend(t *testing.T) {
	for name, c := range map[string]struct {
		content session.Content
		o       session.SendOptions
		options session.Options
		then    func(r *registry, s *session.Sending)
		want    bool // answered
	}{
		"in time":         {content: session.Content{Timer: time.Minute}, options: session.Options{Content: true}, want: true},
		"disappeared":     {content: session.Content{Timer: time.Minute}, options: session.Options{Content: true}, then: func(r *registry, _ *session.Sending) { r.now = r.now.Add(time.Minute + time.Second) }},
		"expired":         {o: session.SendOptions{Expires: time.Unix(1_700_000_060, 0)}, then: func(r *registry, _ *session.Sending) { r.now = r.now.Add(time.Minute + time.Second) }},
		"old":             {then: func(r *registry, _ *session.Sending) { r.now = r.now.Add(14*day + time.Second) }},
		"not too large":   {content: session.Content{Body: make([]byte, 64<<10)}, want: true},
		"too large":       {content: session.Content{Body: make([]byte, 64<<10+1)}},
		"nothing is kept": {options: session.Options{RetryFor: -1}},
		"device is gone":  {then: func(r *registry, _ *session.Sending) { r.hidden[at(budi, 1)] = true; r.of(ani, 1).Refresh(ctx, budi) }},
		"device is no more": {then: func(r *registry, s *session.Sending) {
			reconcile(r, s, session.Difference{User: budi, Extra: []uint32{1}})
		}},
		"blocked": {then: func(r *registry, _ *session.Sending) { r.of(ani, 1).Block(ctx, budi, true) }},
		"swept": {then: func(r *registry, _ *session.Sending) {
			r.now = r.now.Add(14*day + time.Second)
			r.of(ani, 1).upkeep(t)
			r.now = r.now.Add(-14 * day)
		}},
		"accepted": {then: func(r *registry, s *session.Sending) { r.of(ani, 1).Accept(ctx, s) }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := settled(t, c.options, at(ani, 1), at(budi, 1), at(budi, 2))
			from, to := r.of(ani, 1), at(budi, 1)
			s, err := from.Send(ctx, []string{budi}, &c.content, &c.o)
			require.NoError(t, err)
			r.sides[to].forgetSessions(t)
			request := r.asks(t, from, s, to)
			if c.then != nil {
				c.then(r, s)
			}
			if c.want {
				from.resends(t, r.sides[to], request, s.SentAt)
			} else {
				from.ignores(t, to, request, session.ErrNoRetry)
			}
		})
	}
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	s, err := from.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")}, &session.SendOptions{Exclude: []session.Address{at(budi, 2)}})
	require.NoError(t, err)
	r.of(budi, 1).forgetSessions(t)
	request := r.asks(t, from, s, at(budi, 1))
	from.ignores(t, at(budi, 2), request, session.ErrNoRetry)
	from.resends(t, r.of(budi, 1), request, s.SentAt)
}

func reconcile(r *registry, s *session.Sending, said session.Difference) {
	from := r.of(ani, 1)
	if err := from.Reconcile(ctx, s, said); err != nil {
		panic(err)
	}
	if err := from.Accept(ctx, s); err != nil {
		panic(err)
	}
}

// A device that was set up anew gets what its old session cannot read.
func TestRetryOfADeviceSetUpAnew(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1))
	from, old := r.of(ani, 1), r.of(budi, 1)
	s := r.sends(t, from, "text", budi)
	anew := r.join(t, session.Account{Address: old.Address(), Identity: old.identity, RegistrationID: 99})
	request := r.asks(t, from, s, anew.Address())
	anew.reads(t, from, from.resends(t, anew, request, s.SentAt), "text")
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.Equal(t, []session.PeerDevice{{Device: 1, RegistrationID: 99}}, p.Devices)

	// So does one of which the list said it first.
	s = r.sends(t, from, "more", budi)
	anew = r.join(t, session.Account{Address: old.Address(), Identity: old.identity, RegistrationID: 100})
	require.NoError(t, from.Refresh(ctx, budi))
	request = r.asks(t, from, s, anew.Address())
	from.forgets(t, anew.Address(), "retry")
	anew.reads(t, from, from.resends(t, anew, request, s.SentAt), "more")
}

// A session that was renewed meanwhile, but with the device as it was before, is no
// good for it.
func TestRetryOnASessionWithAnotherDevice(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(budi, 1))
	from, old := r.of(ani, 1), r.of(budi, 1)
	s := r.sends(t, from, "text", budi)
	from.begin(t, old)
	anew := r.join(t, session.Account{Address: old.Address(), Identity: old.identity, RegistrationID: 99})
	require.NoError(t, from.Refresh(ctx, budi))
	request := r.asks(t, from, s, anew.Address())
	anew.reads(t, from, from.resends(t, anew, request, s.SentAt), "text")
}

// Of two processes that are given one request, the one that is second finds the
// answer of the first, also where both would go on with one session.
func TestResendLosesTheRace(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		p := losing(t)
		m, at := p.posts(t, p.alice, p.bob, "text")
		p.bob.forget(t, aliceAddress.User)
		request := p.bob.asks(t, p.alice, m, at, session.ReasonNoSession)
		if renewed {
			p.alice.begin(t, p.bob)
		}
		second, watch := p.alice.spied(t)
		var first *session.Message
		watch.fail = func(call string, _ int) error {
			if call == "commit" && first == nil {
				first = p.alice.resends(t, p.bob, request, at)
			}
			return nil
		}
		require.Equal(t, second.resends(t, p.bob, request, at), first)
		p.bob.reads(t, p.alice, first, "text")
		p.goesOn(t)
	}
}

// forgets removes a record about a peer device.
func (s *side) forgets(t testing.TB, a session.Address, kind string) {
	t.Helper()
	s.put(t, s.key(kind, a.User, decimal(a.Device)), nil)
}

// FuzzRetry gives arbitrary bytes to Resend, as a request of a device that was
// sent a message, and to RequestRetry, as the message that could not be read:
// neither panics, and an error leaves the store as it was.
func FuzzRetry(f *testing.F) {
	var p *lossy
	var good *session.Message
	withCoins(29, func() {
		p = losing(f)
		m, at := p.posts(f, p.alice, p.bob, "text")
		good = p.request(m, at, 0, nil)
		f.Add(byte(8), good.Bytes, uint64(at.UnixMilli()))
		f.Add(byte(8), p.request(m, at, 7, nil).Bytes, uint64(0))
		f.Add(byte(8), p.request(m, at.Add(milli), 0, nil).Bytes, uint64(1))
		f.Add(byte(8), p.request(m, at, 0, []byte{5}).Bytes, uint64(1))
		f.Add(byte(8), append([]byte{0xC0}, append(wire.AppendContent(nil, &wire.Content{Body: []byte("x")}), 0x80)...), uint64(1))
		f.Add(byte(m.Type), m.Bytes, uint64(at.UnixMilli()))
		p.alice.begin(f, p.bob)
		m, at = p.posts(f, p.alice, p.bob, "text")
		f.Add(byte(m.Type), m.Bytes, uint64(at.UnixMilli()))
	})
	base := p.alice.reopen(f)
	f.Fuzz(func(t *testing.T, kind byte, b []byte, at uint64) {
		s := base.reopen(t)
		before := s.digest(t)
		m := &session.Message{Type: session.MessageType(kind), Bytes: b}
		out, err := s.Resend(ctx, bobAddress, m)
		if err != nil {
			require.Nil(t, out)
			requireQuiet(t, err)
			require.Equal(t, before, s.digest(t))
		} else {
			require.Len(t, out.Results, 1)
		}
		before = s.digest(t)
		request, err := s.RequestRetry(ctx, bobAddress, m, time.UnixMilli(int64(at)), session.ErrAuth)
		if err != nil {
			require.Nil(t, request)
			requireQuiet(t, err)
			require.Equal(t, before, s.digest(t))
			return
		}
		_, err = wire.ParsePlaintextContent(request.Bytes)
		require.NoError(t, err)
	})
}
