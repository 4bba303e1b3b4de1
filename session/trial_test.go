package session_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// many are friends with n sessions, one current and the others archived. It
// returns alice's ends of them, oldest first, each about to send under a
// ratchet key that bob has not seen.
func many(t testing.TB, n int) (p *pair, ends []*ratchet.Session) {
	t.Helper()
	p = strangers(t)
	for range n {
		p.alice.begin(t, p.bob)
		p.goesOn(t)
		ends = append(ends, p.alice.current(t, p.bob))
	}
	require.Equal(t, min(n-1, 40), len(p.bob.index(t, p.alice.Address()).Archived))
	return p, ends
}

// says returns the next message of an end that is not the device's own.
func says(t testing.TB, end *ratchet.Session, text string) *session.Message {
	t.Helper()
	raw, err := end.Encrypt([]byte(text), nil)
	require.NoError(t, err)
	return wrap(t, end, raw)
}

// skips has an end send n messages that nobody gets.
func skips(t testing.TB, end *ratchet.Session, n int) {
	t.Helper()
	for range n {
		_, err := end.Encrypt(nil, nil)
		require.NoError(t, err)
	}
}

// hostile is a message that is right in all that can be seen, under a fresh
// ratchet key.
func hostile(counter uint32, epoch uint64, index uint32) *session.Message {
	m := wire.SignalMessage{Version: 4, RatchetKey: keys.GeneratePrivateKey().PublicKey().Bytes(), Counter: counter, Ciphertext: make([]byte, 16)}
	pq := wire.SPQRMessage{Version: 1, Epoch: epoch, Index: index}
	m.PQRatchet = pq.Append(nil)
	raw := wire.AppendSignalMessage(nil, &m)
	mac := make([]byte, 8)
	rand.Read(mac)
	return &session.Message{Type: session.TypeSignal, Bytes: append(raw, mac...)}
}

func TestRAT_03_Duplicates(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "once")
	r := p.bob.reads(t, p.alice, m, "once")
	p.unharmedStores(t, func() { sameResult(t, p.bob.reads(t, p.alice, m, "once"), r) })
	require.NoError(t, p.bob.Acknowledge(ctx, r))
	again := func(chain int) {
		t.Helper()
		p.unharmedStores(t, func() {
			err := p.bob.decrypt(p.alice, m)
			refused(t, err, session.ErrDuplicate)
			require.NotErrorIs(t, err, session.ErrAuth)
			require.Contains(t, err.Error(), fmt.Sprintf("counter %d, chain at %d", inner(t, m).Counter, chain))
		})
	}
	again(1)
	end := p.alice.current(t, p.bob)
	skips(t, end, 2000)
	late := says(t, end, "2000 later")
	p.bob.reads(t, p.alice, late, "2000 later")
	again(2002)
	p.bob = p.bob.reopen(t) // after a restart
	again(2002)
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	again(2002) // and on an archived session, which stays archived
	require.Nil(t, p.bob.index(t, p.alice.Address()).Current)
	p.bob.begin(t, p.alice)
	again(2002)
}

func TestRAT_06_GarbageChangesNothing(t *testing.T) {
	p, ends := many(t, 41)
	record, err := p.bob.ExportSession(ctx, p.alice.Address())
	require.NoError(t, err)
	for i, end := range ends {
		m := says(t, end, fmt.Sprint(i))
		bad := []*session.Message{flip(m, -1, 1)}
		if i%8 == 0 {
			bad = append(bad, flip(m, -8, 0x80), withRatchetKey(t, m, keys.GeneratePrivateKey().PublicKey()), hostile(uint32(i), 1, 5))
		}
		p.unharmedStores(t, func() {
			for _, m := range bad {
				refused(t, p.bob.decrypt(p.alice, m), session.ErrAuth)
			}
		})
		after, err := p.bob.ExportSession(ctx, p.alice.Address())
		require.NoError(t, err)
		require.Equal(t, record, after)
		p.bob.reads(t, p.alice, m, fmt.Sprint(i))
		record, err = p.bob.ExportSession(ctx, p.alice.Address())
		require.NoError(t, err)
		p.bob.index(t, p.alice.Address())
	}
}

func TestRAT_07_Reflection(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "hello")
	p.unharmedStores(t, func() {
		refusedAs[*session.IdentityMismatchError](t, p.alice.decrypt(p.bob, first))
		mine := edit(t, first, func(m *wire.PreKeySignalMessage) { m.IdentityKey = p.bob.Identity().Bytes() })
		refused(t, p.alice.decrypt(p.bob, mine), session.ErrAuth)
		_, err := p.alice.Decrypt(ctx, p.alice.Address(), first, nil)
		refusedAs[*session.PreKeyNotFoundError](t, err)
	})
	p.bob.reads(t, p.alice, first, "hello")
	p.goesOn(t)
	for range 3 {
		m := p.alice.send(t, p.bob, "forth")
		p.unharmedStores(t, func() { refused(t, p.alice.decrypt(p.bob, m), session.ErrAuth) })
		p.bob.reads(t, p.alice, m, "forth")
		// The peer's own ratchet key, in a message of its.
		m = p.bob.send(t, p.alice, "back")
		echo := withRatchetKey(t, m, ratchetKey(t, p.alice.current(t, p.bob)))
		p.unharmedStores(t, func() { refused(t, p.alice.decrypt(p.bob, echo), session.ErrAuth) })
		p.alice.reads(t, p.bob, m, "back")
	}
	p.goesOn(t)
}

func ratchetKey(t *testing.T, s *ratchet.Session) keys.PublicKey {
	t.Helper()
	k, err := keys.ParsePublicKey(s.SenderKey())
	require.NoError(t, err)
	return k
}

// linked are two devices of one account, or two accounts that share a key.
func linked(t *testing.T, user string, o *session.Options) *pair {
	t.Helper()
	id := keys.GenerateIdentityKeyPair()
	p := &pair{alice: newSide(t, aliceAddress, id, o), bob: newSide(t, session.Address{User: user, Device: 1}, id, o)}
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	return p
}

func TestRAT_10_SelfSessions(t *testing.T) {
	if testing.Short() {
		t.Skip("long chains")
	}
	p := linked(t, aliceAddress.User, nil)
	end := p.alice.current(t, p.bob)
	skips(t, end, 30000)
	p.bob.reads(t, p.alice, says(t, end, "30,000 ahead"), "30,000 ahead")

	// The ceiling is the caller's.
	p = linked(t, "796ABEDB-ca4e-4f18-8803-1fde5b921f9f", &session.Options{SelfJump: 26000})
	end = p.alice.current(t, p.bob)
	skips(t, end, 25999) // in the other ratchet it is 26,000
	ahead := says(t, end, "25,999 ahead")
	over := says(t, end, "26,000 ahead")
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, over), session.ErrTooFar) })
	p.bob.reads(t, p.alice, ahead, "25,999 ahead")

	// The same key under another name, or under a name that is no service id,
	// makes no account.
	for _, user := range []string{bobAddress.User, "PNI:" + aliceAddress.User} {
		p = linked(t, user, nil)
		end = p.alice.current(t, p.bob)
		skips(t, end, 25001)
		over := says(t, end, "25,001 ahead")
		p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, over), session.ErrTooFar) })
	}
}

// A self session is one of the same key and the same service id.
func TestRAT_10_WhoIsSelf(t *testing.T) {
	for user, self := range map[string]bool{
		aliceAddress.User: true, strings.ToUpper(aliceAddress.User): true,
		bobAddress.User: false, "PNI:" + aliceAddress.User: false, "alice": false,
	} {
		p := linked(t, user, nil)
		for _, raw := range [][]byte{p.bob.state(t, p.alice).PQRatchet, p.alice.state(t, p.bob).PQRatchet} {
			var w wire.SPQRState
			require.NoError(t, w.Parse(raw))
			require.Equal(t, self, w.Chain.Params.MaxJump == math.MaxUint32, user)
		}
	}
	// Nor does the same name with another key.
	p := strangers(t)
	p.bob = newSide(t, session.Address{User: aliceAddress.User, Device: 1}, nil, p.alice.opts)
	require.NoError(t, p.alice.AcceptIdentity(ctx, p.bob.Address(), p.bob.Identity()))
	require.NoError(t, p.bob.AcceptIdentity(ctx, p.alice.Address(), p.alice.Identity()))
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	var w wire.SPQRState
	require.NoError(t, w.Parse(p.alice.state(t, p.bob).PQRatchet))
	require.NotEqual(t, uint32(math.MaxUint32), w.Chain.Params.MaxJump)
}

func TestRAT_10_HostileCounter(t *testing.T) {
	p := linked(t, aliceAddress.User, &session.Options{SelfJump: math.MaxUint32})
	end := p.alice.current(t, p.bob)
	m := says(t, end, "next")
	over := editInner(t, m, func(m *wire.SignalMessage) { m.Counter = math.MaxUint32 })
	far := editInner(t, m, func(m *wire.SignalMessage) { m.Counter = math.MaxUint32 - 1 })
	ended, cancel := context.WithCancel(ctx)
	cancel()
	p.unharmedStores(t, func() {
		refused(t, p.bob.decrypt(p.alice, over), session.ErrExhausted)
		refused(t, p.bob.decrypt(p.alice, far), session.ErrTooExpensive)
		_, err := p.bob.Decrypt(ended, p.alice.Address(), far, &session.DecryptOptions{Deep: true})
		require.ErrorIs(t, err, context.Canceled)
	})
	p.bob.reads(t, p.alice, m, "next")
}

// Cheap checks come first: what is no message never reaches the store, and
// nothing that fails draws a new ratchet key. The last Load of what fails asks
// for the marks of messages that were acknowledged.
func TestRAT_14_CheapChecksFirst(t *testing.T) {
	p, ends := many(t, 3)
	bob, watch := p.bob.spied(t)
	m := says(t, ends[2], "honest")
	p.bob.saves(t, p.alice, m, "honest")
	next := says(t, ends[2], "next")
	q := strangers(t)
	q.bob = p.bob
	q.alice.begin(t, p.bob)
	first := q.alice.send(t, p.bob, "first")
	stranger := session.Address{User: "nobody", Device: 1}

	for name, c := range map[string]struct {
		m        *session.Message
		from     session.Address
		want     error
		loads    int
		archives int
	}{
		"version":            {withByte(next, 0x54), aliceAddress, session.ErrVersion, 0, 0},
		"length":             {&session.Message{Type: session.TypeSignal, Bytes: next.Bytes[:8]}, aliceAddress, session.ErrMalformed, 0, 0},
		"type":               {&session.Message{Type: 7, Bytes: next.Bytes}, aliceAddress, session.ErrMalformed, 0, 0},
		"ratchet key":        {editInner(t, next, func(m *wire.SignalMessage) { m.RatchetKey = m.RatchetKey[:32] }), aliceAddress, keys.ErrKey, 0, 0},
		"no session":         {next, stranger, session.ErrNoSession, 2, 0},
		"duplicate":          {m, aliceAddress, session.ErrDuplicate, 1, 0},
		"counter":            {editInner(t, next, func(m *wire.SignalMessage) { m.Counter = 30000 }), aliceAddress, session.ErrTooFar, 2, 0},
		"last counter":       {editInner(t, next, func(m *wire.SignalMessage) { m.Counter = math.MaxUint32 }), aliceAddress, session.ErrTooFar, 2, 0},
		"SPQR":               {editInner(t, next, func(m *wire.SignalMessage) { m.PQRatchet = nil }), aliceAddress, session.ErrAuth, 2, 0},
		"MAC":                {flip(next, -1, 1), aliceAddress, session.ErrAuth, 2, 0},
		"MAC, new chain":     {hostile(0, 1, 3), aliceAddress, session.ErrAuth, 3, 3},
		"prekey":             {edit(t, first, func(m *wire.PreKeySignalMessage) { m.SignedPreKeyID = 77 }), q.alice.Address(), nil, 2, 1},
		"MAC, first message": {editInner(t, first, func(m *wire.SignalMessage) { m.Counter++ }), q.alice.Address(), session.ErrAuth, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			watch.reset()
			all := drawn(func() {
				_, err := bob.Decrypt(ctx, c.from, c.m, nil)
				if c.want == nil {
					refusedAs[*session.PreKeyNotFoundError](t, err)
				} else {
					refused(t, err, c.want)
				}
			})
			require.Empty(t, all, "coins")
			require.Len(t, watch.loads, c.loads)
			require.Equal(t, c.archives, watch.archives())
			require.Empty(t, watch.commits)
		})
	}
}

// TestSES_03_TrialOrder looks at what was loaded to see what was tried.
func TestSES_03_TrialOrder(t *testing.T) {
	p, ends := many(t, 8)
	bob, watch := p.bob.spied(t)
	tried := func(m *session.Message, text string, loads int, archives ...int) *session.Received {
		t.Helper()
		watch.reset()
		before := p.bob.index(t, p.alice.Address())
		require.NotNil(t, before.Current)
		r := bob.reads(t, p.alice, m, text)
		require.Len(t, watch.commits, 1)
		require.Len(t, watch.loads, loads)
		if len(archives) == 0 {
			require.Zero(t, watch.archives())
			return r
		}
		for i, at := range archives {
			require.Equal(t, archiveName(p.alice.Address(), &before.Archived[at]), watch.loads[1][i].Name)
		}
		require.Len(t, watch.loads[1], len(archives)+2) // and where the current one goes, and the index as it is now
		return r
	}
	tried(says(t, ends[7], "a new ratchet key, of the current session"), "a new ratchet key, of the current session", 1)
	tried(says(t, ends[7], "one it holds"), "one it holds", 1)
	// A new ratchet key of an archived session: all are asked for, at once. The
	// session that was current is the newest of the archive then.
	tried(says(t, ends[2], "archived"), "archived", 2, 0, 1, 2, 3, 4, 5, 6)
	tried(says(t, ends[2], "now current"), "now current", 1)
	// The ratchet key that an archived session holds: only that one.
	tried(says(t, ends[7], "held"), "held", 2, 0)
	tried(says(t, ends[2], "held"), "held", 2, 0)

	// A duplicate stops the search, and so does the failure of one that holds
	// the key.
	m := says(t, ends[2], "twice")
	require.NoError(t, bob.Acknowledge(ctx, tried(m, "twice", 1)))
	for i, bad := range []*session.Message{m, flip(says(t, ends[2], "x"), -1, 1)} {
		watch.reset()
		require.Error(t, bob.decrypt(p.alice, bad))
		require.Len(t, watch.loads, 1+i) // of a failure the marks, too
		require.Zero(t, watch.archives())
	}
}

// A prekey message is for the session that its base key names, and no other.
func TestSES_03_NoFallbackOfPreKeyMessages(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "1")
	p.bob.reads(t, p.alice, first, "1")
	old := p.alice.current(t, p.bob)
	p.alice.begin(t, p.bob)
	second := p.alice.send(t, p.bob, "2")
	p.bob.reads(t, p.alice, second, "2")
	m := says(t, old, "in the old session")
	mixed := edit(t, second, func(out *wire.PreKeySignalMessage) { out.MessageBytes = outerOf(t, m).MessageBytes })
	plain := &session.Message{Type: session.TypeSignal, Bytes: outerOf(t, m).MessageBytes}
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, mixed), session.ErrAuth) })
	p.bob.reads(t, p.alice, plain, "in the old session")
}

// TestSES_03_A19: a prekey message for an archived session makes it current.
func TestSES_03_A19_PreKeyMessagePromotes(t *testing.T) {
	p := met(t)
	first := p.alice.send(t, p.bob, "1")
	p.bob.reads(t, p.alice, first, "1")
	require.NoError(t, p.bob.Archive(ctx, p.alice.Address()))
	require.Nil(t, p.bob.index(t, p.alice.Address()).Current)
	p.goesOnWith(t, "2")
	idx := p.bob.index(t, p.alice.Address())
	require.NotNil(t, idx.Current)
	require.Empty(t, idx.Archived)
	p.goesOn(t)
}

func TestRAT_16_HostileMessages(t *testing.T) {
	p, _ := many(t, 41)
	epochs := map[uint64]bool{}
	for _, r := range p.bob.list(t, "archive", aliceAddress.User) {
		epochs[spqrEpoch(t, r.Value[1:])] = true
	}
	p.unharmed(t, func() {
		for _, counter := range []uint32{0, 2000, 2001, 25000, 25001, math.MaxUint32 - 1, math.MaxUint32} {
			for _, index := range []uint32{1, 2, 2000, 25000, math.MaxUint32} {
				for epoch := range epochs {
					err := p.bob.decrypt(p.alice, hostile(counter, epoch, index))
					require.True(t, isAny(err, session.ErrAuth, session.ErrTooFar, session.ErrTooExpensive, session.ErrExhausted), "%v", err)
					requireQuiet(t, err)
				}
			}
		}
	})
}

func spqrEpoch(t testing.TB, raw []byte) uint64 {
	t.Helper()
	s, err := ratchet.Parse(raw)
	require.NoError(t, err)
	m, err := s.Encrypt(nil, nil)
	require.NoError(t, err)
	in, err := wire.ParseSignalMessage(m)
	require.NoError(t, err)
	var pq wire.SPQRMessage
	_, err = pq.ParsePreamble(in.PQRatchet)
	require.NoError(t, err)
	return pq.Epoch
}

// What the limits are for is no honest peer's loss.
func TestRAT_16_HonestMessages(t *testing.T) {
	p, ends := many(t, 41)
	slices.Reverse(ends) // 0 is the current one, 1 the newest archived
	for _, c := range []struct{ place, ahead int }{{40, 0}, {40, 300}, {5, 2000}} {
		end := ends[c.place]
		skips(t, end, c.ahead)
		text := fmt.Sprint(c.ahead, " ahead on place ", c.place)
		p.bob.reads(t, p.alice, says(t, end, text), text)
		p.bob.index(t, p.alice.Address())
		ends = append([]*ratchet.Session{end}, slices.Delete(ends, c.place, c.place+1)...)
	}
	// Too much for all archived ones together, unless the caller wants it.
	end := ends[40]
	skips(t, end, 1990)
	m := says(t, end, "deep")
	over := says(t, ends[39], "")
	p.unharmedStores(t, func() { refused(t, p.bob.decrypt(p.alice, m), session.ErrTooExpensive) })
	r, err := p.bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Deep: true})
	require.NoError(t, err)
	require.Equal(t, "deep", string(r.Plaintext))
	p.bob.reads(t, p.alice, over, "")
	// More than 2,000 ahead, under a new ratchet key of an archived session, is
	// over the limit in any case.
	end = ends[20]
	skips(t, end, 2001)
	m = says(t, end, "too far")
	p.unharmedStores(t, func() {
		_, err := p.bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Deep: true})
		require.True(t, isAny(err, session.ErrAuth, session.ErrTooFar), "%v", err)
	})
}

func TestRAT_16_HonestJump(t *testing.T) {
	p, ends := many(t, 41)
	end := ends[40]
	skips(t, end, 24999)
	jump := says(t, end, "message 25,000")
	over := says(t, end, "message 25,001")
	p.unharmedStores(t, func() { require.Error(t, p.bob.decrypt(p.alice, over)) })
	p.bob.reads(t, p.alice, jump, "message 25,000")
	p.bob.reads(t, p.alice, over, "message 25,001")
}

// Nor is it cheap to have a long message hashed for every session: those after
// the budget is used up are not tried. What is 1 MiB or less is tried on all.
func TestRAT_16_LongMessages(t *testing.T) {
	p, ends := many(t, 41)
	bob := p.bob.reopen(t)
	long := string(make([]byte, 1<<20-1000))
	p.bob.reads(t, p.alice, says(t, ends[0], long), long)

	long = string(make([]byte, 16<<20))
	m := says(t, ends[30], long)
	q := &pair{alice: p.alice, bob: bob}
	q.unharmedStores(t, func() { refused(t, bob.decrypt(p.alice, m), session.ErrTooExpensive) })
	r, err := bob.Decrypt(ctx, p.alice.Address(), m, &session.DecryptOptions{Deep: true})
	require.NoError(t, err)
	require.Len(t, r.Plaintext, len(long))
	// The newest one of the archive is always tried.
	bob.reads(t, p.alice, says(t, ends[40], long), long)
}
