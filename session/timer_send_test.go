package session_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// fading sends a text that disappears after a minute.
func fading(t testing.TB, from *side, o *session.SendOptions, users ...string) *session.Sending {
	t.Helper()
	s, err := from.Send(ctx, users, &session.Content{Body: []byte("text"), Timer: time.Minute, TimerVersion: 1}, o)
	require.NoError(t, err)
	return s
}

// A copy goes when its message does: nobody gets it then, be it for the first time
// or once more with the same bytes, and the next upkeep, which is due then, removes
// it.
func TestTimerOfCopies(t *testing.T) {
	r := settled(t, session.Options{Content: true}, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 7))
	from := r.of(ani, 1)
	from.kept(t)
	sent := fading(t, from, nil, budi)
	deadline := sent.SentAt.Add(time.Minute)
	require.True(t, deadline.Equal(from.due(t).At))
	asked := map[session.Address]*session.Message{}
	for _, to := range []session.Address{at(ani, 2), at(budi, 1), at(budi, 7)} {
		r.sides[to].forgetSessions(t)
		asked[to] = r.asks(t, from, sent, to)
	}
	r.now = deadline.Add(-time.Millisecond)
	for _, to := range []session.Address{at(ani, 2), at(budi, 1)} {
		got, err := r.sides[to].Decrypt(ctx, from.Address(), from.resends(t, r.sides[to], asked[to], sent.SentAt), nil)
		require.NoError(t, err)
		require.Equal(t, "text", string(got.Content.Body))
		if to.User == ani { // where its time began when it was sent
			require.True(t, deadline.Equal(got.Expires))
		} else {
			require.True(t, r.now.Add(unreadFor+time.Minute).Equal(got.Expires))
		}
	}
	from.nothing(t)
	r.now = deadline
	for _, d := range []*side{from, from.reopen(t)} {
		for to, m := range asked {
			d.ignores(t, to, m, session.ErrNoRetry)
		}
		require.True(t, d.due(t).Sweep)
		d.kept(t)
		rec, _ := d.copied(t, sent)
		require.Nil(t, rec)
		for to, m := range asked {
			d.ignores(t, to, m, session.ErrNoRetry)
		}
	}
}

// So it is with what all devices got alike, and with what a clock that was set back
// by more than its time makes last.
func TestTimerOfSharedCopies(t *testing.T) {
	for _, later := range []time.Duration{time.Minute, -2 * time.Minute, -400 * day} {
		r, c := choir(t, session.Options{Content: true}), new(chorus)
		from := r.of(ani, 1)
		from.kept(t)
		sent := fading(t, from, c.options(), budi, cici)
		ask := r.of(budi, 7).unread(t, from, sent)
		from.resends(t, r.of(budi, 7), ask, sent.SentAt)
		before := sent.SentAt
		r.now = before.Add(later)
		from.ignores(t, at(budi, 7), ask, session.ErrNoRetry)
		r.now = before.Add(max(later, -time.Minute))
		if later < 0 { // not so far back, it is there still
			from.resends(t, r.of(budi, 7), ask, sent.SentAt)
		}
		r.now = before.Add(later)
		from = from.reopen(t)
		from.kept(t)
		rec, _ := from.copied(t, sent)
		require.Nil(t, rec)
	}
}

// Once the message has disappeared, Reconcile lets nothing of it leave: it learns
// the devices, takes the copy away, and the next Send is for the right ones.
func TestTimerReconcile(t *testing.T) {
	for name, shared := range map[string]bool{"pairwise": false, "alike": true} {
		t.Run(name, func(t *testing.T) {
			r, c := choir(t, session.Options{Content: true}), new(chorus)
			from := r.of(ani, 1)
			o := new(session.SendOptions)
			if shared {
				o = c.options()
			} else {
				o.Group = "choir"
			}
			sent := fading(t, from, o, budi, cici)
			fresh, anew, gone := r.add(t, at(budi, 9)), r.of(budi, 7), at(cici, 3)
			r.join(t, session.Account{Address: anew.Address(), Identity: anew.identity, RegistrationID: 99})
			r.add(t, at(cici, 4))
			r.hidden[gone] = true
			delete(r.sides, gone)

			r.now = sent.SentAt.Add(time.Minute - time.Millisecond)
			early := from.reopen(t)
			inTime := *sent
			inTime.Results = slices.Clone(sent.Results)
			err := early.Reconcile(ctx, &inTime, r.differs(from, &inTime, budi, cici, ani)...)
			if shared {
				refused(t, err, session.ErrUnsettled)
			} else {
				require.NoError(t, err)
			}
			require.NotNil(t, inTime.Results[slices.Index(addresses(&inTime), fresh.Address())].Message)

			r.now = sent.SentAt.Add(time.Minute)
			refused(t, from.Reconcile(ctx, sent, r.differs(from, sent, budi, cici, ani)...), session.ErrUnsettled)
			require.Nil(t, sent.Envelope)
			require.Equal(t, []session.Address{at(ani, 2), at(budi, 1), at(budi, 7), at(budi, 9), at(cici, 4)}, addresses(sent))
			for _, res := range sent.Results {
				require.Nil(t, res.Message)
				refused(t, res.Err, session.ErrUnsettled)
			}
			rec, _ := from.copied(t, sent)
			require.Nil(t, rec)
			require.Contains(t, from.rosterEvents(t), fresh.Address())

			lists := r.lists
			next, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("again")}, &session.SendOptions{Group: "choir"})
			require.NoError(t, err)
			require.Equal(t, lists, r.lists)
			require.Empty(t, r.differs(from, next, budi, cici, ani))
			for _, res := range next.Results {
				got, err := r.sides[res.To].Decrypt(ctx, from.Address(), res.Message, nil)
				require.NoError(t, err)
				require.Equal(t, "again", string(got.Content.Body))
			}
		})
	}
}

// Accept takes a message whose time is over as ever.
func TestTimerAccept(t *testing.T) {
	r := settled(t, session.Options{Content: true}, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	sent := fading(t, from, nil, budi)
	r.now = r.now.Add(time.Hour)
	require.NoError(t, from.Accept(ctx, sent))
	from.kept(t)
	rec, _ := from.copied(t, sent)
	require.Nil(t, rec)
}

// In a transaction of the app's the deadline begins when that is committed, and an
// upkeep that was rolled back is due again.
func TestTimerInATransaction(t *testing.T) {
	p := timed(t, aliceAddress)
	m := p.vanishing(t, session.Content{Body: []byte("text")})
	r := p.reading(t, m, "text", p.now.Add(unreadFor+time.Hour))
	require.NoError(t, p.bob.MarkRead(new(keystore.Pending).In(ctx), r))
	p.now = r.Expires
	_, err := p.bob.Upkeep(new(keystore.Pending).In(ctx))
	require.NoError(t, err)
	require.True(t, p.bob.due(t).Sweep)
	p.bob.kept(t)
	require.Empty(t, p.bob.list(t, "staged", ""))
}
