package ratchet_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// newPlain is newTalk without the post-quantum ratchet, as sessions from before
// there was one.
func newPlain(t testing.TB) (alice, bob *ratchet.Session) {
	alice, bob = newTalk(t)
	disable := func(w *wire.Session) { w.PQRatchet = nil }
	return edited(t, alice, disable), edited(t, bob, disable)
}

// skip has s send n messages that nobody sees.
func skip(t testing.TB, s *ratchet.Session, n int) {
	for range n {
		send(t, s, nil)
	}
}

func TestRAT_03_Duplicate(t *testing.T) {
	alice, bob := newTalk(t)
	first := send(t, alice, []byte("first"))
	require.Equal(t, "first", read(t, bob, first))
	duplicate := func(msg []byte, counter, chain int) {
		t.Helper()
		for _, s := range []*ratchet.Session{bob, again(t, bob)} { // also after a restart
			err := refuse(t, s, msg, nil, ratchet.ErrDuplicate)
			require.NotErrorIs(t, err, ratchet.ErrAuth)
			require.ErrorContains(t, err, fmt.Sprintf("counter %d, chain at %d", counter, chain))
		}
	}
	duplicate(first, 0, 1)
	skipped := send(t, alice, []byte("skipped"))
	say(t, alice, bob, "third")
	require.Equal(t, "skipped", read(t, bob, skipped))
	duplicate(skipped, 1, 3)
	for range 2000 {
		say(t, alice, bob, "more")
	}
	duplicate(first, 0, 2003)
	for range 4 { // the chain is still held when others have begun
		say(t, bob, alice, "ping")
		say(t, alice, bob, "pong")
		duplicate(first, 0, 2003)
	}
	bob.ClearPending() // as when it is archived
	duplicate(first, 0, 2003)
}

func TestRAT_04_Jump(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		for lost, ok := range map[int]bool{24_999: true, 25_000: true, 25_001: false} {
			alice, bob := newPlain(t)
			testJump(t, alice, bob, lost, ok)
		}
	})
	t.Run("beside the post-quantum ratchet, which counts one more", func(t *testing.T) {
		for lost, ok := range map[int]bool{24_999: true, 25_000: false} {
			alice, bob := newTalk(t)
			say(t, alice, bob, "hello")
			skip(t, alice, lost)
			msg := send(t, alice, []byte("here"))
			if !ok {
				refuse(t, bob, msg, nil, ratchet.ErrAuth)
				continue
			}
			require.Equal(t, "here", read(t, bob, msg))
		}
	})
}

func testJump(t *testing.T, alice, bob *ratchet.Session, lost int, ok bool) {
	first := send(t, alice, []byte("first"))
	skip(t, alice, lost-1)
	msg := send(t, alice, []byte("here"))
	if ok {
		require.Equal(t, "here", read(t, bob, msg))
		return
	}
	err := refuse(t, bob, msg, nil, ratchet.ErrTooFar)
	require.ErrorContains(t, err, fmt.Sprintf("counter %d, chain at 0", lost))
	require.Equal(t, "first", read(t, bob, first))
	require.Equal(t, "here", read(t, bob, msg))
}

func TestRAT_04_Kept(t *testing.T) {
	alice, bob := newTalk(t)
	var sent [][]byte
	for i := range 2501 {
		sent = append(sent, send(t, alice, fmt.Append(nil, i)))
	}
	require.Equal(t, "2500", read(t, bob, sent[2500]))
	require.Equal(t, indexes(500, 2499), keptBy(t, bob))
	for i := range 500 {
		err := refuse(t, bob, sent[i], nil, ratchet.ErrDuplicate)
		require.ErrorContains(t, err, fmt.Sprintf("counter %d, chain at 2501", i))
	}
	require.Equal(t, "500", read(t, bob, sent[500]))
	require.Equal(t, "1000", read(t, bob, sent[1000]))
	refuse(t, bob, sent[1000], nil, ratchet.ErrDuplicate)

	// New ones displace the oldest.
	skip(t, alice, 5)
	say(t, alice, bob, "next")
	kept := keptBy(t, bob)
	require.Len(t, kept, 2000)
	require.EqualValues(t, 2505, kept[0])
	require.EqualValues(t, 504, kept[1999])
}

// keptBy returns the counters of the skipped keys in the newest chain, newest
// first.
func keptBy(t testing.TB, s *ratchet.Session) (counters []uint32) {
	w := stored(t, s)
	for k := range w.Receivers[len(w.Receivers)-1].Skipped.All() {
		counters = append(counters, k.Index)
	}
	return counters
}

// indexes counts down from last to first.
func indexes(first, last uint32) (all []uint32) {
	for i := last; i >= first; i-- {
		all = append(all, i)
	}
	return all
}

func TestRAT_04_Chains(t *testing.T) {
	alice, bob := newTalk(t)
	var late [][]byte
	var ratchetKeys [][]byte
	for range 6 {
		late = append(late, send(t, alice, []byte("late")))
		say(t, alice, bob, "in time")
		ratchetKeys = append(ratchetKeys, alice.SenderKey())
		say(t, bob, alice, "answer")
	}
	require.Equal(t, ratchetKeys[1:], bob.ReceiverKeys())
	require.False(t, bob.HasReceiver(ratchetKeys[0]))
	refuse(t, bob, late[0], nil, ratchet.ErrAuth) // its chain was the sixth newest
	for _, msg := range late[1:] {
		require.Equal(t, "late", read(t, bob, msg))
	}
	require.Equal(t, ratchetKeys[1:], bob.ReceiverKeys()) // an old chain is no newer by it
	say(t, alice, bob, "and on")
}

func TestRAT_08_MatchedChainIsNotEvicted(t *testing.T) {
	alice, bob := newTalk(t)
	late := send(t, alice, []byte("late"))
	for range 4 {
		say(t, alice, bob, "ping")
		say(t, bob, alice, "pong")
	}
	say(t, alice, bob, "a fifth chain")
	oldest := bob.ReceiverKeys()[0]
	require.Equal(t, message(t, late).RatchetKey, oldest)
	require.Equal(t, "late", read(t, bob, late))
	require.Equal(t, oldest, bob.ReceiverKeys()[0])
}

func TestRAT_10_SelfSession(t *testing.T) {
	identity := keys.GenerateIdentityKeyPair().Public()
	alice, bob := newPairOf(t, identity, identity, true)
	say(t, alice, bob, "hello")
	const lost = 26_000
	skip(t, alice, lost)
	msg := send(t, alice, []byte("here"))
	refuse(t, bob, msg, nil, ratchet.ErrTooFar)
	refuse(t, bob, msg, &ratchet.DecryptOptions{MaxJump: lost - 1}, ratchet.ErrTooFar)
	// By either ratchet, and the post-quantum one counts one more.
	refuse(t, bob, msg, &ratchet.DecryptOptions{MaxJump: lost}, ratchet.ErrTooFar)
	got, err := bob.Decrypt(msg, &ratchet.DecryptOptions{MaxJump: lost + 1})
	require.NoError(t, err)
	require.Equal(t, "here", string(got))

	// Without a budget, too, no index makes Decrypt derive for hours.
	d := draft(t, alice, "text")
	d.PQRatchet = []byte{1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0}
	refuse(t, bob, d.Seal(), &ratchet.DecryptOptions{MaxJump: 100_000}, ratchet.ErrTooFar)
	d = draft(t, alice, "text")
	for _, d.Counter = range []uint32{math.MaxUint32, math.MaxUint32 - 1, 200_000} {
		refuse(t, bob, d.Seal(), &ratchet.DecryptOptions{MaxJump: 100_000}, ratchet.ErrTooFar)
	}
	say(t, alice, bob, "on")
}

func TestRAT_12_Sizes(t *testing.T) {
	sizes := []int{0, 1}
	if !testing.Short() {
		sizes = append(sizes, ratchet.MaxPlaintext)
	}
	alice, bob := newTalk(t)
	for _, n := range sizes {
		plaintext := slices.Repeat([]byte{'x'}, n)
		got, err := bob.Decrypt(send(t, alice, plaintext), nil)
		require.NoError(t, err)
		require.NotNil(t, got)
		require.True(t, slices.Equal(plaintext, got))
	}
	if testing.Short() {
		return
	}
	before := alice.Append(nil)
	_, err := alice.Encrypt(make([]byte, ratchet.MaxPlaintext+1), nil)
	require.ErrorIs(t, err, ratchet.ErrTooLarge)
	require.Equal(t, before, alice.Append(nil))
	refuse(t, bob, make([]byte, wire.MaxSignalMessage+1), nil, ratchet.ErrTooLarge)
	say(t, alice, bob, "on")
}

func TestRAT_05_GarbageFarAhead(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 10
	} else if *whole {
		n = 10_000
	}
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	before := bob.Append(nil)
	other := keys.GeneratePrivateKey().PublicKey().Bytes()
	for i := range n {
		d := draft(t, alice, "text")
		if d.Counter += 25_000; i%2 == 0 {
			d.RatchetKey, d.Counter = other, 25_000
		}
		d.MACed[0] ^= 1 + byte(i)
		budget := &ratchet.Budget{Left: 25_002}
		_, err := bob.Decrypt(d.Seal(), &ratchet.DecryptOptions{Budget: budget})
		require.ErrorIs(t, err, ratchet.ErrAuth)
		require.Zero(t, budget.Left)
	}
	require.Equal(t, before, bob.Append(nil))
	say(t, alice, bob, "next")
}

// A session that keeps all it may keep of the Double Ratchet.
func TestRAT_05_LargestState(t *testing.T) {
	alice, bob := newTalk(t)
	for range 5 {
		skip(t, alice, 2000)
		say(t, alice, bob, "next")
		say(t, bob, alice, "answer")
	}
	require.Less(t, len(bob.Append(nil)), 1<<20)
}

func TestRAT_16_NewKeyAndBudget(t *testing.T) {
	alice, bob := newPlain(t)
	archived := &ratchet.DecryptOptions{MaxNewJump: 2000}
	skip(t, alice, 2000)
	at2000, at2001 := send(t, alice, []byte("2000")), send(t, alice, []byte("2001"))
	refuse(t, bob, at2001, archived, ratchet.ErrTooFar)
	got, err := again(t, bob).Decrypt(at2000, archived)
	require.NoError(t, err)
	require.Equal(t, "2000", string(got))

	budget := &ratchet.Budget{Left: 2000}
	err = refuse(t, bob, at2000, &ratchet.DecryptOptions{Budget: budget}, ratchet.ErrTooExpensive)
	require.ErrorContains(t, err, "2001, 2000 left")
	require.EqualValues(t, 2000, budget.Left)
	refuse(t, bob, at2000, &ratchet.DecryptOptions{Budget: &ratchet.Budget{}}, ratchet.ErrTooExpensive)
	budget.Left = 2001
	got, err = bob.Decrypt(at2000, &ratchet.DecryptOptions{Budget: budget})
	require.NoError(t, err)
	require.Equal(t, "2000", string(got))
	require.Zero(t, budget.Left)

	// The chain is known now: the limit for new ones is no more.
	skip(t, alice, 24_000)
	got, err = bob.Decrypt(send(t, alice, []byte("far")), archived)
	require.NoError(t, err)
	require.Equal(t, "far", string(got))
	// What was skipped costs nothing.
	got, err = bob.Decrypt(at2001, &ratchet.DecryptOptions{Budget: &ratchet.Budget{}})
	require.ErrorIs(t, err, ratchet.ErrDuplicate) // too old by now
	require.Nil(t, got)
}

func TestOVF_01_LastCounter(t *testing.T) {
	const last uint32 = math.MaxUint32 - 1
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	alice = edited(t, alice, func(w *wire.Session) { w.Sender.Index = last })
	bob = edited(t, bob, func(w *wire.Session) { w.Receivers[len(w.Receivers)-1].Index = last })
	msg := send(t, alice, []byte("the last"))
	require.Equal(t, last, message(t, msg).Counter)
	require.Equal(t, "the last", read(t, bob, msg))
	refuse(t, bob, msg, nil, ratchet.ErrDuplicate)

	before := alice.Append(nil)
	_, err := alice.Encrypt(nil, nil)
	require.ErrorIs(t, err, ratchet.ErrExhausted)
	require.Equal(t, before, alice.Append(nil))
	forged := edited(t, alice, func(w *wire.Session) { w.Sender.Index = 0 })
	d := draft(t, forged, "one more")
	d.Counter = math.MaxUint32
	refuse(t, bob, d.Seal(), nil, ratchet.ErrExhausted)
	d.Counter = 0 // as if it wrapped
	refuse(t, bob, d.Seal(), nil, ratchet.ErrDuplicate)

	say(t, bob, alice, "an answer begins new chains")
	msg = send(t, alice, []byte("again"))
	require.Equal(t, last, message(t, msg).Previous)
	require.Equal(t, "again", read(t, bob, msg))
}

func TestOVF_01_LastIndexOfThePostQuantumRatchet(t *testing.T) {
	alice, bob := newTalk(t)
	var pq wire.SPQRState
	w := stored(t, alice)
	require.NoError(t, pq.Parse(w.PQRatchet))
	pq.Chain.Links[pq.Chain.LinkCount-1].Send.Counter = math.MaxUint32
	w.PQRatchet = pq.Append(nil)
	s := parse(t, wire.AppendSession(nil, w))
	before := s.Append(nil)
	_, err := s.Encrypt(nil, nil)
	require.ErrorIs(t, err, ratchet.ErrExhausted)
	require.Equal(t, before, s.Append(nil))
	say(t, bob, s, "receiving goes on")
}

func TestOVF_02_PreviousCounterOfNothing(t *testing.T) {
	for sent, want := range map[int]uint32{0: 0, 1: 0, 2: 1, 7: 6} {
		alice, bob := newPair(t)
		if sent > 0 {
			say(t, alice, bob, "hello")
			skip(t, bob, sent-1)
			say(t, bob, alice, "hello yourself")
		} // else bob's first chain is that of the signed prekey, with which he never sends
		say(t, alice, bob, "a new chain")
		require.Equal(t, want, message(t, send(t, bob, nil)).Previous)
	}
}

func TestRAT_09_PreviousCounterIsNotRead(t *testing.T) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "hello")
	skip(t, alice, 6)
	var states [2][]byte
	d := draft(t, alice, "text")
	for i, previous := range []uint32{0, math.MaxUint32} {
		d.Previous = previous
		b := again(t, bob)
		require.Equal(t, "text", read(t, b, d.Seal()))
		states[i] = b.Append(nil)
	}
	require.Equal(t, states[0], states[1])
}
