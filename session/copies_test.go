package session_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// keepingCopies are two devices of which bob keeps copies as o says.
func keepingCopies(t testing.TB, o session.Options) *pair {
	t.Helper()
	p := &pair{now: time.UnixMilli(1_700_000_000_000).UTC()}
	o.Now, o.PreKeys = func() time.Time { return p.now }, few
	p.alice, p.bob = newSide(t, aliceAddress, nil, &o), newSide(t, bobAddress, nil, &o)
	return p
}

// plantCopy puts a copy of a message that was sent at a time.
func (s *side) plantCopy(t testing.TB, at, expires time.Time) {
	t.Helper()
	rec := wire.Sent{Content: []byte("text")}
	if !expires.IsZero() {
		rec.Expires = uint64(expires.UnixMilli())
	}
	s.put(t, s.sentKey(at), wire.AppendSent(nil, &rec))
}

// copies are how long ago those messages were sent of which there is a copy.
func (p *pair) copies(t testing.TB) map[time.Duration]bool {
	t.Helper()
	out := map[time.Duration]bool{}
	for _, r := range p.bob.list(t, "sent", "-") {
		at, err := strconv.ParseInt(r.Key.Name, 10, 64)
		require.NoError(t, err)
		out[p.now.Sub(time.UnixMilli(at))] = true
	}
	return out
}

// Upkeep removes copies past their time, and their own expiry.
func TestSweepOfCopies(t *testing.T) {
	p := keepingCopies(t, session.Options{})
	p.bob.kept(t)
	p.now = p.now.Add(20 * day)
	for _, ago := range []time.Duration{0, time.Hour, 14*day - milli, 14 * day, 20 * day, -14 * day, -15 * day} {
		p.bob.plantCopy(t, p.now.Add(-ago), time.Time{})
	}
	p.bob.plantCopy(t, p.now.Add(-time.Minute), p.now.Add(milli))
	p.bob.plantCopy(t, p.now.Add(-2*time.Minute), p.now)
	p.bob.write(t, p.bob.sentKey(p.now.Add(-30*day)), []byte("\x02")) // of a newer format
	p.bob.write(t, p.bob.key("sent", "-", "no time"), []byte("\x01"))
	p.bob.write(t, p.bob.sentKey(p.now.Add(-30*day-milli)), []byte("\x01\xFF")) // damaged
	p.bob.kept(t)
	require.False(t, p.bob.has(t, "sent", "-", strconv.FormatInt(p.now.Add(-30*day-milli).UnixMilli(), 10)))
	_, err := p.bob.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: p.bob.key("sent", "-", "no time"), Expect: p.bob.load(t, p.bob.key("sent", "-", "no time")).Version})
	require.NoError(t, err)
	require.Equal(t, map[time.Duration]bool{0: true, time.Hour: true, 14*day - milli: true, -14 * day: true,
		time.Minute: true, 30 * day: true}, p.copies(t))
}

// Of more copies than are kept the oldest go, whatever order they are listed in.
func TestSweepOfTooManyCopies(t *testing.T) {
	for keeps, o := range map[int]session.Options{7: {RetryCopies: 7}, 1000: {}, 0: {RetryFor: -1}} {
		p := keepingCopies(t, o)
		for i := range 1600 {
			p.bob.plantCopy(t, p.now.Add(-time.Duration(i)*time.Second), time.Time{})
		}
		p.bob.kept(t)
		left := p.copies(t)
		require.Len(t, left, keeps)
		for i := range keeps {
			require.True(t, left[time.Duration(i)*time.Second], i)
		}
	}
}

// What was noted of retries goes after a day.
func TestSweepOfRetries(t *testing.T) {
	p := keepingCopies(t, session.Options{})
	p.bob.kept(t)
	p.now = p.now.Add(day)
	ms := func(ago time.Duration) uint64 { return uint64(p.now.Add(-ago).UnixMilli()) }
	for name, rec := range map[string]wire.Retry{
		"1": {Reset: ms(day)}, "2": {AskedSince: ms(day)}, "3": {AnsweredSince: ms(day)},
		"4": {Requests: []wire.RetryRequest{{Last: ms(day)}}}, "5": {},
		"6": {Reset: ms(2 * day), AskedSince: ms(day - milli)},
		"7": {Reset: ms(day - milli)}, "8": {Requests: []wire.RetryRequest{{Last: ms(day - milli)}, {Last: ms(9 * day)}}},
		"9": {AnsweredSince: ms(0)},
	} {
		p.bob.put(t, p.bob.key("retry", "alice", name), wire.AppendRetry(nil, &rec))
	}
	p.bob.write(t, p.bob.key("retry", "alice", "10"), []byte("\x02"))
	p.bob.write(t, p.bob.key("retry", "alice", "11"), []byte("\x01\xFF"))
	p.bob.kept(t)
	left := map[string]bool{}
	for _, r := range p.bob.list(t, "retry", "") {
		left[r.Key.Name] = true
	}
	require.Equal(t, map[string]bool{"6": true, "7": true, "8": true, "9": true, "10": true, "11": true}, left)
}

// Between upkeeps Send itself sees that there are not many more copies than are
// kept, in a process that goes on and in those that send once.
func TestSendBoundsCopies(t *testing.T) {
	for _, reopens := range []bool{false, true} {
		r := newRegistry(t, at(ani, 1), at(budi, 1))
		r.opts.RetryCopies = 20
		s := r.of(ani, 1).reopen(t)
		most, sent := 0, 120
		if reopens {
			sent = 60
		}
		for i := range sent {
			if reopens {
				var err error
				s.Device, err = session.Open(ctx, s.store, s.Address(), s.opts)
				require.NoError(t, err)
			}
			r.now = r.now.Add(time.Duration(1+i%7) * milli)
			r.sends(t, s, "text", budi)
			most = max(most, len(s.list(t, "sent", "-")))
		}
		if reopens {
			require.Less(t, most, 40)
		} else {
			require.Equal(t, 22, most)
		}
	}
}

// What fails of that is not the message's, and is done another time.
func TestTrimFails(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	r.opts.RetryCopies = 1
	s, watch := r.of(ani, 1).spied(t)
	for _, call := range []string{"list", "commit"} {
		commits := 0
		watch.fail = func(c string, _ int) error {
			if c == "commit" {
				commits++
			}
			if c == call && (c == "list" || commits == 2) { // the first is the Send's
				return errInjected
			}
			return nil
		}
		before := len(s.list(t, "sent", "-"))
		r.sends(t, s, "one", budi)
		require.Len(t, s.list(t, "sent", "-"), before+1)
	}
	watch.fail = nil
	r.sends(t, s, "three", budi)
	require.Len(t, s.list(t, "sent", "-"), 1)

	var pending keystore.Pending // an app's transaction is no time for it
	_, err := s.Send(pending.In(ctx), []string{budi}, &session.Content{Body: []byte("four")}, nil)
	require.NoError(t, err)
	require.Len(t, s.list(t, "sent", "-"), 2)
}
