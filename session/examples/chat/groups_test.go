package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

const testFamily = "ani/family"

// sendsAll sends what is in the outbox, and what is shown of it is of those kinds.
func (p *testPerson) sendsAll(t *testing.T, kinds ...string) {
	t.Helper()
	left, err := p.sendSome(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	for _, kind := range kinds {
		p.next(t, kind)
	}
	p.silent(t)
}

// threePeople are in a group that ani made, and have all been told.
func threePeople(t *testing.T) (r *testRelay, ani, budi, citra *testPerson) {
	t.Helper()
	r, ani, budi = twoPeople(t)
	budi.arrives(t)
	citra = newTestPerson(t, citra1, r.url, keystore.NewMemory())
	citra.arrives(t)
	require.NoError(t, ani.gather(t.Context(), "family", []string{"citra", "budi"}))
	ani.sendsAll(t, sentEvent)
	for _, p := range []*testPerson{budi, citra} {
		p.isTold(t, "ani, budi, citra")
	}
	return r, ani, budi, citra
}

func (p *testPerson) isTold(t *testing.T, members string) {
	t.Helper()
	e := p.receives(t, groupEvent)[0]
	require.Equal(t, event{Kind: groupEvent, Peer: "ani", Mail: e.Mail, Group: testFamily, Text: members}, e)
}

// says lets p write to the group, and those of its members that lack the key get it
// before.
func (p *testPerson) says(t *testing.T, text string, kinds ...string) {
	t.Helper()
	require.NoError(t, p.write(t.Context(), testFamily, text))
	p.sendsAll(t, kinds...)
}

func (p *testPerson) reads(t *testing.T, from, text string) {
	t.Helper()
	e := p.receives(t, readEvent)[0]
	require.Equal(t, event{Kind: readEvent, Peer: from, Mail: e.Mail, Group: testFamily, Text: text}, e)
}

// Whoever is removed from a group gets nothing, and cannot read what others get,
// with the very bytes in hand.
func TestRemovedMemberCannotRead(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", keyEvent, sentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	citra.says(t, "two", keyEvent, sentEvent)
	ani.reads(t, "citra", "two")
	budi.reads(t, "citra", "two")
	ani.says(t, "three", sentEvent)
	budi.reads(t, "ani", "three")
	citra.reads(t, "ani", "three")

	require.NoError(t, ani.expel(t.Context(), "family", "citra"))
	ani.sendsAll(t, sentEvent)
	budi.isTold(t, "ani, budi")
	citra.isTold(t, "ani, budi")
	ani.says(t, "secret", keyEvent, sentEvent)
	require.Empty(t, r.relay.mail.boxes[citra1].mail)

	mail := r.relay.mail.boxes[budi1].mail
	require.Len(t, mail, 2, "the new key, and the message")
	var trust sealed.Trust
	trust.Roots = append(trust.Roots, r.notary.root.Public())
	opener := sealed.NewOpener(budi.own.IdentityKeyPair(), &trust, nil)
	for _, e := range mail {
		_, err := citra.unseal(t.Context(), &e)
		require.ErrorIs(t, err, session.ErrAuth, "not hers to open")
		opened, err := opener.Open(e.Bytes, e.Taken) // as if she had Budi's identity key
		require.NoError(t, err)
		_, err = citra.groups.Decrypt(t.Context(), ani1, &session.Message{Type: opened.Type, Bytes: opened.Bytes}, nil)
		require.True(t, unreadable(err), err)
	}
	require.NotEqual(t, session.TypeSenderKey, mustOpen(t, opener, mail[0]).Type)
	require.Equal(t, session.TypeSenderKey, mustOpen(t, opener, mail[1]).Type)
	budi.reads(t, "ani", "secret")
	budi.says(t, "me too", keyEvent, sentEvent)
	ani.reads(t, "budi", "me too")
	require.Empty(t, r.relay.mail.boxes[citra1].mail)
	citra.silent(t)

	// Nor does she write there, unless her app is another one: that is shown.
	require.ErrorContains(t, citra.write(t.Context(), testFamily, "four"), "you are not in the group")
	c, err := citra.notes.circle(t.Context(), testFamily)
	require.NoError(t, err)
	c.Members = []string{"ani", "budi", "citra"}
	change, err := citra.notes.set(testFamily, c)
	require.NoError(t, err)
	_, err = citra.notes.store.Commit(t.Context(), change)
	require.NoError(t, err)
	citra.says(t, "four", sentEvent)
	require.True(t, budi.receives(t, readEvent)[0].Outsider)
}

func mustOpen(t *testing.T, o *sealed.Opener, e envelope) *sealed.Message {
	m, err := o.Open(e.Bytes, e.Taken)
	require.NoError(t, err)
	return m
}

// Who is in a group only its owner says, and the last word counts, in whatever
// order they come.
func TestWhoSaysWhoIsIn(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	require.NoError(t, budi.post(t.Context(), &note{ID: newID(), Peer: testFamily, To: []string{"ani", "citra"}, Members: []string{"budi"}, Round: 9}))
	budi.sendsAll(t, sentEvent)
	ani.receives(t, refusedEvent)
	citra.receives(t, refusedEvent)

	for _, members := range [][]string{{"budi"}, {"budi", "citra"}, {"citra"}} {
		require.NoError(t, ani.gather(t.Context(), "family", members))
	}
	ani.sendsAll(t, sentEvent, sentEvent, sentEvent)
	box := r.relay.mail.boxes[citra1]
	box.mail[0], box.mail[2] = box.mail[2], box.mail[0]
	require.Equal(t, "ani, citra", citra.receives(t, groupEvent, againEvent, againEvent)[0].Text)
	budi.receives(t, groupEvent, groupEvent, groupEvent)
	require.ErrorContains(t, budi.write(t.Context(), testFamily, "hello"), "you are not in")

	require.ErrorIs(t, ani.gather(t.Context(), "a b", nil), errName)
	require.ErrorIs(t, ani.gather(t.Context(), "a", []string{"b c"}), errName)
	require.ErrorContains(t, ani.gather(t.Context(), "a", tooMany()), "at most")
	require.ErrorContains(t, ani.expel(t.Context(), "family", "budi"), "cannot be removed")
	require.ErrorContains(t, ani.expel(t.Context(), "family", "ani"), "cannot be removed")
	require.ErrorContains(t, ani.write(t.Context(), "budi/other", "hello"), "you are not in")
}

func tooMany() (out []string) {
	for i := range maxMembers {
		out = append(out, string(rune('A'+i%26))+string(rune('a'+i/26)))
	}
	return out
}

// A member who takes a second device reads on both, and one whose keys are lost
// asks for what cannot be read, and reads it.
func TestGroupHeals(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", keyEvent, sentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	laptop := budi.linked(t, r.url)
	laptop.arrives(t)
	require.NoError(t, ani.write(t.Context(), testFamily, "two"))
	ani.sendsAll(t, newsEvent, sentEvent)
	require.Equal(t, "two", laptop.receives(t, readEvent)[0].Text)
	require.Equal(t, "two", budi.receives(t, newsEvent, readEvent)[1].Text)
	citra.reads(t, "ani", "two")

	require.NoError(t, citra.device.Forget(t.Context(), ani1.User))
	ani.says(t, "three", keyEvent, sentEvent) // the key is for the laptop
	for range 2 {                             // for want of the key, and then of the session in which it comes again
		citra.receives(t, askedEvent)
		ani.receives(t)
		ani.sendsAll(t, resentEvent)
	}
	citra.reads(t, "ani", "three")
	ani.says(t, "four", keyEvent, sentEvent)
	citra.reads(t, "ani", "four")

	// What the relay says of a removed device makes another key.
	budi.receives(t, readEvent, readEvent)
	require.NoError(t, r.client.remove(t.Context(), laptop.me))
	require.NoError(t, ani.write(t.Context(), testFamily, "five"))
	ani.sendsAll(t, keyEvent, newsEvent, sentEvent)
	require.Equal(t, "five", budi.receives(t, newsEvent, readEvent)[1].Text)
	citra.reads(t, "ani", "five")
	require.Empty(t, r.relay.mail.boxes[laptop.me].mail)
}

// A member who comes back with another identity key holds up the group until that is
// accepted, or the member removed.
func TestGroupIdentityChange(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", keyEvent, sentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	budi = newTestPerson(t, budi1, r.url, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	ani.receives(t, changedEvent, hostingEvent, readEvent)
	require.ErrorContains(t, ani.write(t.Context(), testFamily, "two"), "not sent")

	ani = newTestPerson(t, ani1, r.url, ani.store) // has not shown it
	require.NoError(t, ani.write(t.Context(), testFamily, "two"))
	for range 2 {
		left, err := ani.sendSome(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	require.Equal(t, "budi", ani.next(t, changedEvent).Peer)
	ani.silent(t)
	require.NoError(t, ani.accept(t.Context(), "budi"))
	ani.sendsAll(t, keyEvent, sentEvent)
	citra.reads(t, "ani", "two")
	require.True(t, budi.receives(t, readEvent)[0].Outsider, "nobody has told this phone of the group")
}

// A process may stop between any two steps of sending to a group: the message
// comes once to each.
func TestStopWhileSendingToGroup(t *testing.T) {
	errStop := errors.New("stop")
	stride := 1
	if testing.Short() {
		stride = 4
	}
	for stop := 0; stop < 30; stop += stride {
		_, ani, budi, citra := threePeople(t)
		store := &stopping{Store: ani.store, after: stop, err: errStop}
		ani = newTestPerson(t, ani1, ani.relay.base, store)
		err := ani.write(t.Context(), testFamily, "one")
		if err != nil {
			require.ErrorIs(t, err, errStop)
			continue // nothing was written
		}
		left, err := ani.sendSome(t.Context())
		require.NoError(t, err)
		if left > 0 {
			ani = newTestPerson(t, ani1, ani.relay.base, store.Store)
			left, err = ani.sendSome(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, left)
		require.Equal(t, []string{"one"}, ani.texts(t, kindHistory))
		require.Empty(t, ani.texts(t, kindOutbox))
		budi.reads(t, "ani", "one")
		citra.reads(t, "ani", "one")
		if store.after > 0 {
			return
		}
	}
	require.Fail(t, "it never ends")
}
