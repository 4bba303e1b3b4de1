package interop_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An official device comes back with another identity key. Nothing is sent to
// it, and everything to the others, until the key is accepted; then the old
// session is in the archive, and a new one is begun.
func TestInteropOfficialIdentityChanged(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, old := w.of("ani", 1), w.move(session.Address{User: "budi", Device: 1}, keys.GenerateIdentityKeyPair(), true)
		w.both("before", ani, old)
		late := mailTo(t, old.say("late", "ani"), "ani", 1)
		renewed := w.move(old.address, keys.GenerateIdentityKeyPair(), true)
		s := ani.send(t, "who are you", "budi")
		require.NoError(t, ani.device.Reconcile(context.Background(), s, w.judge(ani, s, "budi")...))
		untrusted := refusedIdentity(t, resultFor(t, s, old.address).Err)
		require.Equal(t, session.UntrustedIdentityError{Address: old.address, Accepted: old.identity.Public(), Seen: renewed.identity.Public()}, *untrusted)
		w.readAll(ani, s, "who are you", old.address)
		require.NoError(t, ani.device.Accept(context.Background(), s))

		require.NoError(t, ani.device.AcceptIdentity(context.Background(), old.address, untrusted.Seen))
		s = ani.send(t, "I see", "budi")
		require.Nil(t, w.judge(ani, s, "budi"))
		require.Equal(t, session.TypePreKey, messages(s)[old.address].Type)
		w.deliver(ani.post(s), "I see", "budi")
		w.reads(late, "late", "ani") // on the archived session
		w.accept(renewed)
		w.everyone("all", "budi")
	})
}

// The same, and it writes before it is sent to: what it writes is delivered and
// its key reported, and once the key is accepted its session is the one.
func TestInteropOfficialIdentityChangedWrites(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, old := w.of("ani", 1), w.move(session.Address{User: "budi", Device: 1}, keys.GenerateIdentityKeyPair(), true)
		w.both("before", ani, old)
		renewed := w.move(old.address, keys.GenerateIdentityKeyPair(), true)
		m := renewed.mailTo(ani.address, 1_700_000_100_000, "new phone", "ani")
		r, err := ani.receive(m)
		require.NoError(t, err)
		require.False(t, r.Accepted)
		require.Equal(t, renewed.identity.Public(), r.Identity)
		require.Len(t, r.Events, 1)
		require.Equal(t, session.IdentityChanged, r.Events[0].Kind)
		require.Equal(t, renewed.identity.Public(), r.Events[0].Seen)
		require.NoError(t, ani.device.Acknowledge(context.Background(), r))

		s := ani.send(t, "who are you", "budi")
		untrusted := refusedIdentity(t, resultFor(t, s, old.address).Err)
		require.Equal(t, renewed.identity.Public(), untrusted.Seen)
		w.readAll(ani, s, "who are you", old.address)

		require.NoError(t, ani.device.AcceptIdentity(context.Background(), old.address, untrusted.Seen))
		s = ani.send(t, "I see", "budi")
		require.Nil(t, w.judge(ani, s, "budi"))
		w.deliver(ani.post(s), "I see", "budi")
		w.accept(renewed)
		w.everyone("all", "budi")
	})
}

func refusedIdentity(t *testing.T, err error) *session.UntrustedIdentityError {
	t.Helper()
	out, ok := errors.AsType[*session.UntrustedIdentityError](err)
	require.True(t, ok, "%v", err)
	return out
}

// readAll requires that what succeeded in a Sending is read, and that just one
// device got nothing.
func (w *town) readAll(from *citizen, s *session.Sending, text string, but session.Address) {
	w.t.Helper()
	for _, r := range s.Results {
		if r.To == but {
			require.Error(w.t, r.Err)
			require.Nil(w.t, r.Message)
			continue
		}
		w.reads(mail{from: from.address, to: r.To, sentAt: uint64(s.SentAt.UnixMilli()),
			msg: interop.Message{Type: int(r.Message.Type), Bytes: r.Message.Bytes}}, text, "budi")
	}
}

// accept has all devices of ani accept another one's new identity key, each in
// its way.
func (w *town) accept(renewed *citizen) {
	w.t.Helper()
	for _, a := range w.addresses("ani") {
		c := w.of("ani", a.Device)
		if c.device != nil {
			require.NoError(w.t, c.device.AcceptIdentity(context.Background(), renewed.address, renewed.identity.Public()))
			continue
		}
		require.NoError(w.t, c.party.SetIdentity(renewed.remote(), renewed.identity.Public().Bytes()))
		require.NoError(w.t, c.party.Archive(renewed.remote()))
	}
}
