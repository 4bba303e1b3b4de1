package spqr_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

func TestNew(t *testing.T) {
	key := [32]byte{1, 2, 3}
	s := spqr.New(&key, true, 0)
	require.True(t, s.Enabled())
	b := s.Append(nil)
	require.Len(t, b, 118)
	require.Len(t, spqr.New(&key, false, 0).Append(nil), 158)
	require.Equal(t, b, spqr.New(&key, true, 25000).Append(nil), "a default is stored as 0")
	key = [32]byte{}
	require.Equal(t, b, s.Append(nil), "the key is copied")

	self := spqr.New(&key, false, math.MaxUint32)
	var w wire.SPQRState
	require.NoError(t, w.Parse(self.Append(nil)))
	require.Equal(t, uint32(math.MaxUint32), w.Negotiation.Params.MaxJump)
	require.Zero(t, w.Negotiation.Params.MaxKept)
	steps, err := self.Check(message(1, 1, math.MaxUint32))
	require.NoError(t, err)
	require.Equal(t, min(uint64(math.MaxUint32), math.MaxInt), uint64(steps))
	prefix := []byte{1, 2, 3}
	require.Equal(t, append(prefix, b...), parse(t, b).Append(prefix))
}

func TestCheckSteps(t *testing.T) {
	_, b := storedAt(t, 3)
	s := parse(t, b.stored)
	for index, steps := range map[uint32]int{4: 1, 5: 2, 1003: 1000, 25003: 25000} {
		got, err := s.Check(message(1, 1, index))
		require.NoError(t, err)
		require.Equal(t, steps, got)
	}
	next, _ := take(t, b.stored, message(1, 1, 10))
	got, err := parse(t, next).Check(message(1, 1, 7))
	require.NoError(t, err)
	require.Zero(t, got, "a kept key takes none")
	requireRefused(t, b.stored, message(1, 1, 25004), spqr.ErrJump)
	requireRefused(t, b.stored, message(1, 1, 3), spqr.ErrUsed)
}

// The key of the handshake goes with the first message that is received.
func TestRAT_15_HandshakeKeyIsForgotten(t *testing.T) {
	key := [32]byte{1, 2, 3}
	a, b := spqr.New(&key, true, 0), spqr.New(&key, false, 0)
	_, msg, _, err := a.Send()
	require.NoError(t, err)
	next, _, err := b.Recv(msg)
	require.NoError(t, err)
	require.Zero(t, next.AuthKey())
	require.Equal(t, key, b.AuthKey(), "b is a value")
}

// TestSPQR_05_StoredStates gives Parse states that no run of the protocol makes.
func TestSPQR_05_StoredStates(t *testing.T) {
	half := func(w *wire.SPQRState) *wire.SPQRHalf { return &w.Chain.Links[w.Chain.LinkCount-1].Recv }
	cases := map[string]func(*wire.SPQRState){
		"machine epoch 0":          func(w *wire.SPQRState) { w.Machine.Epoch = 0 },
		"machine an epoch ahead":   func(w *wire.SPQRState) { w.Machine.Epoch++ },
		"machine two epochs ahead": func(w *wire.SPQRState) { w.Machine.Epoch += 2 },
		"machine an epoch behind":  func(w *wire.SPQRState) { w.Machine.Epoch-- },
		"other side's epoch":       func(w *wire.SPQRState) { w.Chain.Direction ^= 1 },
		"direction 2":              func(w *wire.SPQRState) { w.Chain.Direction = 2 },
		"no chain":                 func(w *wire.SPQRState) { w.HasChain = false },
		"no links":                 func(w *wire.SPQRState) { w.Chain.LinkCount = 0 },
		"more links than epochs": func(w *wire.SPQRState) {
			w.Chain.CurrentEpoch, w.Chain.SendEpoch, w.Machine.Epoch = 0, 0, 1
			w.Chain.Links[1] = w.Chain.Links[0]
			w.Chain.LinkCount = 2
		},
		"sending ahead":     func(w *wire.SPQRState) { w.Chain.SendEpoch += 2 },
		"sending far ahead": func(w *wire.SPQRState) { w.Chain.SendEpoch = math.MaxUint64 },
		"sending behind":    func(w *wire.SPQRState) { w.Chain.SendEpoch -= 2 },
		"root of 31":        func(w *wire.SPQRState) { w.Chain.NextRoot = w.Chain.NextRoot[:31] },
		"no root":           func(w *wire.SPQRState) { w.Chain.NextRoot = nil },
		"keeping too much":  func(w *wire.SPQRState) { w.Chain.Params.MaxKept = 1<<16 + 1 },
		"next of 31":        func(w *wire.SPQRState) { half(w).Next = half(w).Next[:31] },
		"next of 33":        func(w *wire.SPQRState) { half(w).Next = append(bytes.Clone(half(w).Next), 0) },
		"no next":           func(w *wire.SPQRState) { half(w).Next = nil },
		"history of 35":     func(w *wire.SPQRState) { half(w).History = make([]byte, 35) },
		"history of 37":     func(w *wire.SPQRState) { half(w).History = make([]byte, 37) },
		"history too long":  func(w *wire.SPQRState) { half(w).History = make([]byte, 2202*36) },
		"nothing to send with": func(w *wire.SPQRState) {
			for i := range w.Chain.LinkCount {
				w.Chain.Links[i].Send.Next = nil
			}
		},
		"authenticator":  func(w *wire.SPQRState) { w.Machine.RootKey = w.Machine.RootKey[1:] },
		"no machine key": func(w *wire.SPQRState) { w.Machine.MACKey = nil },
	}
	for _, rounds := range []int{43, 60, 100} {
		a, b := storedAt(t, rounds)
		for _, p := range []*party{a, b} {
			for name, change := range cases {
				bad := edit(t, p.stored, change)
				require.NotEqual(t, p.stored, bad, name)
				_, err := spqr.Parse(bad)
				require.ErrorIs(t, err, spqr.ErrCorrupt, "round %d, %s: %s", rounds, p.state(), name)
			}
			_, err := spqr.Parse(edit(t, p.stored, func(w *wire.SPQRState) { half(w).History = make([]byte, 2200*36) }))
			require.NoError(t, err)
		}
	}
	a, _ := storedAt(t, 0)
	for name, change := range map[string]func(*wire.SPQRState){
		"auth key of 31":                func(w *wire.SPQRState) { w.Negotiation.AuthKey = w.Negotiation.AuthKey[:31] },
		"no auth key":                   func(w *wire.SPQRState) { w.Negotiation.AuthKey = nil },
		"direction 2":                   func(w *wire.SPQRState) { w.Negotiation.Direction = 2 },
		"direction B to A":              func(w *wire.SPQRState) { w.Negotiation.Direction = 1 },
		"minimum 2":                     func(w *wire.SPQRState) { w.Negotiation.MinVersion = 2 },
		"neither chain nor negotiation": func(w *wire.SPQRState) { w.HasNegotiation = false },
		"epoch 3":                       func(w *wire.SPQRState) { w.Machine.Epoch = 3 },
	} {
		_, err := spqr.Parse(edit(t, a.stored, change))
		require.ErrorIs(t, err, spqr.ErrCorrupt, name)
	}
	msg, _ := a.send() // now with a chain
	require.NotEmpty(t, msg)
	for name, change := range map[string]func(*wire.SPQRState){
		"two directions": func(w *wire.SPQRState) { w.Negotiation.Direction = 1 },
		"chain of B":     func(w *wire.SPQRState) { w.Negotiation.Direction, w.Chain.Direction = 1, 1 },
	} {
		_, err := spqr.Parse(edit(t, a.stored, change))
		require.ErrorIs(t, err, spqr.ErrCorrupt, name)
	}
	for n := range len(a.stored) { // every truncation
		if n == 0 {
			continue
		}
		if s, err := spqr.Parse(a.stored[:n]); err != nil {
			require.ErrorIs(t, err, spqr.ErrCorrupt)
		} else {
			require.False(t, s.Enabled(), "only parts that come before the machine")
		}
	}
}

// TestSPQR_05_MissingParts leaves out sub-messages that are always there.
func TestSPQR_05_MissingParts(t *testing.T) {
	field := func(num protowire.Number, parts ...[]byte) []byte {
		b := protowire.AppendTag(nil, num, protowire.BytesType)
		return protowire.AppendBytes(b, bytes.Join(parts, nil))
	}
	key := field(1, make([]byte, 32))
	machine := field(3, field(1, field(1, []byte{8, 1}, field(2, key, field(2, make([]byte, 32))))))
	half := field(2, make([]byte, 32)) // next
	link := field(3, field(1, half), field(2, half))
	root, params := field(4, make([]byte, 32)), []byte{0x32, 0}
	negotiation := field(1, key, []byte{0x18, 1, 0x22, 0})

	for name, c := range map[string]struct {
		ok     bool
		stored [][]byte
	}{
		"negotiation":           {true, [][]byte{negotiation, machine}},
		"chain":                 {true, [][]byte{field(2, link, root, params), machine}},
		"both":                  {true, [][]byte{negotiation, field(2, link, root, params), machine}},
		"other order":           {true, [][]byte{machine, field(2, params, root, link), negotiation}},
		"negotiation, no limit": {false, [][]byte{field(1, key, []byte{0x18, 1}), machine}},
		"chain, no limit":       {false, [][]byte{field(2, link, root), machine}},
		"no send":               {false, [][]byte{field(2, field(3, field(2, half)), root, params), machine}},
		"no recv":               {false, [][]byte{field(2, field(3, field(1, half)), root, params), machine}},
		"empty recv":            {false, [][]byte{field(2, field(3, field(1, half), field(2)), root, params), machine}},
		"no link":               {false, [][]byte{field(2, root, params), machine}},
		"no state":              {false, [][]byte{negotiation, field(3)}},
		"no core":               {false, [][]byte{negotiation, field(3, field(1))}},
		"no authenticator":      {false, [][]byte{negotiation, field(3, field(1, field(1, []byte{8, 1})))}},
		"no encoder":            {false, [][]byte{negotiation, field(3, field(2, field(1, []byte{8, 1})))}},
		"garbage":               {false, [][]byte{{0xFF}, negotiation, machine}},
	} {
		s, err := spqr.Parse(bytes.Join(c.stored, nil))
		if !c.ok {
			require.ErrorIs(t, err, spqr.ErrCorrupt, name)
			require.Nil(t, s, name)
			continue
		}
		require.NoError(t, err, name)
		_, _, _, err = s.Send()
		require.NoError(t, err, name)
	}
}

// TestSPQR_07_WrongPeer: a peer whose header or ciphertext is wrong is refused
// with each message that completes it; others still have their keys.
func TestSPQR_07_WrongPeer(t *testing.T) {
	for name, c := range map[string]struct {
		rounds int
		wrong  func(w *wire.SPQRState) // what the peer, A or B, has wrong
		by     string
	}{
		"header": {1, func(w *wire.SPQRState) { w.Machine.Encoder.Points.Row(3)[4] ^= 1 }, "A"},
		"ct2":    {39, func(w *wire.SPQRState) { w.Machine.Encoder.Points.Row(3)[8] ^= 1 }, "B"},
	} {
		a, b := storedAt(t, c.rounds)
		bad, good := a, b
		if c.by == "B" {
			bad, good = b, a
		}
		bad.stored = edit(t, bad.stored, c.wrong)
		refused := 0
		for range 12 {
			msg, key := bad.send()
			s := parse(t, good.stored)
			next, got, err := s.Recv(msg)
			if err != nil {
				require.ErrorIs(t, err, spqr.ErrAuth, name)
				requireRecvRefused(t, good.stored, msg, spqr.ErrAuth)
				refused++
			} else {
				require.Equal(t, key, got[:], name)
				good.stored = next.Append(nil)
			}
			msg, key = good.send()
			require.Equal(t, key, bad.recv(msg), "the other way all is well")
		}
		require.Greater(t, refused, 5, name)
	}
}

// requireRecvRefused is requireRefused for what Check cannot see.
func requireRecvRefused(t testing.TB, stored, msg []byte, class error) {
	t.Helper()
	s := parse(t, stored)
	_, err := s.Check(msg)
	require.NoError(t, err)
	next, key, err := s.Recv(msg)
	require.ErrorIs(t, err, class)
	require.Nil(t, next)
	require.Nil(t, key)
	require.Equal(t, stored, s.Append(nil))
}

// TestKEM_11_WrongKey: a peer that sends the ek of another key.
func TestKEM_11_WrongKey(t *testing.T) {
	a, b := storedAt(t, 2)
	a.stored = edit(t, a.stored, func(w *wire.SPQRState) { w.Machine.Parts[0][100] ^= 1 })
	refused := 0
	for range 60 {
		msg, key := a.send()
		if next, got, err := parse(t, b.stored).Recv(msg); err == nil {
			require.Equal(t, key, got[:])
			b.stored = next.Append(nil)
		} else {
			requireRecvRefused(t, b.stored, msg, spqr.ErrAuth)
			refused++
		}
		msg, key = b.send()
		require.Equal(t, key, a.recv(msg))
	}
	require.Equal(t, uint64(1), parse(t, b.stored).Epoch())
	require.Greater(t, refused, 10)
}

// TestKEM_10_ByteOrder: the conversation of the vectors goes on unchanged from a
// state with es in the other byte order.
func TestKEM_10_ByteOrder(t *testing.T) {
	v := readVectors(t).Conversation
	a := &party{t, v.Rounds[32].AState, stream("unused")}
	b := &party{t, v.Rounds[32].BState, stream("unused")}
	require.Equal(t, "Ct1Acknowledged", b.state())
	b.stored = edit(t, b.stored, func(w *wire.SPQRState) {
		es := w.Machine.Parts[1]
		for i := 0; i < 2048; i += 2 {
			es[i], es[i+1] = es[i+1], es[i]
		}
	})
	for _, r := range v.Rounds[33:43] {
		msg, key := a.send()
		require.Equal(t, []byte(r.A2B), msg)
		require.Equal(t, key, b.recv(msg))
		msg, _ = b.send()
		require.Equal(t, []byte(r.B2A), msg)
		require.Equal(t, []byte(r.B2AKey), a.recv(msg))
	}
	require.Equal(t, []byte(v.Rounds[42].AState), a.stored)
	require.Equal(t, []byte(v.Rounds[42].BState), b.stored)
}

// TestSPQR_08_NothingKept: what Recv made of a message that proves false is
// dropped, and nothing is left of it.
func TestSPQR_08_NothingKept(t *testing.T) {
	for _, rounds := range []int{2, 3, 32, 38, 42, 43} {
		a, b := storedAt(t, rounds)
		msg, key := a.send()
		s, kept := parse(t, b.stored), bytes.Clone(b.stored)
		for i := range 64 { // any chunk, any index of a key
			forged := parseMessage(t, msg)
			forged.Index += uint32(i % 8)
			forged.Chunk[i%32] ^= byte(1 + i)
			s.Recv(forged.Append(nil))
			require.Equal(t, kept, s.Append(nil))
			require.Equal(t, kept, b.stored)
		}
		next, got, err := s.Recv(msg)
		require.NoError(t, err)
		require.Equal(t, key, got[:])
		want, _ := take(t, kept, msg)
		require.Equal(t, want, next.Append(nil))
	}
}

// TestSPQR_09_SendFromOldState: only who keeps the next state moves on; a state
// sends with one index.
func TestSPQR_09_SendFromOldState(t *testing.T) {
	a, _ := storedAt(t, 10)
	s := parse(t, a.stored)
	_, first, key, err := s.Send()
	require.NoError(t, err)
	next, again, same, err := s.Send()
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, key, same)
	_, other, fresh, err := next.Send()
	require.NoError(t, err)
	require.Equal(t, parseMessage(t, first).Index+1, parseMessage(t, other).Index)
	require.NotEqual(t, key, fresh)
}

// TestOVF_05_LastEpoch: two sides that have come to the last epoch there is; what
// would end it is refused.
func TestOVF_05_LastEpoch(t *testing.T) {
	a, b := storedAt(t, 0)
	last := func(w *wire.SPQRState) {
		c := spqr.NewChain((*[32]byte)(w.Negotiation.AuthKey), w.Negotiation.Direction == 0, 25000, 2000)
		w.Machine.Epoch = math.MaxUint64
		w.Chain, w.HasChain, w.HasNegotiation = *c.Stored(), true, false
		w.Chain.CurrentEpoch, w.Chain.SendEpoch = math.MaxUint64-1, math.MaxUint64-1
	}
	a.stored, b.stored = edit(t, a.stored, last), edit(t, b.stored, last)
	for range 42 {
		msg, key := a.send()
		require.Equal(t, key, b.recv(msg))
		msg, key = b.send()
		require.Equal(t, key, a.recv(msg))
	}
	require.Equal(t, "EkSentCt1Received", a.state())
	for range 3 {
		msg, _ := b.send()
		require.Equal(t, byte(wire.SPQRCt2), parseMessage(t, msg).Kind)
		requireRecvRefused(t, a.stored, msg, spqr.ErrExhausted)
	}
	msg, key := a.send()
	require.Equal(t, key, b.recv(msg))
	require.Equal(t, "Ct2Sampled", b.state())
}

// TestOVF_01_SendCounter: the last index there is, and no more.
func TestOVF_01_SendCounter(t *testing.T) {
	a, b := storedAt(t, 45)
	set := func(p *party, n uint32, of func(*wire.SPQRLink) *wire.SPQRHalf) {
		p.stored = edit(t, p.stored, func(w *wire.SPQRState) { of(&w.Chain.Links[w.Chain.LinkCount-1]).Counter = n })
	}
	require.Equal(t, "NoHeaderReceived", a.state(), "so that the newest link is the one to send in")
	set(a, math.MaxUint32-1, func(l *wire.SPQRLink) *wire.SPQRHalf { return &l.Send })
	msg, key := a.send()
	require.Equal(t, uint32(math.MaxUint32), parseMessage(t, msg).Index)
	s := parse(t, a.stored)
	next, none, noKey, err := s.Send()
	require.ErrorIs(t, err, spqr.ErrExhausted)
	require.Nil(t, next)
	require.Nil(t, none)
	require.Nil(t, noKey)
	require.Equal(t, a.stored, s.Append(nil))

	b.stored = edit(t, b.stored, func(w *wire.SPQRState) { w.Chain.Links[1].Recv.Counter = math.MaxUint32 - 1 })
	require.NotNil(t, key)
	b.recv(msg)
	requireRefused(t, b.stored, msg, spqr.ErrUsed)
	requireRefused(t, b.stored, message(1, 2, 1), spqr.ErrTrimmed)
}

func TestRedacted(t *testing.T) {
	a, b := storedAt(t, 5)
	for _, p := range []*party{a, b} {
		s := parse(t, p.stored)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			require.Equal(t, "redacted", fmt.Sprintf(verb, s))
		}
		require.Equal(t, "redacted", slog.AnyValue(s).Resolve().String())
		j, err := json.Marshal(s)
		require.NoError(t, err)
		require.JSONEq(t, `"redacted"`, string(j))
	}
}
