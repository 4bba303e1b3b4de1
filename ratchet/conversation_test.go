package ratchet_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/ratchet"
)

func TestA8_ShuffledHalvesAcrossTurns(t *testing.T) {
	alice, bob := newPair(t)
	say(t, alice, bob, "hello")
	say(t, bob, alice, "hello yourself")
	type sent struct {
		to   *ratchet.Session
		text string
		msg  []byte
	}
	var late []sent
	random := rand.New(rand.NewPCG(8, 8))
	for turn := range 4 {
		var all []sent
		for i := range 50 {
			text := fmt.Sprint(turn, ".", i)
			all = append(all, sent{bob, text, send(t, alice, []byte(text))})
		}
		random.Shuffle(50, func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, s := range all[:25] {
			require.Equal(t, s.text, read(t, s.to, s.msg))
		}
		late = append(late, all[25:]...)
		alice, bob = bob, alice
	}
	for _, s := range late {
		require.Equal(t, s.text, read(t, s.to, s.msg))
	}
}

func TestA9_MessageKeyLimits(t *testing.T) {
	alice, bob := newTalk(t)
	var sent [][]byte
	for i := range 2300 {
		sent = append(sent, send(t, alice, fmt.Append(nil, i)))
	}
	require.Equal(t, "1000", read(t, bob, sent[1000]))
	require.Equal(t, "2299", read(t, bob, sent[2299]))
	err := refuse(t, bob, sent[5], nil, ratchet.ErrDuplicate)
	require.ErrorContains(t, err, "counter 5, chain at 2300")
}

func TestA29_FirstChainKeysAgree(t *testing.T) {
	alice, bob := newPair(t)
	a, b := stored(t, alice), stored(t, bob)
	require.EqualValues(t, 4, a.Version)
	require.Equal(t, b.Sender.PublicKey, a.Receivers[0].PublicKey)
	require.Equal(t, b.Sender.Key, a.Receivers[0].Key)
	require.Zero(t, b.Sender.Index)
	require.Empty(t, b.Receivers)
	say(t, alice, bob, "hello")
	require.Equal(t, stored(t, alice).Sender.Key, stored(t, bob).Receivers[0].Key)
	require.Equal(t, stored(t, alice).Receivers[0].Key, a.Receivers[0].Key)
}

// After any refusal the next honest message is read, as if nothing had been:
// with the coins fixed, the ciphertext is the same one, too.
func TestRefusalLeavesTheNextCiphertextAsItWas(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	d := draft(t, alice, "text")
	other := again(t, bob)
	for i := range d.Seal() {
		msg := d.Seal()
		msg[i] ^= 0x10
		requireTampered(t, bob, msg, "byte", i)
	}
	require.Equal(t, send(t, other, []byte("next")), send(t, bob, []byte("next")))
	require.Equal(t, "text", read(t, bob, d.Seal()))
}

// A schedule is a conversation under way. Its operations are bytes.
type schedule struct {
	ends    [2]*ratchet.Session
	oracles [2]*testutil.Oracle // of what comes to the end
	flying  [2][]parcel         // to the end
	read    int
}

type parcel struct{ text, msg []byte }

func newSchedule(t testing.TB) *schedule {
	alice, bob := newPair(t)
	s := &schedule{ends: [2]*ratchet.Session{alice, bob}, oracles: [2]*testutil.Oracle{testutil.NewOracle(true), testutil.NewOracle(false)}}
	s.send(t, 0)
	s.deliver(t, 1, 0)
	return s
}

// step does what one byte says: who, what, and with which message.
func (s *schedule) step(t testing.TB, op byte) {
	end, arg := int(op&1), int(op>>4)
	switch op >> 1 & 7 {
	case 0, 1:
		s.send(t, end)
	case 2, 3, 4:
		s.deliver(t, end, arg)
	case 5: // comes again, or late, or not at all
		if n := len(s.flying[end]); n > 0 && arg < 8 {
			s.flying[end] = append(s.flying[end], s.flying[end][arg%n])
		} else if n > 0 {
			s.flying[end] = slices.Delete(s.flying[end], arg%n, arg%n+1)
		}
	case 6:
		s.corrupt(t, end, arg)
	case 7:
		s.ends[end] = again(t, s.ends[end])
	}
}

func (s *schedule) send(t testing.TB, end int) {
	p := parcel{text: fmt.Append(nil, "message ", s.read, len(s.flying[1-end]))}
	p.msg = send(t, s.ends[end], p.text)
	s.oracles[end].Sent(t, p.msg)
	s.flying[1-end] = append(s.flying[1-end], p)
}

func (s *schedule) deliver(t testing.TB, end, i int) {
	if len(s.flying[end]) == 0 {
		return
	}
	i %= len(s.flying[end])
	p := s.flying[end][i]
	s.flying[end] = slices.Delete(s.flying[end], i, i+1)
	switch s.oracles[end].Expect(t, p.msg) {
	case testutil.Readable:
		got, err := s.ends[end].Decrypt(p.msg, nil)
		require.NoError(t, err)
		require.Equal(t, p.text, got)
		s.oracles[end].Read(t, p.msg)
		s.read++
	case testutil.Duplicate, testutil.NoKey:
		refuse(t, s.ends[end], p.msg, nil, ratchet.ErrDuplicate)
	default:
		refuse(t, s.ends[end], p.msg, nil, ratchet.ErrAuth)
	}
}

// corrupt delivers a message with one bit changed.
func (s *schedule) corrupt(t testing.TB, end, i int) {
	if len(s.flying[end]) == 0 {
		return
	}
	msg := bytes.Clone(s.flying[end][i%len(s.flying[end])].msg)
	at := (i*37 + s.read*11) % (8 * len(msg))
	msg[at/8] ^= 1 << (at % 8)
	before := s.ends[end].Append(nil)
	plaintext, err := s.ends[end].Decrypt(msg, nil)
	require.Error(t, err)
	require.Nil(t, plaintext)
	require.True(t, bytes.Equal(before, s.ends[end].Append(nil)))
}

func TestRandomSchedules(t *testing.T) {
	runs, steps := 8, 4000
	if testing.Short() {
		runs = 2
	}
	for seed := range runs {
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		s := newSchedule(t)
		for range steps {
			s.step(t, byte(random.Uint32()))
		}
		require.Greater(t, s.read, steps/8, "seed %d", seed)
	}
}
