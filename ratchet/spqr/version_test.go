package spqr_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet/spqr"
)

// edit returns the stored state that change has changed.
func edit(t testing.TB, stored []byte, change func(*wire.SPQRState)) []byte {
	t.Helper()
	var w wire.SPQRState
	require.NoError(t, w.Parse(bytes.Clone(stored)))
	change(&w)
	return w.Append(nil)
}

// minimumZero returns stored with minimum version 0.
func minimumZero(t testing.TB, stored []byte) []byte {
	return edit(t, stored, func(w *wire.SPQRState) { w.Negotiation.MinVersion = 0 })
}

// fresh returns the parties of a new session.
func fresh(t testing.TB) (a, b *party) { return storedAt(t, 0) }

// requireRefused requires that Check and Recv refuse msg alike and change
// nothing.
func requireRefused(t testing.TB, stored, msg []byte, class error, what ...any) {
	t.Helper()
	kept := bytes.Clone(stored)
	s := parse(t, stored)
	steps, checkErr := s.Check(msg)
	require.ErrorIs(t, checkErr, class, what...)
	require.Zero(t, steps, what...)
	next, key, err := s.Recv(msg)
	require.Equal(t, checkErr, err, what...)
	require.Nil(t, next, what...)
	require.Nil(t, key, what...)
	require.Equal(t, kept, s.Append(nil), what...)
	require.Equal(t, kept, stored, what...)
}

// take requires that msg is taken and returns the state after it and the key.
func take(t testing.TB, stored, msg []byte, what ...any) (next []byte, key *[32]byte) {
	t.Helper()
	s := parse(t, stored)
	_, err := s.Check(msg)
	require.NoError(t, err, what...)
	n, key, err := s.Recv(msg)
	require.NoError(t, err, what...)
	require.Equal(t, stored, s.Append(nil), what...)
	return n.Append(nil), key
}

// message returns a message with no payload but its kind, None.
func message(version byte, epoch uint64, index uint32) []byte {
	m := wire.SPQRMessage{Version: version, Epoch: epoch, Index: index}
	return m.Append(nil)
}

// TestSPQR_01_VersionTable goes through the rules of spqr.md, Section 6.2, by
// the four kinds of state there are.
func TestSPQR_01_VersionTable(t *testing.T) {
	a, b := fresh(t)
	one, zero := b.stored, minimumZero(t, b.stored)
	msg, _ := a.send()
	settled, key := take(t, one, msg)
	require.NotNil(t, key)
	// Keys of chain epoch 0, as B derives them.
	keys := map[uint32]*[32]byte{}
	for _, i := range []uint32{1, 25000} {
		_, keys[i] = take(t, one, message(1, 1, i))
	}

	const (
		refused  = iota // with class
		disabled        // the next state is empty, no key
		keyed           // the key of that index; machine and negotiation stay
		keyless         // the same without a key
	)
	for _, c := range []struct {
		name   string
		stored []byte
		msg    []byte
		want   int
		class  error
	}{
		{"none: empty", nil, nil, disabled, nil},
		{"none: version 0", nil, message(0, 1, 1), disabled, nil},
		{"none: version 1", nil, message(1, 1, 1), disabled, nil},
		{"none: version 1, no payload", nil, []byte{1, 9, 0}, disabled, nil},
		{"none: version 255", nil, message(255, 1, 0), disabled, nil},
		{"none: no preamble", nil, []byte{0}, refused, spqr.ErrMalformed},
		{"none: epoch 0", nil, []byte{0, 0, 0}, refused, spqr.ErrMalformed},

		{"min 1: empty", one, nil, refused, spqr.ErrVersion},
		{"min 1: version 0", one, message(0, 1, 1), refused, spqr.ErrVersion},
		{"min 1: only 00", one, []byte{0}, refused, spqr.ErrMalformed},
		{"min 1: version 2", one, message(2, 1, 1), keyed, nil},
		{"min 1: version 2, epoch 99", one, message(2, 99, 1), keyed, nil},
		{"min 1: version 2, no payload", one, []byte{2, 1, 1}, keyed, nil},
		{"min 1: version 99, furthest", one, message(0x99, 1, 25000), keyed, nil},
		{"min 1: version 255, too far", one, message(0xFF, 1, 25001), refused, spqr.ErrJump},
		{"min 1: version 2, index 0", one, message(2, 1, 0), refused, spqr.ErrAuth},
		{"min 1: version 1, index 0", one, message(1, 1, 0), refused, spqr.ErrAuth},

		{"min 0: empty", zero, nil, disabled, nil},
		{"min 0: version 0", zero, message(0, 1, 1), disabled, nil},
		{"min 0: version 2", zero, message(2, 1, 1), keyed, nil},
		{"min 0: version 2, index 0", zero, message(2, 1, 0), keyless, nil},
		{"min 0: version 1, epoch 2, index 0", zero, message(1, 2, 0), refused, spqr.ErrAuth},

		{"settled: empty", settled, nil, refused, spqr.ErrVersion},
		{"settled: version 0", settled, message(0, 1, 2), refused, spqr.ErrVersion},
		{"settled: version 2", settled, message(2, 1, 2), refused, spqr.ErrVersion},
		{"settled: version 255", settled, message(255, 1, 2), refused, spqr.ErrVersion},
		{"settled: index 0", settled, message(1, 1, 0), refused, spqr.ErrAuth},
	} {
		if c.want == refused {
			requireRefused(t, c.stored, c.msg, c.class, c.name)
			continue
		}
		next, key := take(t, c.stored, c.msg, c.name)
		switch c.want {
		case disabled:
			require.Empty(t, next, c.name)
			require.Nil(t, key, c.name)
			continue
		case keyless:
			require.Nil(t, key, c.name)
		case keyed:
			require.Equal(t, keys[parseIndex(t, c.msg)], key, c.name)
		}
		var was, is wire.SPQRState
		require.NoError(t, was.Parse(c.stored))
		require.NoError(t, is.Parse(next))
		require.Equal(t, was.Negotiation, is.Negotiation, c.name)
		require.Equal(t, was.Machine, is.Machine, c.name)
		require.True(t, is.HasChain, c.name)
	}
}

func parseIndex(t testing.TB, msg []byte) uint32 {
	var m wire.SPQRMessage
	_, err := m.ParsePreamble(msg)
	require.NoError(t, err)
	return m.Index
}

// TestSPQR_01_HigherVersionThenOurs: what Section 10.8, idea 5, asks for.
func TestSPQR_01_HigherVersionThenOurs(t *testing.T) {
	a, b := fresh(t)
	stored, _ := take(t, b.stored, message(2, 1, 2))
	requireRefused(t, stored, message(2, 1, 2), spqr.ErrUsed)
	requireRefused(t, stored, message(3, 1, 25003), spqr.ErrJump)
	msg, key := a.send()
	stored, got := take(t, stored, msg)
	require.Equal(t, key, got[:], "index 1 was skipped and kept")
	requireRefused(t, stored, message(2, 1, 3), spqr.ErrVersion)
	requireRefused(t, stored, nil, spqr.ErrVersion)
}

// TestSPQR_01_Disabled: a disabled ratchet sends nothing and stays so.
func TestSPQR_01_Disabled(t *testing.T) {
	for _, s := range []*spqr.State{{}, parse(t, nil), parse(t, []byte{})} {
		require.False(t, s.Enabled())
		require.Empty(t, s.Append(nil))
		next, msg, key, err := s.Send()
		require.NoError(t, err)
		require.Empty(t, msg)
		require.Nil(t, key)
		require.False(t, next.Enabled())
		require.Empty(t, next.Append(nil))
	}
	// A state with negotiation but no machine is version 0, too, and has its
	// minimum.
	a, _ := fresh(t)
	stored := edit(t, a.stored, func(w *wire.SPQRState) { w.HasMachine = false })
	require.False(t, parse(t, stored).Enabled())
	requireRefused(t, stored, nil, spqr.ErrVersion)
	next, key := take(t, stored, message(1, 1, 1))
	require.Empty(t, next)
	require.Nil(t, key)
}

// TestMinimumZero: sessions of releases that made them with minimum version 0
// have no keys until something was received, then as all others.
func TestMinimumZero(t *testing.T) {
	a, b := fresh(t)
	a.stored, b.stored = minimumZero(t, a.stored), minimumZero(t, b.stored)
	send := func(p *party) (msg []byte, key *[32]byte) {
		next, msg, key, err := parse(t, p.stored).SendWith(p.draw)
		require.NoError(t, err)
		p.stored = next.Append(nil)
		return msg, key
	}
	msg, key := send(a)
	require.Nil(t, key)
	require.Zero(t, parseMessage(t, msg).Index)
	require.Equal(t, byte(wire.SPQRHdr), parseMessage(t, msg).Kind)
	early, _ := send(a)
	b.stored, key = take(t, b.stored, msg)
	require.Nil(t, key)
	requireRefused(t, b.stored, early, spqr.ErrAuth, "gembok's rule: the negotiation is over")

	reply, key := send(b) // B has received, and has keys
	require.NotNil(t, key)
	require.Equal(t, uint32(1), parseMessage(t, reply).Index)
	var got *[32]byte
	a.stored, got = take(t, a.stored, reply)
	require.Equal(t, key, got)
	msg, key = send(a)
	require.NotNil(t, key)
	require.Equal(t, uint32(1), parseMessage(t, msg).Index)
	b.stored, got = take(t, b.stored, msg)
	require.Equal(t, key, got)
	requireRefused(t, a.stored, nil, spqr.ErrVersion, "no way back to version 0")
}

// TestSPQR_02_IndexZero: no message goes without a key.
func TestSPQR_02_IndexZero(t *testing.T) {
	for rounds := 0; rounds < 7*44; rounds += 11 {
		a, b := storedAt(t, rounds)
		for _, p := range []*party{a, b} {
			for epoch := uint64(1); epoch <= 7; epoch++ {
				for _, trailing := range []int{0, 1, 100} {
					msg := append(message(1, epoch, 0), make([]byte, trailing)...)
					requireRefused(t, p.stored, msg, spqr.ErrAuth, "round %d, epoch %d", rounds, epoch)
				}
			}
			s := parse(t, p.stored)
			_, msg, key, err := s.Send()
			require.NoError(t, err)
			require.NotNil(t, key)
			require.NotZero(t, parseMessage(t, msg).Index)
		}
	}
}

func TestSPQR_03_EpochBounds(t *testing.T) {
	for _, rounds := range []int{0, 1, 20, 33, 40, 43, 44, 90} {
		a, b := storedAt(t, rounds)
		for _, p := range []*party{a, b} {
			own := parse(t, p.stored).Epoch()
			for _, epoch := range []uint64{own + 2, own + 100, 1 << 32, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
				for _, index := range []uint32{1, 1000, math.MaxUint32} {
					requireRefused(t, p.stored, message(1, epoch, index), spqr.ErrEpoch, "round %d", rounds)
				}
			}
			for _, epoch := range [][]byte{
				{0},
				{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7E}, // 0 and bits from the 64th on
				{0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
			} {
				requireRefused(t, p.stored, append(append([]byte{1}, epoch...), 1, 0), spqr.ErrMalformed)
			}
			if p.state() != "Ct2Sampled" {
				requireRefused(t, p.stored, message(1, own+1, 1), spqr.ErrEpoch)
			}
		}
	}
	// Bits from the 64th on are dropped, as the official library does.
	_, b := fresh(t)
	_, want := take(t, b.stored, message(1, 1, 1))
	_, key := take(t, b.stored, []byte{1, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7E, 1, 0})
	require.Equal(t, want, key)
}

func TestSPQR_10_TrailingBytes(t *testing.T) {
	a, b := fresh(t)
	for round := range 50 {
		msg, key := a.send()
		plain, _ := take(t, b.stored, msg)
		for _, n := range []int{1, 100} {
			next, got := take(t, b.stored, append(bytes.Clone(msg), bytes.Repeat([]byte{byte(round)}, n)...))
			require.Equal(t, key, got[:])
			require.Equal(t, plain, next)
		}
		b.stored = plain
		msg, _ = b.send()
		a.recv(msg)
	}
}

// TestClassesDiffer: the classes that callers tell apart.
func TestClassesDiffer(t *testing.T) {
	classes := []error{
		spqr.ErrCorrupt, spqr.ErrMalformed, spqr.ErrVersion, spqr.ErrEpoch, spqr.ErrJump,
		spqr.ErrTrimmed, spqr.ErrUsed, spqr.ErrAuth, spqr.ErrExhausted,
	}
	for i, a := range classes {
		for j, b := range classes {
			require.Equal(t, i == j, errors.Is(a, b), fmt.Sprint(a, " / ", b))
		}
	}
	require.ErrorIs(t, spqr.ErrAuth, wire.ErrAuth)
}
