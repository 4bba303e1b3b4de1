package session_test

import (
	"flag"
	mathrand "math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

var soakMessages = flag.Int("soak.messages", 20000, "messages of TestMEM_04_Soak; a million take a quarter of an hour")

// Two devices talk for 200 days, or a day for a hundred messages: in bursts, of
// which some messages are late and some lost; on sessions that are renewed,
// with one-time prekeys and without, so that archives are full; with apps that
// acknowledge late. Once the longest of all terms is over, 37 days, nothing
// grows any more: neither memory, nor goroutines, nor the stores.
func TestMEM_04_Soak(t *testing.T) {
	n := *soakMessages
	if testing.Short() || raceEnabled {
		n = min(n, 4000)
	}
	s := newSoak(t, max(14*time.Minute+24*time.Second, 200*24*time.Hour/time.Duration(n)))
	var then, now size
	for i := range 20 {
		for s.sent < n*(i+1)/20 {
			s.burst()
		}
		at := s.size()
		t.Logf("%d messages, %d too late: %+v", s.sent, s.lost, at)
		switch {
		case 5 <= i && i < 10:
			then = then.most(at)
		case 15 <= i:
			now = now.most(at)
		}
	}
	require.Less(t, s.lost, n/20)
	require.LessOrEqual(t, now.goroutines, then.goroutines)
	require.Less(t, now.heap, then.heap+then.heap/20+64<<10)
	require.Less(t, now.stored, then.stored+then.stored/20)
	require.Less(t, now.records, then.records+then.records/20)
}

// A soak is a long conversation.
type soak struct {
	*pair
	t      *testing.T
	random *mathrand.Rand
	step   time.Duration // between two messages
	sent   int
	lost   int // came too late
	late   []soakLetter
	open   []soakLetter // read, and not acknowledged yet
	upkeep time.Time
}

// A soakLetter is a message on its way, or what came of it.
type soakLetter struct {
	to, from *side
	m        *session.Message
	r        *session.Received
}

func newSoak(t *testing.T, step time.Duration) *soak {
	return &soak{t: t, pair: friends(t), random: mathrand.New(mathrand.NewPCG(1, 2)), step: step}
}

// burst is some messages of one side, and what comes late meanwhile.
func (s *soak) burst() {
	from, to := s.alice, s.bob
	if s.random.IntN(2) == 0 {
		from, to = to, from
	}
	if s.random.IntN(20) == 0 {
		s.renew(from, to)
	}
	for range 1 + s.random.IntN(6) {
		s.sent++
		s.now = s.now.Add(s.step)
		l := soakLetter{to: to, from: from, m: from.send(s.t, to, "a message")}
		switch s.random.IntN(10) {
		case 0: // lost
		case 1, 2:
			s.late = append(s.late, l)
		default:
			s.read(l)
		}
	}
	if len(s.late) > 20 {
		s.random.Shuffle(len(s.late), func(i, j int) { s.late[i], s.late[j] = s.late[j], s.late[i] })
		for _, l := range s.late[10:] {
			s.read(l)
		}
		s.late = s.late[:10]
	}
	s.acknowledge()
	s.maintain()
}

// renew begins a session, half of the time without a one-time prekey.
func (s *soak) renew(from, to *side) {
	if s.random.IntN(2) == 0 {
		from.beginLastResort(s.t, to)
	} else {
		from.begin(s.t, to)
	}
	s.read(soakLetter{to: to, from: from, m: from.send(s.t, to, "again")})
	s.read(soakLetter{to: from, from: to, m: to.send(s.t, from, "again")})
}

// read reads a message, which may be more than 5 chains late.
func (s *soak) read(l soakLetter) {
	r, err := l.to.Decrypt(ctx, l.from.Address(), l.m, nil)
	if err != nil {
		require.True(s.t, isAny(err, session.ErrAuth, session.ErrDuplicate, session.ErrNoSession), "%v", err)
		s.lost++
		return
	}
	l.r, l.m = r, nil
	s.open = append(s.open, l)
}

// acknowledge is what the apps do some time after reading.
func (s *soak) acknowledge() {
	if len(s.open) < 10 {
		return
	}
	for _, l := range s.open {
		require.NoError(s.t, l.to.Acknowledge(ctx, l.r))
	}
	s.open = nil
}

// maintain does what is due, once a day.
func (s *soak) maintain() {
	if s.now.Sub(s.upkeep) < 24*time.Hour {
		return
	}
	s.upkeep = s.now
	for _, d := range []*side{s.alice, s.bob} {
		p, err := d.Upkeep(ctx)
		require.NoError(s.t, err)
		if p != nil {
			require.NoError(s.t, d.MarkPublished(ctx, p))
		}
	}
}

// A size is what there is of something that could grow.
type size struct {
	heap, stored, records, goroutines int
}

func (s size) most(other size) size {
	return size{max(s.heap, other.heap), max(s.stored, other.stored), max(s.records, other.records), max(s.goroutines, other.goroutines)}
}

// size measures, garbage left out.
func (s *soak) size() (out size) {
	for _, d := range []*side{s.alice, s.bob} {
		for _, r := range d.list(s.t, "", "") {
			out.stored += len(r.Value)
			out.records++
		}
	}
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out.heap, out.goroutines = int(m.HeapAlloc), runtime.NumGoroutine()
	return out
}
