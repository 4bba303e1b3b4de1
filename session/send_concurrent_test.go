package session_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// Many Sends at once, of two Devices over one store too, and to devices that
// nobody has a session with yet: every message is read once, no counter is used
// twice, and none has the time of another.
func TestConcurrentSends(t *testing.T) {
	for _, devices := range []int{1, 2} {
		t.Run(fmt.Sprint(devices), func(t *testing.T) {
			r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 2), at(cici, 1))
			from := r.of(ani, 1)
			second, err := session.Open(ctx, from.store, from.Address(), from.opts)
			require.NoError(t, err)
			senders := []*session.Device{from.Device, second}[:devices]
			var all sync.WaitGroup
			sent := make([]*session.Sending, 16)
			for i := range sent {
				users := [][]string{{budi}, {cici, budi}, {cici}}[i%3]
				all.Go(func() {
					for { // between processes somebody may lose often
						s, err := senders[i%devices].Send(ctx, users, &session.Content{Body: fmt.Append(nil, i)}, nil)
						if _, lost := errors.AsType[*keystore.ConflictError](err); !lost {
							if err != nil {
								t.Error(err)
							}
							sent[i] = s
							return
						}
					}
				})
			}
			all.Wait()
			require.False(t, t.Failed())
			times := map[time.Time]bool{}
			counters := map[string]bool{}
			for i, s := range sent {
				require.False(t, times[s.SentAt])
				times[s.SentAt] = true
				for _, res := range s.Results {
					require.NoError(t, res.Err)
					m := inner(t, res.Message)
					counter := fmt.Sprintf("%v %x %d", res.To, m.RatchetKey, m.Counter)
					require.False(t, counters[counter])
					counters[counter] = true
					r.sides[res.To].reads(t, from, res.Message, fmt.Sprint(i))
				}
			}
			for a := range r.bundles {
				require.Empty(t, from.index(t, a).Archived, "one session each")
			}
			require.Len(t, from.list(t, "sent", "-"), 16)
		})
	}
}

// At once as well: what else is done with the same peers, and what a server says.
func TestConcurrentReconciles(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2))
	from := r.of(ani, 1)
	sent := make([]*session.Sending, 8)
	for i := range sent {
		sent[i] = r.sends(t, from, fmt.Sprint(i), budi)
	}
	r.add(t, at(budi, 3))
	r.join(t, session.Account{Address: at(budi, 2), Identity: r.of(budi, 2).identity, RegistrationID: 77})
	r.hidden[at(budi, 1)] = true
	var all sync.WaitGroup
	for _, s := range sent {
		said := r.differs(from, s, budi)
		all.Go(func() {
			if err := from.Reconcile(ctx, s, said...); err != nil {
				t.Error(err)
			}
			if err := from.Accept(ctx, s); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			if err := from.Refresh(ctx, budi); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.False(t, t.Failed())
	for i, s := range sent {
		r.delivers(t, from, s, fmt.Sprint(i), at(budi, 2), at(budi, 3))
		_, to := from.copied(t, s)
		require.Equal(t, []session.Address{at(budi, 2), at(budi, 3)}, to)
	}
	require.Len(t, from.index(t, at(budi, 2)).Archived, 1)
}

// When another process is faster, what did not depend on it is not encrypted a
// second time, and leaves under its time.
func TestSendRunsAgain(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1))
	from := r.of(ani, 1)
	r.delivers(t, from, r.sends(t, from, "before", budi, cici), "before", at(budi, 1), at(budi, 2), at(cici, 1))
	other := &side{store: from.store, identity: from.identity, opts: from.opts}
	var err error
	other.Device, err = session.Open(ctx, from.store, from.Address(), from.opts)
	require.NoError(t, err)
	for _, lost := range []error{nil, keystore.ErrCommitUnknown} {
		dev, watch := from.spied(t)
		var early *session.Message
		watch.fail = func(call string, _ int) error {
			if call == "commit" && early == nil {
				early, err = other.Encrypt(ctx, at(budi, 2), []byte("early"))
				require.NoError(t, err)
				return lost
			}
			return nil
		}
		s := r.sends(t, dev, "late", budi, cici)
		watch.fail = nil
		require.Len(t, watch.commits, 2)
		first, second := map[keystore.Key]string{}, map[keystore.Key]string{}
		for i, into := range []map[keystore.Key]string{first, second} {
			for _, c := range watch.commits[i] {
				if c.Op == keystore.Put {
					into[c.Key] = string(c.Value)
				}
			}
		}
		require.Len(t, first, 4)
		for k, v := range first {
			if k.Kind == "session" && k.Owner == budi && k.Name == "2" {
				require.NotEqual(t, v, second[k])
			} else {
				require.Equal(t, v, second[k], k)
			}
		}
		r.of(budi, 2).reads(t, from, early, "early")
		r.delivers(t, from, s, "late", at(budi, 1), at(budi, 2), at(cici, 1))
	}
}

// A commit that nobody can vouch for, and that happened: the ciphertext is
// dropped and made anew under the same time.
func TestSendCommitUnknown(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(cici, 1))
	from := r.of(ani, 1)
	for i, text := range []string{"first", "second"} {
		dev, watch := from.spied(t)
		watch.fail = func(call string, _ int) error {
			if call == "committed" && len(watch.commits) == 1 {
				return keystore.ErrCommitUnknown
			}
			return nil
		}
		s := r.sends(t, dev, text, budi, cici)
		require.Len(t, watch.commits, 2)
		r.delivers(t, from, s, text, at(budi, 1), at(cici, 1))
		require.Equal(t, uint32(1+2*i), inner(t, s.Results[0].Message).Counter)
	}
	require.Len(t, from.list(t, "sent", "-"), 2)
}

// In a transaction of the app's a Sending, and what Reconcile makes of it, is
// empty until that is committed, and no lock is taken.
func TestPendingSend(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	var pending keystore.Pending
	tx := pending.In(ctx)
	s, err := from.Send(tx, []string{budi}, &session.Content{Body: []byte("text")}, nil)
	require.NoError(t, err)
	require.Empty(t, s.Results)
	require.True(t, s.SentAt.IsZero())
	pending.Committed()
	r.delivers(t, from, s, "text", at(budi, 1))

	r.add(t, at(budi, 2))
	var second keystore.Pending
	require.NoError(t, from.Reconcile(second.In(ctx), s, session.Difference{User: budi, Missing: []uint32{2}}))
	require.Equal(t, []session.Address{at(budi, 1)}, addresses(s))
	second.Committed()
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2)}, addresses(s))
	r.of(budi, 2).reads(t, from, s.Results[1].Message, "text")

	dev, watch := from.spied(t)
	for _, lost := range []error{&keystore.ConflictError{}, keystore.ErrCommitUnknown} {
		watch.reset()
		watch.fail = func(call string, _ int) error {
			if call == "commit" {
				return lost
			}
			return nil
		}
		_, err := dev.Send(tx, []string{budi}, &session.Content{}, nil)
		require.ErrorIs(t, err, lost)
		require.Len(t, watch.commits, 1, "not again")
	}
}

// A gate that refuses one device stops the message for all, before anything is
// encrypted, and says so for each.
func TestSendAtGate(t *testing.T) {
	r := newRegistry(t)
	r.opts.Gate = toll{t}
	for _, a := range []session.Address{at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1), at(cici, 2)} {
		r.add(t, a)
	}
	from := r.of(ani, 1)
	pay(t, from, budi)
	before := testutil.StoreDigest(t, from.store)
	s, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, nil)
	require.Nil(t, s)
	require.ErrorIs(t, err, errUnpaid)
	require.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 2, "both devices of cici")
	require.Equal(t, before, testutil.StoreDigest(t, from.store))
	s = r.sends(t, from, "text", budi)
	r.of(budi, 1).reads(t, from, s.Results[0].Message, "text")
	s = r.unpaid(t, from)
	before = testutil.StoreDigest(t, from.store)
	require.ErrorIs(t, from.Reconcile(ctx, s, session.Difference{User: cici, Missing: []uint32{1}}), errUnpaid)
	require.Equal(t, before, testutil.StoreDigest(t, from.store))
}

// unpaid is a Sending to cici that went to nobody.
func (r *registry) unpaid(t *testing.T, from *side) *session.Sending {
	t.Helper()
	s, err := from.Send(ctx, []string{cici}, &session.Content{Body: []byte("text")},
		&session.SendOptions{Exclude: []session.Address{at(cici, 2), at(cici, 3)}})
	require.ErrorIs(t, err, errUnpaid)
	require.Nil(t, s)
	r.hidden[at(cici, 1)] = true
	require.NoError(t, from.Refresh(ctx, cici))
	s, err = from.Send(ctx, []string{cici}, &session.Content{Body: []byte("text")},
		&session.SendOptions{Exclude: []session.Address{at(cici, 2), at(cici, 3)}})
	require.NoError(t, err)
	r.hidden[at(cici, 1)] = false
	return s
}

// A store that was rolled back takes no message out.
func TestSendRolledBack(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	s := r.sends(t, from, "text", budi)
	require.ErrorIs(t, session.CheckGeneration(ctx, from.store, 1<<40), keystore.ErrRolledBack)
	before := r.digest(t)
	_, err := from.Send(ctx, []string{budi}, &session.Content{}, nil)
	require.ErrorIs(t, err, keystore.ErrRolledBack)
	require.ErrorIs(t, from.Reconcile(ctx, s, session.Difference{User: budi, Stale: []uint32{1}}), keystore.ErrRolledBack)
	require.ErrorIs(t, from.Accept(ctx, s), keystore.ErrRolledBack)
	require.ErrorIs(t, from.Refresh(ctx, budi), keystore.ErrRolledBack)
	require.Equal(t, before, r.digest(t))
	_, err = from.Peer(ctx, budi)
	require.NoError(t, err)
}
