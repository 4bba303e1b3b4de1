package person

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// linked links a second device of p, as its owner does: by the code that it
// shows.
func (p *testPerson) linked(t *testing.T, to http.Handler) *testPerson {
	t.Helper()
	c := NewClient(direct{to})
	w, store := make(watch, 1000), keystore.NewMemory()
	second := session.Address{User: p.me.User, Device: 2}
	var d *session.Device
	gate := hosting.NewGate(second.User, nil)
	done := make(chan error, 1)
	go func() {
		var err error
		d, _, err = openDevice(t.Context(), store, second, Role{}, settings(c, gate), c, w)
		done <- err
	}()
	require.NoError(t, p.Link(t.Context(), w.next(t, LinkEvent).Text))
	require.NoError(t, <-done)
	return &testPerson{newPerson(second, d, gate, store, c, w, &Options{}), w, store, to}
}

// receives reads the mailbox, and what is shown of it is of those kinds.
func (p *testPerson) receives(t *testing.T, kinds ...string) (shown []Event) {
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
	require.NoError(t, p.Write(t.Context(), to, text))
	left, err := p.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Contains(t, p.next(t, NewsEvent).Text, news)
	p.next(t, SentEvent)
}

// What is written on one device the other shows, too, and what comes, comes to
// both; until one is removed.
func TestSecondDevice(t *testing.T) {
	r, ani, budi := twoFriends(t)

	laptop := ani.linked(t, r)
	require.Equal(t, ani.device.Identity(), laptop.device.Identity())
	laptop.arrives(t)
	require.Contains(t, ani.receives(t, NewsEvent)[0].Text, "a new device")
	ani.sends(t, "budi", "three")
	budi.hears(t, ReadEvent, "three")
	shown := laptop.receives(t, SyncEvent)[0]
	require.Equal(t, Event{Kind: SyncEvent, Peer: "budi", Mail: shown.Mail, Text: "three"}, shown)
	laptop.sends(t, "budi", "four")
	budi.hears(t, ReadEvent, "four")
	ani.hears(t, SyncEvent, "four")
	require.NoError(t, budi.Write(t.Context(), "ani", "five"))
	left, err := budi.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	budi.until(t, SentEvent)
	ani.hears(t, ReadEvent, "five")
	laptop.hears(t, ReadEvent, "five")
	require.Equal(t, []string{"three", "four", "five"}, laptop.texts(t, kindHistory))
	require.Equal(t, []string{"one", "two", "three", "four", "five"}, ani.texts(t, kindHistory))

	require.ErrorContains(t, ani.Remove(t.Context(), 1), "that is this device")
	require.ErrorIs(t, ani.Remove(t.Context(), 3), post.ErrUnknown)
	require.NoError(t, ani.Remove(t.Context(), 2))
	require.Contains(t, ani.next(t, NewsEvent).Text, "no device 2")
	ani.next(t, NoticeEvent)
	require.ErrorIs(t, laptop.receiveSome(t.Context()), post.ErrRemoved)
	ani.sends(t, "budi", "six")
	budi.hears(t, ReadEvent, "six")
	budi.sendsNews(t, "ani", "seven", "no device 2")
	ani.hears(t, ReadEvent, "seven")
	require.Empty(t, r.Mail(laptop.me))

	require.NoError(t, laptop.Write(t.Context(), "budi", "eight"))
	left, err = laptop.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	budi.silent(t)
	laptop.live(t)
	laptop.until(t, RemovedEvent)
}

// A relay that stands in between two devices that are being linked has nothing
// of it.
func TestLinkThroughLiar(t *testing.T) {
	r, ani, _ := twoPeople(t)
	liar, err := session.GenerateLink(session.Address{User: ani.me.User, Device: 2}, nil)
	require.NoError(t, err)
	honest, err := session.GenerateLink(session.Address{User: ani.me.User, Device: 2}, nil)
	require.NoError(t, err)
	require.NoError(t, r.pin(t.Context(), ani.me.User, post.LinkKey, liar.PublicKey()))
	require.Error(t, ani.Link(t.Context(), honest.Code()), "another key than that of the code")
	require.ErrorIs(t, ani.Link(t.Context(), "no code"), session.ErrLink)
	_, err = r.pinned(t.Context(), ani.me.User, post.LinkAnswer)
	require.ErrorIs(t, err, post.ErrUnknown)

	w, done := make(watch, 10), make(chan error, 1)
	go func() {
		_, err := askToLink(t.Context(), session.Address{User: ani.me.User, Device: 2}, r.Client, w)
		done <- err
	}()
	w.next(t, LinkEvent)
	require.NoError(t, r.pin(t.Context(), ani.me.User, post.LinkAnswer, []byte("another account")))
	require.Error(t, <-done)
}

// Nobody waits longer for a link than they want to.
func TestLinkGivenUp(t *testing.T) {
	r, ani, budi := twoPeople(t)
	require.ErrorIs(t, budi.Link(t.Context(), "code"), session.ErrLink, "nobody waits for it")
	ctx, cancel := context.WithCancel(t.Context())
	w, done := make(watch, 10), make(chan error, 1)
	go func() {
		_, err := askToLink(ctx, session.Address{User: ani.me.User, Device: 2}, r.Client, w)
		done <- err
	}()
	w.next(t, LinkEvent)
	cancel()
	require.Error(t, <-done)
	_, err := askToLink(t.Context(), session.Address{User: budi1.User, Device: 2}, r.Client, w)
	require.ErrorIs(t, err, post.ErrUnknown, "nobody of that name has a first device")

	store, given := keystore.NewMemory(), ani.me
	given.Device = 2
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		_, err := Open(ctx, store, given, Role{}, r.Client, w, &Options{})
		done <- err
	}()
	w.next(t, LinkEvent)
	cancel()
	require.Error(t, <-done)
	p, err := Open(t.Context(), store, given, Hosted("PT Awan", "awan.example"), r.Client, w, &Options{})
	require.NoError(t, err)
	require.Equal(t, "provider", p.Role(), "what was given up decides nothing")
}

// twoFriends are two people, each of whom has read the other.
func twoFriends(t *testing.T) (r *testRelay, ani, budi *testPerson) {
	t.Helper()
	r, ani, budi = twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	budi.hears(t, ReadEvent, "one")
	budi.sends(t, "ani", "two")
	ani.hears(t, ReadEvent, "two")
	return r, ani, budi
}

// Someone whose sessions are lost asks for what cannot be read, and reads it.
func TestLostSession(t *testing.T) {
	r, ani, budi := twoFriends(t)

	require.NoError(t, budi.device.Forget(t.Context(), ani1.User))
	ani.sends(t, "budi", "three")
	budi.receives(t, AskedEvent)
	require.Len(t, r.Mail(ani1), 1)
	ani.receives(t)
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	ani.next(t, ResentEvent)
	budi.hears(t, ReadEvent, "three")
	require.Equal(t, []string{"one", "two", "three"}, ani.texts(t, kindHistory))
	require.Equal(t, []string{"one", "two", "three"}, budi.texts(t, kindHistory))
	budi.sends(t, "ani", "four")
	ani.hears(t, ReadEvent, "four")
	ani.sends(t, "budi", "five")
	budi.hears(t, ReadEvent, "five")
}

// A relay that makes a message unreadable, and delivers it as it was, too, has
// it sent again; it is shown once. It has to know who sent it for that.
func TestAskedForNothing(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.open, budi.open = true, true

	ani.sends(t, "budi", "three")
	good := r.empties(t, budi1)[0]
	forged := good
	forged.ID, forged.Bytes = "forged", bytes.Clone(good.Bytes)
	forged.Bytes[len(forged.Bytes)-1] ^= 1
	r.puts(t, budi1, forged, good)
	budi.receives(t, AskedEvent, ReadEvent)
	ani.receives(t)
	_, err := ani.Flush(t.Context())
	require.NoError(t, err)
	ani.next(t, ResentEvent)
	budi.receives(t, AgainEvent)
	require.Equal(t, []string{"one", "two", "three"}, budi.texts(t, kindHistory))
}

// A request that a relay made up has no answer.
func TestForgedRequest(t *testing.T) {
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	ani.sends(t, "budi", "one")
	e := r.Mail(budi1)[0]
	e.ID, e.From, e.Type = "request", budi1, session.TypePlaintext
	r.puts(t, ani1, e)
	ani.receives(t, RefusedEvent)
	require.Empty(t, ani.texts(t, kindOutbox))
	require.Empty(t, r.Mail(ani1))
}

// Whoever asks for a message and is gone does not hold up the rest.
func TestAskedAndGone(t *testing.T) {
	r, ani, budi := twoFriends(t)
	require.NoError(t, budi.device.Forget(t.Context(), ani1.User))
	ani.sends(t, "budi", "three")
	budi.receives(t, AskedEvent)
	require.NoError(t, r.Client.remove(t.Context(), budi1))
	ani.receives(t, RefusedEvent)
	require.Empty(t, r.Mail(ani1))
}

// What was sealed before a stop, and is not for the right devices any more, is
// sealed anew: the relay took nothing of it.
func TestStopBeforeDifference(t *testing.T) {
	errStop := errors.New("stop")
	r, ani, budi := twoPeople(t)
	budi.arrives(t)
	require.NoError(t, ani.Write(t.Context(), "budi", "one"))
	r.Deliver = func([]relay.Delivery) error { return post.ErrFull }
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani.next(t, WaitsEvent)
	r.Deliver = r.Put

	laptop := budi.linked(t, r)
	laptop.arrives(t)
	ani = newTestPerson(t, ani1, r, &stopping{Store: ani.store, after: 0, err: errStop})
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, left)
	ani = newTestPerson(t, ani1, r, ani.store.(*stopping).Store)
	left, err = ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, "one", budi.receives(t, NewsEvent, ReadEvent)[1].Text)
	laptop.hears(t, ReadEvent, "one")
}
