package session_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// result is what became of a Sending for a device.
func result(t *testing.T, s *session.Sending, a session.Address) *session.Result {
	t.Helper()
	for i := range s.Results {
		if s.Results[i].To == a {
			return &s.Results[i]
		}
	}
	t.Fatal("no result for the device")
	return nil
}

// One device of a user has another identity key: it alone gets nothing, until
// the key is accepted. Then the session under the key before is archived, and
// Send uses that under the new one, or begins it.
func TestSES_08_SendAfterAChange(t *testing.T) {
	for _, wrote := range []bool{true, false} {
		r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
		from := r.of(ani, 1)
		r.delivers(t, from, r.sends(t, from, "hello", budi), "hello", at(budi, 1), at(budi, 2))
		old := r.of(budi, 2)
		now := r.join(t, session.Account{Address: at(budi, 2), RegistrationID: old.RegistrationID(), Identity: newIdentity()})
		require.NoError(t, r.of(budi, 1).AcceptIdentity(ctx, at(budi, 2), now.Identity()))
		if wrote {
			out := r.sends(t, now, "a new phone", ani)
			got := from.reads(t, now, result(t, out, at(ani, 1)).Message, "a new phone")
			require.False(t, got.Accepted)
		} else {
			require.NoError(t, from.Archive(ctx, at(budi, 2)))
		}
		s := r.sends(t, from, "how are you", budi)
		require.NoError(t, result(t, s, at(budi, 1)).Err)
		refused := refusedAs[*session.UntrustedIdentityError](t, result(t, s, at(budi, 2)).Err)
		require.Equal(t, &session.UntrustedIdentityError{Address: at(budi, 2), Accepted: old.Identity(), Seen: now.Identity()}, refused)
		require.Nil(t, result(t, s, at(budi, 2)).Message)

		require.NoError(t, from.AcceptIdentity(ctx, at(budi, 2), now.Identity()))
		require.NotEmpty(t, from.index(t, at(budi, 2)).Archived)
		s = r.sends(t, from, "welcome back", budi)
		r.delivers(t, from, s, "welcome back", at(budi, 1), at(budi, 2))
		require.True(t, from.reads(t, now, result(t, r.sends(t, now, "thanks", ani), at(ani, 1)).Message, "thanks").Accepted)
	}
}

// A device that comes to the own account under another key is one that nothing
// is sent to, and nobody else is kept from the message.
func TestSES_08_StrangerInTheOwnAccount(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1))
	from := r.of(ani, 1)
	stranger := r.join(t, session.Account{Address: at(ani, 3), RegistrationID: 99, Identity: newIdentity()})
	s := r.sends(t, from, "not for everybody", budi)
	require.Equal(t, []session.Address{at(ani, 2), at(ani, 3), at(budi, 1)}, addresses(s))
	e := refusedAs[*session.UntrustedIdentityError](t, result(t, s, at(ani, 3)).Err)
	require.Equal(t, stranger.Identity(), e.Seen)
	require.Equal(t, from.Identity(), e.Accepted)
	require.Nil(t, result(t, s, at(ani, 3)).Message)
	for _, a := range []session.Address{at(ani, 2), at(budi, 1)} {
		r.sides[a].reads(t, from, result(t, s, a).Message, "not for everybody")
	}
	require.NoError(t, from.AcceptIdentity(ctx, at(ani, 3), stranger.Identity()))
	require.NoError(t, stranger.AcceptIdentity(ctx, at(ani, 1), from.Identity()))
	s = r.sends(t, from, "for everybody", budi)
	r.delivers(t, from, s, "for everybody", at(ani, 2), at(ani, 3), at(budi, 1))
}

// Who is blocked gets nothing, not when a server asks for it either, and the
// others all.
func TestBlockAndSend(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1))
	from := r.of(ani, 1)
	require.NoError(t, from.Block(ctx, cici, true)) // of whom nothing is known yet
	s := r.sends(t, from, "hello", budi, cici)
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2), at(cici, 0)}, addresses(s))
	refused(t, result(t, s, at(cici, 0)).Err, session.ErrBlocked)
	require.Equal(t, 2, r.lists, "nobody asks about who is blocked")
	require.NoError(t, from.Block(ctx, budi, true))
	require.NoError(t, from.Block(ctx, cici, false))
	before := from.record(t, r.of(budi, 1))
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Stale: []uint32{1}}))
	refused(t, result(t, s, at(budi, 1)).Err, session.ErrBlocked)
	require.Equal(t, before, from.record(t, r.of(budi, 1)))
	s = r.sends(t, from, "hello again", budi, cici)
	require.Equal(t, []session.Address{at(budi, 0), at(cici, 1)}, addresses(s))
	refused(t, result(t, s, at(budi, 0)).Err, session.ErrBlocked)
	r.of(cici, 1).reads(t, from, result(t, s, at(cici, 1)).Message, "hello again")
	got := from.reads(t, r.of(budi, 1), result(t, r.sends(t, r.of(budi, 1), "hello?", ani), at(ani, 1)).Message, "hello?")
	require.True(t, got.Accepted)
	p, err := from.Peer(ctx, budi)
	require.NoError(t, err)
	require.True(t, p.Blocked)
	require.NoError(t, from.Block(ctx, budi, false))
	r.delivers(t, from, r.sends(t, from, "sorry", budi), "sorry", at(budi, 1), at(budi, 2))
}

// A Send that another process blocks a user in front of is not made for him.
func TestBlockedWhileSending(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	r.sends(t, from, "hello", budi, cici)
	watched, watch := from.spied(t)
	done := false
	watch.fail = func(call string, _ int) error {
		if call != "commit" || done {
			return nil
		}
		done = true
		return from.Block(ctx, budi, true)
	}
	s := r.sends(t, watched, "again", budi, cici)
	require.True(t, done)
	refused(t, result(t, s, at(budi, 0)).Err, session.ErrBlocked)
	require.NoError(t, result(t, s, at(cici, 1)).Err)
}

// A user is sent to under the new name on the sessions that there are, by this
// Device and by one that was open before; who is forgotten is asked for anew.
func TestRenameAndSend(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	other, _ := from.spied(t)
	r.delivers(t, from, r.sends(t, from, "hello", budi), "hello", at(budi, 1), at(budi, 2))
	r.sends(t, other, "one is lost", budi)
	lists, bundles := r.lists, len(r.bundles)
	require.NoError(t, from.Rename(ctx, budi, "boss"))
	for _, d := range []*side{from, other} {
		s := r.sends(t, d, "hello boss", "boss")
		require.Equal(t, []session.Address{at("boss", 1), at("boss", 2)}, addresses(s))
		for _, res := range s.Results {
			require.NoError(t, res.Err)
			r.of(budi, res.To.Device).reads(t, from, res.Message, "hello boss")
		}
	}
	require.Equal(t, lists, r.lists)
	require.Equal(t, bundles, len(r.bundles))
	require.NoError(t, from.Forget(ctx, "boss"))
	for _, d := range []*side{from, other} {
		s := r.sends(t, d, "who are you", budi)
		r.delivers(t, from, s, "who are you", at(budi, 1), at(budi, 2))
	}
	require.Equal(t, lists+1, r.lists, "the first asked")
}

// Who asks for a message again is answered under the new name, and under no
// other; who was forgotten is not.
func TestRenameAndResend(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from, to := r.of(ani, 1), r.of(budi, 1)
	r.bundle = func(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) { return to.Bundle(ctx) }
	r.delivers(t, from, r.sends(t, from, "hello", budi), "hello", at(budi, 1))
	from.reads(t, to, result(t, r.sends(t, to, "hello you", ani), at(ani, 1)).Message, "hello you")
	s := r.sends(t, from, "once more", budi)
	lost := result(t, s, at(budi, 1)).Message
	require.NoError(t, to.Forget(ctx, ani))
	err := to.decrypt(from, lost)
	refused(t, err, session.ErrNoSession)
	asks, err := to.RequestRetry(ctx, at(ani, 1), lost, s.SentAt, err)
	require.NoError(t, err)

	require.NoError(t, from.Rename(ctx, budi, "boss"))
	before := from.digest(t)
	_, err = from.Resend(ctx, at(budi, 1), asks)
	refused(t, err, session.ErrNoRetry)
	require.Equal(t, before, from.digest(t))
	again, err := from.Resend(ctx, at("boss", 1), asks)
	require.NoError(t, err)
	to.reads(t, from, result(t, again, at("boss", 1)).Message, "once more")
	require.NoError(t, from.Forget(ctx, "boss"))
	require.Empty(t, from.list(t, "sent", ""))
	_, err = from.Resend(ctx, at("boss", 1), asks)
	refused(t, err, session.ErrNoRetry)
}

// Sends race with a Rename, and then with a Forget, in another process: each
// message is for one name or the other, and no counter is used twice.
func TestSendRacesWithRenameAndForget(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	r.devices = func(_ context.Context, user string) ([]session.PeerDevice, error) {
		if user != budi && user != ani {
			return nil, errors.New("no such user")
		}
		return r.list(user), nil
	}
	from := r.of(ani, 1)
	other, err := session.Open(ctx, from.store, at(ani, 1), from.opts)
	require.NoError(t, err)
	used := counters{}
	r.sends(t, from, "hello", budi)
	for _, change := range []func() error{
		func() error { return from.Rename(ctx, budi, "boss") },
		func() error { return from.Rename(ctx, "boss", budi) },
		func() error { return from.Forget(ctx, budi) },
	} {
		var all []*session.Sending
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 5 {
				for _, user := range []string{budi, "boss"} {
					s, err := other.Send(ctx, []string{user}, &session.Content{Body: []byte("text")}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					all = append(all, s)
				}
			}
		})
		wg.Go(func() {
			if err := change(); err != nil && !errors.Is(err, session.ErrExists) { // a Send was first
				t.Error(err)
			}
		})
		wg.Wait()
		require.False(t, t.Failed())
		for _, s := range all {
			for _, res := range s.Results {
				if res.Message != nil {
					used.left(t, res.Message)
					r.of(budi, res.To.Device).reads(t, from, res.Message, "text")
				}
			}
		}
		for _, user := range []string{budi, "boss"} {
			for device := range uint32(2) {
				from.index(t, at(user, device+1))
			}
		}
		if len(from.under(t, "boss")) > 0 && len(from.list(t, "session", budi)) > 0 {
			require.NoError(t, from.Forget(ctx, budi)) // a Send began anew after the change
		}
	}
}
