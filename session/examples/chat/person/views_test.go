package person

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// reloaded is p after its process ended and another one opened its store.
func (p *testPerson) reloaded(t *testing.T) *testPerson {
	t.Helper()
	q := newTestPerson(t, p.me, p.to, p.store)
	q.role = p.role
	require.NoError(t, q.recall(t.Context()))
	return q
}

// with returns what a screen shows of a conversation, which is the same after a
// reload.
func (p *testPerson) with(t *testing.T, name string) Conversation {
	t.Helper()
	c, err := p.Conversation(t.Context(), name)
	require.NoError(t, err)
	again, err := p.reloaded(t).Conversation(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, c, again)
	return c
}

// lines are the texts of a history, and kinds of what is announced, which are the same
// after a reload.
func (p *testPerson) history(t *testing.T, name string) (texts []string) {
	t.Helper()
	all, err := p.History(t.Context(), name)
	require.NoError(t, err)
	again, err := p.reloaded(t).History(t.Context(), name)
	require.NoError(t, err)
	require.Equal(t, all, again)
	ids := map[string]bool{}
	for _, l := range all {
		require.False(t, ids[l.ID], "%s is there twice", l.Text)
		ids[l.ID] = true
		if l.Notice == NewsEvent { // of which TestDeviceNews is
			continue
		}
		if l.Kind == "notice" {
			texts = append(texts, "<"+l.Notice+">")
			continue
		}
		texts = append(texts, l.Text)
	}
	return texts
}

// What a screen shows of a chat, at every step and after a reload.
func TestConversation(t *testing.T) {
	_, ani, budi := twoPeople(t)
	require.ErrorIs(t, ani.Start(t.Context(), "budi"), post.ErrUnknown)
	require.ErrorIs(t, ani.Start(t.Context(), "ani"), post.ErrName)
	budi.arrives(t)
	require.NoError(t, ani.Start(t.Context(), "budi"))
	require.NoError(t, ani.Start(t.Context(), "budi"), "again")
	all, err := ani.Conversations(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	c := ani.with(t, "budi")
	require.Equal(t, c, all[0])
	require.Equal(t, "person", c.Kind)
	require.Equal(t, "CURRENT", c.Label.State)
	require.Equal(t, []string{"The key at the other end is held by that person, on their own device."}, c.Label.Lines)
	require.Nil(t, c.Last)
	require.Nil(t, c.Asks)
	require.Empty(t, c.Alarm)

	require.NoError(t, ani.Write(t.Context(), "budi", "one"))
	c = ani.with(t, "budi")
	require.Equal(t, 1, c.Waiting)
	require.Equal(t, "waiting", c.Last.State)
	ani.sendsAll(t, SentEvent)
	c = ani.with(t, "budi")
	require.Zero(t, c.Waiting)
	require.Equal(t, "sent", c.Last.State)
	require.True(t, c.Last.Mine)
	require.Equal(t, "ani", c.Last.From)
	require.NoError(t, budi.receiveSome(t.Context()))
	c = budi.with(t, "ani")
	require.Equal(t, "one", c.Last.Text)
	require.Equal(t, "ani", c.Last.From)
	require.Equal(t, "read", c.Last.State)
	require.False(t, c.Last.Mine)

	require.NoError(t, budi.Last(t.Context(), "ani", time.Minute))
	budi.drained()
	budi.sends(t, "ani", "two")
	require.NoError(t, ani.receiveSome(t.Context()))
	require.Equal(t, []string{"one", "<timer>", "two"}, ani.history(t, "budi"))
	require.Equal(t, []string{"one", "<timer>", "two"}, budi.history(t, "ani"))
	c = ani.with(t, "budi")
	require.EqualValues(t, 60, c.Timer)
	require.InDelta(t, time.Now().Add(time.Minute).UnixMilli(), c.Last.Gone, 50_000)
	ani.agesBy(t, 2*time.Minute)
	require.Equal(t, []string{"one", "<timer>"}, ani.history(t, "budi"), "before it is swept")

	_, err = ani.Conversation(t.Context(), "a b")
	require.ErrorIs(t, err, post.ErrName)
	require.Equal(t, "unknown", ani.with(t, "citra").Kind)
}

// An identity change is announced and held until it is accepted, whatever it was
// seen by.
func TestIdentityChangeStays(t *testing.T) {
	for _, seen := range []string{"a message", "a bundle"} {
		t.Run(seen, func(t *testing.T) {
			r, ani, _ := twoFriends(t)
			require.False(t, ani.with(t, "budi").Changed)
			budi := newTestPerson(t, budi1, r, keystore.NewMemory())
			budi.arrives(t)
			if seen == "a message" {
				budi.sends(t, "ani", "a new phone")
				require.NoError(t, ani.receiveSome(t.Context()))
				require.Equal(t, []string{"<changed>", "<hosting>", "a new phone"}, ani.history(t, "budi")[2:])
				all, err := ani.History(t.Context(), "budi")
				require.NoError(t, err)
				require.True(t, all[len(all)-1].Unaccepted)
			} else {
				require.NoError(t, ani.Write(t.Context(), "budi", "three"))
				left, err := ani.Flush(t.Context())
				require.NoError(t, err)
				require.Equal(t, 1, left)
				require.Contains(t, ani.history(t, "budi"), "<changed>")
			}
			c := ani.with(t, "budi")
			require.True(t, c.Changed)
			require.Equal(t, Digits(budi.device.Identity()), c.Key)
			require.Nil(t, c.Asks, "one thing after the other")
			ani = ani.reloaded(t)
			require.ErrorContains(t, ani.Write(t.Context(), "budi", "no"), "not sent")
			require.NoError(t, ani.Accept(t.Context(), "budi"))
			c = ani.with(t, "budi")
			require.False(t, c.Changed)
			require.Empty(t, c.Key)
			require.Nil(t, c.Asks)
			require.Empty(t, c.Alarm)
			ani.drained()
			require.NoError(t, ani.Write(t.Context(), "budi", "four"))
			left, err := ani.Flush(t.Context())
			require.NoError(t, err)
			require.Zero(t, left)
			require.Equal(t, "CURRENT", ani.with(t, "budi").Label.State)
		})
	}
}

// What is asked, and what was answered, is there after a reload, before and after
// anything was written.
func TestQuestionStays(t *testing.T) {
	_, ani, awan, _ := customers(t)
	c := ani.with(t, "toko")
	require.Equal(t, "business", c.Kind)
	require.Nil(t, c.Asks)
	require.Equal(t, "CURRENT", c.Label.State)

	require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
	require.NoError(t, ani.receiveSome(t.Context()))
	require.Equal(t, []string{"one", "<hosting>", "we have moved"}, ani.history(t, "toko"))
	ani = ani.reloaded(t)
	c = ani.with(t, "toko")
	require.Equal(t, "PENDING", c.Label.State)
	require.Equal(t, []Party{{"PT Awan Teduh", "awanteduh.example", false}}, c.Label.Parties)
	require.Contains(t, c.Asks.Text, "toko")
	require.Contains(t, c.Asks.Lines, "The key at the other end is held by PT Awan Teduh (awanteduh.example), a third party, which can read this chat.")
	require.False(t, c.Declined)
	require.ErrorContains(t, ani.Write(t.Context(), "toko", "two"), "waits for your answer")

	require.NoError(t, ani.Consent(t.Context(), "toko", false))
	c = ani.with(t, "toko")
	require.True(t, c.Declined)
	require.Nil(t, c.Asks)
	require.Equal(t, "DECLINED", c.Label.State)
	ani = ani.reloaded(t)
	require.True(t, ani.with(t, "toko").Declined)
	require.ErrorContains(t, ani.Write(t.Context(), "toko", "two"), "you did not agree")
	require.NoError(t, ani.Consent(t.Context(), "toko", true), "having thought again")
	c = ani.with(t, "toko")
	require.False(t, c.Declined)
	require.Nil(t, c.Asks)
	require.Equal(t, "CURRENT", c.Label.State)
	ani.drained()
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, []string{"one", "<hosting>", "we have moved", "<agreed>", "<agreed>", "two"}, ani.history(t, "toko"))
	require.Equal(t, "two", awan.until(t, ReadEvent).Text)
}

// What was written before anybody asked waits, and asks after a reload as before.
func TestQuestionOfWhatWaits(t *testing.T) {
	_, ani, awan, _ := customers(t)
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	ani.awaits(t, AsksEvent)
	c := ani.with(t, "toko")
	require.Equal(t, 1, c.Waiting)
	require.NotNil(t, c.Asks)
	require.Equal(t, []string{"one", "two", "<hosting>"}, ani.history(t, "toko"))
	ani = ani.reloaded(t)
	require.NotNil(t, ani.with(t, "toko").Asks)
	require.NoError(t, ani.consentAfterLook(t, "toko"))
	left, err := ani.Flush(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, "two", awan.until(t, ReadEvent).Text)
}

// consentAfterLook says yes to what is shown.
func (p *testPerson) consentAfterLook(t *testing.T, name string) error {
	_, err := p.Conversation(t.Context(), name)
	require.NoError(t, err)
	return p.Consent(t.Context(), name, true)
}

// Where nothing is known of somebody's keys, one is asked once the relay was.
func TestQuestionWithoutLabel(t *testing.T) {
	r, ani, _ := twoPeople(t)
	_, _ = aBusiness(t, r)
	r.shows(leftOut)
	require.Nil(t, ani.with(t, "toko").Asks, "nobody was asked yet")
	require.NoError(t, ani.Start(t.Context(), "toko"))
	c := ani.with(t, "toko")
	require.Equal(t, "unknown", c.Kind)
	require.Equal(t, "UNATTESTED", c.Label.State)
	require.Equal(t, []string{"It is not known who holds the key at the other end."}, c.Asks.Lines)
	require.NoError(t, ani.Consent(t.Context(), "toko", true))
	require.Nil(t, ani.with(t, "toko").Asks)
}

// The alarm about what the relay shows stays until it shows what is right.
func TestAlarmStays(t *testing.T) {
	r, ani, _, stale := customers(t)
	ani.drained()
	r.shows(leftOut)
	require.NoError(t, ani.Write(t.Context(), "toko", "two"))
	ani.awaits(t, HeldEvent)
	require.Contains(t, ani.with(t, "toko").Alarm, "leaves out who holds the key of toko")
	require.Equal(t, []string{"one", "two", "<hosting>"}, ani.history(t, "toko"))
	ani = ani.reloaded(t)
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Contains(t, ani.with(t, "toko").Alarm, "leaves out who holds the key of toko")
	require.Equal(t, []string{"one", "two", "<hosting>"}, ani.history(t, "toko"), "it is announced once")

	r.shows(func([]byte) []byte { return stale })
	ani.awaits(t, HeldEvent)
	require.NotEmpty(t, ani.with(t, "toko").Alarm)

	r.shows(func(newest []byte) []byte { return newest })
	require.NoError(t, ani.Label(t.Context(), "toko"))
	require.Empty(t, ani.with(t, "toko").Alarm)
	require.NotNil(t, ani.with(t, "toko").Asks)
}

// A forged label is an alarm, and asks.
func TestAlarmOfStranger(t *testing.T) {
	r, ani, _, _ := customers(t)
	forged := manifestOf(t, toko2, 9, keys.GenerateIdentityKeyPair()).Bytes()
	r.shows(func([]byte) []byte { return forged })
	require.NoError(t, ani.Label(t.Context(), "toko"))
	c := ani.with(t, "toko")
	require.Equal(t, "CONFLICT", c.Label.State)
	require.Contains(t, c.Asks.Lines[0], "another key than before signs for toko")
	require.NoError(t, ani.Consent(t.Context(), "toko", false))
	c = ani.with(t, "toko")
	require.True(t, c.Declined, "by the ledger")
	require.Nil(t, c.Asks)
}

// Device news, groups and who left them, and safety numbers are announced.
func TestAnnouncements(t *testing.T) {
	r, ani, budi, citra := threePeople(t)
	ani.says(t, "one", KeyEvent, SentEvent)
	budi.reads(t, "ani", "one")
	citra.reads(t, "ani", "one")
	require.NoError(t, ani.Expel(t.Context(), "family", "citra"))
	ani.sendsAll(t, SentEvent)
	budi.isTold(t, "ani, budi")
	citra.isTold(t, "ani, budi")
	for _, p := range []*testPerson{ani, budi, citra} {
		require.Equal(t, []string{"<group>", "one", "<group>"}, p.history(t, testFamily))
	}
	c := ani.with(t, testFamily)
	require.Equal(t, "group", c.Kind)
	require.True(t, c.Mine)
	require.Equal(t, []string{"ani", "budi"}, c.Members)
	require.Equal(t, "now in this group: ani, budi", c.Last.Text)
	require.Equal(t, "you are not in this group any more", citra.with(t, testFamily).Last.Text)

	all, err := budi.Conversations(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1, "of those in a group there is none")
	_ = r
}

// That somebody has other devices is announced.
func TestDeviceNews(t *testing.T) {
	_, ani, _, _ := customers(t)
	require.NoError(t, ani.Label(t.Context(), "toko"))
	all, err := ani.History(t.Context(), "toko")
	require.NoError(t, err)
	var news []string
	for _, l := range all {
		if l.Notice == NewsEvent {
			news = append(news, l.Text)
		}
	}
	require.ElementsMatch(t, []string{"toko has a new device, number 2", "toko has no device 1 any more"}, news)
}

// A business that moves is announced in its groups, too, which wait as a whole.
func TestAnnouncedInGroup(t *testing.T) {
	_, ani, awan, _ := customers(t)
	require.NoError(t, ani.Gather(t.Context(), "market", []string{"budi", "toko"}))
	require.NoError(t, awan.Write(t.Context(), "ani", "we have moved"))
	require.NoError(t, ani.receiveSome(t.Context()))
	require.Equal(t, []string{"<group>", "<hosting>"}, ani.history(t, "ani/market"))
	c := ani.with(t, "ani/market")
	require.Equal(t, "PENDING", c.Label.State)
	require.Contains(t, c.Asks.Lines[0], "toko: ")
	require.NoError(t, ani.Consent(t.Context(), "ani/market", false))
	require.True(t, ani.with(t, "ani/market").Declined)
	require.Equal(t, []string{"<group>", "<hosting>", "<agreed>"}, ani.history(t, "ani/market"))
}

// A key that nobody writes under, as of a bundle that was made up, holds nothing back
// once the relay was asked anew; one that a message came under does until it is
// accepted.
func TestIdentityChangeReconsidered(t *testing.T) {
	r, ani, _ := twoFriends(t)
	require.NoError(t, ani.noteChange(t.Context(), budi1, keys.GenerateIdentityKeyPair().Public(), time.Now()))
	require.True(t, ani.with(t, "budi").Changed)
	require.NoError(t, ani.Label(t.Context(), "budi"))
	require.False(t, ani.with(t, "budi").Changed)
	ani.drained()
	ani.sends(t, "budi", "three")

	budi := newTestPerson(t, budi1, r, keystore.NewMemory())
	budi.arrives(t)
	budi.sends(t, "ani", "a new phone")
	require.NoError(t, ani.receiveSome(t.Context()))
	require.NoError(t, ani.Label(t.Context(), "budi"))
	require.True(t, ani.with(t, "budi").Changed)
	require.NoError(t, ani.Forget(t.Context(), "budi"))
	c := ani.with(t, "budi")
	require.False(t, c.Changed, "nothing is known to have changed")
	require.Nil(t, c.Asks)
	require.Contains(t, ani.history(t, "budi"), "<changed>")
}

// What is known of one, and cannot be read, is shown there, and the others are as ever.
func TestDamagedLabel(t *testing.T) {
	_, ani, _, _ := customers(t)
	for rec, err := range ani.store.List(t.Context(), ani1.String(), "hosting", toko1.User) {
		require.NoError(t, err)
		_, err = ani.store.Commit(t.Context(), keystore.Change{Op: keystore.Put, Key: rec.Key, Expect: rec.Version, Value: []byte{1, 0xff}})
		require.NoError(t, err)
	}
	require.Contains(t, ani.with(t, "toko").Alarm, "is damaged")
	all, err := ani.Conversations(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Empty(t, ani.with(t, "budi").Alarm)
}

// Announcements are bounded, each kind for itself.
func TestAnnouncementsBounded(t *testing.T) {
	_, ani, _ := twoPeople(t)
	require.NoError(t, ani.Last(t.Context(), "budi", time.Minute))
	for i := range maxNotices + 3 {
		a := announced("budi", AskedEvent, saying(askedText, nil, "budi")).of(fmt.Sprint(i), time.UnixMilli(int64(i)))
		require.NoError(t, ani.notes.announce(t.Context(), a))
		require.NoError(t, ani.notes.announce(t.Context(), a), "again")
	}
	all, err := ani.notes.announcements(t.Context(), "budi")
	require.NoError(t, err)
	require.Len(t, all, maxNotices+1)
	require.Equal(t, "3", all[0].ID)
}

// The newest lines are what is returned.
func TestHistoryBounded(t *testing.T) {
	_, ani, _ := twoPeople(t)
	for i := range maxLines + 5 {
		x := &note{ID: newID(), At: time.UnixMilli(int64(i)), Peer: "budi", Text: fmt.Sprint(i)}
		require.NoError(t, ani.notes.save(t.Context(), kindHistory, x))
	}
	all, err := ani.History(t.Context(), "budi")
	require.NoError(t, err)
	require.Len(t, all, maxLines)
	require.Equal(t, "5", all[0].Text)
}

// A process may stop between any two steps of receiving: what is to be known of a
// message is announced once, and before it.
func TestStopWhileAnnouncing(t *testing.T) {
	for stop := range 20 {
		r, ani, _ := twoFriends(t)
		budi := newTestPerson(t, budi1, r, keystore.NewMemory())
		budi.arrives(t)
		require.NoError(t, budi.Last(t.Context(), "ani", time.Minute))
		budi.drained()
		budi.sends(t, "ani", "a new phone")

		ani = newTestPerson(t, ani1, r, &stopping{Store: ani.store, after: stop, err: keystore.ErrFull})
		ani.due = time.Now().Add(time.Hour)
		err := ani.receiveSome(t.Context())
		ani.store = ani.store.(*stopping).Store
		if err != nil {
			require.ErrorIs(t, err, keystore.ErrFull)
			ani = ani.reloaded(t)
			require.NoError(t, ani.catchUp(t.Context()))
			require.NoError(t, ani.receiveSome(t.Context()))
		}
		require.Equal(t, []string{"one", "two", "<changed>", "<hosting>", "<timer>", "a new phone"}, ani.history(t, "budi"), stop)
		require.True(t, ani.with(t, "budi").Changed)
		if err == nil {
			return
		}
	}
	require.Fail(t, "it never ends")
}

// While messages pass, a screen that reads at any moment sees each that was written in
// one line, from then on.
func TestHistoryWhileSending(t *testing.T) {
	_, ani, budi := twoPeople(t)
	ani.live(t)
	budi.live(t)
	ani.next(t, ReadyEvent)
	budi.next(t, ReadyEvent)
	const most = 10
	for i := range most {
		require.NoError(t, ani.Write(t.Context(), "budi", fmt.Sprint(i)))
		for {
			all, err := ani.History(t.Context(), "budi")
			require.NoError(t, err)
			require.Len(t, all, i+1)
			ani.SetLang([]string{"en", "id"}[i%2])
			_, err = ani.Conversations(t.Context())
			require.NoError(t, err)
			if all[i].State == "sent" {
				break
			}
		}
	}
	for i := range most {
		require.Equal(t, fmt.Sprint(i), budi.until(t, ReadEvent).Text)
	}
	all, err := budi.History(t.Context(), "ani")
	require.NoError(t, err)
	require.Len(t, all, most)
}

// That a message could not be read is announced, once, where its sender is known.
func TestAskedAnnounced(t *testing.T) {
	r, ani, budi := twoFriends(t)
	ani.open = true
	ani.sends(t, "budi", "three")
	broken := r.Mail(budi1)[0]
	require.NoError(t, r.confirm(t.Context(), budi1, broken.ID), "the relay loses it")
	broken.Bytes = bytes.Clone(broken.Bytes)
	broken.Bytes[len(broken.Bytes)-1] ^= 1
	for range 2 {
		r.puts(t, budi1, broken)
		require.NoError(t, budi.receiveSome(t.Context()))
	}
	budi.until(t, AskedEvent)
	texts := budi.history(t, "ani")
	require.Equal(t, []string{"one", "two", "<asked>"}, texts)

	citra := newTestPerson(t, citra1, r, keystore.NewMemory())
	citra.arrives(t)
	broken.From, broken.ID = citra1, "strange"
	r.puts(t, budi1, broken)
	require.NoError(t, budi.receiveSome(t.Context()))
	require.Empty(t, budi.history(t, "citra"), "anybody can send that")
}
