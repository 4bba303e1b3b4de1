// Package crash has a Device do random work in a process that is killed again
// and again, and holds what is found afterwards against what must be there. It
// is for any [keystore.Store]; only tests and programs import it.
//
// # What is done
//
// A process of the same program works on a Device over a store: it sends and
// receives, acknowledges, begins sessions and archives them, accepts identity
// keys, moves sessions, sends to users with several devices, does what a server says
// of that, answers and makes requests for messages, blocks, verifies, renames and
// forgets users, makes and publishes prekeys, does its upkeep and is taken
// up as after a restore, while three weeks pass. What talks to it, peers in memory, a relay that loses,
// doubles and reorders messages and delivers again what nobody said to be
// acknowledged, and a directory, lives in the process that kills it:
//
//   - at a call of its store that is chosen, before it, or after a Commit that is
//     durable while nobody was told: all such places of all operations, in turn;
//   - some moments after it has begun a Commit;
//   - at any time, when it opens the store or makes a new one, too.
//
// # What is checked
//
// Three things are known independently of the code under test. What the store
// holds, record by record and by version, from what the process told of each
// Commit (mirror). Of each session what the Device may have forgotten (Oracle:
// the loss windows of design, Section 8), from the bytes of messages. And what
// the app, its peers and the directory saw. So: no message is lost, none comes
// under another ID or with another text, none again once it was acknowledged,
// and all others do; no chain counter and no prekey is used twice; events stay;
// what the process said to be done is done; a request gets the answer again that was
// given, or would have been, and no other one; every record parses; and the
// conversation goes on both ways.
package crash

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// Options say what is killed, and how often. Open and Fresh are required; the
// other fields may be zero.
type Options struct {
	// Open opens the store at a place, in this process and in the one that is
	// killed; without Break, the two never have it open at once.
	Open func(place string) (keystore.Store, error)
	// Fresh returns a place for a store that is not there yet.
	Fresh func() (place string, err error)
	// Settle waits until nothing goes on any more that a killed process had
	// asked a server for; nil: there is no server.
	Settle func(place string) error
	// Break, if there is one, harms what lies beneath the store while the
	// process works, and returns once the store may be used again. It is
	// called in place of every second kill, and its Commits may fail.
	Break func(place string) error

	Kills    int
	Seed     uint64
	Progress io.Writer // a line now and then

	blind bool // what the store holds is believed
}

// A Report says what was done. The zero Report is of nothing.
type Report struct {
	Kills, Inside, Breaks int // all kills; those within a Commit; harm to what lies beneath
	Boundaries            int // different places at calls of the store
	Unvisited             []string
	Count                 map[string]int // what came of messages and operations
	Took                  time.Duration
}

// String is one line.
func (r *Report) String() string {
	s := fmt.Sprintf("%d kills (%d within a Commit, %d places at calls of the store), %d steps, %d messages, %.1f kills/s",
		r.Kills, r.Inside, r.Boundaries, r.Count["step"], r.Count["letters"]+r.Count["parcels"], float64(r.Kills)/r.Took.Seconds())
	if r.Breaks > 0 {
		s += fmt.Sprintf(", %d times broken, %d operations failed", r.Breaks, r.Count["failed"])
	}
	if len(r.Unvisited) > 0 {
		s += ", not everywhere in " + strings.Join(r.Unvisited, ", ")
	}
	return s
}

// worldKills is how often the process of one Device is killed.
const worldKills = 60

// everywhere is from how many kills on a Run goes on, up to twice as many, until
// every operation was killed at each of its calls of the store.
const everywhere = 300

// Run kills processes until there were enough, or ctx ends. The error says what
// was found, and with which seed.
func Run(ctx context.Context, o *Options) (report *Report, err error) {
	start := time.Now()
	report = &Report{Count: map[string]int{}}
	k := &killer{o: o, report: report, r: rand.New(rand.NewPCG(o.Seed, 2)), cursors: map[string]*cursor{}, took: 2 * time.Millisecond}
	for n := uint64(0); k.goesOn() && err == nil && ctx.Err() == nil; n++ {
		if k.until = report.Kills + worldKills; report.Kills < o.Kills {
			k.until = min(o.Kills, k.until)
		}
		err = k.world(ctx, n, start)
	}
	report.Took = time.Since(start)
	report.Unvisited = k.unvisited()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("seed %d: %w", o.Seed, err)
	}
	return report, err
}

// world is the life of one Device.
func (k *killer) world(ctx context.Context, n uint64, start time.Time) error {
	var err error
	k.calm, k.created = false, false
	if k.place, err = k.o.Fresh(); err != nil {
		return err
	}
	if err := k.makes(); err != nil {
		return err
	}
	return testutil.Try("crash", func(t testing.TB) {
		w := newWorld(t, k, rand.New(rand.NewPCG(k.o.Seed, 3+n)))
		defer k.ends()
		w.count, w.mirror.blind = k.report.Count, k.o.blind
		for shown := time.Now(); k.report.Kills < k.until && !w.old() && ctx.Err() == nil; {
			w.step()
			if k.o.Progress != nil && time.Since(shown) > 2*time.Second {
				shown = time.Now()
				k.report.Took = time.Since(start)
				fmt.Fprintln(k.o.Progress, k.report)
			}
		}
		k.calm = true
		w.finish()
	})
}

// Steps has a Device over a store, which is empty, do n random things that an
// app does, and checks them in the same way. Nothing is killed; the Device is
// opened anew now and then. The same seed does the same things.
func Steps(t testing.TB, store keystore.Store, n int, seed uint64) {
	t.Helper()
	w := newWorld(t, &inProcess{store: store}, rand.New(rand.NewPCG(seed, 3)))
	w.pace = min(w.pace, lifetime/time.Duration(max(1, n)))
	for range n {
		w.step()
	}
	w.finish()
}

// everything is all records of a store.
func everything(t testing.TB, s keystore.Store) (newest uint64, records []keystore.Record) {
	t.Helper()
	newest, err := s.Generation(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range s.List(ctx, "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		r.Value = slices.Clone(r.Value)
		records = append(records, r)
	}
	return newest, records
}
