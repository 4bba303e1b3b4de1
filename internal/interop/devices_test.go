package interop_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// Two users of whose devices half are gembok's, half the official library's:
// each device says something, and all others read it, first in new sessions and
// then in those.
func TestInteropHalfAndHalf(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		w.everyone("hello", "citra")
		asked := w.total()
		w.everyone("again", "citra")
		w.everyone("once more", "citra")
		require.Equal(t, asked, w.total(), "bundles were fetched for sessions that there are")
		for _, c := range w.ofGembok() {
			for _, user := range []string{"ani", "citra"} {
				p, err := c.device.Peer(context.Background(), user)
				require.NoError(t, err)
				for _, d := range p.Devices {
					require.True(t, d.Stale.IsZero())
					require.Equal(t, w.of(user, d.Device).regID, d.RegistrationID)
				}
			}
		}
	})
}

// total is how many bundles were handed out.
func (w *town) total() (n int) {
	for _, k := range w.asked {
		n += k
	}
	return n
}

// ofGembok are the devices of gembok.
func (w *town) ofGembok() []*citizen {
	var out []*citizen
	for _, user := range []string{"ani", "citra"} {
		for _, a := range w.addresses(user) {
			if c := w.of(user, a.Device); c.device != nil {
				out = append(out, c)
			}
		}
	}
	return out
}

// An official device is added: the server misses a message for it, and gets
// that alone; from then on it is sent to, and answers.
func TestInterop_SES_07_OfficialDeviceAdded(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani := w.of("ani", 1)
		w.deliver(ani.say("before", "citra"), "before", "citra")
		w.move(session.Address{User: "citra", Device: 5}, w.of("citra", 1).identity, true)
		s := ani.send(t, "after", "citra")
		said := w.judge(ani, s, "citra")
		require.Equal(t, []session.Difference{{User: "citra", Missing: []uint32{5}}}, said)
		before := messages(s)
		require.NoError(t, ani.device.Reconcile(context.Background(), s, said...))
		require.Nil(t, w.judge(ani, s, "citra"))
		for to, m := range before {
			require.Same(t, m, messages(s)[to], "what was there is sent as it was")
		}
		require.Len(t, s.Results, len(before)+1)
		require.NoError(t, ani.device.Accept(context.Background(), s))
		w.deliver(ani.post(s), "after", "citra")
		require.Equal(t, []session.Address{{User: "citra", Device: 5}}, ani.events(t, session.DeviceAdded))
		w.both("all", ani, w.of("citra", 5))
	})
}

// An official device is removed: the server does not take a message for it, and
// nothing is sent to it from then on. What it sent before is still read.
func TestInterop_SES_07_OfficialDeviceRemoved(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, gone := w.of("ani", 1), w.of("citra", 4)
		w.both("before", ani, gone)
		late := mailTo(t, gone.say("late", "ani"), "ani", 1)
		w.leave("citra", 4)
		s := ani.send(t, "after", "citra")
		said := w.judge(ani, s, "citra")
		require.Equal(t, []session.Difference{{User: "citra", Extra: []uint32{4}}}, said)
		before := messages(s)
		require.NoError(t, ani.device.Reconcile(context.Background(), s, said...))
		require.Nil(t, w.judge(ani, s, "citra"))
		require.Len(t, s.Results, len(before)-1)
		w.deliver(ani.post(s), "after", "citra")
		require.Equal(t, []session.Address{gone.address}, ani.events(t, session.DeviceRemoved))
		p, err := ani.device.Peer(context.Background(), "citra")
		require.NoError(t, err)
		for _, d := range p.Devices {
			require.Equal(t, d.Device == 4, !d.Stale.IsZero())
		}
		_, err = ani.device.Encrypt(context.Background(), gone.address, nil)
		require.ErrorIs(t, err, session.ErrNoSession, "its session is archived")
		w.reads(late, "late", "ani")
		w.both("all", ani, w.of("citra", 2))
	})
}

// An official device is set up anew, with another registration id: what was
// encrypted for the old one is not taken, and is encrypted anew.
func TestInterop_SES_07_OfficialDeviceSetUpAnew(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, old := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, old)
		renewed := w.move(old.address, old.identity, true)
		require.NotEqual(t, old.regID, renewed.regID)
		s := ani.send(t, "after", "citra")
		said := w.judge(ani, s, "citra")
		require.Equal(t, []session.Difference{{User: "citra", Stale: []uint32{2}}}, said)
		before := messages(s)
		require.NoError(t, ani.device.Reconcile(context.Background(), s, said...))
		require.Nil(t, w.judge(ani, s, "citra"))
		for to, m := range messages(s) {
			require.Equal(t, to == old.address, m != before[to])
		}
		require.Equal(t, session.TypePreKey, messages(s)[old.address].Type)
		w.deliver(ani.post(s), "after", "citra")
		w.everyone("all", "citra")
	})
}

// One that is set up anew writes first: its new session takes the place of the
// old one, and its new registration id counts.
func TestInterop_SES_07_OfficialDeviceSetUpAnewWrites(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		ani, old := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, old)
		renewed := w.move(old.address, old.identity, true)
		letters := renewed.say("new phone", "ani")
		m := mailTo(t, letters, "ani", 1)
		r, err := ani.receive(m)
		require.NoError(t, err)
		require.Len(t, r.Events, 1)
		require.Equal(t, session.SessionRenewed, r.Events[0].Kind)
		w.deliver(letters, "new phone", "ani")
		w.deliver(ani.say("hello again", "citra"), "hello again", "citra")
		w.both("all", ani, renewed)
	})
}

// send is Device.Send, before a server has said anything.
func (c *citizen) send(t *testing.T, text string, users ...string) *session.Sending {
	t.Helper()
	s, err := c.device.Send(context.Background(), users, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	return s
}

// messages are those of a Sending, by device.
func messages(s *session.Sending) map[session.Address]*session.Message {
	out := make(map[session.Address]*session.Message)
	for _, r := range s.Results {
		if r.Message != nil {
			out[r.To] = r.Message
		}
	}
	return out
}

// events takes the events of a kind off, and returns whom they are about.
func (c *citizen) events(t *testing.T, kind session.EventKind) []session.Address {
	t.Helper()
	var out []session.Address
	for e, err := range c.device.Events(context.Background()) {
		require.NoError(t, err)
		if e.Kind == kind {
			out = append(out, e.Address)
			require.NoError(t, c.device.AcknowledgeEvents(context.Background(), e))
		}
	}
	return out
}

// resultFor is the Result for a device.
func resultFor(t *testing.T, s *session.Sending, to session.Address) session.Result {
	t.Helper()
	for _, r := range s.Results {
		if r.To == to {
			return r
		}
	}
	t.Fatalf("no result for %v", to)
	return session.Result{}
}

// A device sends many messages at once while it reads others: each has a time of
// its own, and all are read, in whatever order they come.
func TestInteropManySendsAtOnce(t *testing.T) {
	bothModes(t, func(t *testing.T, w *town) {
		const n = 20
		ani, citra := w.of("ani", 1), w.of("citra", 2)
		w.both("before", ani, citra)
		var inbound []mail
		for i := range n {
			inbound = append(inbound, mailTo(t, citra.say(fmt.Sprint("to ani ", i), "ani"), "ani", 1))
		}
		sent, errs := make([]*session.Sending, n), make([]error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				sent[i], errs[i] = ani.device.Send(context.Background(), []string{"citra"}, &session.Content{Body: fmt.Append(nil, i)}, nil)
			})
			all.Go(func() {
				r, err := ani.receive(inbound[i])
				if err == nil {
					err = ani.device.Acknowledge(context.Background(), r)
				}
				assert.NoError(t, err)
			})
		}
		all.Wait()
		at := make(map[time.Time]bool)
		for _, i := range random(t).Perm(n) {
			require.NoError(t, errs[i])
			at[sent[i].SentAt] = true
			w.deliver(ani.post(sent[i]), fmt.Sprint(i), "citra")
		}
		require.Len(t, at, n)
		w.both("after", ani, citra)
	})
}
