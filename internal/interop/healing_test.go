package interop_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A healing is a device of gembok and one of the official library, to which all
// happens that can happen to sessions.
type healing struct {
	*town
	gembok, official *citizen
	store            keystore.Store // an old copy of gembok's; nil: none
	record           []byte         // an old session of the official one's
	asked, lost      int
}

// Sessions are archived, lost, and put back to what they were, on either side or
// both, with messages on their way; in at most two round trips, with the requests
// that failures lead to, both read each other again.
func TestInteropHealing(t *testing.T) {
	w := newTown(t, interop.Share(t), true)
	h := &healing{town: w,
		gembok:   w.move(session.Address{User: "ani", Device: 1}, keys.GenerateIdentityKeyPair(), false),
		official: w.move(session.Address{User: "budi", Device: 1}, keys.GenerateIdentityKeyPair(), true)}
	r := random(t)
	h.roundTrip(true)
	for i := range cases(60) {
		w.later += 2 * time.Hour // past the limit of resets
		for range 1 + r.IntN(3) {
			h.strike(r.IntN(8))
		}
		h.roundTrip(false)
		h.roundTrip(false)
		for range 2 {
			require.True(t, h.roundTrip(true), "not healed after strike %d", i)
		}
	}
	require.Positive(t, h.asked)
	t.Logf("%d asked, %d lost", h.asked, h.lost)
}

// strike does one thing to a side.
func (h *healing) strike(what int) {
	t := h.t
	switch what {
	case 0:
		if err := h.gembok.device.Archive(context.Background(), h.official.address); err != nil {
			require.ErrorIs(t, err, session.ErrNoSession)
		}
	case 1:
		require.NoError(t, h.official.party.Archive(h.gembok.remote()))
	case 2:
		require.NoError(t, h.official.party.SetSession(h.gembok.remote(), nil))
	case 3:
		h.gembok.forget()
	case 4:
		h.store = copyOf(t, h.gembok.store)
		var err error
		h.record, err = h.official.party.Session(h.gembok.remote())
		require.NoError(t, err)
	case 5:
		if h.store != nil {
			h.gembok.restore(copyOf(t, h.store))
		}
	case 6:
		require.NoError(t, h.official.party.SetSession(h.gembok.remote(), h.record))
	case 7: // messages on their way are lost
		h.gembok.say("never arrives", "budi")
		h.official.say("never arrives", "ani")
	}
}

// restore has a device of gembok work on another store.
func (c *citizen) restore(store keystore.Store) {
	var err error
	c.store = store
	c.device, err = session.Open(context.Background(), store, c.address, c.options())
	require.NoError(c.town.t, err)
}

// copyOf copies a store.
func copyOf(t *testing.T, s keystore.Store) keystore.Store {
	t.Helper()
	var changes []keystore.Change
	for r, err := range s.List(context.Background(), "", "", "") {
		require.NoError(t, err)
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	out := keystore.NewMemory()
	_, err := out.Commit(context.Background(), changes...)
	require.NoError(t, err)
	return out
}

// roundTrip has each side say something to the other, and ask for what it cannot
// read. It reports whether both read it, which they must when well is set,
// without asking.
func (h *healing) roundTrip(well bool) bool {
	return h.toOfficial(well) && h.toGembok(well)
}

func (h *healing) toOfficial(well bool) bool {
	h.clock++
	text := fmt.Sprint("letter ", h.clock)
	m := mailTo(h.t, h.gembok.say(text, "budi"), "budi", 1)
	got, err := h.read(m)
	if err != nil && !well && !duplicate(err) {
		h.asked++
		got, err = h.read(h.gembok.resend(h.official, h.official.asks(m)))
	}
	return h.outcome(got, text, err, well)
}

func (h *healing) toGembok(well bool) bool {
	h.clock++
	text := fmt.Sprint("letter ", h.clock)
	m := mailTo(h.t, h.official.say(text, "ani"), "ani", 1)
	got, err := h.read(m)
	if err != nil && !well && session.ReasonOf(err) != 0 {
		h.asked++
		asked := h.gembok.fails(m, session.ReasonOf(err))
		r, err := h.official.party.ReadRetry(h.gembok.remote(), asked)
		require.NoError(h.t, err)
		if r.Current {
			require.NoError(h.t, h.official.party.Archive(h.gembok.remote()))
		}
		got, err = h.read(h.official.mailTo(h.gembok.address, r.SentAt, text, "ani"))
		return h.outcome(got, text, err, well)
	}
	return h.outcome(got, text, err, well)
}

// outcome is whether a message was read. What a side that was put back to an old
// state sends for the second time with the same counter is a duplicate, for which
// nobody asks.
func (h *healing) outcome(got said, text string, err error, well bool) bool {
	h.t.Helper()
	if err != nil && !well {
		require.True(h.t, duplicate(err), "%v", err)
		h.lost++
		return false
	}
	require.NoError(h.t, err)
	require.Equal(h.t, text, got.text)
	return true
}

func duplicate(err error) bool {
	theirs, ok := errors.AsType[*interop.PeerError](err)
	return errors.Is(err, session.ErrDuplicate) || ok && theirs.Name == "DuplicatedMessage"
}
