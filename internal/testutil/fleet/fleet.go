// Package fleet has three people with three devices each write to each other
// through a server that lies, and holds what comes of it against what must be
// true. Only tests and programs import it.
//
// # What is done
//
// At random: sends to some people, with devices left out, and what the server
// says of them reconciled and accepted; deliveries, and acknowledgements; what
// cannot be read asked for again, and sent again; sessions archived; stores put
// back from a backup, noticed and taken up; lists refreshed; people blocked; keys
// accepted and verified; devices removed, added and registered anew, with the
// account's identity key or another; prekeys made and uploaded; the clock moved,
// by seconds or a month.
//
// # The lies
//
// A list that is old, empty, malformed, lacks a device, or has one that is not
// there or that the server made up; a bundle of another user or device, with a bad
// signature, a wrong registration id, or handed out before; differences that are
// false or malformed; errors, hangs and panics; messages that are lost, doubled,
// reordered, late, and delivered again long after.
//
// # What is checked
//
// What is known independently of the code under test: who was told of which
// devices and given which bundles; the bytes of messages; of each session at each
// end what it may have forgotten (testutil's Oracle, the loss windows of design,
// Section 8); and what the apps did. So:
//
//   - nothing goes to a device that the server never named, or to a key that was
//     not given for that device;
//   - a message that the server took is read once on each device it is for, with
//     its text and sender, or is in a loss window that has a name;
//   - no chain counter is used twice, and no session that was put back is sent on;
//   - every event that must come, comes, no other one does, and it stays until it
//     is acknowledged;
//   - what fails changes nothing;
//   - once the server is honest, any two devices are on one session within two
//     round trips, and everybody reads everything.
package fleet

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// Walk is one life of three people after the other.
func Walk() *testutil.Walk {
	return &testutil.Walk{
		Name: "fleet", Steps: 5000,
		Begin: func(t testing.TB, seed uint64, count map[string]int) (step, finish func(), story func() string) {
			w := newWorld(t, seed, everyone, 3, count)
			return w.step, w.finish, func() string { return "" }
		},
		Line: func(count map[string]int) string {
			return fmt.Sprintf("%d sends, %d letters, %d read, %d sent again, %d lies",
				count["sends"], count["letters"], count["delivered: readable"], count["sent again"], count["lies"])
		},
	}
}

// Steps does n steps that follow from seed, has everything come to its end, and
// returns what was done.
func Steps(t testing.TB, n int, seed uint64) map[string]int {
	t.Helper()
	w := newWorld(t, seed, everyone, 3, map[string]int{})
	defer func() {
		if t.Failed() {
			t.Logf("seed %d, step %d: %s", seed, w.steps, w.doing)
		}
	}()
	for range n {
		w.step()
	}
	w.finish()
	return w.count
}

// random is the source of all that is drawn from a seed.
func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 77)) }

// Everything is what must have happened in a long test.
var Everything = append([]string{"sent again", "sessions reset", "put back", "unsettled"}, lies...)
