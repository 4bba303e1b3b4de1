package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// unreadFor is how long a message with a timer waits that nobody reads.
const unreadFor = 14 * day

// timed are two devices whose messages disappear; that of alice may be of bob's
// account. Nothing is due.
func timed(t testing.TB, alice session.Address) *contentPair {
	t.Helper()
	p := contents(t, alice, nil)
	p.bob.kept(t)
	return p
}

// vanishing has alice send a text that disappears after an hour.
func (p *contentPair) vanishing(t testing.TB, c session.Content) *session.Message {
	t.Helper()
	if c.Timer == 0 {
		c.Timer = time.Hour
	}
	if c.SentAt.IsZero() {
		c.SentAt = p.now
	}
	m, err := p.alice.Encrypt(ctx, bobAddress, c.Bytes())
	require.NoError(t, err)
	return m
}

// reading has bob decrypt a message, and requires when it is to go.
func (p *contentPair) reading(t testing.TB, m *session.Message, body string, expires time.Time) *session.Received {
	t.Helper()
	r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, nil)
	require.NoError(t, err)
	require.Equal(t, body, string(r.Content.Body))
	require.True(t, expires.Equal(r.Expires), "%v %v", expires, r.Expires)
	return r
}

// gone requires that bob gives out nothing of a message, and keeps nothing of it
// after an upkeep, for which it is high time.
func (p *contentPair) gone(t testing.TB, m *session.Message) {
	t.Helper()
	for _, bob := range []*side{p.bob, p.bob.reopen(t)} {
		before := bob.digest(t)
		refused(t, bob.decrypt(p.alice, m), session.ErrDuplicate)
		require.Empty(t, bob.waiting(t))
		require.Equal(t, before, bob.digest(t))
		require.True(t, bob.due(t).Sweep)
		bob.kept(t)
		for _, kind := range []string{"staged", "body"} {
			require.Empty(t, bob.list(t, kind, ""))
		}
		refused(t, bob.decrypt(p.alice, m), session.ErrDuplicate)
	}
}

// Once it is read, a staged message has its time, and goes with its body; reading
// it again, or in another process, gives it no more.
func TestTimerFromFirstRead(t *testing.T) {
	for _, body := range []string{"short", large} {
		p := timed(t, aliceAddress)
		m := p.vanishing(t, session.Content{Body: []byte(body), TimerVersion: 3})
		r := p.reading(t, m, body, p.now.Add(unreadFor+time.Hour))
		require.Equal(t, session.Timer{Duration: time.Hour, Version: 3, Sender: aliceAddress.User}, r.Timer())
		p.now = p.now.Add(3 * day)
		p.bob.kept(t)
		p.reading(t, m, body, r.Expires)

		require.NoError(t, p.bob.MarkRead(ctx, r, r))
		deadline := p.now.Add(time.Hour)
		require.True(t, deadline.Equal(r.Expires))
		require.True(t, deadline.Equal(p.bob.due(t).At))
		for _, d := range []*side{p.bob, p.bob.reopen(t)} {
			p.now = p.now.Add(20 * time.Minute)
			again := p.reading(t, m, body, deadline)
			before := d.digest(t)
			require.NoError(t, d.MarkRead(ctx, again))
			require.Equal(t, before, d.digest(t))
			require.True(t, deadline.Equal(again.Expires))
		}
		p.now = deadline.Add(-time.Millisecond)
		p.reading(t, m, body, deadline)
		require.Len(t, p.bob.waiting(t), 1)
		p.bob.nothing(t)
		p.now = deadline
		p.gone(t, m)
		require.NoError(t, p.bob.MarkRead(ctx, r)) // and comes to nothing
		require.Empty(t, p.bob.list(t, "staged", ""))
		require.Len(t, p.bob.list(t, "mark", ""), 1)
	}
}

// What nobody reads goes, too.
func TestTimerOfUnread(t *testing.T) {
	for _, body := range []string{"short", large} {
		p := timed(t, aliceAddress)
		m := p.vanishing(t, session.Content{Body: []byte(body)})
		r := p.reading(t, m, body, p.now.Add(unreadFor+time.Hour))
		p.now = r.Expires.Add(-time.Millisecond)
		p.reading(t, m, body, r.Expires)
		p.now = r.Expires
		require.NoError(t, p.bob.MarkRead(ctx, r)) // too late
		require.True(t, p.now.Equal(r.Expires))
		p.gone(t, m)
	}
}

// What the app said is over earlier holds.
func TestTimerAndExpires(t *testing.T) {
	p := timed(t, aliceAddress)
	for expires, want := range map[time.Duration][2]time.Duration{
		time.Minute: {time.Minute, time.Minute}, 2 * time.Hour: {2 * time.Hour, time.Hour},
		unreadFor + 2*time.Hour: {unreadFor + time.Hour, time.Hour}, 0: {unreadFor + time.Hour, time.Hour},
	} {
		var o session.DecryptOptions
		if expires != 0 {
			o.Expires = p.now.Add(expires)
		}
		r, err := p.bob.Decrypt(ctx, aliceAddress, p.vanishing(t, session.Content{}), &o)
		require.NoError(t, err)
		require.True(t, p.now.Add(want[0]).Equal(r.Expires))
		require.NoError(t, p.bob.MarkRead(ctx, r))
		require.True(t, p.now.Add(want[1]).Equal(r.Expires))
	}
}

// What has no timer, or was acknowledged, reading does not change; nothing is
// written for it.
func TestTimerOfOthers(t *testing.T) {
	p := timed(t, aliceAddress)
	plain, err := p.bob.Decrypt(ctx, aliceAddress, func() *session.Message {
		m, err := p.alice.Encrypt(ctx, bobAddress, (&session.Content{TimerVersion: 7}).Bytes())
		require.NoError(t, err)
		return m
	}(), nil)
	require.NoError(t, err)
	require.Zero(t, plain.Expires)
	saved := p.reading(t, p.vanishing(t, session.Content{}), "", p.now.Add(unreadFor+time.Hour))
	p.bob.acknowledges(t, saved)
	bob, watch := p.bob.spied(t)
	before := bob.digest(t)
	require.NoError(t, bob.MarkRead(ctx, plain, saved, new(session.Received)))
	require.NoError(t, bob.MarkRead(ctx))
	require.Empty(t, watch.commits)
	require.Equal(t, before, bob.digest(t))
	require.Zero(t, plain.Expires)

	refused(t, bob.MarkRead(ctx, plain, nil), session.ErrMalformed)
	staged := p.bob.list(t, "staged", "")
	require.Len(t, staged, 1)
	for value, want := range map[string]error{"": session.ErrCorrupt, "\x01\xFF": session.ErrCorrupt, "\x02": keystore.ErrNewerFormat} {
		bob := p.bob.reopen(t)
		bob.write(t, staged[0].Key, []byte(value))
		before := bob.digest(t)
		refused(t, bob.MarkRead(ctx, saved, plain), want)
		require.Equal(t, before, bob.digest(t))
	}

	raw := friends(t)
	r := raw.bob.reads(t, raw.alice, raw.alice.send(t, raw.bob, "text"), "text")
	require.Zero(t, r.Timer())
	require.NoError(t, raw.bob.MarkRead(ctx, r))
	require.Zero(t, r.Expires)
}

// On the own other devices the time of a message began when it was sent; reading
// gives it no more.
func TestTimerOfOwnDevices(t *testing.T) {
	for _, to := range []string{"cici", ""} {
		p := timed(t, session.Address{User: bobAddress.User, Device: 2})
		sent := p.now
		m := p.vanishing(t, session.Content{Body: []byte(large), SyncTo: to})
		p.now = p.now.Add(20 * time.Minute)
		r := p.reading(t, m, large, sent.Add(time.Hour))
		require.NoError(t, p.bob.MarkRead(ctx, r))
		require.True(t, sent.Add(time.Hour).Equal(r.Expires))
		p.now = sent.Add(time.Hour - time.Millisecond)
		p.reading(t, m, large, sent.Add(time.Hour))
		p.now = sent.Add(time.Hour)
		p.gone(t, m)
	}
	// A clock that goes ahead there gives it no more than its time from here on.
	p := timed(t, session.Address{User: bobAddress.User, Device: 2})
	p.reading(t, p.vanishing(t, session.Content{SyncTo: ani, SentAt: p.now.Add(day)}), "", p.now.Add(time.Hour))
	// Who has another key is not the own account: what he sends waits to be read.
	imposter := contentsOf(t, session.Address{User: bobAddress.User, Device: 2}, keys.GenerateIdentityKeyPair(), nil)
	imposter.reading(t, imposter.vanishing(t, session.Content{}), "", imposter.now.Add(unreadFor+time.Hour))
}

// What had disappeared when it came to an own device comes without its Body, until
// it is acknowledged: the change of the timer is not lost.
func TestTimerOverOnArrival(t *testing.T) {
	for _, to := range []string{"cici", ""} {
		p := timed(t, session.Address{User: bobAddress.User, Device: 2})
		sent := p.now
		c := session.Content{Body: []byte(large), SyncTo: to, TimerVersion: 7}
		m := p.vanishing(t, c)
		p.now = p.now.Add(time.Hour)
		r := p.reading(t, m, "", time.Time{})
		require.NotContains(t, string(r.Plaintext), large[:100])
		want := session.Content{SentAt: sent, Timer: time.Hour, TimerVersion: 7, SyncTo: to}
		sameContent(t, &want, r.Content)
		require.Equal(t, want.Bytes(), r.Plaintext)
		require.Empty(t, p.bob.list(t, "body", ""))
		p.now = p.now.Add(day)
		p.bob.kept(t)
		sameResult(t, p.reading(t, m, "", time.Time{}), r)
		p.bob.acknowledges(t, r)
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
	}
}

// A clock that is set back, by however much, keeps no message longer than its time
// after the next upkeep, and takes none away.
func TestTimerClockSetBack(t *testing.T) {
	for _, body := range []string{"short", large} {
		for _, back := range []time.Duration{time.Hour, day, 400 * day} {
			p := timed(t, aliceAddress)
			read, waits := p.vanishing(t, session.Content{Body: []byte(body)}), p.vanishing(t, session.Content{Body: []byte(body)})
			r := p.reading(t, read, body, p.now.Add(unreadFor+time.Hour))
			p.reading(t, waits, body, r.Expires)
			require.NoError(t, p.bob.MarkRead(ctx, r))
			p.now = p.now.Add(-back)
			p.reading(t, read, body, r.Expires)
			require.NoError(t, p.bob.MarkRead(ctx, r)) // it was read before
			p.bob = p.bob.reopen(t)
			p.bob.kept(t)
			r = p.reading(t, read, body, p.now.Add(time.Hour))
			p.reading(t, waits, body, p.now.Add(unreadFor+time.Hour))
			p.now = r.Expires
			refused(t, p.bob.decrypt(p.alice, read), session.ErrDuplicate)
			p.bob.kept(t)
			require.Len(t, p.bob.list(t, "staged", ""), 1)
			p.now = p.now.Add(unreadFor)
			p.gone(t, waits)
		}
	}
}

// Two processes: the first read counts, whoever of them did it, and who removes the
// message does.
func TestTimerReadMeanwhile(t *testing.T) {
	for _, body := range []string{"short", large} {
		p := timed(t, aliceAddress)
		m := p.vanishing(t, session.Content{Body: []byte(body)})
		r := p.reading(t, m, body, p.now.Add(unreadFor+time.Hour))
		first := p.now
		bob, watch := p.bob.spied(t)
		watch.fail = func(call string, _ int) error {
			if call == "commit" {
				watch.fail = nil
				require.NoError(t, p.bob.MarkRead(ctx, r))
				p.now = p.now.Add(time.Minute)
			}
			return nil
		}
		again := *r
		require.NoError(t, bob.MarkRead(ctx, &again))
		require.True(t, first.Add(time.Hour).Equal(again.Expires))

		m = p.vanishing(t, session.Content{Body: []byte(body)})
		r = p.reading(t, m, body, p.now.Add(unreadFor+time.Hour))
		watch.fail = func(call string, _ int) error {
			if call == "commit" {
				watch.fail = nil
				p.bob.acknowledges(t, r)
			}
			return nil
		}
		require.NoError(t, bob.MarkRead(ctx, r))
		refused(t, p.bob.decrypt(p.alice, m), session.ErrDuplicate)
		p.now = p.now.Add(time.Hour) // what is left of the first one goes
		p.bob.kept(t)
		for _, kind := range []string{"staged", "body"} {
			require.Empty(t, p.bob.list(t, kind, ""))
		}
		// One that was read is acknowledged with its body.
		m = p.vanishing(t, session.Content{Body: []byte(body)})
		r = p.reading(t, m, body, p.now.Add(unreadFor+time.Hour))
		require.NoError(t, p.bob.MarkRead(ctx, r))
		bob, watch = p.bob.spied(t)
		bob.acknowledges(t, r)
		require.Len(t, watch.commits, 1)
		require.Empty(t, p.bob.list(t, "body", ""))
	}
}

// Of many that are over more than one commit disposes, and Due says when the next
// one is, also of what came while there was an upkeep.
func TestTimerUpkeep(t *testing.T) {
	p := timed(t, aliceAddress)
	start := p.now
	for range 600 {
		r := p.reading(t, p.vanishing(t, session.Content{}), "", start.Add(unreadFor+time.Hour))
		require.NoError(t, p.bob.MarkRead(ctx, r))
	}
	last := p.reading(t, p.vanishing(t, session.Content{Timer: 90 * time.Minute}), "", start.Add(unreadFor+90*time.Minute))
	require.NoError(t, p.bob.MarkRead(ctx, last))
	p.bob.nothing(t)
	require.True(t, start.Add(time.Hour).Equal(p.bob.due(t).At))
	p.now = start.Add(time.Hour)
	require.True(t, p.bob.due(t).Sweep)
	bob, watch := p.bob.spied(t)
	watch.fail = func(call string, _ int) error {
		if call == "commit" {
			watch.fail = nil
			r, err := bob.Decrypt(ctx, aliceAddress, p.vanishing(t, session.Content{Timer: time.Minute}), nil)
			require.NoError(t, err)
			require.NoError(t, bob.MarkRead(ctx, r))
		}
		return nil
	}
	bob.upkeep(t)
	require.Len(t, p.bob.list(t, "staged", ""), 2)
	require.True(t, p.now.Add(time.Minute).Equal(bob.due(t).At))
	require.True(t, p.bob.due(t).Sweep, "the other process does not know")
	p.bob.kept(t)
	require.True(t, p.now.Add(time.Minute).Equal(p.bob.due(t).At), "now it does")
	p.now = p.now.Add(time.Minute)
	p.bob.kept(t)
	require.True(t, last.Expires.Equal(p.bob.due(t).At))

	// After an upkeep that failed nothing is thought to be gone.
	p.now = last.Expires
	bob, watch = p.bob.spied(t)
	watch.fail = func(call string, _ int) error {
		if call == "commit" {
			return errInjected
		}
		return nil
	}
	_, err := bob.Upkeep(ctx)
	require.ErrorIs(t, err, errInjected)
	require.True(t, bob.due(t).Sweep)
	watch.fail = nil
	bob.upkeep(t)
	require.Empty(t, p.bob.list(t, "staged", ""))
	p.bob.kept(t)
}

// A record that MarkRead could not lengthen is not made.
func TestTimerRecordSize(t *testing.T) {
	p := timed(t, aliceAddress)
	for n := wire.MaxDeviceRecord - 4096; ; n += 509 {
		p.bob.opts.Gate = strayGate{note: make([]byte, n)}
		d, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
		require.NoError(t, err)
		m := p.vanishing(t, session.Content{})
		r, err := d.Decrypt(ctx, aliceAddress, m, nil)
		if err != nil {
			require.ErrorIs(t, err, session.ErrTooLarge)
			require.Greater(t, n, wire.MaxDeviceRecord-1024)
			return
		}
		require.NoError(t, d.MarkRead(ctx, r))
		require.NoError(t, d.MarkRead(ctx, r)) // it is read
	}
}

// timers are the operations on messages that disappear, for the tests of all.
var timers = []operation{
	{"MarkRead", markRead("text")},
	{"MarkRead large", markRead(large)},
	{"MarkRead again", func(t *testing.T) (*side, run) {
		s, run := markRead("text")(t)
		require.NoError(t, run(ctx, s.Device, s.store))
		return s, run
	}},
	{"Acknowledge what was read", func(t *testing.T) (*side, run) {
		s, mark := markRead(large)(t)
		require.NoError(t, mark(ctx, s.Device, s.store))
		r := s.waiting(t)[0]
		return s, on(func(ctx context.Context, d *session.Device) error { return d.Acknowledge(ctx, r) })
	}},
	{"Decrypt an own device's", func(t *testing.T) (*side, run) {
		p := timed(t, session.Address{User: bobAddress.User, Device: 2})
		m := p.vanishing(t, session.Content{Body: []byte("text"), SyncTo: ani})
		return p.bob, on(func(ctx context.Context, d *session.Device) error {
			_, err := d.Decrypt(ctx, p.alice.Address(), m, nil)
			return err
		})
	}},
	{"Upkeep of what disappeared", func(t *testing.T) (*side, run) {
		return upkeepOfRead(t, time.Hour)
	}},
	{"Upkeep with the clock set back", func(t *testing.T) (*side, run) {
		return upkeepOfRead(t, -time.Hour)
	}},
}

// upkeepOfRead is Upkeep of one who lacks prekeys, some time after two of three
// messages were read.
func upkeepOfRead(t *testing.T, later time.Duration) (*side, run) {
	p := &contentPair{pair: keepingCopies(t, session.Options{Content: true})}
	p.bob.kept(t)
	p.alice.beginLastResort(t, p.bob)
	for _, body := range []string{"text", large, "stays"} {
		r := p.reading(t, p.vanishing(t, session.Content{Body: []byte(body)}), body, p.now.Add(unreadFor+time.Hour))
		if body != "stays" {
			require.NoError(t, p.bob.MarkRead(ctx, r))
		}
	}
	p.bob.removeKey(t, "prekey", 1)
	p.bob.removeKey(t, "prekey", 2)
	p.now = p.now.Add(later)
	return p.bob, on(func(ctx context.Context, d *session.Device) error { _, err := d.Upkeep(ctx); return err })
}

// markRead is MarkRead of two messages.
func markRead(body string) func(t *testing.T) (*side, run) {
	return func(t *testing.T) (*side, run) {
		p := timed(t, aliceAddress)
		var both []*session.Received
		for range 2 {
			both = append(both, p.reading(t, p.vanishing(t, session.Content{Body: []byte(body)}), body, p.now.Add(unreadFor+time.Hour)))
		}
		return p.bob, on(func(ctx context.Context, d *session.Device) error { return d.MarkRead(ctx, both...) })
	}
}

// Events that nobody acknowledged outlive the message that they came with.
func TestTimerSparesEvents(t *testing.T) {
	p := timed(t, aliceAddress)
	e := session.Event{Kind: session.SessionRenewed, Address: aliceAddress}
	p.bob.opts.Gate = strayGate{events: []session.Event{e}}
	p.bob = p.bob.reopen(t)
	r := p.reading(t, p.vanishing(t, session.Content{Body: []byte(large)}), large, p.now.Add(unreadFor+time.Hour))
	require.Len(t, r.Events, 1)
	saved := p.reading(t, p.vanishing(t, session.Content{}), "", p.now.Add(unreadFor+time.Hour))
	p.bob.acknowledges(t, saved)
	require.NoError(t, p.bob.MarkRead(ctx, r))
	p.bob.kept(t)
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, p.bob.events(t)...))
	p.now = r.Expires
	p.bob.kept(t)
	got := p.bob.events(t)
	require.Len(t, got, 1, "that of the other one was acknowledged with it")
	require.Equal(t, session.Event{ID: got[0].ID, Kind: e.Kind, Address: e.Address, At: got[0].At}, got[0])
	require.True(t, p.now.Equal(got[0].At))
	require.NoError(t, p.bob.AcknowledgeEvents(ctx, got...))
	require.Empty(t, p.bob.events(t))

	// Damaged ones keep nothing from going.
	r = p.reading(t, p.vanishing(t, session.Content{}), "", p.now.Add(unreadFor+time.Hour))
	require.NoError(t, p.bob.MarkRead(ctx, r))
	k := p.bob.list(t, "staged", "")[0].Key
	rec, err := wire.ParseStaged(p.bob.load(t, k).Value[1:])
	require.NoError(t, err)
	rec.Events = []wire.Event{{Kind: 1, Device: 5}, {Kind: 1, User: aliceAddress.User}}
	p.bob.put(t, k, wire.AppendStaged(nil, &rec))
	p.now = r.Expires
	p.bob.kept(t)
	require.Empty(t, p.bob.list(t, "staged", ""))
	require.Len(t, p.bob.events(t), 1)
}
