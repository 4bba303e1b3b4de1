package session_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// crowd is bob, who has read a message of each of n others, and they one of his.
func crowd(t testing.TB, n int) (bob *side, others []*side, at []session.Address) {
	t.Helper()
	p := strangers(t)
	for i := range n {
		a := session.Address{User: "peer", Device: uint32(i + 1)}
		q := &pair{alice: newSide(t, a, nil, p.alice.opts), bob: p.bob}
		q.alice.begin(t, q.bob)
		q.goesOn(t)
		others, at = append(others, q.alice), append(at, a)
	}
	return p.bob, others, at
}

var draft = keystore.Key{Kind: "draft", Owner: "peer", Name: "1"}

// Messages to several devices and a record of the app's: one Load, one Commit.
func TestUpdate(t *testing.T) {
	s, others, at := crowd(t, 3)
	bob, watch := s.spied(t)
	var sent []*session.Message
	require.NoError(t, bob.Update(ctx, at, func(tx *session.Tx) error {
		sent = nil
		if err := tx.Load(draft); err != nil {
			return err
		}
		for _, to := range at {
			m, err := tx.Encrypt(to, []byte("to all"))
			if err != nil {
				return err
			}
			sent = append(sent, m)
		}
		return tx.Put(draft, []byte("sent"))
	}))
	require.Len(t, watch.loads, 1)
	require.Len(t, watch.commits, 1)
	for i, m := range sent {
		others[i].reads(t, s, m, "to all")
	}
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		body, ok, err := tx.Get(draft)
		require.Equal(t, "sent", string(body))
		require.True(t, ok)
		require.NoError(t, err)
		return tx.Delete(draft)
	}))
	require.Empty(t, s.list(t, "draft", ""))
}

// Whoever is in the way of one message is in the way of that one only: the
// others are not encrypted a second time.
func TestUpdateRepeatsWhatConflicts(t *testing.T) {
	s, others, at := crowd(t, 3)
	bob, watch := s.spied(t)
	done := false
	watch.fail = func(call string, _ int) error {
		if call == "commit" && !done {
			done = true
			others[1].reads(t, s, s.send(t, others[1], "first"), "first")
		}
		return nil
	}
	var runs [][]*session.Message
	require.NoError(t, bob.Update(ctx, at, func(tx *session.Tx) error {
		var sent []*session.Message
		for _, to := range at {
			m, err := tx.Encrypt(to, []byte("to all"))
			require.NoError(t, err)
			sent = append(sent, m)
		}
		runs = append(runs, sent)
		return nil
	}))
	require.Len(t, runs, 2)
	require.Same(t, runs[0][0], runs[1][0])
	require.Same(t, runs[0][2], runs[1][2])
	require.NotEqual(t, runs[0][1], runs[1][1])
	for i, m := range runs[1] {
		others[i].reads(t, s, m, "to all")
	}
}

// What fails within an operation leaves no trace in it, and an operation that
// fails none at all.
func TestUpdateFailures(t *testing.T) {
	s, others, at := crowd(t, 2)
	m := others[0].send(t, s, "text")
	stranger := session.Address{User: "nobody", Device: 1}
	no := errors.New("no")
	before := s.digest(t)
	require.ErrorIs(t, s.Update(ctx, at, func(tx *session.Tx) error {
		_, err := tx.Encrypt(at[0], []byte("text"))
		require.NoError(t, err)
		require.NoError(t, tx.Put(draft, nil))
		return no
	}), no)
	require.Equal(t, before, s.digest(t))

	var out *session.Message
	require.NoError(t, s.Update(ctx, at, func(tx *session.Tx) error {
		_, err := tx.Encrypt(stranger, nil)
		require.ErrorIs(t, err, session.ErrNoSession)
		_, err = tx.Decrypt(at[0], flip(m, -1, 1), nil)
		require.ErrorIs(t, err, session.ErrAuth)
		_, err = tx.Decrypt(at[1], m, nil)
		require.ErrorIs(t, err, session.ErrAuth)
		r, err := tx.Decrypt(at[0], m, nil)
		require.NoError(t, err)
		require.Equal(t, "text", string(r.Plaintext))
		again, err := tx.Decrypt(at[0], m, nil)
		require.NoError(t, err)
		require.True(t, again.Redelivered)
		out, err = tx.Encrypt(at[0], []byte("answer"))
		return err
	}))
	others[0].reads(t, s, out, "answer")
	require.True(t, s.reads(t, others[0], m, "text").Redelivered)

	for _, a := range []session.Address{{}, {User: "x"}, {User: "x", Device: 128}} {
		refused(t, s.Update(ctx, []session.Address{a}, nil), session.ErrMalformed)
		refused(t, s.Update(ctx, nil, func(tx *session.Tx) error { return tx.Stage(nil, nil) }), session.ErrMalformed)
		require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
			_, err := tx.Encrypt(a, nil)
			refused(t, err, session.ErrMalformed)
			_, err = tx.Decrypt(a, m, nil)
			refused(t, err, session.ErrMalformed)
			_, err = tx.Staged(a, nil)
			refused(t, err, session.ErrMalformed)
			refused(t, tx.Late(a, nil, session.ErrAuth), session.ErrMalformed)
			_, err = a.Canonical()
			refused(t, err, session.ErrMalformed)
			refused(t, tx.Stage(&session.Received{From: a}, nil), session.ErrMalformed)
			return nil
		}))
	}
}

func (s *side) digest(t testing.TB) [32]byte {
	t.Helper()
	p := pair{alice: s, bob: s}
	return p.digest(t)[0]
}

// Features read every record of the Device's and write none.
func TestUpdateWritesNoRecordOfTheDevice(t *testing.T) {
	s, _, at := crowd(t, 1)
	before := s.digest(t)
	require.NoError(t, s.Update(ctx, at, func(tx *session.Tx) error {
		for r, err := range s.store.List(ctx, "", "", "") {
			require.NoError(t, err)
			body, ok, err := tx.Get(r.Key)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, string(r.Value[1:]), string(body))
			refused(t, tx.Put(r.Key, nil), keystore.ErrInvalid)
			refused(t, tx.Delete(r.Key), keystore.ErrInvalid)
			require.NoError(t, tx.Check(r.Key))
		}
		return nil
	}))
	require.Equal(t, before, s.digest(t))
	refused(t, s.Update(ctx, nil, func(tx *session.Tx) error { return tx.Put(keystore.Key{}, nil) }), keystore.ErrInvalid)
}

// A Check that no longer holds runs the operation again.
func TestUpdateCheck(t *testing.T) {
	s, _, _ := crowd(t, 1)
	bob, watch := s.spied(t)
	done := false
	watch.fail = func(call string, _ int) error {
		if call == "commit" && !done {
			done = true
			return s.Update(ctx, nil, func(tx *session.Tx) error { return tx.Put(draft, []byte("other")) })
		}
		return nil
	}
	var seen []string
	require.NoError(t, bob.Update(ctx, nil, func(tx *session.Tx) error {
		body, _, err := tx.Get(draft)
		require.NoError(t, err)
		seen = append(seen, string(body))
		if err := tx.Check(draft); err != nil {
			return err
		}
		return tx.Put(keystore.Key{Kind: "draft", Name: "2"}, body)
	}))
	require.Equal(t, []string{"", "other"}, seen)
}

// A feature stages what it decrypted itself.
func TestStage(t *testing.T) {
	s, others, at := crowd(t, 1)
	p := &pair{now: s.opts.Now()}
	inner := []byte("a message of another kind")
	stage := func() (r *session.Received, err error) {
		err = s.Update(ctx, at, func(tx *session.Tx) error {
			if r, err = tx.Staged(at[0], inner); r != nil || err != nil {
				return err
			}
			if err = tx.Late(at[0], inner, nil); err != nil {
				return err
			}
			r = &session.Received{From: at[0], Identity: others[0].Identity(), Plaintext: []byte(large), Expires: p.now.Add(time.Hour)}
			return tx.Stage(r, inner)
		})
		return r, err
	}
	first, err := stage()
	require.NoError(t, err)
	require.False(t, first.Redelivered)
	again, err := stage()
	require.NoError(t, err)
	sameResult(t, again, first)
	refused(t, s.Update(ctx, at, func(tx *session.Tx) error {
		return tx.Stage(&session.Received{From: at[0], Identity: others[0].Identity()}, inner)
	}), session.ErrDuplicate)
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		refused(t, tx.Late(at[0], inner, session.ErrAuth), session.ErrAuth)
		return nil
	}))
	s.acknowledges(t, first)
	_, err = stage()
	refused(t, err, session.ErrDuplicate)
}

// toll is a gate that lets nothing out to those who have not paid, counts what
// arrives, and keeps both in records of its own.
type toll struct{ t testing.TB }

var errUnpaid = errors.New("not paid")

func (g toll) Keys(users []string) []keystore.Key {
	var out []keystore.Key
	for _, u := range users {
		out = append(out, keystore.Key{Kind: "paid", Owner: u}, keystore.Key{Kind: "seen", Owner: u})
	}
	return out
}

func (toll) Wants(time.Time, []keystore.Record, string) bool { return false }

func (toll) See(time.Time, []keystore.Record, string, []byte) ([]keystore.Change, []session.Event, error) {
	return nil, nil, nil
}

func (toll) Claim(time.Time, []keystore.Record, string) (out session.Claim) { return out }

func (g toll) Send(now time.Time, records []keystore.Record, to session.Address, identity keys.IdentityKey) error {
	require.Len(g.t, records, 2)
	require.False(g.t, identity.IsZero())
	if string(records[0].Value) != "yes" {
		return errUnpaid
	}
	return nil
}

func (g toll) Receive(now time.Time, records []keystore.Record, from session.Address, identity keys.IdentityKey, content []byte) ([]keystore.Change, []byte, []session.Event) {
	require.Nil(g.t, content, "in raw mode what a message says is the app's alone")
	seen := append(append([]byte(nil), records[1].Value...), from.String()...)
	return []keystore.Change{{Op: keystore.Put, Key: g.Keys([]string{from.User})[1], Value: seen}},
		[]byte("note of " + from.String()), []session.Event{{Kind: 77, Address: from}}
}

func pay(t testing.TB, s *side, user string) {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		return tx.Put(keystore.Key{Kind: "paid", Owner: user}, []byte("yes"))
	}))
}

func TestGate(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	gated := *p.bob.opts
	gated.Gate = toll{t}
	p.bob.opts = &gated
	bob, watch := p.bob.spied(t)
	p.bob = bob

	before := p.digest(t)
	_, err := bob.Encrypt(ctx, aliceAddress, []byte("text"))
	require.ErrorIs(t, err, errUnpaid)
	require.Equal(t, before, p.digest(t))

	// Receiving goes on; what the gate makes of it comes with the message.
	m := p.alice.send(t, p.bob, "a")
	r := bob.reads(t, p.alice, m, "a")
	require.Equal(t, "note of "+aliceAddress.String(), string(r.Note))
	require.Equal(t, []session.Event{{Kind: 77, Address: aliceAddress, At: p.now}}, r.Events)
	sameResult(t, bob.reads(t, p.alice, m, "a"), r)
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "b"), "b")
	require.Equal(t, "\x01"+aliceAddress.String()+aliceAddress.String(), string(p.bob.list(t, "seen", "")[0].Value))

	pay(t, p.bob, aliceAddress.User)
	watch.reset()
	p.goesOn(t)
	require.Len(t, watch.loads, 2, "the gate's records join the Load")
	require.Len(t, watch.commits, 2)

	// What the gate read is relied on: consent withdrawn meanwhile holds.
	watch.fail = func(call string, _ int) error {
		if call != "commit" {
			return nil
		}
		watch.fail = nil
		return p.bob.Update(ctx, nil, func(tx *session.Tx) error { return tx.Delete(keystore.Key{Kind: "paid", Owner: aliceAddress.User}) })
	}
	_, err = bob.Encrypt(ctx, aliceAddress, []byte("text"))
	require.ErrorIs(t, err, errUnpaid)
}

// strayGate makes something that it must not of what arrives.
type strayGate struct {
	toll
	keys   []keystore.Key
	change *keystore.Change
	note   []byte
	events []session.Event
}

func (g strayGate) Keys([]string) []keystore.Key { return g.keys }

func (g strayGate) Receive(time.Time, []keystore.Record, session.Address, keys.IdentityKey, []byte) (out []keystore.Change, _ []byte, _ []session.Event) {
	if g.change != nil {
		out = append(out, *g.change)
	}
	return out, g.note, g.events
}

// A gate that would make a message unreadable when it comes again, or change
// what is not its own, keeps it from being read at all: nothing is lost.
func TestStrayGates(t *testing.T) {
	p := friends(t)
	m := p.alice.send(t, p.bob, "text")
	session1 := p.bob.key("session", aliceAddress.User, decimal(aliceAddress.Device))
	for _, c := range []struct {
		gate strayGate
		want error
	}{
		{strayGate{change: &keystore.Change{Op: keystore.Put, Key: draft}}, keystore.ErrInvalid},
		{strayGate{keys: []keystore.Key{draft}, change: &keystore.Change{Op: keystore.Check, Key: draft}}, keystore.ErrInvalid},
		{strayGate{keys: []keystore.Key{draft}, change: &keystore.Change{Op: 99, Key: draft}}, keystore.ErrInvalid},
		{strayGate{keys: []keystore.Key{session1}, change: &keystore.Change{Op: keystore.Put, Key: session1}}, keystore.ErrInvalid},
		{strayGate{keys: []keystore.Key{session1}, change: &keystore.Change{Op: keystore.Delete, Key: session1}}, keystore.ErrInvalid},
		{strayGate{keys: []keystore.Key{{}}}, keystore.ErrInvalid},
		{strayGate{note: make([]byte, wire.MaxDeviceRecord)}, session.ErrTooLarge},
		{strayGate{events: []session.Event{{Kind: 9, Address: session.Address{User: "\xFF", Device: 1}}}}, session.ErrMalformed},
	} {
		gated := *p.bob.opts
		gated.Gate = c.gate
		bob, err := session.Open(ctx, p.bob.store, bobAddress, &gated)
		require.NoError(t, err)
		p.unharmed(t, func() {
			_, err := bob.Decrypt(ctx, aliceAddress, m, nil)
			refused(t, err, c.want)
		})
	}
	p.bob.reads(t, p.alice, m, "text")
}

// Events of a gate are the message's, whatever it says of them.
func TestGateEvents(t *testing.T) {
	p := friends(t)
	p.bob.acknowledges(t, p.bob.waiting(t)...)
	gated := *p.bob.opts
	said := session.Event{Kind: 9, ID: session.EventID{1}, At: time.Unix(1, 0), Address: session.Address{User: strings.ToUpper(aliceAddress.User)}}
	gated.Gate = strayGate{events: []session.Event{said, {Kind: 10}}}
	bob, err := session.Open(ctx, p.bob.store, bobAddress, &gated)
	require.NoError(t, err)
	m := p.alice.send(t, p.bob, "text")
	r, err := bob.Decrypt(ctx, aliceAddress, m, nil)
	require.NoError(t, err)
	require.Equal(t, []session.Event{{Kind: 9, At: p.now, Address: session.Address{User: aliceAddress.User}}, {Kind: 10, At: p.now}}, r.Events)
	sameResult(t, p.bob.reads(t, p.alice, m, "text"), r)
	require.Equal(t, session.EventID{1}, said.ID)
}

// A func that goes on after the store failed once is still kept from what a
// device does not do after a restore, and from what its peers' records forbid.
func TestSTO_04_UpdateGoesOnAfterAFault(t *testing.T) {
	p := friends(t)
	p.bob.rolledBack(t)
	before := p.digest(t)
	bob, watch := p.bob.spied(t)
	watch.fail = func(call string, n int) error {
		if n == 1 {
			return errors.New("fault")
		}
		return nil
	}
	refused(t, bob.Update(ctx, []session.Address{aliceAddress}, func(tx *session.Tx) error {
		_, _, err := tx.Get(draft)
		require.ErrorContains(t, err, "fault")
		_, err = tx.Encrypt(aliceAddress, []byte("text"))
		refused(t, err, keystore.ErrRolledBack)
		return tx.Put(draft, []byte("text"))
	}), keystore.ErrRolledBack)
	require.Equal(t, before, p.digest(t))
}
