package session_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// Two processes work on one store: while one renames a user, the other goes on
// reading and writing, under whichever name it finds. Each message is read once,
// no counter is used twice, and all is under one name in the end.
func TestRenameRace(t *testing.T) { renameRace(t, keystore.NewMemory()) }

// takesTo copies the records of s to a store, which is its own from then on.
func (s *side) takesTo(t testing.TB, store keystore.Store) {
	t.Helper()
	var changes []keystore.Change
	for _, r := range testutil.Records(t, s.store) {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: r.Key, Value: r.Value})
	}
	_, err := store.Commit(ctx, changes...)
	require.NoError(t, err)
	s.store = store
	s.Device, err = session.Open(ctx, store, s.Address(), s.opts)
	require.NoError(t, err)
}

func renameRace(t *testing.T, store keystore.Store) {
	alice, bob := byPhone(t)
	bob.takesTo(t, store)
	second, err := session.Open(ctx, store, bobAddress, bob.opts)
	require.NoError(t, err)
	talk(t, alice, bob)
	names := []session.Address{alice.called, {User: "alice", Device: alice.called.Device}}
	var mail []*session.Message
	for i := range 40 {
		mail = append(mail, alice.says(t, bob, fmt.Sprint("mail ", i)))
	}
	// either does f under the first name, and under the second once there is no
	// session there.
	either := func(f func(session.Address) error) error {
		err := f(names[0])
		if errors.Is(err, session.ErrNoSession) {
			err = f(names[1])
		}
		return err
	}
	got, sent := make([]string, len(mail)), make([]*session.Message, 20)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i, m := range mail {
			if err := either(func(a session.Address) error {
				r, err := second.Decrypt(ctx, a, m, nil)
				if err == nil {
					got[i] = string(r.Plaintext)
				}
				return err
			}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for i := range sent {
			if err := either(func(a session.Address) (err error) {
				sent[i], err = second.Encrypt(ctx, a, []byte("answer"))
				return err
			}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		if err := insist(func() error { return bob.Rename(ctx, names[0].User, names[1].User) }); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	require.False(t, t.Failed())
	used := counters{}
	for i := range mail {
		require.Equal(t, fmt.Sprint("mail ", i), got[i])
	}
	for _, m := range sent {
		used.left(t, m)
		alice.hears(t, bob, m, "answer")
	}
	require.Empty(t, bob.under(t, names[0].User))
	require.Len(t, bob.waiting(t), 1+len(mail))
	bob.index(t, names[1])
	alice.called = names[1]
	talk(t, alice, bob)
}

// insist does f again as long as another process is faster each time.
func insist(f func() error) error {
	for {
		err := f()
		if _, ok := errors.AsType[*keystore.ConflictError](err); !ok {
			return err
		}
	}
}

// While one forgets a user, the other reads and writes: at the end there is
// nothing, for all that came was on sessions that are gone.
func TestForgetRace(t *testing.T) {
	p := friends(t)
	second, err := session.Open(ctx, p.bob.store, bobAddress, p.bob.opts)
	require.NoError(t, err)
	var mail []*session.Message
	for range 40 {
		mail = append(mail, p.alice.send(t, p.bob, "mail"))
	}
	gone := func(err error) bool { return errors.Is(err, session.ErrNoSession) }
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, m := range mail {
			if _, err := second.Decrypt(ctx, aliceAddress, m, nil); err != nil && !gone(err) {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		for range 20 {
			if _, err := second.Encrypt(ctx, aliceAddress, nil); err != nil && !gone(err) {
				t.Error(err)
			}
		}
	})
	wg.Go(func() {
		if err := insist(func() error { return p.bob.Forget(ctx, aliceAddress.User) }); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	require.Empty(t, p.bob.under(t, aliceAddress.User))
}

// A device writes for the first time while its user is renamed: what it makes is
// whole, under the name it wrote to.
func TestRenameWhileAStrangerWrites(t *testing.T) {
	alice, bob := byPhone(t)
	talk(t, alice, bob)
	at := session.Address{User: alice.called.User, Device: 9}
	other := newSide(t, session.Address{User: aliceAddress.User, Device: 9}, nil, alice.opts)
	require.NoError(t, other.Begin(ctx, bobAddress, bundleOf(t, bob.side)))
	m, err := other.Encrypt(ctx, session.Address{User: "bob", Device: 1}, nil)
	require.Nil(t, m)
	refused(t, err, session.ErrNoSession)
	require.NoError(t, other.Rename(ctx, bobAddress.User, "bob"))
	m, err = other.Encrypt(ctx, session.Address{User: "bob", Device: 1}, []byte("first"))
	require.NoError(t, err)
	spied, watch := bob.spied(t)
	for _, moment := range []string{"list", "commit"} {
		done := false
		watch.fail = func(call string, _ int) error {
			if done || call != moment {
				return nil
			}
			done = true
			if moment == "commit" {
				return bob.Block(ctx, at.User, true)
			}
			_, err := bob.Decrypt(ctx, at, m, nil)
			return err
		}
		require.NoError(t, spied.Rename(ctx, at.User, "alice"))
		require.True(t, done)
		require.Empty(t, bob.under(t, at.User))
		require.NotNil(t, bob.index(t, session.Address{User: "alice", Device: 9}).Current)
		require.NotNil(t, bob.index(t, session.Address{User: "alice", Device: 2}).Current)
		require.NoError(t, bob.Rename(ctx, "alice", at.User))
	}
	_, err = bob.Encrypt(ctx, at, nil)
	refused(t, err, session.ErrBlocked)
}
