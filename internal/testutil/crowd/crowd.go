// Package crowd has up to fifty people with a few devices each talk in one group, and
// holds what they read against what must be true. Only tests and programs import it.
//
// # What is done
//
// At random: texts said to the group, and the key for it handed out; people who join
// and leave it, of which some hear late; devices that come, go and are set up anew,
// with the account's identity key or another; devices without a bundle, which apps
// exclude by name; messages in any order, some of them twice, some with a key never;
// what cannot be read asked for, and sent again; the clock moved, by minutes or a
// week; processes that stop at any call of their store, before or after that did what
// it was to, and begin again.
//
// The server is honest about devices, and gives every message to whoever wants it:
// what a Distribute encrypted for a device that it says is gone, that device gets.
//
// # What is checked
//
//   - no text that the server took can be read on a device that its sender did not
//     take for one of a member's then: not on one of those who left, not on one from
//     before it was set up anew, not on one that came later;
//   - every text that the server took is read on each device of all who were members
//     for its sender then, unless one of the two devices is gone before it is; nothing
//     comes as new twice;
//   - in the end everybody who is in the group can speak, and all hear it.
package crowd

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// Walk is one crowd of 3 to 50 after the other.
func Walk() *testutil.Walk {
	return &testutil.Walk{
		Name: "crowd", Steps: 2000,
		Begin: func(t testing.TB, seed uint64, count map[string]int) (step, finish func(), story func() string) {
			w := newWorld(t, 3+int(seed*17%48), seed, count)
			return w.step, w.finish, func() string { return "" }
		},
		Line: func(count map[string]int) string {
			return fmt.Sprintf("%d texts, %d read, %d keys, %d sent again, %d crashes, %d refused to strangers",
				count["texts"], count["read"], count["keys"], count["sent again"], count["crashes"], count["unreadable to strangers"])
		},
	}
}

// Steps has people do n steps that follow from seed, and come to an end, and returns
// what came of it.
func Steps(t testing.TB, people, n int, seed uint64) map[string]int {
	w := newWorld(t, people, seed, map[string]int{})
	for range n {
		w.step()
	}
	w.finish()
	return w.count
}

// Everything is what happens when there are many steps.
var Everything = []string{"texts", "read", "keys", "waiting", "joined", "left", "device came", "device went", "set up anew",
	"set up anew under another key", "excluded", "crashes", "asked", "sent again", "keys lost", "came twice", "taken back",
	"reconciled", "unreadable to strangers", "given to one that is gone"}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
