// Package market has customers write to a business that moves from host to host, on
// real devices and behind real gates, through a server that lies about who has the
// keys, and holds what comes of it against what must be true. Only tests and programs
// import it.
//
// # What is done
//
// At random: texts to the business, to another customer and to a group of all; what
// the business answers; devices of the business that go to another host, come and
// go, and its manifests, renewed in time or late; questions answered with yes and no,
// and with what was asked of somebody else; stores put back from a backup; what
// cannot be read asked for again; the clock moved, by minutes or weeks.
//
// The server is honest about devices, and shows of manifests none, an old one, one
// that it made up, or an error; in bundles as well as on their own. In some worlds the
// business tells two customers two things.
//
// # What is checked
//
// What is known independently of the code under test: what the business signed, which
// of it a device was shown, what its user agreed to, and where each key is. So:
//
//   - nothing is encrypted for a key that a host has before the user of that device
//     agreed to a manifest that says as much, or to not knowing, where none was ever
//     shown; nothing after a no; nothing for a key that the newest manifest that was
//     shown does not list;
//   - the label has every host of the newest manifest that was shown, and in state
//     CURRENT nothing else;
//   - nothing that was made up is believed;
//   - what is received is delivered, whatever it says;
//   - a text that was refused goes through after a yes, and is read once on each device
//     it is for; in the end everybody can write to everybody.
package market

import (
	"fmt"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// Walk is one market after the other.
func Walk() *testutil.Walk {
	return &testutil.Walk{
		Name: "market", Steps: 300,
		Begin: func(t testing.TB, seed uint64, count map[string]int) (step, finish func(), story func() string) {
			w := newWorld(t, seed, count)
			return w.step, w.finish, func() string { return "\n" + w.story() }
		},
		Line: func(count map[string]int) string {
			return fmt.Sprintf("%d texts to hosted keys, %d to others, %d read, %d refused, %d times yes, %d manifests, %d lies",
				count["to a hosted key"], count["to another key"], count["read"], count["refused"], count["yes"], count["manifests"], count["lies"])
		},
	}
}

// Steps has n steps done that follow from seed, and all come to an end, and returns
// what came of it.
func Steps(t testing.TB, n int, seed uint64) map[string]int {
	t.Helper()
	w := newWorld(t, seed, map[string]int{})
	defer func() {
		if t.Failed() {
			t.Logf("seed %d\n%s", seed, w.story())
		}
	}()
	for range n {
		w.step()
	}
	w.finish()
	return w.count
}

// Everything is what happens when there are many steps.
var Everything = []string{"to a hosted key", "to another key", "read", "refused", "yes", "no", "wrong token", "manifests", "moved", "lies",
	"group texts", "answers", "renewed late", "put back", "forks", "to one device", "told in a message", "reconciled", "asked", "sent again", "came twice", "refreshed"}
