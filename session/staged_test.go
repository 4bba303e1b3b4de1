package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// waiting are the messages that s has not acknowledged.
func (s *side) waiting(t testing.TB) (out []*session.Received) {
	t.Helper()
	for r, err := range s.Unacknowledged(ctx) {
		require.NoError(t, err)
		out = append(out, r)
	}
	return out
}

func (s *side) acknowledges(t testing.TB, r ...*session.Received) {
	t.Helper()
	require.NoError(t, s.Acknowledge(ctx, r...))
}

// sameResult requires that a is b redelivered.
func sameResult(t testing.TB, a, b *session.Received) {
	t.Helper()
	require.True(t, a.Redelivered)
	copied := *b
	copied.Redelivered = true
	require.Equal(t, copied, *a)
}

func TestStagedUntilAcknowledged(t *testing.T) {
	for _, text := range []string{"", "short", large} {
		p := friends(t)
		p.bob.acknowledges(t, p.bob.waiting(t)...)
		m := p.alice.send(t, p.bob, text)
		r := p.bob.reads(t, p.alice, m, text)
		require.False(t, r.Redelivered)
		require.Equal(t, p.now, r.ReceivedAt)
		require.NotZero(t, r.ID)

		p.bob = p.bob.reopen(t)
		before := p.digest(t)
		sameResult(t, p.bob.reads(t, p.alice, m, text), r)
		got := p.bob.waiting(t)
		require.Len(t, got, 1)
		sameResult(t, got[0], r)
		require.Equal(t, before, p.digest(t), "redelivery changes nothing")

		p.bob.acknowledges(t, got...)
		require.Empty(t, p.bob.waiting(t))
		require.Empty(t, p.bob.list(t, "staged", ""))
		require.Empty(t, p.bob.list(t, "body", ""))
		after := p.digest(t)
		p.bob.acknowledges(t, r, r)
		require.Equal(t, after, p.digest(t), "acknowledging is idempotent")
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
		p.goesOn(t)
	}
}

// The envelope of a first message can be changed on the way, its inner message
// cannot: the ID is the inner one's.
func TestStagedUnderTheInnerMessage(t *testing.T) {
	p := met(t)
	m := p.alice.send(t, p.bob, "first")
	r := p.bob.reads(t, p.alice, m, "first")
	other := edit(t, m, func(o *wire.PreKeySignalMessage) { o.RegistrationID = 99 })
	sameResult(t, p.bob.reads(t, p.alice, other, "first"), r)
	bare := &session.Message{Type: session.TypeSignal, Bytes: outerOf(t, m).MessageBytes}
	sameResult(t, p.bob.reads(t, p.alice, bare, "first"), r)

	// From another address it is another message.
	_, err := p.bob.Decrypt(ctx, session.Address{User: aliceAddress.User, Device: 7}, bare, nil)
	refused(t, err, session.ErrNoSession)
}

// A demand on the sender's identity holds for redelivery, too.
func TestStagedIdentity(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "text")
	own, other := p.alice.Identity(), keys.GenerateIdentityKeyPair().Public()
	for range 2 {
		_, err := p.bob.Decrypt(ctx, aliceAddress, m, &session.DecryptOptions{Identity: &other})
		refusedAs[*session.IdentityMismatchError](t, err)
		_, err = p.bob.Decrypt(ctx, aliceAddress, m, &session.DecryptOptions{Identity: &own})
		require.NoError(t, err)
	}
}

func TestStagedExpiry(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	m := p.alice.send(t, p.bob, large)
	expires := p.now.Add(time.Minute)
	r, err := p.bob.Decrypt(ctx, aliceAddress, m, &session.DecryptOptions{Expires: expires})
	require.NoError(t, err)
	require.Equal(t, expires, r.Expires)
	p.now = expires.Add(-time.Millisecond)
	sameResult(t, p.bob.reads(t, p.alice, m, large), r)
	require.Len(t, p.bob.waiting(t), 1)
	p.now = expires
	before := p.digest(t)
	refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
	require.Empty(t, p.bob.waiting(t))
	require.Equal(t, before, p.digest(t))
	p.bob.acknowledges(t, r)
	require.Empty(t, p.bob.list(t, "body", ""))
	p.goesOn(t)
}

// A late copy of a message whose session is gone is a duplicate and no reason
// to ask for it again, as long as its mark lasts.
func TestMarks(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "text")
	r := p.bob.reads(t, p.alice, m, "text")
	p.bob.forgetSessions(t)
	sameResult(t, p.bob.reads(t, p.alice, m, "text"), r)
	p.bob.acknowledges(t, r)
	start := p.now
	day := start.UTC().Truncate(24 * time.Hour)
	for _, at := range []time.Time{start, start.Add(7 * 24 * time.Hour), day.Add(8*24*time.Hour - time.Millisecond), time.Unix(-1000, 0)} {
		p.now = at
		want := session.ErrDuplicate
		if at.Before(start) {
			want = session.ErrNoSession
		}
		refused(t, p.bob.decrypt(p.alice, m), want)
	}
	p.now = day.Add(8 * 24 * time.Hour)
	refused(t, p.bob.decrypt(p.alice, m), session.ErrNoSession)
}

// forgetSessions removes a device's sessions with everybody.
func (s *side) forgetSessions(t testing.TB) {
	t.Helper()
	for _, kind := range []string{"session", "archive"} {
		for _, r := range s.list(t, kind, "") {
			_, err := s.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: r.Key, Expect: r.Version})
			require.NoError(t, err)
		}
	}
}

// Events come with the message that caused them, and again with it.
func TestStagedEvents(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	other := newSide(t, aliceAddress, nil, p.alice.opts)
	other.begin(t, p.bob)
	m := other.send(t, p.bob, "text")
	r := p.bob.reads(t, other, m, "text")
	require.False(t, r.Accepted)
	require.Equal(t, []session.Event{{Kind: session.IdentityChanged, Address: aliceAddress, At: p.now,
		Accepted: p.alice.Identity(), Seen: other.Identity()}}, r.Events)
	require.NoError(t, p.bob.AcceptIdentity(ctx, aliceAddress, other.Identity()))
	sameResult(t, p.bob.reads(t, other, m, "text"), r)
	sameResult(t, p.bob.waiting(t)[0], r)
	for range p.bob.Events(ctx) {
		t.Fatal("events of messages are the messages'")
	}
}

// Two openings of one store, in turn: what one staged the other may
// acknowledge, while the first still reads it.
func TestAcknowledgedMeanwhile(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	m := p.alice.send(t, p.bob, large)
	r := p.bob.reads(t, p.alice, m, large)
	bob, watch := p.bob.spied(t)
	watch.fail = func(call string, n int) error {
		if call == "load" && n == 2 { // the body
			p.bob.acknowledges(t, r)
		}
		return nil
	}
	refused(t, bob.decrypt(p.alice, m), session.ErrDuplicate)
	m = p.alice.send(t, p.bob, large)
	r = p.bob.reads(t, p.alice, m, large)
	watch.reset()
	for range bob.Unacknowledged(ctx) {
		t.Fatal("acknowledged meanwhile")
	}
	require.Equal(t, 2, watch.calls)
}

// Damage of what is staged is reported, blocks nothing else, and loses nothing
// that is not damaged.
func TestStagedDamage(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	m := p.alice.send(t, p.bob, "text")
	p.bob.reads(t, p.alice, m, "text")
	rec := p.bob.list(t, "staged", aliceAddress.User)[0]
	second := p.alice.send(t, p.bob, "second")
	p.bob.reads(t, p.alice, second, "second")
	for _, c := range []struct {
		value []byte
		want  error
	}{
		{[]byte{}, session.ErrCorrupt},
		{[]byte{1, 0xFF}, session.ErrCorrupt},
		{[]byte{2, 0}, keystore.ErrNewerFormat},
	} {
		p.bob.write(t, rec.Key, c.value)
		refused(t, p.bob.decrypt(p.alice, m), c.want)
		var texts []string
		var failed []error
		for r, err := range p.bob.Unacknowledged(ctx) {
			if err != nil {
				require.Nil(t, r)
				failed = append(failed, err)
				continue
			}
			texts = append(texts, string(r.Plaintext))
		}
		require.Equal(t, []string{"second"}, texts)
		require.Len(t, failed, 1)
		refused(t, failed[0], c.want)
	}
	p.bob.write(t, rec.Key, rec.Value)
	p.bob.reads(t, p.alice, m, "text")
	p.goesOn(t)
}

// ErrCommitUnknown where another process has moved on decides nothing: the
// caller hears of it, and no ciphertext leaves twice for one counter.
func TestCommitUnknownAndMovedOn(t *testing.T) {
	p := friends(t)
	bob, watch := p.bob.spied(t)
	moved := false
	meanwhile := func(call string, n int) error {
		if call != "committed" || moved {
			return nil
		}
		moved = true
		p.goesOn(t)
		return keystore.ErrCommitUnknown
	}
	watch.fail = meanwhile
	m, err := bob.Encrypt(ctx, aliceAddress, []byte("anew"))
	require.NoError(t, err)
	p.alice.reads(t, p.bob, m, "anew")

	moved = false
	watch.fail = meanwhile
	m = p.alice.send(t, p.bob, "text")
	_, err = bob.Decrypt(ctx, aliceAddress, m, nil)
	require.ErrorIs(t, err, keystore.ErrCommitUnknown)
	require.True(t, p.bob.reads(t, p.alice, m, "text").Redelivered)
}

func TestAcknowledgeNothing(t *testing.T) {
	p := friends(t)
	before := testutil.StoreDigest(t, p.bob.store)
	require.NoError(t, p.bob.Acknowledge(ctx))
	require.NoError(t, p.bob.Acknowledge(ctx, &session.Received{From: aliceAddress}))
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, session.Event{}))
	require.Equal(t, before, testutil.StoreDigest(t, p.bob.store))
}

func TestEvents(t *testing.T) {
	p := friends(t)
	first := emit(t, p.bob, aliceAddress)
	require.Equal(t, session.SessionRenewed, first.Kind)
	require.Equal(t, aliceAddress, first.Address)
	require.NoError(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Emit(session.Event{Kind: session.PreKeysLow})
	}))
	events := func() (out []session.Event) {
		for e, err := range p.bob.Events(ctx) {
			require.NoError(t, err)
			out = append(out, e)
		}
		return out
	}
	require.Len(t, events(), 2)
	p.now = p.now.Add(7 * 24 * time.Hour)
	require.Len(t, events(), 2)
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, first))
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, first))
	left := events()
	require.Len(t, left, 1)
	require.Equal(t, session.PreKeysLow, left[0].Kind)
	p.now = p.now.Add(time.Millisecond)
	require.Empty(t, events())

	p.now = p.now.Add(-time.Millisecond)
	p.bob.write(t, p.bob.list(t, "event", "-")[0].Key, []byte{1, 0xFF})
	for _, err := range p.bob.Events(ctx) {
		refused(t, err, session.ErrCorrupt)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range p.bob.Events(ended) {
		require.True(t, errors.Is(err, context.Canceled))
	}
}

// What an operation staged itself it finds again, at once.
func TestStagedTwiceInOneOperation(t *testing.T) {
	for _, text := range []string{"", "short", large} {
		p := friends(t)
		m := p.alice.send(t, p.bob, text)
		require.NoError(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error {
			r, err := tx.Decrypt(aliceAddress, m, nil)
			require.NoError(t, err)
			again, err := tx.Decrypt(aliceAddress, m, nil)
			require.NoError(t, err)
			sameResult(t, again, r)
			again, err = tx.Staged(aliceAddress, m.Bytes)
			require.NoError(t, err)
			sameResult(t, again, r)
			return nil
		}))
		sameResult(t, p.bob.reads(t, p.alice, m, text), p.bob.reads(t, p.alice, m, text))
	}
}

// A store that was copied record by record gives a body another version than
// the staged message has.
func TestAcknowledgeInACopiedStore(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	m := p.alice.send(t, p.bob, large)
	p.bob.reads(t, p.alice, m, large)
	body := p.bob.list(t, "body", "")[0]
	p.bob.write(t, body.Key, body.Value)
	r := p.bob.reads(t, p.alice, m, large)
	p.bob.acknowledges(t, r)
	require.Empty(t, p.bob.list(t, "body", ""))
	refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
}

// A body that is gone is damage, told as such, and does not hide the others.
func TestBodyMissing(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	m := p.alice.send(t, p.bob, large)
	p.bob.reads(t, p.alice, m, large)
	p.goesOn(t)
	body := p.bob.list(t, "body", "")[0]
	_, err := p.bob.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: body.Key, Expect: body.Version})
	require.NoError(t, err)
	before := p.digest(t)
	refused(t, p.bob.decrypt(p.alice, m), session.ErrCorrupt)
	read, failed := 0, 0
	for r, err := range p.bob.Unacknowledged(ctx) {
		if err != nil {
			refused(t, err, session.ErrCorrupt)
			require.Nil(t, r)
			failed++
			continue
		}
		read++
	}
	require.Equal(t, [2]int{1, 1}, [2]int{read, failed})
	require.Equal(t, before, p.digest(t))
	require.Len(t, p.bob.list(t, "staged", ""), 2)
}

// Nobody acknowledges a message of another device's.
func TestAcknowledgeOfOthers(t *testing.T) {
	p := friends(t)
	r := p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "text"), "text")
	before := p.digest(t)
	p.alice.acknowledges(t, r)
	other := *r
	other.From.Device++ // the ID is what counts
	other.From.User += "x"
	p.bob.acknowledges(t, &other, &session.Received{})
	refused(t, p.bob.Acknowledge(ctx, r, nil), session.ErrMalformed)
	require.Equal(t, before, p.digest(t))
}

// The clock may go anywhere between reading, acknowledging and a late copy.
func TestMarksWhenTheClockJumps(t *testing.T) {
	const day = 24 * time.Hour
	for _, jump := range []time.Duration{-40 * 365 * day, -day, -time.Millisecond, 0, time.Millisecond, day, 200 * 365 * day} {
		p := friends(t)
		p.now = p.now.UTC().Truncate(day)
		start := p.now
		m := p.alice.send(t, p.bob, "text")
		r := p.bob.reads(t, p.alice, m, "text")
		p.now = start.Add(jump)
		sameResult(t, p.bob.reads(t, p.alice, m, "text"), r)
		p.bob.acknowledges(t, r)
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
		p.bob.forgetSessions(t)
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
		p.now = start
		require.True(t, isAny(p.bob.decrypt(p.alice, m), session.ErrDuplicate, session.ErrNoSession))
	}
}

func TestEventAddresses(t *testing.T) {
	p := friends(t)
	before := p.digest(t)
	for _, a := range []session.Address{{Device: 1}, {User: "\xFF", Device: 1}, {User: large, Device: 1}, {User: "x", Device: 128}} {
		refused(t, p.bob.Update(ctx, nil, func(tx *session.Tx) error {
			return tx.Emit(session.Event{Kind: session.SessionRenewed, Address: a})
		}), session.ErrMalformed)
	}
	require.Equal(t, before, p.digest(t))
	shouted := session.Address{User: strings.ToUpper(aliceAddress.User)}
	e := emit(t, p.bob, shouted)
	require.Equal(t, session.Address{User: aliceAddress.User}, e.Address)
	require.Len(t, p.bob.list(t, "event", aliceAddress.User), 1)
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, e))
	require.Empty(t, p.bob.list(t, "event", ""))
}

// Upkeep passes over what is damaged, and removes what expired while it is
// delivered again or acknowledged elsewhere.
func TestSweepOfStagedMeanwhile(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	_, err := p.bob.Upkeep(ctx)
	require.NoError(t, err)
	expires := p.now.Add(time.Hour)
	expiring := func(text string) (*session.Message, *session.Received) {
		m := p.alice.send(t, p.bob, text)
		r, err := p.bob.Decrypt(ctx, aliceAddress, m, &session.DecryptOptions{Expires: expires})
		require.NoError(t, err)
		return m, r
	}
	var ms []*session.Message
	for _, text := range []string{"short", large} {
		m, r := expiring(text)
		meanwhile, _ := expiring(text)
		ms = append(ms, m, meanwhile)
		p.now = expires.Add(25 * time.Hour)
		bob, watch := p.bob.spied(t)
		watch.fail = func(call string, _ int) error {
			if call == "commit" {
				watch.fail = nil
				refused(t, p.bob.decrypt(p.alice, meanwhile), session.ErrDuplicate)
				p.bob.acknowledges(t, r)
			}
			return nil
		}
		_, err = bob.Upkeep(ctx)
		require.NoError(t, err)
		for _, kind := range []string{"staged", "body"} {
			require.Empty(t, p.bob.list(t, kind, ""))
		}
		require.Len(t, p.bob.list(t, "mark", ""), len(ms)+1)
		expires = p.now.Add(time.Hour)
	}
	p.bob.forgetSessions(t)
	for _, m := range ms {
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
	}

	k := p.bob.key("staged", aliceAddress.User, strings.Repeat("00", 32))
	for _, value := range [][]byte{{}, {1}, {1, 0xFF}, {2}} {
		bob := p.bob.reopen(t)
		bob.write(t, k, value)
		p.now = p.now.Add(24 * time.Hour)
		_, err := bob.Upkeep(ctx)
		require.NoError(t, err)
		require.Equal(t, len(value), len(bob.load(t, k).Value))
	}
}
