package person

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const testFamily = "ani/family"

// sendsAll sends what is in the outbox, and what is shown of it is of those kinds.
func (p *testPerson) sendsAll(t *testing.T, kinds ...string) {
	t.Helper()
	left, err := p.Flush(t.Context())
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
	citra = newTestPerson(t, citra1, r, keystore.NewMemory())
	citra.arrives(t)
	require.NoError(t, ani.Gather(t.Context(), "family", []string{"citra", "budi"}))
	ani.sendsAll(t, SentEvent)
	for _, p := range []*testPerson{budi, citra} {
		p.isTold(t, "ani, budi, citra")
	}
	return r, ani, budi, citra
}

func (p *testPerson) isTold(t *testing.T, members string) {
	t.Helper()
	e := p.receives(t, GroupEvent)[0]
	require.Equal(t, Event{Kind: GroupEvent, Peer: "ani", Mail: e.Mail, Group: testFamily, Text: members}, e)
}

// says lets p write to the group, and those of its members that lack the key get it
// before.
func (p *testPerson) says(t *testing.T, text string, kinds ...string) {
	t.Helper()
	require.NoError(t, p.Write(t.Context(), testFamily, text))
	p.sendsAll(t, kinds...)
}

func (p *testPerson) reads(t *testing.T, from, text string) {
	t.Helper()
	e := p.receives(t, ReadEvent)[0]
	require.Equal(t, Event{Kind: ReadEvent, Peer: from, Mail: e.Mail, Group: testFamily, Text: text}, e)
}

// Whoever is removed from a group gets nothing, and cannot read what others get,
// with the very bytes in hand.
func TestRemovedMemberCannotRead(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", KeyEvent, SentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	citra.says(t, "two", KeyEvent, SentEvent)
	ani.reads(t, "citra", "two")
	budi.reads(t, "citra", "two")
	ani.says(t, "three", SentEvent)
	budi.reads(t, "ani", "three")
	citra.reads(t, "ani", "three")

	require.NoError(t, ani.Expel(t.Context(), "family", "citra"))
	ani.sendsAll(t, SentEvent)
	budi.isTold(t, "ani, budi")
	citra.isTold(t, "ani, budi")
	ani.says(t, "secret", KeyEvent, SentEvent)
	require.Empty(t, r.Mail(citra1))

	mail := r.Mail(budi1)
	require.Len(t, mail, 2, "the new key, and the message")
	var trust sealed.Trust
	pass, err := r.certificate(t.Context(), ani1)
	require.NoError(t, err)
	root, err := keys.ParseVerifyKey(pass.Root)
	require.NoError(t, err)
	trust.Roots = append(trust.Roots, root)
	opener := sealed.NewOpener(budi.own.IdentityKeyPair(), &trust, nil)
	for _, e := range mail {
		_, err := citra.unseal(t.Context(), &incoming{Envelope: e})
		require.ErrorIs(t, err, session.ErrAuth, "not hers to open")
		opened, err := opener.Open(e.Bytes, e.Taken) // as if she had Budi's identity key
		require.NoError(t, err)
		_, err = citra.groups.Decrypt(t.Context(), ani1, &session.Message{Type: opened.Type, Bytes: opened.Bytes}, nil)
		require.True(t, unreadable(err), err)
	}
	require.NotEqual(t, session.TypeSenderKey, mustOpen(t, opener, mail[0]).Type)
	require.Equal(t, session.TypeSenderKey, mustOpen(t, opener, mail[1]).Type)
	budi.reads(t, "ani", "secret")
	budi.says(t, "me too", KeyEvent, SentEvent)
	ani.reads(t, "budi", "me too")
	require.Empty(t, r.Mail(citra1))
	citra.silent(t)

	// Nor does she write there, unless her app is another one: that is shown.
	require.ErrorContains(t, citra.Write(t.Context(), testFamily, "four"), "you are not in the group")
	c, err := citra.notes.circle(t.Context(), testFamily)
	require.NoError(t, err)
	c.Members = []string{"ani", "budi", "citra"}
	change, err := citra.notes.set(testFamily, c)
	require.NoError(t, err)
	_, err = citra.notes.store.Commit(t.Context(), change)
	require.NoError(t, err)
	citra.says(t, "four", SentEvent)
	require.True(t, budi.receives(t, ReadEvent)[0].Outsider)
}

func mustOpen(t *testing.T, o *sealed.Opener, e post.Envelope) *sealed.Message {
	m, err := o.Open(e.Bytes, e.Taken)
	require.NoError(t, err)
	return m
}

// Who is in a group only its owner says, and the last word counts, in whatever
// order they come.
func TestWhoSaysWhoIsIn(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	require.NoError(t, budi.post(t.Context(), &note{ID: newID(), Peer: testFamily, To: []string{"ani", "citra"}, Members: []string{"budi"}, Round: 9}))
	budi.sendsAll(t, SentEvent)
	ani.receives(t, RefusedEvent)
	citra.receives(t, RefusedEvent)

	for _, members := range [][]string{{"budi"}, {"budi", "citra"}, {"citra"}} {
		require.NoError(t, ani.Gather(t.Context(), "family", members))
	}
	ani.sendsAll(t, SentEvent, SentEvent, SentEvent)
	box := r.empties(t, citra1)
	r.puts(t, citra1, box[2], box[1], box[0])
	require.Equal(t, "ani, citra", citra.receives(t, GroupEvent, AgainEvent, AgainEvent)[0].Text)
	budi.receives(t, GroupEvent, GroupEvent, GroupEvent)
	require.ErrorContains(t, budi.Write(t.Context(), testFamily, "hello"), "you are not in")

	require.ErrorIs(t, ani.Gather(t.Context(), "a b", nil), post.ErrName)
	require.ErrorIs(t, ani.Gather(t.Context(), "a", []string{"b c"}), post.ErrName)
	require.ErrorContains(t, ani.Gather(t.Context(), "a", tooMany()), "at most")
	require.ErrorContains(t, ani.Expel(t.Context(), "family", "budi"), "cannot be removed")
	require.ErrorContains(t, ani.Expel(t.Context(), "family", "ani"), "cannot be removed")
	require.ErrorContains(t, ani.Write(t.Context(), "budi/other", "hello"), "you are not in")
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
	ani.says(t, "one", KeyEvent, SentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	laptop := budi.linked(t, r)
	laptop.arrives(t)
	require.NoError(t, ani.Write(t.Context(), testFamily, "two"))
	ani.sendsAll(t, NewsEvent, SentEvent)
	require.Equal(t, "two", laptop.receives(t, ReadEvent)[0].Text)
	require.Equal(t, "two", budi.receives(t, NewsEvent, ReadEvent)[1].Text)
	citra.reads(t, "ani", "two")

	require.NoError(t, citra.device.Forget(t.Context(), ani1.User))
	ani.says(t, "three", KeyEvent, SentEvent) // the key is for the laptop
	for range 2 {                             // for want of the key, and then of the session in which it comes again
		citra.receives(t, AskedEvent)
		ani.receives(t)
		ani.sendsAll(t, ResentEvent)
	}
	citra.reads(t, "ani", "three")
	ani.says(t, "four", KeyEvent, SentEvent)
	citra.reads(t, "ani", "four")

	// What the relay says of a removed device makes another key.
	budi.receives(t, ReadEvent, ReadEvent)
	require.NoError(t, r.Client.remove(t.Context(), laptop.me))
	require.NoError(t, ani.Write(t.Context(), testFamily, "five"))
	ani.sendsAll(t, KeyEvent, NewsEvent, SentEvent)
	require.Equal(t, "five", budi.receives(t, NewsEvent, ReadEvent)[1].Text)
	citra.reads(t, "ani", "five")
	require.Empty(t, r.Mail(laptop.me))
}

// A member who comes back with another identity key holds up the group until that is
// accepted, or the member removed.
func TestGroupIdentityChange(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", KeyEvent, SentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	budi = newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	ani.receives(t, ChangedEvent, HostingEvent, ReadEvent)
	require.ErrorContains(t, ani.Write(t.Context(), testFamily, "two"), "not sent")

	ani = newTestPerson(t, ani1, r, ani.store) // has not shown it
	require.NoError(t, ani.Write(t.Context(), testFamily, "two"))
	for range 2 {
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, left)
	}
	require.Equal(t, "budi", ani.next(t, ChangedEvent).Peer)
	ani.silent(t)
	require.NoError(t, ani.Accept(t.Context(), "budi"))
	ani.sendsAll(t, KeyEvent, SentEvent)
	citra.reads(t, "ani", "two")
	require.True(t, budi.receives(t, ReadEvent)[0].Outsider, "nobody has told this phone of the group")
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
		ani = newTestPerson(t, ani1, ani.to, store)
		err := ani.Write(t.Context(), testFamily, "one")
		if err != nil {
			require.ErrorIs(t, err, errStop)
			continue // nothing was written
		}
		left, err := ani.Flush(t.Context())
		require.NoError(t, err)
		if left > 0 {
			ani = newTestPerson(t, ani1, ani.to, store.Store)
			left, err = ani.Flush(t.Context())
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
