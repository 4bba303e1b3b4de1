package interop_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// written is how a group comes back: an empty one is none.
func written(group []byte) []byte {
	if len(group) == 0 {
		return nil
	}
	return group
}

// Messages of sessions, from their first on, both ways, with every hint and group.
func TestInterop_SS_14_SealedSessions(t *testing.T) {
	w := newSealedTown(t)
	ours := w.settleIn(session.Address{User: aliceName, Device: 1}, false)
	theirs := w.settleIn(session.Address{User: bobName, Device: 1}, true)
	for round := range 3 {
		for i, h := range hintsAndGroups {
			text := fmt.Sprint("message ", round, i)
			want := &sealedMail{from: theirs.address, text: text, hint: h.hint, group: written(h.group)}
			got, err := w.open(ours, w.sealTheirs(theirs, ours, text, h.hint, h.group), w.expires)
			require.NoError(t, err)
			want.typ = got.typ
			require.Equal(t, want, got)

			want = &sealedMail{from: ours.address, text: text, hint: h.hint, group: written(h.group)}
			got, err = w.open(theirs, w.sealOurs(ours, theirs, text, h.hint, h.group), w.expires)
			require.NoError(t, err)
			want.typ, want.inner = got.typ, got.inner
			require.Equal(t, want, got)
		}
	}
	// Too late by a millisecond, neither takes it; in time both do.
	for _, c := range [][2]*citizen{{theirs, ours}, {ours, theirs}} {
		envelope := w.seal(c[0], c[1], "in time")
		_, err := w.open(c[1], envelope, w.expires.Add(time.Millisecond))
		require.Error(t, err)
		got, err := w.open(c[1], envelope, w.expires)
		require.NoError(t, err)
		require.Equal(t, "in time", got.text)
	}
}

func (w *sealedTown) seal(from, to *citizen, text string) []byte {
	if from.device != nil {
		return w.sealOurs(from, to, text, 0, nil)
	}
	return w.sealTheirs(from, to, text, 0, nil)
}

// sealTheirs encrypts within the session and seals.
func (w *sealedTown) sealTheirs(from, to *citizen, text string, hint uint32, group []byte) []byte {
	t := w.town.t
	t.Helper()
	remote := from.sessionWith(to.address)
	o := interop.SealOptions{Certificate: w.certificates[from.address], Hint: hint}
	if group != nil {
		o.Group = (*interop.Hex)(&group)
	}
	content, err := from.party.WrapEncrypt(remote, contentOf(text), o)
	require.NoError(t, err)
	envelope, err := from.party.Seal(remote, content)
	require.NoError(t, err)
	return envelope
}

func (w *sealedTown) sealOurs(from, to *citizen, text string, hint uint32, group []byte) []byte {
	t := w.town.t
	t.Helper()
	m := from.single(t, to, text)
	out, err := w.sender(from).Seal(to.identity.Public(), m, sealed.Hint(hint), group)
	require.NoError(t, err)
	require.Equal(t, session.TypeSealed, out.Type)
	return out.Bytes
}

// single is a message of gembok for one device.
func (c *citizen) single(t *testing.T, to *citizen, text string) *session.Message {
	t.Helper()
	s := c.send(t, text, to.address.User)
	require.NoError(t, c.device.Accept(context.Background(), s))
	m := resultFor(t, s, to.address)
	require.NoError(t, m.Err)
	return m.Message
}

// Messages of a group, in envelopes of version 1, both ways.
func TestInteropSealedGroup(t *testing.T) {
	w := newSealedTown(t)
	ours := w.settleIn(session.Address{User: aliceName, Device: 1}, false)
	theirs := w.settleIn(session.Address{User: bobName, Device: 1}, true)
	id := group.DistributionID{1, 2, 3}
	w.exchangeKeys(id, ours, theirs)
	for i, h := range hintsAndGroups {
		text := fmt.Sprint("to all ", i)
		content, err := theirs.party.WrapGroup(id.String(), contentOf(text),
			interop.SealOptions{Certificate: w.certificates[theirs.address], Hint: h.hint, Group: (*interop.Hex)(&h.group)})
		require.NoError(t, err)
		envelope, err := theirs.party.Seal(ours.remote(), content)
		require.NoError(t, err)
		got, err := w.open(ours, envelope, w.expires)
		require.NoError(t, err)
		require.Equal(t, &sealedMail{from: theirs.address, typ: interop.SenderKey, text: text, hint: h.hint, group: written(h.group)}, got)

		m := ours.groupMessage(id, text)
		out, err := w.sender(ours).Seal(theirs.identity.Public(), m, sealed.Hint(h.hint), h.group)
		require.NoError(t, err)
		got, err = w.open(theirs, out.Bytes, w.expires)
		require.NoError(t, err)
		require.Equal(t, &sealedMail{from: ours.address, typ: interop.SenderKey, inner: m.Bytes, text: text, hint: h.hint, group: written(h.group)}, got)
	}
}

// groupMessage encrypts a text with the own sender key.
func (c *citizen) groupMessage(id group.DistributionID, text string) *session.Message {
	t := c.town.t
	t.Helper()
	m, err := c.groups.Encrypt(context.Background(), id, unpad(t, contentOf(text)))
	require.NoError(t, err)
	return m
}

// exchangeKeys gives two devices each other's sender keys.
func (w *sealedTown) exchangeKeys(id group.DistributionID, devices ...*citizen) {
	for _, from := range devices {
		for _, to := range devices {
			if from != to {
				require.NoError(w.town.t, to.takesKey(from.keyTo(to, id)))
			}
		}
	}
}

// keyTo is a message with the own sender key in it.
func (c *citizen) keyTo(to *citizen, id group.DistributionID) mail {
	t, d := c.town.t, c.distribution(id)
	t.Helper()
	if c.party != nil {
		return c.keyMail(to.address, d)
	}
	s, err := c.device.Send(context.Background(), []string{to.address.User}, &session.Content{Distribution: d}, nil)
	require.NoError(t, err)
	require.NoError(t, c.device.Accept(context.Background(), s))
	r := resultFor(t, s, to.address)
	require.NoError(t, r.Err)
	return mail{from: c.address, to: to.address, sentAt: uint64(s.SentAt.UnixMilli()),
		msg: interop.Message{Type: int(r.Message.Type), Bytes: r.Message.Bytes}}
}

// distribution is the message that gives the own sender key.
func (c *citizen) distribution(id group.DistributionID) []byte {
	t := c.town.t
	t.Helper()
	if c.party != nil {
		d, err := c.party.SenderKeyDistribution(id.String())
		require.NoError(t, err)
		return d
	}
	d, err := c.groups.Distribution(context.Background(), id)
	require.NoError(t, err)
	return d
}

// What asks for a message again travels sealed, too, as type 8.
func TestInteropSealedRetries(t *testing.T) {
	w := newSealedTown(t)
	ours := w.settleIn(session.Address{User: aliceName, Device: 1}, false)
	theirs := w.settleIn(session.Address{User: bobName, Device: 1}, true)
	w.both("before", ours, theirs)

	lost := mailTo(t, ours.say("lost", bobName), bobName, 1)
	asked, err := w.town.p.RequestRetry(lost.msg, lost.sentAt, 1)
	require.NoError(t, err)
	content, err := w.town.p.WrapPlaintext(asked.Bytes, interop.SealOptions{Certificate: w.certificates[theirs.address], Hint: 2})
	require.NoError(t, err)
	envelope, err := theirs.party.Seal(ours.remote(), content)
	require.NoError(t, err)
	got, err := w.open(ours, envelope, w.expires)
	require.NoError(t, err)
	require.Equal(t, &sealedMail{from: theirs.address, typ: interop.Plaintext, inner: asked.Bytes, hint: 2}, got)
	again := ours.resend(theirs, &session.Message{Type: session.TypePlaintext, Bytes: asked.Bytes})
	w.reads(again, "lost", bobName)

	lost = mailTo(t, theirs.say("lost, too", aliceName), aliceName, 1)
	lost.msg.Bytes[len(lost.msg.Bytes)-1] ^= 1
	request := ours.fails(lost, session.ReasonUnreadable)
	out, err := w.sender(ours).Seal(theirs.identity.Public(), &session.Message{Type: session.TypePlaintext, Bytes: request.Bytes}, sealed.HintImplicit, nil)
	require.NoError(t, err)
	got, err = w.open(theirs, out.Bytes, w.expires)
	require.NoError(t, err)
	require.Equal(t, &sealedMail{from: ours.address, typ: interop.Plaintext, inner: request.Bytes, hint: 2}, got)
	read, err := theirs.party.ReadRetry(ours.remote(), interop.Message{Type: interop.Plaintext, Bytes: got.inner})
	require.NoError(t, err)
	require.Equal(t, lost.sentAt, read.SentAt)
	require.True(t, read.Current)
}
