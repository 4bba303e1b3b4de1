package crash

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// An executor has a Device carry out commands.
type executor interface {
	// start starts the process with the Device.
	start() error
	// do has it carry out a command; the error is errKilled, or it is wrong.
	do(c *command, hear func(note)) (*reply, error)
	// stop ends the process in peace.
	stop() error
	// look opens the store while no process of the Device does anything.
	look(t testing.TB, f func(keystore.Store))
	// wants names the operation that is to be done next; "": any.
	wants() string
	// breaks reports whether operations may fail.
	breaks() bool
}

// An inProcess has the Device in this process.
type inProcess struct {
	store keystore.Store
	actor *actor
}

func (p *inProcess) start() error {
	p.actor = &actor{store: &teller{Store: p.store}}
	return nil
}

// do takes commands and replies through JSON, as the other one does.
func (p *inProcess) do(c *command, hear func(note)) (*reply, error) {
	p.actor.store.tell = hear
	var in command
	var out reply
	if err := copyOf(&in, c); err != nil {
		return nil, err
	}
	return &out, copyOf(&out, p.actor.obey(&in))
}

func copyOf(dst, src any) error {
	b, err := json.Marshal(src)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, dst)
}

func (p *inProcess) stop() error                               { return nil }
func (p *inProcess) look(_ testing.TB, f func(keystore.Store)) { f(p.store) }
func (p *inProcess) wants() string                             { return "" }
func (p *inProcess) breaks() bool                              { return false }

// A killer has the Device in a process of its own, which it kills.
type killer struct {
	o       *Options
	r       *rand.Rand
	report  *Report
	place   string
	until   int  // kills, of this Device
	calm    bool // no more kills
	created bool

	process *process
	way     way
	op      string        // that is to be killed at a call of the store
	commits int           // begun until it is killed
	took    time.Duration // a Commit, about
	broken  chan error    // what Break came to
	cursors map[string]*cursor
}

// A way says when a process is killed.
type way int

const (
	never    way = iota
	atCall       // by itself, at a call of its store
	inCommit     // some time after it began a Commit
	anyTime
	breaking // it is not: what lies beneath breaks, within a Commit
)

// A cursor is the next place of an operation at which it is killed.
type cursor struct {
	end
	passes int // all places
}

// operationOrder is the order in which operations are killed.
var operationOrder = []string{
	"create", "open", "publish", "mark published", "begin", "encrypt", "decrypt", "acknowledge", "unacknowledged", "upkeep",
	"bundle", "update", "events", "acknowledge events", "archive", "accept", "identity", "move",
	"check", "restore", "send", "reconcile", "taken", "refresh", "resend", "request", "block", "verify", "rename", "forget", "sing",
}

func (k *killer) start() error {
	k.way = k.choose()
	if c := k.cursors["create"]; !k.created && (c == nil || c.passes == 0) {
		k.way = atCall // there is one for each Device only
	}
	var kill time.Duration
	if k.way == anyTime {
		kill = time.Duration(k.r.Int64N(int64(40 * time.Millisecond)))
	}
	var err error
	if k.process, err = startProcess(k.place, kill); errors.Is(err, errKilled) {
		k.died()
	}
	return err
}

// goesOn reports whether there were not enough kills yet.
func (k *killer) goesOn() bool {
	n := k.report.Kills
	return n < k.o.Kills || k.o.Break == nil && k.o.Kills >= everywhere && n < 2*k.o.Kills && len(k.unvisited()) > 0
}

// makes kills processes while they make the store.
func (k *killer) makes() error {
	for range k.r.IntN(4) {
		p, err := startProcess(k.place, time.Duration(1+k.r.Int64N(int64(25*time.Millisecond))))
		if err == nil {
			p.kill()
			err = p.ended()
		}
		if !errors.Is(err, errKilled) {
			return err
		}
		k.died()
	}
	return nil
}

func (k *killer) choose() way {
	k.op, k.commits = "", 1+k.r.IntN(6)
	switch {
	case k.calm:
		return never
	case k.o.Break != nil && k.r.IntN(2) == 0:
		return breaking
	}
	return []way{atCall, atCall, inCommit, inCommit, anyTime}[k.r.IntN(5)]
}

// died counts a kill.
func (k *killer) died() {
	k.process = nil
	k.report.Kills++
}

func (k *killer) wants() string {
	if k.way != atCall {
		return ""
	}
	if k.op == "" || k.op == "create" && k.created {
		k.op = slices.MinFunc(operationOrder, func(a, b string) int {
			return k.rank(a) - k.rank(b)
		})
	}
	return k.op
}

// rank orders operations by how often they were killed everywhere.
func (k *killer) rank(op string) int {
	switch {
	case op == "open", (op == "create") == k.created:
		return 1 << 30
	case k.cursors[op] == nil:
		return 0
	}
	return k.cursors[op].passes
}

func (k *killer) do(c *command, hear func(note)) (*reply, error) {
	cur := k.aim(c)
	begun := time.Now()
	r, err := k.process.do(c, func(n note) {
		hear(n)
		if n.Outcome != "" {
			k.took += (time.Since(begun) - k.took) / 8
			return
		}
		begun = time.Now()
		k.begun()
	})
	if k.broken != nil {
		if err := <-k.broken; err != nil {
			return nil, err
		}
		k.broken = nil
		k.report.Breaks++
		k.report.Kills++
		k.way = k.choose()
	}
	if errors.Is(err, errKilled) {
		k.died()
	}
	k.created = k.created || r != nil && len(r.Identity) > 0
	if cur != nil {
		k.advance(cur, r)
	}
	return r, err
}

// aim sets the place at which c is killed, if it is the one.
func (k *killer) aim(c *command) *cursor {
	if k.way != atCall || c.Op != k.op && !(c.Op == "open" && k.r.IntN(8) == 0) {
		return nil
	}
	cur := k.cursors[c.Op]
	if cur == nil {
		cur = &cursor{}
		k.cursors[c.Op] = cur
	}
	e := cur.end
	c.Kill = &e
	return cur
}

// advance goes on to the next place: of the calls that the operation made it
// has seen all when it was not killed any more.
func (k *killer) advance(cur *cursor, r *reply) {
	switch {
	case r == nil:
		k.report.Boundaries += boundary(cur.passes)
	case cur.Call >= r.Calls:
		cur.passes++
		cur.end = end{}
		k.op = ""
		return
	}
	if cur.After {
		cur.Call++
	}
	cur.After = !cur.After
}

// boundary counts a place once.
func boundary(passes int) int {
	if passes > 0 {
		return 0
	}
	return 1
}

// begun is called when the process has begun a Commit.
func (k *killer) begun() {
	if k.commits--; k.commits > 0 || k.way != inCommit && k.way != breaking {
		return
	}
	time.Sleep(time.Duration(k.r.Int64N(int64(k.took)*5/4 + 1)))
	if k.way == inCommit {
		k.report.Inside++
		k.process.kill()
		return
	}
	k.broken = make(chan error, 1)
	k.way = never
	go func(c chan<- error) { c <- k.o.Break(k.place) }(k.broken)
}

func (k *killer) stop() error {
	p := k.process
	k.process = nil
	return p.close()
}

// ends leaves no process behind.
func (k *killer) ends() {
	if k.process != nil {
		k.process.kill()
		_ = k.process.ended()
		k.process = nil
	}
}

func (k *killer) look(t testing.TB, f func(keystore.Store)) {
	t.Helper()
	if k.process == nil && k.o.Settle != nil {
		if err := k.o.Settle(k.place); err != nil {
			t.Fatal(err)
		}
	}
	s, err := k.o.Open(k.place)
	if err != nil {
		t.Fatal(err)
	}
	f(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func (k *killer) breaks() bool { return k.o.Break != nil }

// unvisited names the operations that were not killed everywhere.
func (k *killer) unvisited() (out []string) {
	for _, op := range operationOrder {
		if c := k.cursors[op]; c == nil || c.passes == 0 {
			out = append(out, op)
		}
	}
	return out
}
