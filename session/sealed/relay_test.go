package sealed_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A hostileRelay has envelopes, and gives them to whom it likes, when it likes and
// as often as it likes.
type hostileRelay struct {
	*circle
	r    *rand.Rand
	held []*held
}

// A held is one envelope.
type held struct {
	from, to *party
	sending  *session.Sending
	envelope []byte
	body     string
	read     bool
	acked    bool
}

// takes keeps the envelopes of a Sending.
func (h *hostileRelay) takes(t testing.TB, from *party, s *session.Sending, body string) {
	t.Helper()
	sent := envelopes(t, s)
	for _, to := range h.all {
		if e := sent[to.Address()]; e != nil {
			h.held = append(h.held, &held{from: from, to: to, sending: s, envelope: e, body: body})
		}
	}
	require.NoError(t, from.groups.Accept(ctx, s))
}

// write has somebody write to somebody, or to the group.
func (h *hostileRelay) write(t testing.TB, n int) {
	t.Helper()
	from, to := h.all[h.r.IntN(len(h.all))], h.all[h.r.IntN(len(h.all))]
	body := fmt.Sprint("message ", n)
	c := &session.Content{Body: []byte(body)}
	if to.Address().User != from.Address().User && h.r.IntN(2) == 0 {
		s, err := from.Send(ctx, []string{to.Address().User}, c, from.sealing(""))
		require.NoError(t, err)
		h.takes(t, from, s, body)
		return
	}
	s, err := from.groups.Distribute(ctx, friends, from.sealing(friends))
	require.NoError(t, err)
	if s != nil {
		h.takes(t, from, s, "")
	}
	h.takes(t, from, h.sends(t, from, body), body)
}

// deliver gives somebody an envelope.
func (h *hostileRelay) deliver(t testing.TB, e *held, to *party) {
	t.Helper()
	for _, same := range h.held { // that all devices of a user get alike
		if same.to == to && bytes.Equal(same.envelope, e.envelope) {
			e = same
		}
	}
	if to != e.to && !to.Identity().Equal(e.to.Identity()) {
		r, err := to.refuses(t, h.world, e.envelope)
		require.Equal(t, session.ErrAuth, err)
		require.Nil(t, r)
		return
	}
	r, err := to.receiver.Open(ctx, e.envelope, h.world.now, nil)
	switch {
	case to != e.to: // of the same account: what is inside is not for it
		require.Error(t, err)
	case e.acked:
		require.ErrorIs(t, err, session.ErrDuplicate)
	case err != nil: // the sender key is still to come, but not more than that
		require.ErrorIs(t, err, group.ErrNoSenderKey)
		require.Equal(t, e.from.Address(), r.From)
	default:
		require.Equal(t, e.from.Address(), r.From)
		require.True(t, r.Identity.Equal(e.from.Identity()))
		require.Equal(t, e.body, string(r.Content.Body))
		require.Equal(t, e.read, r.Redelivered)
		if e.read = true; h.r.IntN(2) == 0 {
			require.NoError(t, to.Acknowledge(ctx, r.Received))
			e.acked = true
		}
	}
}

// asks has an envelope answered that cannot be read.
func (h *hostileRelay) asks(t testing.TB, e *held) {
	t.Helper()
	lost, cause := e.to.refuses(t, h.world, e.envelope)
	require.ErrorIs(t, cause, group.ErrNoSenderKey)
	e.to.opens(t, h.world, h.asksAgain(t, e.to, e.from, lost, e.sending, cause), e.body)
}

// Whatever a relay does with envelopes, who they are for reads each once, from the
// one who sent it, and nobody else learns anything.
func TestOpenHostileRelay(t *testing.T) {
	steps, seed := 400, rand.Uint64()
	if testing.Short() {
		steps = 40
	}
	c := circleOf(t, aliceID, "budi", carolID)
	h := &hostileRelay{circle: c, r: rand.New(rand.NewPCG(seed, 0))}
	defer func() {
		if t.Failed() {
			t.Log("seed ", seed)
		}
	}()
	for n := range steps {
		if len(h.held) == 0 || h.r.IntN(8) == 0 {
			h.write(t, n)
			continue
		}
		e := h.held[h.r.IntN(len(h.held))]
		switch h.r.IntN(4) {
		case 0: // to anybody
			h.deliver(t, e, h.all[h.r.IntN(len(h.all))])
		case 1: // changed
			changed := bytes.Clone(e.envelope)
			changed[1+h.r.IntN(len(changed)-1)] ^= 1 << h.r.IntN(8)
			_, err := e.to.refuses(t, h.world, changed)
			require.Error(t, err)
		default:
			h.deliver(t, e, e.to)
		}
	}
	for range 2 { // sender keys that were to come have come then
		for _, e := range h.held {
			h.deliver(t, e, e.to)
		}
	}
	for _, e := range h.held {
		if !e.read { // one from before the sender key that came first
			h.asks(t, e)
		}
	}
}
