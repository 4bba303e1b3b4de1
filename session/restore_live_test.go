package session_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A service is a registry that gives out what devices have uploaded, and so
// knows nothing of what becomes of their stores.
type service struct {
	*registry
	uploads map[session.Address]*x3dh.Publication
	sent    counters
}

// newService has two devices of ani, one of budi and one of cici, who is to be
// late.
func newService(t *testing.T) *service {
	t.Helper()
	s := &service{registry: newRegistry(t), uploads: map[session.Address]*x3dh.Publication{}, sent: counters{}}
	s.opts.PreKeys = session.PreKeyPolicy{OneTime: 8, Low: 1}
	for _, a := range []session.Address{at(ani, 1), at(ani, 2), at(budi, 1), at(cici, 1)} {
		s.add(t, a)
	}
	s.bundle = func(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
		return s.uploads[peer].Take(), nil
	}
	for a := range s.sides {
		s.uploads[a] = s.sides[a].upkeep(t)
	}
	return s
}

// posts has a device send a text to users, and requires that each message has a
// counter of its own in all lives of the device.
func (s *service) posts(t *testing.T, from session.Address, text string, users ...string) *session.Sending {
	t.Helper()
	out := s.sends(t, s.sides[from], text, users...)
	for _, res := range out.Results {
		require.NoError(t, res.Err, res.To)
		s.sent.left(t, res.Message)
	}
	return out
}

// arrives requires that all devices read what was posted.
func (s *service) arrives(t *testing.T, from session.Address, out *session.Sending, text string) {
	t.Helper()
	for _, res := range out.Results {
		to := s.sides[res.To]
		to.acknowledges(t, to.reads(t, s.sides[from], res.Message, text))
	}
}

// chats has everybody send everybody a message, which is read.
func (s *service) chats(t *testing.T, users ...string) {
	t.Helper()
	for a := range s.sides {
		for i, user := range users {
			if user != a.User {
				continue
			}
			others := append(append([]string{}, users[:i]...), users[i+1:]...)
			text := fmt.Sprint("from ", a)
			s.arrives(t, a, s.posts(t, a, text, others...), text)
		}
	}
}

// comesBack takes a device up from a backup in a store, as an app does: the
// device does nothing before AfterRestore, and uploads its prekeys then.
func (s *service) comesBack(t *testing.T, a session.Address, backup keystore.Store) {
	t.Helper()
	was := s.sides[a]
	require.ErrorIs(t, session.CheckGeneration(ctx, backup, testutil.Generation(t, was.store)), keystore.ErrRolledBack)
	d, err := session.Open(ctx, backup, a, was.opts)
	require.NoError(t, err)
	_, err = d.Send(ctx, []string{budi}, &session.Content{Body: []byte("too early")}, nil)
	refused(t, err, keystore.ErrRolledBack)
	require.NoError(t, d.AfterRestore(ctx))
	s.sides[a] = &side{Device: d, store: backup, identity: was.identity, opts: was.opts}
	s.uploads[a] = s.sides[a].upkeep(t)
}

// One of ani's devices is put back from a backup, while her other one and budi
// go on. It needs nobody to tell it what to do: the next Send begins new
// sessions with both, which all have turned to within two round trips; no
// counter is used twice; and of what was sent to it meanwhile, what it cannot
// read any more says so and harms nothing.
func TestSTO_04_LivePeers(t *testing.T) {
	livePeers(t, func() keystore.Store { return keystore.NewMemory() })
}

func livePeers(t *testing.T, newStore func() keystore.Store) {
	s := newService(t)
	phone := at(ani, 1)
	s.sides[phone].takesTo(t, newStore())
	for range 2 {
		s.chats(t, ani, budi)
	}
	backup := &side{store: s.sides[phone].store, opts: s.sides[phone].opts}
	backup.takesFrom(t, phone, newStore())

	// What the backup knows nothing of: some of it has arrived, some is late.
	late := s.posts(t, at(budi, 1), "on a chain of the backup", ani)
	handedOut := s.uploads[phone].Take() // cici is slow
	for range 3 {
		s.arrives(t, phone, s.posts(t, phone, "after the backup", budi), "after the backup")
		s.chats(t, ani, budi)
	}
	lost := s.posts(t, at(budi, 1), "with keys that are lost", ani)
	unsent := s.posts(t, phone, "late, too", budi)

	s.comesBack(t, phone, backup.store)
	now := s.sides[phone]
	s.reads(t, at(budi, 1), late, phone, "on a chain of the backup")
	before := now.digest(t)
	refused(t, now.decrypt(s.of(budi, 1), s.to(t, lost, phone)), session.ErrAuth)
	require.Equal(t, before, now.digest(t))

	first := s.posts(t, phone, "back again", budi)
	require.Equal(t, []session.Address{at(ani, 2), at(budi, 1)}, addresses(first))
	for _, res := range first.Results {
		require.Equal(t, session.TypePreKey, res.Message.Type)
	}
	s.arrives(t, phone, unsent, "late, too") // from the life before
	s.arrives(t, phone, first, "back again")
	for range 2 {
		s.chats(t, ani, budi)
	}
	for _, to := range []session.Address{at(ani, 2), at(budi, 1)} {
		require.Equal(t, baseKey(now.index(t, to).Current), baseKey(s.sides[to].index(t, phone).Current), "not one session")
	}

	// Prekeys that were given out before are gone, those uploaded since are good.
	cc := s.of(cici, 1)
	require.NoError(t, cc.Begin(ctx, phone, handedOut))
	m := cc.send(t, now, "hello")
	before = now.digest(t)
	refusedAs[*session.PreKeyNotFoundError](t, now.decrypt(cc, m))
	require.Equal(t, before, now.digest(t))
	fresh := s.uploads[phone].Take()
	require.NotNil(t, fresh.PreKey)
	require.NoError(t, cc.Begin(ctx, phone, fresh))
	r := now.reads(t, cc, cc.send(t, now, "hello again"), "hello again")
	require.False(t, r.NoOneTimePreKey)
	s.chats(t, ani, budi, cici)
}

// takesFrom copies the records of a device at an address to a store.
func (s *side) takesFrom(t *testing.T, a session.Address, store keystore.Store) {
	t.Helper()
	d, err := session.Open(ctx, s.store, a, s.opts)
	require.NoError(t, err)
	s.Device = d
	s.takesTo(t, store)
}

// to is the message of a Sending for a device.
func (s *service) to(t *testing.T, out *session.Sending, a session.Address) *session.Message {
	t.Helper()
	for _, res := range out.Results {
		if res.To == a {
			return res.Message
		}
	}
	t.Fatal("no message for the device")
	return nil
}

// reads requires that one device reads what was posted.
func (s *service) reads(t *testing.T, from session.Address, out *session.Sending, a session.Address, text string) {
	t.Helper()
	to := s.sides[a]
	to.acknowledges(t, to.reads(t, s.sides[from], s.to(t, out, a), text))
}

// Both of ani's devices are put back, one after the other, from backups of
// different days, and budi's while they are.
func TestSTO_04_AllPeersRestored(t *testing.T) {
	s := newService(t)
	backups := map[session.Address]keystore.Store{}
	for _, a := range []session.Address{at(ani, 1), at(ani, 2), at(budi, 1)} {
		s.chats(t, ani, budi)
		s.now = s.now.Add(24 * time.Hour)
		backups[a] = copyOf(t, s.sides[a].store)
		s.chats(t, ani, budi)
	}
	for _, a := range []session.Address{at(ani, 1), at(ani, 2), at(budi, 1)} {
		s.posts(t, a, "lost", budi, ani)
		s.comesBack(t, a, backups[a])
	}
	for _, a := range []session.Address{at(budi, 1), at(ani, 2), at(ani, 1)} {
		s.arrives(t, a, s.posts(t, a, "back again", budi, ani), "back again")
	}
	for range 2 {
		s.chats(t, ani, budi)
	}
	for a := range backups {
		for b := range backups {
			if a != b {
				require.Equal(t, baseKey(s.sides[a].index(t, b).Current), baseKey(s.sides[b].index(t, a).Current), "%v %v", a, b)
			}
		}
	}
}
