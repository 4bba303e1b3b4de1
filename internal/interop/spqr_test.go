package interop_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// A follower does with ratchet/spqr, from the state that the official library
// stored before, what the official library did, and requires the same bytes.
type follower struct {
	t          *testing.T
	sent, read [12]int // steps by the number of the state before
	moves      map[[2]byte]int
}

// stateOf returns the SPQR state of a record's current session, read into both
// forms, after it was parsed and written again to the same bytes.
func (f *follower) stateOf(record []byte) (stored []byte, s *spqr.State, w *wire.SPQRState) {
	rec, err := wire.ParseSessionRecord(record)
	require.NoError(f.t, err)
	current, err := wire.ParseSession(rec.Current)
	require.NoError(f.t, err)
	s, err = spqr.Parse(current.PQRatchet)
	require.NoError(f.t, err)
	require.True(f.t, s.Enabled())
	require.Equal(f.t, current.PQRatchet, s.Append(nil))
	w = new(wire.SPQRState)
	require.NoError(f.t, w.Parse(current.PQRatchet))
	return current.PQRatchet, s, w
}

// message returns the SPQR message in a message.
func (f *follower) message(m interop.Message) []byte {
	b := []byte(m.Bytes)
	if m.Type == interop.PreKey {
		outer, err := wire.ParsePreKeySignalMessage(b)
		require.NoError(f.t, err)
		b = outer.MessageBytes
	}
	inner, err := wire.ParseSignalMessage(b)
	require.NoError(f.t, err)
	return inner.PQRatchet
}

// onSent repeats a send. Where the official library drew the 32 bytes of an
// encapsulation, they are in the state after and are drawn here again. The seed
// of a key pair is in no state: of that step all but the key pair is compared.
func (f *follower) onSent(_ int, m interop.Message, before, after []byte) {
	_, s, w := f.stateOf(before)
	stored, _, then := f.stateOf(after)
	from := w.Machine.State
	f.sent[from]++
	f.moves[[2]byte{from, then.Machine.State}]++
	if from == wire.SPQRHeaderReceived {
		coins := then.Machine.Parts[1][2048:] // m, at the end of the encapsulation state
		defer func(r interface{ Read([]byte) (int, error) }) { rand.Reader = r }(rand.Reader)
		rand.Reader = bytes.NewReader(coins)
	}
	next, msg, key, err := s.Send()
	require.NoError(f.t, err)
	require.Equal(f.t, key == nil, keyless(w))
	if from != wire.SPQRKeysUnsampled {
		require.Equal(f.t, f.message(m), msg, "sent in state %d", from)
		require.Equal(f.t, stored, next.Append(nil), "after a send in state %d", from)
		return
	}
	n := f.fields(next)
	require.Equal(f.t, then.Machine.State, n.Machine.State)
	require.Equal(f.t, then.Machine.Epoch, n.Machine.Epoch)
	require.Equal(f.t, then.Machine.RootKey, n.Machine.RootKey)
	require.Equal(f.t, then.Machine.MACKey, n.Machine.MACKey)
	require.Equal(f.t, then.Chain, n.Chain)
	require.Equal(f.t, then.Negotiation, n.Negotiation)
	theirs := f.message(m)
	require.Equal(f.t, theirs[:len(theirs)-32], msg[:len(msg)-32]) // all but the chunk
}

func (f *follower) fields(s *spqr.State) *wire.SPQRState {
	w := new(wire.SPQRState)
	require.NoError(f.t, w.Parse(s.Append(nil)))
	return w
}

// onRead repeats a receive. What is received first is received in no state: the
// session begins with it.
func (f *follower) onRead(_ int, m interop.Message, _ string, before, after []byte) {
	stored, _, then := f.stateOf(after)
	if before == nil {
		return
	}
	_, s, w := f.stateOf(before)
	from := w.Machine.State
	f.read[from]++
	f.moves[[2]byte{from, then.Machine.State}]++
	var msg wire.SPQRMessage
	_, err := msg.ParsePreamble(f.message(m))
	require.NoError(f.t, err)
	_, err = s.Check(f.message(m))
	if msg.Index == 0 && !keyless(w) { // a second message of a release before 0.92: a divergence
		require.ErrorIs(f.t, err, spqr.ErrAuth)
		return
	}
	require.NoError(f.t, err)
	next, key, err := s.Recv(f.message(m))
	require.NoError(f.t, err, "received in state %d", from)
	require.True(f.t, key != nil || keyless(w))
	require.Equal(f.t, stored, next.Append(nil), "after a receive in state %d", from)
	if key != nil {
		_, _, err = next.Recv(f.message(m))
		require.Error(f.t, err, "a key is given out once")
	}
}

// keyless says whether a session may still be without keys, as those of releases
// before 0.92 are until both sides have received.
func keyless(w *wire.SPQRState) bool {
	return w.HasNegotiation && w.Negotiation.MinVersion == 0
}

// The state in every record of the official library is parsed and written again
// to the same bytes, and every step of it is repeated here to the same bytes:
// in strict turns, on a bad network, and with one side far more talkative than
// the other, which takes the key agreement through all of its eleven states.
func TestInteropSPQRStates(t *testing.T) {
	p := interop.Start(t)
	r := random(t)
	f := &follower{t: t, moves: make(map[[2]byte]int)}
	start := func(o interop.BundleOptions) *conversation {
		c := meet(t, p, r, [2]string{aliceName, bobName}, o)
		c.sent, c.read = f.onSent, f.onRead
		return c
	}
	start(interop.BundleOptions{OneTime: true}).roundTrips(max(100, cases(200)))
	start(interop.BundleOptions{}).storm(cases(3000), 60)
	for talker := range 2 {
		c := start(interop.BundleOptions{})
		c.roundTrips(2)
		for range max(40, cases(80)) {
			c.say(talker, 3)
			c.say(1-talker, 1)
		}
	}
	// The last chunk of ek comes with the news that ct1 is complete.
	c := start(interop.BundleOptions{})
	for i, n := range []int{3, 1, 35, 29, 1} {
		c.say(i%2, n)
	}
	t.Logf("sends by state: %v, receives by state: %v", f.sent[1:], f.read[1:])
	for state := 1; state <= 11; state++ {
		require.NotZero(t, f.sent[state], "no send in state %d", state)
		require.NotZero(t, f.read[state], "no receive in state %d", state)
	}
	for _, move := range [][2]byte{ // every arrow of spec/spqr.md, Sections 5.3 and 5.4
		{wire.SPQRKeysUnsampled, wire.SPQRKeysSampled}, {wire.SPQRKeysSampled, wire.SPQRHeaderSent},
		{wire.SPQRHeaderSent, wire.SPQRCt1Received}, {wire.SPQRCt1Received, wire.SPQREkSentCt1Received},
		{wire.SPQREkSentCt1Received, wire.SPQRNoHeaderReceived}, {wire.SPQRNoHeaderReceived, wire.SPQRHeaderReceived},
		{wire.SPQRHeaderReceived, wire.SPQRCt1Sampled}, {wire.SPQRCt1Sampled, wire.SPQRCt1Acknowledged},
		{wire.SPQRCt1Sampled, wire.SPQREkReceivedCt1Sampled}, {wire.SPQRCt1Acknowledged, wire.SPQRCt2Sampled},
		{wire.SPQREkReceivedCt1Sampled, wire.SPQRCt2Sampled}, {wire.SPQRCt1Sampled, wire.SPQRCt2Sampled},
		{wire.SPQRCt2Sampled, wire.SPQRKeysUnsampled},
	} {
		require.NotZero(t, f.moves[move], "no move from state %d to %d", move[0], move[1])
	}
}
