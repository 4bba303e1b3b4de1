package main

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// linked links a second device of p, as its owner does: by the code that it
// shows.
func (p *testPerson) linked(t *testing.T, url string) *testPerson {
	t.Helper()
	c, err := newClient(url)
	require.NoError(t, err)
	t.Cleanup(c.close)
	w, store := make(watch, 1000), keystore.NewMemory()
	second := session.Address{User: p.me.User, Device: 2}
	var d *session.Device
	gate := hosting.NewGate(second.User, nil)
	done := make(chan error, 1)
	go func() {
		var err error
		d, err = openDevice(t.Context(), store, second, &role{}, settings(c, gate), c, w)
		done <- err
	}()
	require.NoError(t, p.link(t.Context(), w.next(t, linkEvent).Text))
	require.NoError(t, <-done)
	return &testPerson{newPerson(second, d, gate, store, c, w), w, store}
}

// receives reads the mailbox, and what is shown of it is of those kinds.
func (p *testPerson) receives(t *testing.T, kinds ...string) (shown []event) {
	t.Helper()
	require.NoError(t, p.receiveSome(t.Context()))
	for _, kind := range kinds {
		shown = append(shown, p.next(t, kind))
	}
	p.silent(t)
	return shown
}

// hears receives one message with a text.
func (p *testPerson) hears(t *testing.T, kind, text string) {
	t.Helper()
	require.Equal(t, text, p.receives(t, kind)[0].Text)
}

// sendsNews is sends, when p is told of a difference on the way.
func (p *testPerson) sendsNews(t *testing.T, to, text, news string) {
	t.Helper()
	require.NoError(t, p.write(t.Context(), to, text))
	left, err := p.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Contains(t, p.next(t, newsEvent).Text, news)
	p.next(t, sentEvent)
}

// What is written on one device the other shows, too, and what comes, comes to
// both; until one is removed.
func TestSecondDevice(t *testing.T) {
	r, ani, budi := twoFriends(t)

	laptop := ani.linked(t, r.url)
	require.Equal(t, ani.device.Identity(), laptop.device.Identity())
	laptop.arrives(t)
	require.Contains(t, ani.receives(t, newsEvent)[0].Text, "a new device")
	ani.sends(t, "budi", "three")
	budi.hears(t, readEvent, "three")
	shown := laptop.receives(t, syncEvent)[0]
	require.Equal(t, event{Kind: syncEvent, Peer: "budi", Mail: shown.Mail, Text: "three"}, shown)
	laptop.sends(t, "budi", "four")
	budi.hears(t, readEvent, "four")
	ani.hears(t, syncEvent, "four")
	require.NoError(t, budi.write(t.Context(), "ani", "five"))
	left, err := budi.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	budi.until(t, sentEvent)
	ani.hears(t, readEvent, "five")
	laptop.hears(t, readEvent, "five")
	require.Equal(t, []string{"three", "four", "five"}, laptop.texts(t, kindHistory))
	require.Equal(t, []string{"one", "two", "three", "four", "five"}, ani.texts(t, kindHistory))

	require.ErrorContains(t, ani.remove(t.Context(), 1), "that is this device")
	require.ErrorIs(t, ani.remove(t.Context(), 3), errUnknown)
	require.NoError(t, ani.remove(t.Context(), 2))
	require.Contains(t, ani.next(t, newsEvent).Text, "no device 2")
	ani.next(t, noticeEvent)
	require.ErrorIs(t, laptop.receiveSome(t.Context()), errRemoved)
	ani.sends(t, "budi", "six")
	budi.hears(t, readEvent, "six")
	budi.sendsNews(t, "ani", "seven", "no device 2")
	ani.hears(t, readEvent, "seven")
	require.Empty(t, r.relay.mail.boxes[laptop.me].mail)

	require.NoError(t, laptop.write(t.Context(), "budi", "eight"))
	left, err = laptop.sendSome(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	budi.silent(t)
	laptop.live(t)
	laptop.until(t, removedEvent)
}

// A relay that stands in between two devices that are being linked has nothing
// of it.
func TestLinkThroughLiar(t *testing.T) {
	r, ani, _ := twoPeople(t)
	liar, err := session.GenerateLink(session.Address{User: ani.me.User, Device: 2}, nil)
	require.NoError(t, err)
	honest, err := session.GenerateLink(session.Address{User: ani.me.User, Device: 2}, nil)
	require.NoError(t, err)
	require.NoError(t, r.pin(t.Context(), ani.me.User, linkKey, liar.PublicKey()))
	require.Error(t, ani.link(t.Context(), honest.Code()), "another key than that of the code")
	require.Error(t, ani.link(t.Context(), "no code"))
	_, err = r.pinned(t.Context(), ani.me.User, linkAnswer)
	require.ErrorIs(t, err, errUnknown)

	w, done := make(watch, 10), make(chan error, 1)
	go func() {
		_, err := askToLink(t.Context(), session.Address{User: ani.me.User, Device: 2}, r.client, w)
		done <- err
	}()
	w.next(t, linkEvent)
	require.NoError(t, r.pin(t.Context(), ani.me.User, linkAnswer, []byte("another account")))
	require.Error(t, <-done)
}

// Nobody waits longer for a link than they want to.
func TestLinkGivenUp(t *testing.T) {
	r, ani, _ := twoPeople(t)
	ctx, cancel := context.WithCancel(t.Context())
	w, done := make(watch, 10), make(chan error, 1)
	go func() {
		_, err := askToLink(ctx, session.Address{User: ani.me.User, Device: 2}, r.client, w)
		done <- err
	}()
	w.next(t, linkEvent)
	cancel()
	require.Error(t, <-done)
	_, err := askToLink(t.Context(), session.Address{User: budi1.User, Device: 2}, r.client, w)
	require.ErrorIs(t, err, errUnknown, "nobody of that name has a first device")
}

// twoFriends are two people, each of whom has read the other.
func twoFriends(t *testing.T) (r *testRelay, ani, budi *testPerson) {
	t.Helper()
	r, ani, budi = twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	budi.hears(t, readEvent, "one")
	budi.sends(t, "ani", "two")
	ani.hears(t, readEvent, "two")
	return r, ani, budi
}

// Someone whose sessions are lost asks for what cannot be read, and reads it.
func TestLostSession(t *testing.T) {
	r, ani, budi := twoFriends(t)

	require.NoError(t, budi.device.Forget(t.Context(), ani1.User))
	ani.sends(t, "budi", "three")
	budi.receives(t, askedEvent)
	require.Len(t, r.relay.mail.boxes[ani1].mail, 1)
	ani.receives(t)
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, resentEvent)
	budi.hears(t, readEvent, "three")
	require.Equal(t, []string{"one", "two", "three"}, ani.texts(t, kindHistory))
	require.Equal(t, []string{"one", "two", "three"}, budi.texts(t, kindHistory))
	budi.sends(t, "ani", "four")
	ani.hears(t, readEvent, "four")
	ani.sends(t, "budi", "five")
	budi.hears(t, readEvent, "five")
}

// A relay that makes a message unreadable, and delivers it as it was, too, has
// it sent again; it is shown once. It has to know who sent it for that.
func TestAskedForNothing(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.open, budi.open = true, true

	ani.sends(t, "budi", "three")
	box := r.relay.mail.boxes[budi1]
	m := &parcel{envelope: box.mail[0]}
	box.mail = []envelope{m.forge().envelope, m.envelope}
	budi.receives(t, askedEvent, readEvent)
	ani.receives(t)
	_, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	ani.next(t, resentEvent)
	budi.receives(t, againEvent)
	require.Equal(t, []string{"one", "two", "three"}, budi.texts(t, kindHistory))
}

// A request that a relay made up has no answer.
func TestForgedRequest(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	e := r.relay.mail.boxes[budi1].mail[0]
	e.ID, e.From, e.Type = "request", budi1, session.TypePlaintext
	require.NoError(t, r.relay.mail.put(ani1, e))
	ani.receives(t, refusedEvent)
	require.Empty(t, ani.texts(t, kindOutbox))
	require.Empty(t, r.relay.mail.boxes[ani1].mail)
}

// Whoever asks for a message and is gone does not hold up the rest.
func TestAskedAndGone(t *testing.T) {
	r, ani, budi := twoFriends(t)
	require.NoError(t, budi.device.Forget(t.Context(), ani1.User))
	ani.sends(t, "budi", "three")
	budi.receives(t, askedEvent)
	require.NoError(t, r.client.remove(t.Context(), budi1))
	ani.receives(t, refusedEvent)
	require.Empty(t, r.relay.mail.boxes[ani1].mail)
}

// What was sealed before a stop, and is not for the right devices any more, is
// sealed anew: the relay took nothing of it.
func TestStopBeforeDifference(t *testing.T) {
	errStop := errors.New("stop")
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	require.NoError(t, ani.write(t.Context(), "budi", "one"))
	r.relay.post.deliver = func([]delivery) error { return errFull }
	left, err := ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, waitsEvent)
	r.relay.post.deliver = r.relay.putMail

	laptop := budi.linked(t, r.url)
	laptop.arrives(t)
	ani = newTestPerson(t, ani1, r.url, &stopping{Store: ani.store, after: 0, err: errStop})
	left, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani = newTestPerson(t, ani1, r.url, ani.store.(*stopping).Store)
	left, err = ani.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, "one", budi.receives(t, newsEvent, readEvent)[1].Text)
	laptop.hears(t, readEvent, "one")
}
