package session_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

const (
	window = 60 // how far messages overtake each other
	loss   = 15 // percent
	twice  = 10 // percent
	held   = 1  // percent that come very late
)

// A schedule is two devices, and a relay between them that loses, doubles and
// reorders messages while all sorts of things happen at the ends.
type schedule struct {
	*pair
	t       *testing.T
	r       *mathrand.Rand
	sides   [2]**side
	oracles [2]*oracle
	waiting [2][]*flight // to side i
	late    []*flight
	count   map[string]int
	epoch   uint64 // highest seen
	rare    int    // something happens in one of so many steps, about
}

type flight struct {
	envelope
	m    *session.Message
	text string
	read bool
	to   int
	at   int // when it comes, if late
}

// TestRandomSchedule is gembok against gembok: every delivered message inside
// the loss windows is read exactly once, duplicates are duplicates, nothing
// else fails, and in the end both are on one session.
func TestRandomSchedule(t *testing.T) {
	total := 100000
	if testing.Short() || raceEnabled {
		total = 5000
	}
	const seeds = 8
	epoch := uint64(0)
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			real := rand.Reader
			defer func() { rand.Reader = real }()
			rand.Reader = mathrand.NewChaCha8([32]byte{byte(seed), 'c'})
			s := newSchedule(t, seed)
			start := time.Now()
			for s.count["sent"] < total/seeds {
				s.phase()
			}
			s.end()
			t.Logf("seed %d: %v, up to SPQR epoch %d, %v", seed, s.count, s.epoch, time.Since(start).Round(time.Millisecond))
			require.Equal(t, s.count["sent"], s.count["read"]+s.count["lost"]+s.count["outside a window"])
			require.Greater(t, s.count["read"], s.count["sent"]/2)
			epoch = max(epoch, s.epoch)
		})
	}
	require.Greater(t, epoch, uint64(2), "no burst crossed an epoch")
}

func newSchedule(t *testing.T, seed uint64) *schedule {
	s := &schedule{t: t, r: mathrand.New(mathrand.NewPCG(seed, 1)), pair: strangers(t), count: map[string]int{}}
	s.rare = []int{150, 30}[seed%2] // with many sessions, or with long ones
	s.sides = [2]**side{&s.alice, &s.bob}
	s.oracles = [2]*oracle{newOracle(), newOracle()}
	s.begin(0)
	return s
}

// phase is some steps of one kind: a talk, or a burst from one side, on a way
// that is fast or slow.
func (s *schedule) phase() {
	kind, burst, slow := s.r.IntN(3), s.r.IntN(2), s.r.IntN(4) == 0
	for range 20 + s.r.IntN(150) {
		from := s.r.IntN(2)
		switch {
		case kind == 0 && s.r.IntN(10) > 0:
			from = burst
		case kind == 1: // as orderly as it gets
			from = s.count["sent"] % 2
		}
		s.send(from)
		for i := range 2 {
			for len(s.waiting[i]) > window || len(s.waiting[i]) > 0 && !slow && s.r.IntN(3) > 0 {
				s.deliver(i, slow)
			}
		}
		s.happen()
		s.release()
	}
}

// release sends on what is due of the messages that come very late.
func (s *schedule) release() {
	s.late = slices.DeleteFunc(s.late, func(f *flight) bool {
		due := f.at < s.count["sent"]
		if due {
			s.waiting[f.to] = append([]*flight{f}, s.waiting[f.to]...)
		}
		return due
	})
}

// happen has something rare happen, or most often nothing.
func (s *schedule) happen() {
	i := s.r.IntN(2)
	switch n := s.r.IntN(20 * s.rare); {
	case n < 3:
		s.begin(i)
	case n < 5: // both at once
		a, b := bundleOf(s.t, s.alice), bundleOf(s.t, s.bob)
		s.beginFrom(0, func() error { return s.alice.Begin(ctx, bobAddress, b) })
		s.beginFrom(1, func() error { return s.bob.Begin(ctx, aliceAddress, a) })
	case n < 7:
		s.archive(i)
	case n < 17:
		*s.sides[i] = (*s.sides[i]).moved(s.t, *s.sides[1-i])
		s.count["moved"]++
	case n < 27:
		*s.sides[i] = (*s.sides[i]).reopen(s.t)
		s.count["reopened"]++
	}
}

func (s *schedule) begin(i int) {
	b := bundleOf(s.t, *s.sides[1-i])
	s.beginFrom(i, func() error { return (*s.sides[i]).Begin(ctx, (*s.sides[1-i]).Address(), b) })
}

func (s *schedule) beginFrom(i int, begin func() error) {
	require.NoError(s.t, begin())
	s.oracles[i].begins()
	s.count["begun"]++
}

func (s *schedule) archive(i int) {
	err := (*s.sides[i]).Archive(ctx, (*s.sides[1-i]).Address())
	if s.oracles[i].current == nil {
		require.ErrorIs(s.t, err, session.ErrNoSession)
		return
	}
	require.NoError(s.t, err)
	s.oracles[i].archive()
	s.count["archived"]++
}

// send sends one message. Whoever has no session for that begins one.
func (s *schedule) send(i int) {
	from, to := *s.sides[i], *s.sides[1-i]
	if s.oracles[i].current == nil {
		_, err := from.Encrypt(ctx, to.Address(), nil)
		require.ErrorIs(s.t, err, session.ErrNoSession)
		s.begin(i)
	}
	text := strconv.Itoa(s.count["sent"])
	m, err := from.Encrypt(ctx, to.Address(), []byte(text))
	require.NoError(s.t, err)
	f := &flight{envelope: look(s.t, m), m: m, text: text, to: 1 - i}
	s.oracles[i].sends(s.t, &f.envelope)
	s.epoch = max(s.epoch, f.epoch)
	s.waiting[1-i] = append(s.waiting[1-i], f)
	s.count["sent"]++
}

// deliver takes a message off the way to side i, the oldest half of the time,
// and on a slow way any.
func (s *schedule) deliver(i int, slow bool) {
	at := 0
	if slow || s.r.IntN(2) == 0 {
		at = s.r.IntN(min(window, len(s.waiting[i])))
	}
	f := s.waiting[i][at]
	s.waiting[i] = slices.Delete(s.waiting[i], at, at+1)
	switch luck := s.r.IntN(100); {
	case luck < loss && !f.read:
		s.count["lost"]++
		return
	case luck < loss+held && !f.read && f.at == 0:
		f.at = s.count["sent"] + s.r.IntN(3000)
		s.late = append(s.late, f)
		s.count["very late"]++
		return
	case luck >= 100-twice:
		s.waiting[i] = slices.Insert(s.waiting[i], s.r.IntN(len(s.waiting[i])+1), f)
		s.count["doubled"]++
		if !f.read { // else it will be counted again
			s.take(i, f, false)
			return
		}
	}
	s.take(i, f, true)
}

// take delivers f to side i and holds the outcome against the oracle's word;
// last says that it will not come again.
func (s *schedule) take(i int, f *flight, last bool) {
	s.t.Helper()
	to, from := *s.sides[i], *s.sides[1-i]
	want := s.oracles[i].expect(&f.envelope)
	r, err := to.Decrypt(ctx, from.Address(), f.m, nil)
	if errors.Is(err, session.ErrTooExpensive) {
		s.count["deep"]++
		r, err = to.Decrypt(ctx, from.Address(), f.m, &session.DecryptOptions{Deep: true})
	}
	switch want {
	case readable:
		require.NoError(s.t, err, "message %s: %s", f.text, want)
		require.False(s.t, f.read, "read twice")
		require.Equal(s.t, f.text, string(r.Plaintext))
		require.True(s.t, r.Accepted)
		require.NoError(s.t, to.Acknowledge(ctx, r))
		f.read = true
		s.oracles[i].reads(&f.envelope)
		s.count["read"]++
		return
	case duplicate:
		require.ErrorIs(s.t, err, session.ErrDuplicate, "message %s", f.text)
		require.True(s.t, f.read)
		s.count["duplicate"]++
		return
	case noSession:
		if f.kind == session.TypePreKey {
			_, ok := errors.AsType[*session.PreKeyNotFoundError](err)
			require.True(s.t, ok, "%v", err)
			break
		}
		fallthrough
	default:
		require.ErrorIs(s.t, err, session.ErrAuth, "message %s: %s", f.text, want)
	}
	s.count[string(want)]++
	if !f.read && last {
		s.count["outside a window"]++
	}
}

// end delivers all that waits, and has both agree.
func (s *schedule) end() {
	for _, f := range s.late {
		s.waiting[f.to] = append(s.waiting[f.to], f)
	}
	for i := range 2 {
		for len(s.waiting[i]) > 0 {
			f := s.waiting[i][0]
			s.waiting[i] = s.waiting[i][1:]
			s.take(i, f, true)
		}
	}
	for i := range 2 {
		if s.oracles[i].current == nil {
			s.begin(i)
		}
	}
	for range 3 {
		for i := range 2 {
			s.send(i)
			s.take(1-i, s.waiting[1-i][0], true)
			s.waiting[1-i] = nil
		}
	}
	require.True(s.t, s.agree(s.t))
	for i := range 2 {
		idx := (*s.sides[i]).index(s.t, (*s.sides[1-i]).Address())
		require.Equal(s.t, len(s.oracles[i].archived), len(idx.Archived))
		require.Equal(s.t, s.oracles[i].current.base, string(baseKey(idx.Current)))
	}
}
