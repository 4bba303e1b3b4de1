package hosting_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

var (
	historiesNumber = flag.Int("histories", 0, "how many histories TestHistories has; 0: 100,000, with -short 1,000")
	historiesSeed   = flag.Uint64("histories.seed", 0, "of the first of them")
)

// worldHistories is how many histories are of one world: of the same statements.
const worldHistories = 2000

// TestHistories has a business, its users and a server that lies do anything at
// random, and holds what the rules make of it against an oracle:
//
//   - what may be encrypted for a hosted key was agreed to before, by a yes to a
//     statement that says as much, and is not denied by anything newer;
//   - whatever a hosted key is in, and is not settled, the label says hosted;
//   - what is not to be believed changes nothing;
//   - in the end what the account says next goes through, after a yes at most.
//
// All of them: go test -timeout 0 -run TestHistories ./session/hosting -args -histories 1000000
func TestHistories(t *testing.T) {
	n := *historiesNumber
	if n == 0 {
		n = 100_000
		if testing.Short() {
			n = 1000
		}
	}
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	count := map[string]int{}
	perWorld := min(worldHistories, max(1, n/runtime.GOMAXPROCS(0)))
	began := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			mine := map[string]int{}
			for !t.Failed() {
				first := int(next.Add(int64(perWorld))) - perWorld
				if first >= n {
					break
				}
				seed := *historiesSeed + uint64(first/perWorld)
				if err := testutil.Try("histories", func(t testing.TB) { worldOf(t, seed, min(perWorld, n-first), mine) }); err != nil {
					t.Errorf("world %d: %v", seed, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for what, k := range mine {
				count[what] += k
			}
		})
	}
	all.Wait()
	if *historiesNumber > 0 {
		t.Logf("%d histories, %.0f a second\n%s", n, float64(n)/time.Since(began).Seconds(), testutil.Counts(count))
	}
	for _, what := range happens {
		require.NotZero(t, count[what], "%s never happened: %v", what, count)
	}
}

// happens is what must have happened.
var happens = []string{"CONFLICT", "CURRENT", "DECLINED", "EXPIRED", "PENDING", "UNATTESTED", "yes", "no", "wrong token", "old token",
	"forged", "shared", "stripped", "hosted sends", "own sends", "sends without a manifest", "clock back", "restored", "restarts", "claims", "ended"}

// worldOf does n histories of one world.
func worldOf(t testing.TB, seed uint64, n int, count map[string]int) {
	w := newWorld(t, seed)
	for i := range n {
		if testutil.Try("history", func(t testing.TB) { newHistory(t, w, seed, i, count).run() }) != nil {
			h := newHistory(t, w, seed, i, count)
			h.told = true
			h.run()
		}
	}
}

func newHistory(t testing.TB, w *world, seed uint64, i int, count map[string]int) *history {
	h := &history{world: w, t: t, draw: rand.New(rand.NewPCG(seed, uint64(i))), count: count, r: rules(), now: start}
	if i%200 == 0 {
		h.whole = rules()
	}
	return h
}

// A history is one of an account, on one device of a user.
type history struct {
	*world
	t     testing.TB
	draw  *rand.Rand
	count map[string]int
	r     *hosting.Rules
	whole *hosting.Rules // verifies every signature every time; nil: not this one
	o     oracle
	log   memory
	now   time.Time
	at    int                           // how far the business is
	ask   *hosting.ConsentRequiredError // what was asked last, nil for nothing
	asked []*hosting.ConsentRequiredError
	saved []backup
	told  bool // anew, to have the trace
	trace []string
}

// A backup is what a store was.
type backup struct {
	store []byte
	o     oracle
	log   memory
}

// A memory is what was shown, heard and answered; nothing is concluded from it but
// when a message may leave.
type memory struct {
	shown []*statement // that are to be believed
	heard []claim
	yes   []*statement // nil: to none
	no    bool         // the last answer
	leave time.Time    // of the last yes
}

// agreed is a yes. One to another account key is one to what that says from then on.
func (l *memory) agreed(before, s *statement, now time.Time) {
	if s != nil && before != nil && before.Key != s.Key {
		l.shown = slices.DeleteFunc(slices.Clone(l.shown), func(o *statement) bool { return o != s && o.Key == s.Key })
	}
	l.yes, l.no, l.leave = append(l.yes, s), false, now
}

type claim struct {
	epoch uint64
	hash  [32]byte
}

func (h *history) run() {
	for range 6 + h.draw.IntN(14) {
		h.step()
		h.check()
	}
	h.end()
}

func (h *history) note(format string, args ...any) {
	if h.told {
		h.trace = append(h.trace, fmt.Sprintf(format, args...))
	}
}

// require fails with what was done.
func (h *history) require(ok bool, format string, args ...any) {
	if !ok {
		h.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(h.trace, "\n"))
	}
}

func (h *history) step() {
	switch h.draw.IntN(16) {
	case 0:
		h.move()
	case 1:
		h.restart()
	case 2:
		h.backup()
	case 3, 4:
		h.claim()
	case 5, 6, 7, 8:
		h.see(pick(h.draw, h.all)) // whatever the server likes
	case 9:
		h.see(nil)
	case 10, 11, 12:
		h.at = min(h.at+h.draw.IntN(2), len(h.own)-1)
		h.see(h.own[h.at])
	default:
		h.answer()
	}
}

// move moves the clock: by some time, or to the edge of the time of a statement.
func (h *history) move() {
	before := h.now
	switch by := h.draw.IntN(8); by {
	case 0:
		h.now = pick(h.draw, h.all).NotBefore.Add(-skew - time.Duration(h.draw.IntN(2))*time.Second)
	case 1:
		h.now = pick(h.draw, h.all).NotAfter.Add(skew + time.Duration(h.draw.IntN(2))*time.Second)
	default:
		h.now = h.now.Add([...]time.Duration{time.Hour, day, 9 * day, 31 * day, -day, -40 * day}[by-2])
	}
	if h.now.Before(before) {
		h.count["clock back"]++
	}
	h.note("clock %s", h.now.Sub(start))
}

// restart has the device read its record anew.
func (h *history) restart() {
	stored := h.r.Stored()
	h.restore(stored)
	h.require(string(stored) == string(h.r.Stored()), "a record that is read and written is another")
	h.count["restarts"]++
	h.note("restart")
}

func (h *history) restore(stored []byte) {
	require.NoError(h.t, h.r.Restore(stored))
	if h.whole != nil {
		require.NoError(h.t, h.whole.Restore(stored))
	}
}

// backup takes one, or puts one back: what happened since is unknown then.
func (h *history) backup() {
	if len(h.saved) == 0 || h.draw.IntN(2) == 0 {
		l := h.log
		l.shown, l.heard, l.yes = slices.Clip(l.shown), slices.Clip(l.heard), slices.Clip(l.yes)
		h.saved = append(h.saved, backup{h.r.Stored(), h.o, l})
		h.note("backup %d", len(h.saved)-1)
		return
	}
	i := h.draw.IntN(len(h.saved))
	b := h.saved[i]
	h.restore(b.store)
	h.o, h.log = b.o, b.log
	h.count["restored"]++
	h.note("back to %d", i)
}

// see is what the server shows.
func (h *history) see(s *statement) {
	h.note("see %v, in time %t", s, s != nil && s.inTime(h.now))
	believed, state := s.believed(h.now), h.o.state(h.now)
	var before []byte // half of the time, as it takes long
	if !believed && h.draw.IntN(2) == 0 {
		before = h.r.Stored()
	}
	n := h.show(s)
	h.o.shown(s, h.now)
	if believed {
		h.log.shown = append(h.log.shown, s)
	}
	switch {
	case s == nil && h.o.top > 0:
		h.require(errors.Is(n.Err, hosting.ErrLabelStripped), "stripped: %v", n.Err)
		h.count["stripped"]++
	case s != nil && s.Account != toko:
		h.require(errors.Is(n.Err, hosting.ErrLabelMismatch), "of another account: %v", n.Err)
	case s != nil && s.forged:
		h.require(n.Err != nil, "forged, and believed")
		h.count["forged"]++
	case s != nil && s.shared:
		h.require(n.Err != nil, "one key with two holders, and believed")
		h.count["shared"]++
	}
	if before != nil && state == h.o.state(h.now) {
		h.unchanged(before)
	}
	h.require(n.Evidence == nil || believed, "evidence of a lie")
}

// unchanged requires that the record is as before, but for the time.
func (h *history) unchanged(before []byte) {
	if now := h.r.Stored(); string(now) != string(before) {
		aged := rules()
		require.NoError(h.t, aged.Restore(before))
		aged.See(toko, nil, h.now)
		h.require(string(now) == string(aged.Stored()), "what is not believed changed the record")
	}
}

// show has the rules see a statement, whose signatures were verified before; and
// in some histories verifies them again, which comes to the same.
func (h *history) show(s *statement) hosting.Told {
	if s == nil {
		s = &statement{}
	}
	n := h.r.SeeVerified(toko, s.Manifest, h.now, s.authentic)
	if h.whole != nil {
		again := h.whole.See(toko, s.Manifest, h.now)
		h.require(errors.Is(again.Err, n.Err) && string(h.whole.Stored()) == string(h.r.Stored()), "%v with signatures, %v without", again.Err, n.Err)
	}
	return n
}

// claim is what a message says: of what the business is at, was at, or a lie.
func (h *history) claim() {
	s := pick(h.draw, h.own[:h.at+1])
	if h.draw.IntN(4) == 0 {
		s = pick(h.draw, h.all)
	}
	c := claim{s.Epoch, s.hash}
	if h.draw.IntN(8) == 0 {
		c.hash[0] ^= 1
	}
	h.note("claim %d %x", c.epoch, c.hash[:2])
	h.r.Claims(c.epoch, c.hash, h.now)
	if h.whole != nil {
		h.whole.Claims(c.epoch, c.hash, h.now)
	}
	h.o.heard(c.epoch, c.hash)
	h.log.heard = append(h.log.heard, c)
	h.count["claims"]++
}

// answer has the user say something: to the question there is, to one there was,
// or to one that never was.
func (h *history) answer() {
	yes := h.draw.IntN(4) != 0
	if h.ask != nil {
		h.asked = append(h.asked, h.ask)
	}
	switch what := h.draw.IntN(8); {
	case what == 0:
		h.wrong(yes)
	case what == 1 && len(h.asked) > 0:
		h.count["old token"]++
		h.say(pick(h.draw, h.asked), yes)
	case h.ask != nil:
		h.say(h.ask, yes)
	}
}

// wrong is an answer to what nobody asked.
func (h *history) wrong(yes bool) {
	account, from, to := toko, pick(h.draw, h.all).hash, pick(h.draw, h.all).hash
	f, t, ok := h.o.question(h.now)
	if ok && h.draw.IntN(2) == 0 {
		account, from, to = "warung", f, t
	} else if f == from && t == to {
		return
	}
	before := h.r.Stored()
	h.note("wrong token")
	h.require(h.r.Decide(toko, hosting.Token(account, from, to), yes, h.now) != nil, "a wrong token was taken")
	h.unchanged(before)
	h.count["wrong token"]++
}

// say answers a question, which may be an old one.
func (h *history) say(e *hosting.ConsentRequiredError, yes bool) {
	h.note("say %t to %x to %x", yes, e.From[:2], e.To[:2])
	h.require(e.Token == hosting.Token(toko, e.From, e.To), "token")
	before, dispute, known := h.r.Stored(), h.o.dispute, h.o.newest()
	err := h.r.Decide(toko, e.Token, yes, h.now)
	if h.whole != nil {
		h.whole.Decide(toko, e.Token, yes, h.now)
	}
	counts := h.o.answer(e.From, e.To, yes, h.now)
	h.require(counts == (err == nil), "answered: %v, oracle %t", err, counts)
	switch {
	case !counts:
		h.unchanged(before)
	case yes:
		h.log.agreed(known, h.of(e.To), h.now)
		h.count["yes"]++
	case !dispute:
		h.log.no = true
		h.count["no"]++
	}
}

// of returns the statement of a hash, nil for none.
func (h *history) of(hash [32]byte) *statement {
	for _, s := range h.all {
		if s.hash == hash {
			return s
		}
	}
	if hash == h.last.hash {
		return h.last
	}
	return nil
}
