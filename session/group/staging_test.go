package group_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// over is the same device in another process, on a store.
func (p *party) over(t testing.TB, store keystore.Store) *party {
	t.Helper()
	d, err := session.Open(ctx, store, p.Address(), p.opts)
	require.NoError(t, err)
	return &party{Device: d, groups: group.New(d, nil), store: store, opts: p.opts}
}

func (p *party) restarted(t testing.TB) *party { return p.over(t, p.store) }

// What is read is kept until it is acknowledged, over restarts, and is read once.
func TestStaged(t *testing.T) {
	for _, text := range []string{"", "short", strings.Repeat("long", 5000)} {
		alice, bob, _ := told(t)
		m := alice.tells(t, room, text)
		first := bob.hears(t, alice, m, text)
		bob = bob.restarted(t)
		again := bob.hears(t, alice, m, text)
		require.True(t, again.Redelivered)
		require.Equal(t, first.ID, again.ID)
		require.Equal(t, first.ReceivedAt, again.ReceivedAt)
		var waiting []*session.Received
		for r, err := range bob.Unacknowledged(ctx) {
			require.NoError(t, err)
			waiting = append(waiting, r)
		}
		require.Len(t, waiting, 1)
		require.Equal(t, text, string(waiting[0].Content.Body))
		require.NoError(t, bob.Acknowledge(ctx, waiting...))
		require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
		alice.restarted(t).tells(t, room, "goes on")
		bob.restarted(t).hears(t, alice, alice.tells(t, room, "goes on"), "goes on")
	}
}

// A message that was acknowledged is a duplicate, even where its key is gone.
func TestLateCopy(t *testing.T) {
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	bob.saves(t, bob, bob.hears(t, alice, m, "hello"))
	k := bob.senderRecord(alice.Address(), room)
	require.NoError(t, bob.Update(ctx, nil, func(tx *session.Tx) error { return tx.Delete(k) }))
	require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
	require.ErrorIs(t, bob.decrypt(t, alice, alice.tells(t, room, "next"), nil), group.ErrNoSenderKey)
}

func TestExpires(t *testing.T) {
	c := newClock()
	alice, bob := newParty(t, "alice", c, nil), newParty(t, "bob", c, nil)
	alice.meet(t, bob)
	alice.gives(t, room, bob)
	m := alice.tells(t, room, "soon gone")
	o := &session.DecryptOptions{Expires: c.now.Add(time.Minute)}
	r, err := bob.groups.Decrypt(ctx, alice.Address(), m, o)
	require.NoError(t, err)
	require.Equal(t, o.Expires.UnixMilli(), r.Expires.UnixMilli())
	c.now = c.now.Add(time.Minute)
	require.ErrorIs(t, bob.decrypt(t, alice, m, nil), session.ErrDuplicate)
}

// A sender key that came in a message which the Device alone has read is taken in
// when that comes again.
func TestRedeliveredKey(t *testing.T) {
	all := parties(t, "alice", "bob")
	alice, bob := all[0], all[1]
	m := alice.says(t, bob, &session.Content{Distribution: alice.key(t, room)})
	_, err := bob.Decrypt(ctx, alice.Address(), m, nil)
	require.NoError(t, err)
	require.Nil(t, bob.states(t, alice, room))
	require.True(t, bob.reads(t, alice, m).Redelivered)
	bob.hears(t, alice, alice.tells(t, room, "hello"), "hello")
	before := bob.states(t, alice, room)
	require.True(t, bob.reads(t, alice, m).Redelivered) // and takes nothing back
	require.Equal(t, before, bob.states(t, alice, room))
}

// A counted store counts its calls.
type counted struct {
	keystore.Store
	loads, commits int
}

func (s *counted) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	s.loads++
	return s.Store.Load(ctx, keys...)
}

func (s *counted) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	s.commits++
	return s.Store.Commit(ctx, changes...)
}

// Each operation is one Load and one Commit; to take a sender key in needs a second
// Load, as it is known only then.
func TestOneLoadOneCommit(t *testing.T) {
	alice, bob, _ := told(t)
	count := func(p *party, loads, commits int, f func(p *party)) {
		t.Helper()
		s := &counted{Store: p.store}
		p = p.over(t, s)
		s.loads, s.commits = 0, 0
		f(p)
		require.Equal(t, []int{loads, commits}, []int{s.loads, s.commits})
	}
	m := alice.tells(t, room, "hello")
	count(bob, 1, 1, func(p *party) { p.hears(t, alice, m, "hello") })
	count(bob, 1, 0, func(p *party) { p.hears(t, alice, m, "hello") })
	count(alice, 1, 1, func(p *party) { p.tells(t, room, "more") })
	count(alice, 1, 1, func(p *party) { p.key(t, group.DistributionID{77}) })
	d := alice.says(t, bob, &session.Content{Distribution: alice.key(t, group.DistributionID{78})})
	count(bob, 2, 1, func(p *party) { p.reads(t, alice, d) })
	d = alice.says(t, bob, &session.Content{})
	count(bob, 1, 1, func(p *party) { p.reads(t, alice, d) })
}

// When nobody knows whether a commit was made, what was encrypted is dropped: no
// iteration has two messages, and the next one may leave a gap.
func TestCommitUnknown(t *testing.T) {
	for _, made := range []bool{false, true} {
		alice, bob, _ := told(t)
		seen := map[uint32][]byte{}
		sent := func(m *session.Message) {
			msg, err := wire.ParseSenderKeyMessage(m.Bytes)
			require.NoError(t, err)
			require.NotContains(t, seen, msg.Iteration)
			seen[msg.Iteration] = m.Bytes
		}
		sent(alice.tells(t, room, "before"))
		doubts := 0
		doubtful := &fickle{Store: alice.store, before: func(call string, _ int) error {
			if call == "commit" && !made && doubts > 0 {
				doubts--
				return keystore.ErrCommitUnknown
			}
			return nil
		}, after: func(string, int) error {
			if made && doubts > 0 {
				doubts--
				return keystore.ErrCommitUnknown
			}
			return nil
		}}
		unsure := alice.over(t, doubtful)
		for n := range 4 {
			doubts = n
			m := unsure.tells(t, room, "anew")
			require.Zero(t, doubts)
			sent(m)
			bob.hears(t, alice, m, "anew")
		}
		// For ever: it says so, and nothing leaves.
		doubts = 1000
		m, err := unsure.groups.Encrypt(ctx, room, nil)
		require.ErrorIs(t, err, keystore.ErrCommitUnknown)
		require.Nil(t, m)
		doubts = 0
		sent(unsure.tells(t, room, "after"))
		sent(alice.tells(t, room, "after"))
	}
}

// A message that was decrypted in doubt comes again.
func TestDecryptUnknown(t *testing.T) {
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	once := true
	unsure := bob.over(t, &fickle{Store: bob.store, before: func(string, int) error { return nil }, after: func(string, int) error {
		if once {
			once = false
			return keystore.ErrCommitUnknown
		}
		return nil
	}})
	_, err := unsure.groups.Decrypt(ctx, alice.Address(), m, nil)
	require.ErrorIs(t, err, keystore.ErrCommitUnknown)
	require.True(t, unsure.hears(t, alice, m, "hello").Redelivered)
}

// A store that fails fails the operation, and nothing changed; then it goes on.
func TestStoreFails(t *testing.T) {
	broken := errors.New("broken")
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	d := alice.says(t, bob, &session.Content{Distribution: alice.key(t, group.DistributionID{4})})
	for name, f := range map[string]func(p *party) error{
		"encrypt":      func(p *party) error { return second(p.groups.Encrypt(ctx, room, nil)) },
		"distribution": func(p *party) error { return second(p.groups.Distribution(ctx, group.DistributionID{99})) },
		"decrypt":      func(p *party) error { return second(p.groups.Decrypt(ctx, alice.Address(), m, nil)) },
		"take":         func(p *party) error { return second(p.groups.Decrypt(ctx, alice.Address(), d, nil)) },
	} {
		p := bob
		if name == "encrypt" || name == "distribution" {
			p = alice
		}
		for n := 1; ; n++ {
			s := &fickle{Store: p.store, before: func(string, int) error { return nil }}
			q := p.over(t, s)
			s.calls, s.before = 0, func(_ string, at int) error {
				if at == n {
					return broken
				}
				return nil
			}
			before := testutil.StoreDigest(t, p.store)
			err := f(q)
			require.Zero(t, q.groups.Held())
			if err == nil {
				break
			}
			require.ErrorIs(t, err, broken, name)
			require.Equal(t, before, testutil.StoreDigest(t, p.store))
		}
	}
}

// In a transaction of the app's a ciphertext is there when that was committed, and a
// plaintext at once.
func TestInTransaction(t *testing.T) {
	alice, bob, _ := told(t)
	var pending keystore.Pending
	tx := pending.In(ctx)
	m, err := alice.groups.Encrypt(tx, room, (&session.Content{Body: []byte("one")}).Bytes())
	require.NoError(t, err)
	next, err := alice.groups.Encrypt(tx, room, (&session.Content{Body: []byte("two")}).Bytes())
	require.NoError(t, err)
	require.Zero(t, *m)
	require.Zero(t, *next)
	require.Zero(t, alice.groups.Held())
	pending.Committed()
	pending = keystore.Pending{}
	for i, m := range []*session.Message{m, next} {
		r, err := bob.groups.Decrypt(tx, alice.Address(), m, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"one", "two"}[i], string(r.Content.Body))
	}
	_, err = bob.groups.Distribution(tx, room)
	require.NoError(t, err)
	// A lost race, and a commit in doubt, are for the app to begin anew.
	for _, want := range []error{keystore.ErrCommitUnknown, &keystore.ConflictError{}} {
		unsure := alice.over(t, &fickle{Store: alice.store, before: func(call string, _ int) error {
			if call == "commit" {
				return want
			}
			return nil
		}})
		_, err = unsure.groups.Encrypt(tx, room, nil)
		require.ErrorIs(t, err, want)
	}
}

// Whoever waits for a lock need not.
func TestLocksEnd(t *testing.T) {
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	entered, leave := make(chan bool), make(chan bool)
	for _, f := range []func(*party, context.Context) error{
		func(p *party, ctx context.Context) error { return second(p.groups.Encrypt(ctx, room, nil)) },
		func(p *party, ctx context.Context) error { return second(p.groups.Distribution(ctx, room)) },
		func(p *party, ctx context.Context) error {
			return second(p.groups.Decrypt(ctx, alice.Address(), m, nil))
		},
	} {
		p := bob
		if f(alice, ctx) == nil {
			p = alice
		}
		armed := false
		s := &fickle{Store: p.store, before: func(string, int) error {
			if armed {
				armed = false
				entered <- true
				<-leave
			}
			return nil
		}}
		q := p.over(t, s)
		armed = true
		done := make(chan error)
		go func() { done <- f(q, ctx) }()
		<-entered
		cancel()
		calls := s.calls
		require.ErrorIs(t, f(q, stop), context.Canceled)
		require.Equal(t, calls, s.calls) // it got no further than the lock
		leave <- true
		require.NoError(t, <-done)
		require.Zero(t, q.groups.Held())
	}
}

// Errors of operations that get nothing to work on.
func TestSenderKeyBadInput(t *testing.T) {
	alice, bob, _ := told(t)
	m := alice.tells(t, room, "hello")
	for name, c := range map[string]struct {
		m    *session.Message
		want error
	}{
		"nil":           {nil, session.ErrMalformed},
		"empty":         {&session.Message{}, session.ErrMalformed},
		"no bytes":      {&session.Message{Type: session.TypeSenderKey}, session.ErrMalformed},
		"another type":  {&session.Message{Type: session.TypeSignal, Bytes: m.Bytes}, session.ErrMalformed},
		"sealed":        {&session.Message{Type: session.TypeSealed, Bytes: m.Bytes}, session.ErrMalformed},
		"truncated":     {&session.Message{Type: m.Type, Bytes: m.Bytes[:64]}, session.ErrMalformed},
		"older version": {&session.Message{Type: m.Type, Bytes: append([]byte{0x23}, m.Bytes[1:]...)}, session.ErrVersion},
		"newer version": {&session.Message{Type: m.Type, Bytes: append([]byte{0x43}, m.Bytes[1:]...)}, session.ErrVersion},
		"too large":     {&session.Message{Type: m.Type, Bytes: make([]byte, wire.MaxSenderKeyMessage+1)}, session.ErrTooLarge},
		"a byte more":   {&session.Message{Type: m.Type, Bytes: append(bytes.Clone(m.Bytes), 1)}, nil},
	} {
		if testing.Short() && name == "too large" {
			continue
		}
		err := bob.decrypt(t, alice, c.m, nil)
		require.Error(t, err, name)
		if c.want != nil {
			require.ErrorIs(t, err, c.want, name)
			if name != "another type" {
				_, err = group.IDOf(c.m)
				require.ErrorIs(t, err, c.want, name)
			}
		}
	}
	id, err := group.IDOf(m)
	require.NoError(t, err)
	require.Equal(t, room, id)
	_, err = bob.groups.Decrypt(ctx, session.Address{}, m, nil)
	require.ErrorIs(t, err, session.ErrMalformed)
	// One's own message was read by whoever wrote it, from whatever place it comes.
	require.ErrorIs(t, alice.decrypt(t, alice, m, nil), session.ErrDuplicate)
	for _, bad := range [][]byte{{0xFF}, (&session.Content{SyncTo: "bob"}).Bytes()} {
		_, err = alice.groups.Encrypt(ctx, room, bad)
		require.ErrorIs(t, err, session.ErrMalformed)
	}
	if !testing.Short() {
		_, err = alice.groups.Encrypt(ctx, room, (&session.Content{Body: make([]byte, wire.MaxPlaintext-10)}).Bytes())
		require.ErrorIs(t, err, session.ErrTooLarge)
	}
	bob.hears(t, alice, m, "hello")
}

// A damaged own key makes no message; another one does.
func TestOwnKeyDamaged(t *testing.T) {
	for name, f := range map[string]func(*wire.SenderKeyState){
		"chain key":       func(s *wire.SenderKeyState) { s.ChainKey = s.ChainKey[1:] },
		"no chain":        func(s *wire.SenderKeyState) { s.ChainKey = nil },
		"no private key":  func(s *wire.SenderKeyState) { s.SigningPrivate = nil },
		"another private": func(s *wire.SenderKeyState) { s.SigningPrivate = bytes.Repeat([]byte{1}, 32) },
		"no public key":   func(s *wire.SenderKeyState) { s.SigningPublic = nil },
	} {
		alice, bob, _ := told(t)
		alice.alters(t, alice, room, f)
		before := testutil.StoreDigest(t, alice.store)
		_, err := alice.groups.Encrypt(ctx, room, nil)
		require.ErrorIs(t, err, session.ErrCorrupt, name)
		require.Equal(t, before, testutil.StoreDigest(t, alice.store))
		require.NoError(t, alice.groups.Rotate(ctx, room))
		alice.gives(t, room, bob)
		bob.hears(t, alice, alice.tells(t, room, "well"), "well")
	}
	alice, _, _ := told(t)
	k := alice.senderRecord(alice.Address(), room)
	testutil.Commit(t, alice.store, testutil.Put(k, testutil.Load(t, alice.store, k).Version, "\x01"))
	_, err := alice.groups.Encrypt(ctx, room, nil)
	require.ErrorIs(t, err, session.ErrCorrupt)
	_, err = alice.groups.Distribution(ctx, room)
	require.ErrorIs(t, err, session.ErrCorrupt)
}

// Signing keys in memory are few: of one's own those of the keys there are, and of
// others as many at most.
func TestSigningKeysInMemory(t *testing.T) {
	alice, bob, _ := told(t)
	held := func(p *party, own, others int) {
		t.Helper()
		a, b := p.groups.Signing()
		require.Equal(t, [2]int{own, others}, [2]int{a, b})
	}
	for range 3 {
		require.NoError(t, alice.groups.Rotate(ctx, room))
		alice.gives(t, room, bob)
		bob.hears(t, alice, alice.tells(t, room, "new key"), "new key")
		bob.hears(t, alice, alice.tells(t, room, "again"), "again")
	}
	held(alice, 1, 0)
	held(bob, 0, 3)
	for n := range group.MaxSigning + 20 {
		alice.key(t, numbered(n))
		alice.gives(t, numbered(n), bob)
		bob.hears(t, alice, alice.tells(t, numbered(n), ""), "")
	}
	held(alice, group.MaxSigning, 0)
	held(bob, 0, group.MaxSigning)
}

func TestDistributionID(t *testing.T) {
	require.Equal(t, "d1d1d1d1-7000-11eb-b32a-33b8a8a487a6", room.String())
	for _, s := range []string{room.String(), strings.ToUpper(room.String())} {
		id, err := group.ParseDistributionID(s)
		require.NoError(t, err)
		require.Equal(t, room, id)
	}
	for _, s := range []string{"", "x", "PNI:" + room.String(), room.String()[1:], "{" + room.String()[1:35] + "}", strings.Repeat("-", 36)} {
		id, err := group.ParseDistributionID(s)
		require.ErrorIs(t, err, session.ErrMalformed, s)
		require.Zero(t, id)
	}
}

// What is drawn: the chain id and key, the signing key; and for each message a
// nonce of its signature.
func TestCoins(t *testing.T) {
	c := newClock()
	open := func() *party { return newParty(t, "alice", c, nil) }
	p := open()
	require.Equal(t, []int{4 + 32, 32}, testutil.Coins(t, func() []byte {
		p = &party{Device: p.Device, groups: group.New(p.Device, nil), store: p.store, opts: p.opts}
		require.NoError(t, p.groups.Rotate(ctx, room))
		return p.key(t, room)
	}))
	state := p.states(t, p, room)[0]
	require.Equal(t, []int{64}, testutil.Coins(t, func() []byte {
		p.alters(t, p, room, func(s *wire.SenderKeyState) { *s = state })
		return p.tells(t, room, "text").Bytes
	}))
}

func TestRedacted(t *testing.T) {
	alice, _, _ := told(t)
	s := alice.states(t, alice, room)[0]
	for _, text := range testutil.Printed(t, alice.groups) {
		testutil.NoTrace(t, text, s.ChainKey, s.SigningPrivate)
	}
}
