package interop_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// asks has an official device ask for m, which it could not decrypt.
func (c *citizen) asks(m mail) *session.Message {
	out, err := c.town.p.RequestRetry(m.msg, m.sentAt, m.from.Device)
	require.NoError(c.town.t, err)
	return &session.Message{Type: session.MessageType(out.Type), Bytes: out.Bytes}
}

// resend has a device of gembok answer a request, and returns the answer.
func (c *citizen) resend(from *citizen, asked *session.Message) mail {
	c.town.t.Helper()
	s, err := c.device.Resend(context.Background(), from.address, asked)
	require.NoError(c.town.t, err)
	require.Len(c.town.t, s.Results, 1)
	return c.post(s)[0]
}

// unanswered requires that a request is refused and changes nothing.
func (c *citizen) unanswered(from *citizen, asked *session.Message) {
	c.town.t.Helper()
	before := testutil.StoreDigest(c.town.t, c.store)
	_, err := c.device.Resend(context.Background(), from.address, asked)
	require.ErrorIs(c.town.t, err, session.ErrNoRetry)
	require.Equal(c.town.t, before, testutil.StoreDigest(c.town.t, c.store))
}

// An official device that lost its session asks for a message: it gets it on a
// new session, with the time of the first one, and both go on with that.
func TestInterop_SES_09_OfficialAsks(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		require.NoError(t, citra.party.SetSession(ani.remote(), nil))
		lost := mailTo(t, ani.say("lost", "citra"), "citra", 2)
		_, err := w.read(lost)
		require.Error(t, err)

		asked := citra.asks(lost)
		again := ani.resend(citra, asked)
		require.Equal(t, interop.PreKey, again.msg.Type)
		require.Equal(t, lost.sentAt, again.sentAt)
		w.reads(again, "lost", "citra")
		before := testutil.StoreDigest(t, ani.store)
		require.Equal(t, again.msg, ani.resend(citra, asked).msg) // the same request, the same answer
		require.Equal(t, before, testutil.StoreDigest(t, ani.store))
		_, err = ani.device.Decrypt(context.Background(), citra.address, asked, nil)
		require.ErrorIs(t, err, session.ErrMalformed)
		require.Zero(t, session.ReasonOf(err))
		require.Equal(t, before, testutil.StoreDigest(t, ani.store))
		w.both("after", ani, citra)
	})
}

// One of the own account's devices asks: it gets the copy that tells to whom
// the message went.
func TestInterop_SES_09_OfficialOwnDeviceAsks(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, own, citra := w.of("ani", 1), w.of("ani", 4), w.of("citra", 2)
		w.both("before", ani, citra)
		require.NoError(t, own.party.SetSession(ani.remote(), nil))
		lost := mailTo(t, ani.say("lost", "citra"), "ani", 4)
		again := ani.resend(own, own.asks(lost))
		w.reads(again, "lost", "citra")
		w.both("after", ani, citra)
	})
}

// An official device lost its prekeys before the first message came.
func TestInterop_SES_09_OfficialLostItsPreKeys(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		first := mailTo(t, ani.say("first", "citra"), "citra", 2)
		require.Equal(t, interop.PreKey, first.msg.Type)
		party, err := w.p.NewParty(interop.PartyOptions{Name: "citra", Device: 2, RegistrationID: citra.regID, Identity: citra.identity.PrivateBytes()})
		require.NoError(t, err)
		citra.party = party
		_, err = w.read(first)
		require.Error(t, err)
		w.reads(ani.resend(citra, citra.asks(first)), "first", "citra")
		w.both("after", ani, citra)
	})
}

// The session that failed is not the current one any more: the answer comes on
// the one that is.
func TestInterop_SES_09_OfficialAsksLate(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		require.NoError(t, citra.party.SetSession(ani.remote(), nil))
		lost := mailTo(t, ani.say("lost", "citra"), "citra", 2)
		hello := citra.mailTo(ani.address, 1_700_000_200_000, "hello", "ani")
		require.Equal(t, interop.PreKey, hello.msg.Type)
		w.reads(hello, "hello", "ani")
		bundles := w.asked[citra.address]
		again := ani.resend(citra, citra.asks(lost))
		require.Equal(t, interop.Whisper, again.msg.Type)
		require.Equal(t, bundles, w.asked[citra.address])
		w.reads(again, "lost", "citra")
		w.both("after", ani, citra)
	})
}

// Requests that the official library made and that are not to be answered:
// another device, another time, a message to somebody else, of a device that
// got none.
func TestInterop_SES_09_OfficialAsksWrongly(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		letters := ani.say("hello", "citra")
		m := mailTo(t, letters, "citra", 2)
		for name, wrong := range map[string]func(*mail){
			"device":  func(m *mail) { m.from.Device = 3 },
			"time":    func(m *mail) { m.sentAt++ },
			"message": func(m *mail) { *m = mailTo(t, letters, "citra", 4) },
		} {
			t.Log(name)
			other := m
			wrong(&other)
			ani.unanswered(citra, citra.asks(other))
		}
		ani.unanswered(w.move(session.Address{User: "dewi", Device: 2}, citra.identity, true), citra.asks(m))
		w.deliver(letters, "hello", "citra")
	})
}

// fails requires that a device of gembok cannot read m, and returns what it asks
// its sender then, which is what the official library would ask.
func (c *citizen) fails(m mail, want session.RetryReason) interop.Message {
	t := c.town.t
	t.Helper()
	_, err := c.receive(m)
	require.Error(t, err)
	require.Equal(t, want, session.ReasonOf(err), "%v", err)
	asked, err := c.device.RequestRetry(context.Background(), m.from, m.gembok(), time.UnixMilli(int64(m.sentAt)), err)
	require.NoError(t, err)
	require.Equal(t, session.TypePlaintext, asked.Type)
	theirs, err := c.town.p.RequestRetry(m.msg, m.sentAt, m.from.Device)
	require.NoError(t, err)
	require.Equal(t, theirs, interop.Message{Type: int(asked.Type), Bytes: asked.Bytes})
	return theirs
}

// answer is what an app over the official library does with a request: where
// the session that failed is the current one it is archived, and the message
// goes out again.
func (c *citizen) answer(from *citizen, asked interop.Message, current bool, text, recipient string) mail {
	t := c.town.t
	t.Helper()
	r, err := c.party.ReadRetry(from.remote(), asked)
	require.NoError(t, err)
	require.Equal(t, c.address.Device, r.Device)
	require.Equal(t, current, r.Current)
	if r.Current {
		require.NoError(t, c.party.Archive(from.remote()))
	}
	return c.mailTo(from.address, r.SentAt, text, recipient)
}

// A device of gembok lost its sessions, and then its prekeys, too: the official
// one begins a new session from a new bundle.
func TestInterop_SES_09_GembokAsks(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani := w.of("ani", 1)
		for _, from := range []*citizen{w.of("citra", 2), w.of("ani", 4)} { // another's, and an own one
			w.both("before", ani, w.of("citra", 2))
			to := map[bool]string{true: "citra", false: "ani"}[from.address.User == "ani"]
			w.deliver(from.say("hello", to), "hello", to)
			ani.forget()
			lost := mailTo(t, from.say("lost", to), "ani", 1)
			require.Equal(t, interop.Whisper, lost.msg.Type)
			again := from.answer(ani, ani.fails(lost, session.ReasonNoSession), true, "lost", to)
			require.Equal(t, interop.PreKey, again.msg.Type)
			require.Equal(t, lost.sentAt, again.sentAt)
			w.reads(again, "lost", to)

			first := from.mailTo(ani.address, 1_700_000_300_000, "first", to)
			require.Equal(t, interop.PreKey, first.msg.Type)
			ani.forget()
			again = from.answer(ani, ani.fails(first, session.ReasonNoPreKey), true, "first", to)
			w.reads(again, "first", to)
			w.both("after", ani, w.of("citra", 2))
		}
	})
}

// What came is damaged: the answer is on a new session, and so is what follows.
func TestInterop_SES_09_GembokAsksForADamagedMessage(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		damaged := mailTo(t, citra.say("damaged", "ani"), "ani", 1)
		damaged.msg.Bytes[len(damaged.msg.Bytes)-1] ^= 1
		asked := ani.fails(damaged, session.ReasonUnreadable)
		again := citra.answer(ani, asked, true, "damaged", "ani")
		require.Equal(t, interop.PreKey, again.msg.Type)
		w.reads(again, "damaged", "ani")

		// Asked once more, the official library sees that another session is
		// current.
		again = citra.answer(ani, asked, false, "damaged", "ani")
		w.reads(again, "damaged", "ani")
		w.both("after", ani, citra)
	})
}

// An official device went back to an old state of its session, and cannot read
// what comes: one request, and both go on.
func TestInterop_SES_09_OfficialRolledBack(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		old, err := citra.party.Session(ani.remote())
		require.NoError(t, err)
		w.both("between", ani, citra)
		w.both("between", ani, citra)
		require.NoError(t, citra.party.SetSession(ani.remote(), old))
		lost := mailTo(t, ani.say("lost", "citra"), "citra", 2)
		_, err = w.read(lost)
		require.Error(t, err)
		w.reads(ani.resend(citra, citra.asks(lost)), "lost", "citra")
		w.both("after", ani, citra)
	})
}

// An official device came back with another identity key and asks for what went
// to the old one: it gets nothing, and what is sent after its key was accepted.
func TestInterop_SES_09_OfficialWithAnotherIdentityAsks(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, old := w.of("ani", 1), w.move(session.Address{User: "budi", Device: 1}, keys.GenerateIdentityKeyPair(), true)
		w.both("before", ani, old)
		lost := mailTo(t, ani.say("lost", "budi"), "budi", 1)
		renewed := w.move(old.address, keys.GenerateIdentityKeyPair(), true)
		_, err := w.read(lost)
		require.Error(t, err)
		asked := renewed.asks(lost)
		before := testutil.StoreDigest(t, ani.store)
		s, err := ani.device.Resend(context.Background(), renewed.address, asked)
		require.NoError(t, err)
		require.Len(t, s.Results, 1)
		require.Nil(t, s.Results[0].Message)
		require.Equal(t, renewed.identity.Public(), refusedIdentity(t, s.Results[0].Err).Seen)
		require.Equal(t, before, testutil.StoreDigest(t, ani.store))

		require.NoError(t, ani.device.AcceptIdentity(context.Background(), renewed.address, renewed.identity.Public()))
		_, err = ani.device.Resend(context.Background(), renewed.address, asked)
		require.ErrorIs(t, err, session.ErrNoRetry)
		w.accept(renewed)
		w.both("after", ani, renewed)
	})
}
