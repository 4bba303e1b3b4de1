package group_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// A fickle store has something happen at its calls, which may fail them.
type fickle struct {
	keystore.Store
	calls  int
	before func(call string, n int) error
	after  func(call string, n int) error
}

func (s *fickle) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	s.calls++
	if err := s.before("load", s.calls); err != nil {
		return nil, err
	}
	return s.Store.Load(ctx, keys...)
}

func (s *fickle) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	s.calls++
	if err := s.before("commit", s.calls); err != nil {
		return 0, err
	}
	v, err := s.Store.Commit(ctx, changes...)
	if err == nil && s.after != nil {
		err = s.after("commit", s.calls)
	}
	return v, err
}

// twin is another process on the store of a device.
func (r *resident) twin() *resident { return r.restarted(r.store) }

// broken is a process on the store of a device, whose calls may fail, counted from 1.
func (r *resident) broken(before, after func(call string, n int) error) *resident {
	s := &fickle{Store: r.store, before: func(string, int) error { return nil }}
	out := r.restarted(s)
	s.calls, s.before, s.after = 0, before, after
	return out
}

// raced is a process on the store of a device that does something, and before its
// first commit another one does.
func (r *resident) raced(rival func()) *resident {
	once := false
	return r.restarted(&fickle{Store: r.store, before: func(call string, _ int) error {
		if call == "commit" && !once {
			once = true
			rival()
		}
		return nil
	}})
}

// TestGRP_06_RemovalWhileSending: a message is under the old key only if it was
// committed before the removal.
func TestGRP_06_RemovalWhileSending(t *testing.T) {
	w, a := three(t)
	other := a.twin()
	slow := a.raced(func() { other.set(budi) })
	s, err := slow.groups.Send(ctx, club, &session.Content{Body: []byte("secret")}, nil)
	require.Nil(t, s)
	require.True(t, is[*group.WaitingError](err), "%v", err)
	require.Equal(t, everybody[:2], a.says("after"))
	w.heard(at(cici, 1))

	// Excluding is removing, and a group of the same members is another one.
	a.set(budi, cici)
	a.gives()
	slow = a.raced(func() {
		require.NoError(t, other.groups.Set(ctx, club, []string{budi, cici}, everybody[2:]))
	})
	_, err = slow.groups.Send(ctx, club, &session.Content{Body: []byte("secret")}, nil)
	require.Equal(t, everybody[:2], waitingFor(t, err))
	require.NoError(t, other.groups.Set(ctx, club, []string{budi, cici}, nil))
	a.gives()
	slow = a.raced(func() {
		require.NoError(t, other.groups.Forget(ctx, club))
		other.set(budi, cici)
	})
	_, err = slow.groups.Send(ctx, club, &session.Content{Body: []byte("secret")}, nil)
	require.Equal(t, everybody, waitingFor(t, err))
	require.Equal(t, everybody, a.gives())
	w.heard(at(cici, 1))
	w.of[at(budi, 1)].heard = nil

	// And the other way round: the removal is slower.
	a.set(budi, cici)
	a.gives()
	var sent *session.Sending
	slow = a.raced(func() { sent = other.sends("before") })
	slow.set(budi)
	w.deliver(a, sent)
	w.heard(at(cici, 1), "before")
	a.waits(nil, everybody[:2]...)
	require.Equal(t, everybody[:2], a.says("after"))
	w.heard(at(cici, 1))

	// A member who comes meanwhile waits for the key as well.
	a.set(budi, cici)
	require.Equal(t, everybody[2:], a.gives())
	w.add(at(dewi, 1))
	slow = a.raced(func() { other.set(budi, cici, dewi) })
	_, err = slow.groups.Send(ctx, club, new(session.Content), nil)
	require.Equal(t, []session.Address{at(dewi, 1)}, waitingFor(t, err))

	// While the key is handed out, too: whoever is gone does not get it.
	slow = a.raced(func() { other.set(budi, cici) })
	s, err = slow.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.Nil(t, s)

	// What was given out by two is had once both were taken, of one key.
	other.set(budi, cici, dewi)
	var first *session.Sending
	slow = a.raced(func() {
		var err error
		first, err = other.groups.Distribute(ctx, club, nil)
		require.NoError(t, err)
	})
	s, err = slow.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.Equal(t, where(first.Results), where(s.Results))
	w.deliver(a, first)
	w.deliver(a, s)
	require.NoError(t, a.groups.Accept(ctx, s))
	require.NoError(t, a.groups.Accept(ctx, first))
	require.Nil(t, a.says("all"))

	// A key that is not the group's any more: nobody has it.
	a.set(budi)
	require.NoError(t, a.groups.Accept(ctx, s))
	s, err = a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	a.set(budi, cici)
	a.deletes(a.key())
	s2, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, a.groups.Accept(ctx, s))
	require.Empty(t, a.club().Has)
	require.NoError(t, a.groups.Accept(ctx, s2))
	require.Equal(t, everybody, a.club().Has)
}

// waitingFor are the devices that a message has to wait for.
func waitingFor(t *testing.T, err error) []session.Address {
	t.Helper()
	waiting, ok := errors.AsType[*group.WaitingError](err)
	require.True(t, ok, "%v", err)
	return waiting.Devices
}

// Many at once, in two processes: every message has its own place in the chain, and
// all read all.
func TestGRP_08_ManySenders(t *testing.T) {
	w, a := three(t)
	const each = 10
	senders := []*resident{a, a, a, a.twin(), a.twin()}
	sent := make(chan *session.Sending, each*len(senders))
	var all sync.WaitGroup
	for i, r := range senders {
		all.Go(func() {
			for n := range each {
				for {
					s, err := r.groups.Send(ctx, club, &session.Content{Body: fmt.Append(nil, i, n)}, nil)
					if is[*keystore.ConflictError](err) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					sent <- s
					break
				}
			}
		})
	}
	all.Wait()
	close(sent)
	places := map[uint32]bool{}
	for s := range sent {
		m, err := wire.ParseSenderKeyMessage(s.Results[0].Message.Bytes)
		require.NoError(t, err)
		require.False(t, places[m.Iteration])
		places[m.Iteration] = true
		w.deliver(a, s)
	}
	require.Len(t, places, each*len(senders))
	require.Len(t, w.of[at(cici, 1)].heard, each*len(senders))
}

// Whatever call of the store fails, before or after it did what it was to, and
// whatever stops then: with the store it left, the group goes on, whoever is in it
// reads what is sent, and whoever is not does not.
func TestGroupCrashes(t *testing.T) {
	stopped := errors.New("stopped")
	steps := map[string]func(r *resident) error{
		"set":        func(r *resident) error { return r.groups.Set(ctx, club, []string{budi, dewi}, nil) },
		"distribute": func(r *resident) error { return second(r.groups.Distribute(ctx, club, nil)) },
		"rotate": func(r *resident) error {
			if err := r.groups.Set(ctx, club, []string{budi}, nil); err != nil {
				return err
			}
			return second(r.groups.Distribute(ctx, club, nil))
		},
		"accept": func(r *resident) error {
			s, err := r.groups.Distribute(ctx, club, nil)
			if err != nil {
				return err
			}
			r.town.deliver(r, s)
			return r.groups.Accept(ctx, s)
		},
		"send": func(r *resident) error {
			r.town.deaf[at(dewi, 1)] = true
			return second(r.groups.Send(ctx, club, new(session.Content), &session.SendOptions{Exclude: []session.Address{at(dewi, 0)}}))
		},
		"forget": func(r *resident) error { return r.groups.Forget(ctx, club) },
	}
	for name, step := range steps {
		kinds, stride := []string{"until", "unknown after", "before", "after", "unknown before"}, 1
		if testing.Short() {
			kinds, stride = kinds[:1], 6
		}
		for _, kind := range kinds {
			t.Run(name+" "+kind, func(t *testing.T) {
				for n, reached := 1, true; reached; n += stride {
					w, a := three(t)
					w.add(at(dewi, 1))
					a.set(budi, cici, dewi)
					reached = false
					fails := func(when string) func(string, int) error {
						return func(call string, at int) error {
							if at < n || at > n && kind != "until" || kind == "until" && when == "after" {
								return nil
							}
							reached = true
							switch {
							case kind == when || kind == "until":
								return stopped
							case kind == "unknown "+when && call == "commit":
								return keystore.ErrCommitUnknown
							}
							return nil
						}
					}
					broken := a.broken(fails("before"), fails("after"))
					err := step(broken)
					require.True(t, err == nil || errors.Is(err, stopped) || errors.Is(err, keystore.ErrCommitUnknown), "%v", err)
					w.deaf[at(dewi, 1)] = false
					a = a.twin()
					g, err := a.groups.Get(ctx, club)
					if name == "forget" && errors.Is(err, group.ErrNoGroup) {
						a.set(budi, cici, dewi)
						g = a.club()
					}
					cut := a.says("after")
					in := 0
					for _, user := range g.Members {
						for d, r := range w.of {
							if d.User == user {
								require.Equal(t, "after", r.heard[len(r.heard)-1], "%v %d %v", d, n, cut)
								in++
							}
						}
					}
					s := a.sends("last")
					require.Len(t, s.Results, in)
					for d, r := range w.of {
						if user := d.User; user != ani && !contains(g.Members, user) {
							require.ErrorIs(t, r.hears(a, s.Results[0].Message), group.ErrNoSenderKey)
						}
					}
				}
			})
		}
	}
}

func contains(list []string, s string) bool {
	for _, in := range list {
		if in == s {
			return true
		}
	}
	return false
}

// In a transaction of the app's nothing comes out before that is committed, and what
// was done in it counts in it.
func TestGroupInTransaction(t *testing.T) {
	w, a := three(t)
	var pending keystore.Pending
	tx := pending.In(ctx)
	require.NoError(t, a.groups.Set(tx, club, []string{budi}, nil))
	key, err := a.groups.Distribute(tx, club, nil)
	require.NoError(t, err)
	require.Empty(t, key.Results)
	require.Error(t, a.groups.Accept(tx, key), "it cannot have left")
	_, err = a.groups.Send(tx, club, new(session.Content), nil)
	require.True(t, is[*group.WaitingError](err))
	pending.Committed()
	require.Equal(t, everybody[:2], where(key.Results))
	w.deliver(a, key)

	pending = keystore.Pending{}
	require.NoError(t, a.groups.Accept(tx, key))
	s, err := a.groups.Send(tx, club, &session.Content{Body: []byte("at last")}, nil)
	require.NoError(t, err)
	require.Empty(t, s.Results)
	pending.Committed()
	w.deliver(a, s)
	w.heard(at(budi, 2), "at last")

	// A conflict is the app's to see.
	slow := a.raced(func() { a.set(budi, cici) })
	pending = keystore.Pending{}
	_, err = slow.groups.Send(tx, club, new(session.Content), nil)
	require.True(t, is[*keystore.ConflictError](err))
}
