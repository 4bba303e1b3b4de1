package session_test

import (
	"crypto/rand"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
	"github.com/gembok-e2ee/gembok/session"
)

const (
	window = 60   // how far messages overtake each other
	later  = 3000 // how far those do that come very late
	loss   = 15   // percent
	twice  = 10   // percent
	held   = 1    // percent that come very late
)

var (
	scheduleSeed     = flag.Uint64("schedule.seed", 0, "first seed of the random schedules")
	scheduleMessages = flag.Int("schedule.messages", 0, "messages of each random schedule; 0: as many as the test has time for")
)

// A schedule is phones, and a relay between them that loses, doubles and
// reorders messages while all sorts of things happen at the ends.
type schedule struct {
	t      *testing.T
	r      *mathrand.Rand
	now    time.Time // what all clocks show
	pace   time.Duration
	phones []*phone
	late   []*flight
	all    []*flight
	used   map[string]bool // "ratchet key, counter" of every ciphertext
	count  map[string]int
	epoch  uint64 // highest seen
	rare   int    // something happens in one of so many steps, about
	stops  int    // a process stops in one of so many calls of its store, about; 0: never
}

// A flight is a message on its way.
type flight struct {
	crash.Envelope
	from *phone
	to   *phone
	n    int
	text string
	at   int  // when it comes, if late
	came bool // its Device knows it
	fate string

	first   *session.Received // what it came to, once it is read
	acked   time.Time         // zero: not yet
	expires time.Time         // zero: never
}

// TestRandomSchedule is gembok against gembok: every delivered message inside
// the loss windows is read exactly once, duplicates are duplicates, nothing
// else fails, and in the end both are on one session.
func TestRandomSchedule(t *testing.T) {
	total := scheduled(100000, 5000)
	const seeds = 8
	epoch := uint64(0)
	for seed := *scheduleSeed; seed < *scheduleSeed+seeds; seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			real := rand.Reader
			defer func() { rand.Reader = real }()
			rand.Reader = mathrand.NewChaCha8([32]byte{byte(seed), 'c'})
			s := newSchedule(t, seed)
			s.rare = []int{150, 30}[seed%2] // with many sessions, or with long ones
			for i, a := range []session.Address{aliceAddress, bobAddress} {
				s.add(i, a, inMemory(t))
			}
			s.run(total / seeds)
			epoch = max(epoch, s.epoch)
		})
	}
	require.Greater(t, epoch, uint64(2), "no burst crossed an epoch")
}

// scheduled is how many messages a test of random schedules sends.
func scheduled(long, short int) int {
	switch {
	case *scheduleMessages > 0:
		return *scheduleMessages
	case testing.Short() || raceEnabled:
		return short
	}
	return long
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	return &schedule{t: t, r: mathrand.New(mathrand.NewPCG(seed, 1)), now: time.Unix(1_700_000_000, 0),
		pace: time.Second, used: map[string]bool{}, count: map[string]int{}}
}

// run sends messages until there were n, and has all that was sent come to its
// end.
func (s *schedule) run(n int) {
	start := time.Now()
	for len(s.all) < n {
		s.phase()
	}
	s.end()
	s.t.Logf("%v, up to SPQR epoch %d, %v", s.count, s.epoch, time.Since(start).Round(time.Millisecond))
	require.Greater(s.t, s.count["saved"], len(s.all)/2)
}

// chance is true once in n times, about.
func (s *schedule) chance(n int) bool { return n > 0 && s.r.IntN(n) == 0 }

// some is a time shorter than d, in whole milliseconds, as records have it.
func (s *schedule) some(d time.Duration) time.Duration {
	return time.Duration(s.r.Int64N(d.Milliseconds())) * time.Millisecond
}

// phase is some steps of one kind: a talk of two, or a burst from one of them,
// on a way that is fast or slow.
func (s *schedule) phase() {
	kind, burst, slow := s.r.IntN(3), s.r.IntN(2), s.r.IntN(4) == 0
	two := s.two()
	for _, p := range s.phones {
		s.care(p)
	}
	for range 20 + s.r.IntN(150) {
		from := s.r.IntN(2)
		switch {
		case kind == 0 && s.r.IntN(10) > 0:
			from = burst
		case kind == 1: // as orderly as it gets
			from = len(s.all) % 2
		}
		s.now = s.now.Add(s.some(2 * s.pace))
		s.send(two[from], two[1-from])
		for _, p := range s.phones {
			for len(p.waiting) > window || len(p.waiting) > 0 && !slow && s.r.IntN(3) > 0 {
				s.deliver(p, slow)
			}
		}
		s.happen()
		s.release()
	}
}

// two are two phones, in either order.
func (s *schedule) two() [2]*phone {
	i := s.r.Perm(len(s.phones))
	return [2]*phone{s.phones[i[0]], s.phones[i[1]]}
}

// release sends on what is due of the messages that come very late.
func (s *schedule) release() {
	s.late = slices.DeleteFunc(s.late, func(f *flight) bool {
		due := f.at < len(s.all)
		if due {
			f.to.waiting = append([]*flight{f}, f.to.waiting...)
		}
		return due
	})
}

// happen has something rare happen, or most often nothing.
func (s *schedule) happen() {
	two := s.two()
	p, q := two[0], two[1]
	switch n := s.r.IntN(20 * s.rare); {
	case n < 3:
		s.begin(p, q)
	case n < 5: // both at once
		a, b := s.bundle(p), s.bundle(q)
		s.beginFrom(p, q, b)
		s.beginFrom(q, p, a)
	case n < 7:
		s.archive(p, q)
	case n < 10:
		s.upkeep(p)
	case n < 17:
		if s.stops == 0 && len(s.phones) == 2 {
			s.move(p, q)
		}
	case n < 27:
		s.stop(p)
	}
}

// send sends one message. Whoever has no session for that begins one.
func (s *schedule) send(from, to *phone) {
	o := from.oracles[to.at]
	for o.Current == nil {
		s.begin(from, to)
	}
	text := strconv.Itoa(len(s.all))
	if s.chance(50) { // too large for the staged record itself
		text += strings.Repeat(" ", 5000)
	}
	m, err := from.Encrypt(ctx, to.Address(), []byte(text))
	if s.failed(from, err) {
		require.Nil(s.t, m)
		return
	}
	f := &flight{from: from, to: to, n: len(s.all), text: text}
	f.Envelope = s.leaves(o, m)
	s.all = append(s.all, f)
	if s.died(from) {
		f.fate = "never left"
		return
	}
	if s.chance(40) {
		f.expires = s.now.Add(s.some(100 * s.pace))
	}
	to.waiting = append(to.waiting, f)
}

// leaves notes a ciphertext that leaves, or would have. No two have one
// counter.
func (s *schedule) leaves(o *crash.Oracle, m *session.Message) crash.Envelope {
	in := inner(s.t, m)
	name := fmt.Sprint(string(in.RatchetKey), in.Counter)
	require.False(s.t, s.used[name], "a counter twice")
	s.used[name] = true
	e, epoch := o.Sends(s.t, m)
	s.epoch = max(s.epoch, epoch)
	return e
}

// deliver takes a message off the way to p, the oldest half of the time, and
// on a slow way any.
func (s *schedule) deliver(p *phone, slow bool) {
	at := 0
	if slow || s.r.IntN(2) == 0 {
		at = s.r.IntN(min(window, len(p.waiting)))
	}
	f := p.waiting[at]
	p.waiting = slices.Delete(p.waiting, at, at+1)
	switch luck := s.r.IntN(100); {
	case luck < loss && !f.came:
		f.fate = "lost"
		return
	case luck < loss+held && !f.came && f.at == 0:
		f.at = len(s.all) + s.r.IntN(later)
		s.late = append(s.late, f)
		s.count["very late"]++
		return
	case luck >= 100-twice:
		p.waiting = slices.Insert(p.waiting, s.r.IntN(len(p.waiting)+1), f)
		s.count["doubled"]++
	}
	s.take(p, f)
}

// end delivers all that waits, has every two agree, and requires that each
// message had an end that is right.
func (s *schedule) end() {
	s.stops = 0
	for _, f := range s.late {
		f.to.waiting = append(f.to.waiting, f)
	}
	for _, p := range s.phones {
		s.stop(p)
	}
	for i, p := range s.phones {
		s.drain(p)
		for _, q := range s.phones[:i] {
			s.settle(p, q)
		}
	}
	for _, p := range s.phones {
		s.drain(p)
		s.acknowledge(p)
		s.stop(p) // and it finds nothing that waits
		for _, f := range p.staged {
			require.True(s.t, s.expired(f))
		}
		s.upkeep(p)
		s.count["signed prekeys"] += p.directory.Check(s.t, testutil.Records(s.t, p.store), false)
	}
	for _, f := range s.all {
		if f.first != nil {
			f.fate = f.to.has(s.t, f)
		}
		require.NotEmpty(s.t, f.fate, "message %d is lost", f.n)
		s.count[f.fate]++
	}
}

func (s *schedule) drain(p *phone) {
	for len(p.waiting) > 0 {
		f := p.waiting[0]
		p.waiting = p.waiting[1:]
		s.take(p, f)
	}
}

// settle has two phones agree on one session.
func (s *schedule) settle(p, q *phone) {
	for range 3 {
		s.send(p, q)
		s.drain(q)
		s.send(q, p)
		s.drain(p)
	}
	for _, two := range [][2]*phone{{p, q}, {q, p}} {
		o, idx := two[0].oracles[two[1].at], two[0].index(s.t, two[1].Address())
		require.Equal(s.t, len(o.Archived), len(idx.Archived))
		require.Equal(s.t, o.Current.Base, string(baseKey(idx.Current)))
	}
	require.Equal(s.t, p.oracles[q.at].Current.Base, q.oracles[p.at].Current.Base)
}
