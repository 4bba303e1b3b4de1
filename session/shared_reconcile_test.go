package session_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// unread has a device ask for a message of a group that it could not read.
func (s *side) unread(t testing.TB, from *side, sent *session.Sending) *session.Message {
	t.Helper()
	m := &session.Message{Type: session.TypeSenderKey, Bytes: []byte("garbage, of which nothing is looked at")}
	refused(t, s.decrypt(from, m), session.ErrMalformed)
	out, err := s.RequestRetry(ctx, from.Address(), m, sent.SentAt, session.ErrNoSession)
	require.NoError(t, err)
	dem, err := wire.ParsePlaintextContent(out.Bytes)
	require.NoError(t, err)
	require.Equal(t, wire.DecryptionErrorMessage{Timestamp: uint64(sent.SentAt.UnixMilli()), Device: from.Address().Device}, dem)
	return out
}

// Who could not read what all got alike gets it in a message of its own, on the
// session there is, and may ask for that again.
func TestRetryOfShared(t *testing.T) {
	r, c := choir(t, session.Options{Content: true}), new(chorus)
	from := r.of(ani, 1)
	sent := from.sings(t, c, "text", budi, cici)
	to := r.of(budi, 7)
	ask := to.unread(t, from, sent)
	kept, _ := from.copied(t, sent)
	fetched := r.bundles[to.Address()]
	for range 2 { // the second time with the same bytes, and nothing changed
		out, err := from.Resend(ctx, to.Address(), ask)
		require.NoError(t, err)
		require.True(t, sent.SentAt.Equal(out.SentAt))
		require.Equal(t, to.Identity(), out.Results[0].Identity)
		require.Equal(t, session.TypeSignal, out.Results[0].Message.Type)
		before := testutil.StoreDigest(t, from.store)
		again, err := from.Resend(ctx, to.Address(), ask)
		require.NoError(t, err)
		require.Equal(t, out.Results[0].Message, again.Results[0].Message)
		require.Equal(t, before, testutil.StoreDigest(t, from.store))
	}
	out := from.resends(t, to, ask, sent.SentAt)
	require.Equal(t, fetched, r.bundles[to.Address()])

	// The first answer is lost, too: asked for by the key it was under.
	pairwise := to.reopen(t)
	to.forgetSessions(t)
	second := to.asks(t, from, out, sent.SentAt, session.ReasonNoSession)
	got, err := to.Decrypt(ctx, from.Address(), from.resends(t, to, second, sent.SentAt), nil)
	require.NoError(t, err)
	require.Equal(t, "text", string(got.Content.Body))
	require.Empty(t, got.Content.SyncTo)
	got, err = pairwise.Decrypt(ctx, from.Address(), out, nil)
	require.NoError(t, err)
	require.Equal(t, "text", string(got.Content.Body))

	after, _ := from.copied(t, sent)
	require.Equal(t, kept.Content, after.Content)
	for i := range kept.Recipients {
		same := bytes.Equal(kept.Recipients[i].Hint, after.Recipients[i].Hint)
		require.Equal(t, at(after.Recipients[i].User, after.Recipients[i].Device) != to.Address(), same)
	}
}

// Without a session, a bundle is fetched; a request is for what the device got.
func TestRetryOfSharedRefused(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from, to := r.of(ani, 1), r.of(budi, 1)
	sent := from.sings(t, c, "text", budi)
	ask := to.unread(t, from, sent)
	from.ignores(t, at(cici, 3), ask, session.ErrNoRetry)
	from.ignores(t, at(ani, 2), ask, session.ErrNoRetry) // it got a message of a session

	pairwise := r.sends(t, from, "text", budi)
	from.ignores(t, to.Address(), to.unread(t, from, pairwise), session.ErrNoRetry)
	dem := wire.DecryptionErrorMessage{RatchetKey: from.current(t, to).SenderKey(), Timestamp: uint64(sent.SentAt.UnixMilli()), Device: 1}
	from.ignores(t, to.Address(), &session.Message{Type: session.TypePlaintext, Bytes: wire.AppendPlaintextContent(nil, &dem)}, session.ErrNoRetry)
	dem.RatchetKey = []byte{}
	from.ignores(t, to.Address(), &session.Message{Type: session.TypePlaintext, Bytes: wire.AppendPlaintextContent(nil, &dem)}, session.ErrMalformed)

	from.forgetSessions(t)
	fetched := r.bundles[to.Address()]
	m := from.resends(t, to, ask, sent.SentAt)
	require.Equal(t, session.TypePreKey, m.Type)
	require.Equal(t, fetched+1, r.bundles[to.Address()])
	to.reads(t, from, m, "text")

	// It was for another identity key than the one that is accepted now.
	other := r.of(budi, 7)
	late := other.unread(t, from, sent)
	require.NoError(t, from.AcceptIdentity(ctx, other.Address(), newIdentity().Public()))
	from.ignores(t, other.Address(), late, session.ErrNoRetry)
}

// wrapped is a func that seals by a mark, and all that is shared at once.
func wrapped(calls *[]*session.Sending) func(*session.Sending) error {
	return func(s *session.Sending) error {
		*calls = append(*calls, s)
		for i := range s.Results {
			m := &s.Results[i].Message
			switch {
			case *m == nil:
			case (*m).Type == session.TypeSenderKey:
				s.Envelope = append([]byte("all:"), (*m).Bytes...)
				*m = nil
			default:
				*m = &session.Message{Type: session.TypeSealed, Bytes: append([]byte("one:"), (*m).Bytes...)}
			}
		}
		return nil
	}
}

func opened(m *session.Message) *session.Message {
	return &session.Message{Type: session.TypePreKey, Bytes: bytes.TrimPrefix(m.Bytes, []byte("one:"))}
}

// What Seal makes of messages is given out in their place; of Reconcile, it sees
// what is new.
func TestSeal(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	var calls []*session.Sending
	o := c.options()
	o.Seal = wrapped(&calls)
	s, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, o)
	require.NoError(t, err)
	require.Len(t, calls, 1)
	require.Equal(t, append([]byte("all:\x01"), "text"...), s.Envelope)
	require.Equal(t, session.TypeSealed, s.Results[0].Message.Type)
	for _, res := range s.Results[1:] {
		require.Nil(t, res.Message)
		require.NoError(t, res.Err)
		require.Equal(t, r.sides[res.To].Identity(), res.Identity)
	}
	_, to := from.copied(t, s)
	require.Equal(t, addresses(s), to)

	// Missing: only the new one is encrypted for, and those in the envelope stay.
	added := r.add(t, at(budi, 9))
	before := *s
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{7, 9}}))
	require.Len(t, calls, 2)
	require.Equal(t, []session.Address{at(budi, 9)}, addresses(calls[1]))
	require.Equal(t, before.Envelope, s.Envelope)
	require.Equal(t, []session.Address{at(ani, 2), at(budi, 1), at(budi, 7), at(budi, 9), at(cici, 3)}, addresses(s))
	added.reads(t, from, opened(s.Results[3].Message), "text")
	require.Equal(t, before.Results[:3], s.Results[:3])
	_, to = from.copied(t, s)
	require.Len(t, to, 5)
	require.NoError(t, from.Accept(ctx, s))
	_, to = from.copied(t, s)
	require.Len(t, to, 5)
	require.Equal(t, 1, c.calls)
}

// What Seal fails on, or makes nonsense of, is not sent; nothing changed.
func TestSealFails(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	known := from.sings(t, c, "hello", budi, cici)
	r.add(t, at(budi, 9))
	before := r.digest(t)
	for name, seal := range map[string]func(*session.Sending) error{
		"fails":    func(*session.Sending) error { return errInjected },
		"drops":    func(s *session.Sending) error { s.Results = s.Results[1:]; return nil },
		"empties":  func(s *session.Sending) error { s.Results[0].Message = nil; return nil },
		"envelope": func(s *session.Sending) error { s.Results[0].Message, s.Envelope = nil, []byte("x"); return nil },
		"shared":   func(s *session.Sending) error { s.Results[1].Message = nil; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := c.options()
			o.Seal = seal
			want := session.ErrMalformed
			if name == "fails" {
				want = errInjected
			}
			s, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, o)
			refused(t, err, want)
			require.Nil(t, s)
			require.Equal(t, before, r.digest(t))
		})
	}

	// So it is with Reconcile, and the Sending is as it was.
	fail := false
	o := c.options()
	o.Seal = func(s *session.Sending) error {
		if fail {
			s.Results[0].Message = nil
			return errInjected
		}
		return nil
	}
	s, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, o)
	require.NoError(t, err)
	fail = true
	was, digest := append([]session.Result(nil), s.Results...), testutil.StoreDigest(t, from.store)
	refused(t, from.Reconcile(ctx, s, session.Difference{User: budi, Missing: []uint32{9}}), errInjected)
	require.Equal(t, was, s.Results)
	require.Equal(t, digest, testutil.StoreDigest(t, from.store))
	require.Nil(t, known.Envelope)
}

// A device that is gone, or was set up anew, may have what only the others are to
// have: nothing that all get alike leaves any more, and it is encrypted anew.
func TestReconcileShared(t *testing.T) {
	for name, said := range map[string]session.Difference{
		"gone":    {User: budi, Extra: []uint32{7}},
		"anew":    {User: budi, Stale: []uint32{7}},
		"and new": {User: budi, Extra: []uint32{7}, Missing: []uint32{9}},
	} {
		for _, sealed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r, c := choir(t, session.Options{}), new(chorus)
				from, watch := r.of(ani, 1).spied(t)
				r.add(t, at(budi, 9))
				var calls []*session.Sending
				o := c.options()
				if sealed {
					o.Seal = wrapped(&calls)
				}
				s, err := from.Send(ctx, []string{budi, cici}, &session.Content{Body: []byte("text")}, o)
				require.NoError(t, err)
				own := s.Results[0].Message
				old := from.current(t, r.of(budi, 7)).BaseKey()
				if said.Stale != nil {
					r.join(t, session.Account{Address: at(budi, 7), RegistrationID: 99, Identity: r.of(budi, 7).identity})
				}
				watch.reset()
				refused(t, from.Reconcile(ctx, s, said), session.ErrUnsettled)
				require.Len(t, watch.commits, 1)
				require.Nil(t, s.Envelope)
				require.Same(t, own, s.Results[0].Message)
				for _, res := range s.Results {
					if res.Message == nil {
						refused(t, res.Err, session.ErrUnsettled)
						continue
					}
					require.NotEqual(t, session.TypeSenderKey, res.Message.Type)
				}
				if said.Stale == nil {
					require.NotContains(t, addresses(s), at(budi, 7))
					require.NotEmpty(t, from.rosterEvents(t))
				} else {
					require.NotEqual(t, old, from.current(t, r.of(budi, 7)).BaseKey())
				}
				if sealed {
					require.Len(t, calls, 2)
				}
				_, to := from.copied(t, s)
				require.NotContains(t, to, at(cici, 3))
				require.NotContains(t, to, at(budi, 1))

				// It goes on: what is sent anew is for those who are there.
				next := from.sings(t, c, "text", budi, cici)
				require.Equal(t, name != "gone" && name != "and new", next.Results[2].To == at(budi, 7))
				require.Same(t, next.Results[1].Message, next.Results[len(next.Results)-1].Message)
			})
		}
	}

	// What is said of own devices, or of some that did not get it, changes nothing
	// for the others.
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	s := from.sings(t, c, "text", budi, cici)
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: ani, Extra: []uint32{2}}, session.Difference{User: budi, Extra: []uint32{99}}))
	require.Len(t, s.Results, 3)
	require.Equal(t, session.TypeSenderKey, s.Results[0].Message.Type)
}

// In a transaction of the app's a Sending is empty until that is committed, and
// in a store that was rolled back nothing is sent.
func TestSharedWithheld(t *testing.T) {
	r, c := choir(t, session.Options{}), new(chorus)
	from := r.of(ani, 1)
	var calls []*session.Sending
	o := c.options()
	o.Seal = wrapped(&calls)
	var pending keystore.Pending
	s, err := from.Send(pending.In(ctx), []string{budi}, &session.Content{Body: []byte("text")}, o)
	require.NoError(t, err)
	require.Len(t, calls, 1)
	require.Equal(t, &session.Sending{}, s)
	pending.Committed()
	require.NotEmpty(t, s.Envelope)
	require.Len(t, s.Results, 3)

	// So it is with a Reconcile that takes it back: the error comes at once.
	var second keystore.Pending
	refused(t, from.Reconcile(second.In(ctx), s, session.Difference{User: budi, Extra: []uint32{7}}), session.ErrUnsettled)
	require.NotEmpty(t, s.Envelope)
	second.Committed()
	require.Nil(t, s.Envelope)
	require.Len(t, s.Results, 2)

	from.rolledBack(t)
	before := testutil.StoreDigest(t, from.store)
	_, err = from.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")}, o)
	require.ErrorIs(t, err, keystore.ErrRolledBack)
	require.Equal(t, before, testutil.StoreDigest(t, from.store))
}

// A race that is lost is run again: no two messages that leave are of one
// counter, also when nobody knows whether the commit went through.
func TestSharedAgain(t *testing.T) {
	for name, lost := range map[string]error{"conflict": &keystore.ConflictError{}, "unknown": keystore.ErrCommitUnknown} {
		for _, when := range []string{"commit", "committed"} {
			if name == "conflict" && when == "committed" {
				continue
			}
			t.Run(name+" "+when, func(t *testing.T) {
				r, c := choir(t, session.Options{}), new(chorus)
				from, watch := r.of(ani, 1).spied(t)
				first := from.sings(t, c, "first", budi)
				done := false
				watch.fail = func(call string, _ int) error {
					if call != when || done {
						return nil
					}
					done = true
					return lost
				}
				second := from.sings(t, c, "second", budi)
				require.Equal(t, 3, c.calls)
				third := from.sings(t, c, "third", budi)
				numbers := []byte{1, 2, 3}
				if when == "committed" { // a counter is passed over
					numbers = []byte{1, 3, 4}
				}
				for i, s := range []*session.Sending{first, second, third} {
					require.Equal(t, numbers[i], s.Results[1].Message.Bytes[0])
				}
			})
		}
	}
}

// Sender keys go where their user goes, and those that this device sends with
// do not outlive a restore.
func TestSenderKeyRecords(t *testing.T) {
	r := choir(t, session.Options{})
	from := r.of(ani, 1)
	plant := func(owner, name string) keystore.Key {
		from.put(t, from.key("senderkey", owner, name), []byte("key"))
		return from.key("senderkey", owner, name)
	}
	plant(budi, "1")
	plant(budi, "1,id")
	kept := []keystore.Key{plant(ani, "11,id"), plant(ani, "2"), plant(ani, "2,id"), plant(cici, "1,id")}
	gone := []keystore.Key{plant(ani, "1"), plant(ani, "1,id"), plant(ani, "1,other")}
	require.NoError(t, from.Rename(ctx, budi, "ibu budi"))
	require.Empty(t, from.list(t, "senderkey", budi))
	require.Len(t, from.list(t, "senderkey", "ibu budi"), 2)
	refused(t, from.Rename(ctx, "ibu budi", cici), session.ErrExists)
	require.NoError(t, from.Forget(ctx, "ibu budi"))
	require.Empty(t, from.list(t, "senderkey", "ibu budi"))

	from.rolledBack(t)
	require.NoError(t, from.AfterRestore(ctx))
	for _, k := range kept {
		require.True(t, from.has(t, k.Kind, k.Owner, k.Name), k.Name)
	}
	for _, k := range gone {
		require.False(t, from.has(t, k.Kind, k.Owner, k.Name), k.Name)
	}
}
