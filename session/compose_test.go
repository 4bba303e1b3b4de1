package session_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

var note = keystore.Key{Kind: "note", Owner: "a"}

// What Compose says is sent is sent, to those it says, in one commit with what it
// puts, and what Accepted puts comes with the Accept.
func TestCompose(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1), at(budi, 2), at(cici, 1))
	from, watch := r.of(ani, 1).spied(t)
	r.delivers(t, from, r.sends(t, from, "hello", budi), "hello", at(budi, 1), at(budi, 2))
	require.NoError(t, from.Block(ctx, "dewi", true))
	var seen [][]session.Result
	o := &session.SendOptions{
		Compose: func(tx *session.Tx, devices []session.Result, c *session.Content) ([]session.Address, error) {
			seen = append(seen, devices)
			if c != nil {
				require.Empty(t, c.Body, "of an attempt before")
				require.Equal(t, r.now, c.SentAt)
				c.Body = []byte("composed")
			}
			require.Equal(t, r.now, tx.Now())
			return []session.Address{at(budi, 2)}, tx.Put(note, []byte("sent"))
		},
		Accepted: func(tx *session.Tx, s *session.Sending) error { return tx.Put(note, []byte("accepted")) },
	}
	r.now = r.now.Add(1e9)
	watch.reset()
	s, err := from.Send(ctx, []string{budi, cici, "dewi"}, new(session.Content), o)
	require.NoError(t, err)
	require.Len(t, watch.commits, 1)
	require.Len(t, seen, 1)
	require.Equal(t, []session.Address{at(budi, 1), at(budi, 2), at(cici, 1), at("dewi", 0)}, where(seen[0]))
	require.Equal(t, seen[0][3].Err, session.ErrBlocked)
	require.Equal(t, r.of(budi, 1).RegistrationID(), seen[0][0].RegistrationID)
	require.Equal(t, r.of(budi, 1).Identity(), seen[0][0].Identity)
	require.Equal(t, r.of(cici, 1).Identity(), seen[0][2].Identity)
	require.NotZero(t, seen[0][1].Session)
	require.Zero(t, seen[0][2].Session, "one that is to begin")
	require.Equal(t, []session.Address{at(budi, 1), at(cici, 1), at("dewi", 0)}, where(s.Results))
	require.Equal(t, seen[0][0].Session, s.Results[0].Session)
	require.NotZero(t, s.Results[1].Session)
	r.of(budi, 1).reads(t, from, s.Results[0].Message, "composed")
	r.of(cici, 1).reads(t, from, s.Results[1].Message, "composed")
	copied, to := from.copied(t, s)
	require.Equal(t, "composed", string(copied.Content))
	require.Equal(t, []session.Address{at(budi, 1), at(cici, 1)}, to)

	r.add(t, at(cici, 2))
	require.NoError(t, from.Reconcile(ctx, s, session.Difference{User: cici, Missing: []uint32{2}}, session.Difference{User: budi, Missing: []uint32{2}}))
	require.Equal(t, []session.Address{at(budi, 2), at(cici, 2)}, where(seen[1]))
	require.Equal(t, []session.Address{at(budi, 1), at(cici, 1), at(cici, 2), at("dewi", 0)}, where(s.Results))
	r.of(cici, 2).reads(t, from, s.Results[2].Message, "composed")
	require.Equal(t, "sent", from.noted(t))
	require.NoError(t, from.Accept(ctx, s))
	require.Equal(t, "accepted", from.noted(t))
}

func where(results []session.Result) (out []session.Address) {
	for _, r := range results {
		out = append(out, r.To)
	}
	return out
}

func (s *side) noted(t *testing.T) (out string) {
	t.Helper()
	require.NoError(t, s.Update(ctx, nil, func(tx *session.Tx) error {
		body, _, err := tx.Get(note)
		out = string(body)
		return err
	}))
	return out
}

// An operation that lost is composed anew, and nothing stays of one that fails.
func TestComposeAgain(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(budi, 1))
	from, watch := r.of(ani, 1).spied(t)
	r.delivers(t, from, r.sends(t, from, "hello", budi), "hello", at(budi, 1))
	own := errors.New("no")
	before := testutil.StoreDigest(t, from.store)
	fails := &session.SendOptions{Compose: func(tx *session.Tx, _ []session.Result, c *session.Content) ([]session.Address, error) {
		return nil, errors.Join(tx.Put(note, nil), own)
	}}
	s, err := from.Send(ctx, []string{budi}, new(session.Content), fails)
	require.ErrorIs(t, err, own)
	require.Nil(t, s)
	require.Equal(t, before, testutil.StoreDigest(t, from.store))

	for _, lost := range []error{&keystore.ConflictError{}, keystore.ErrCommitUnknown} {
		var bodies []string
		o := &session.SendOptions{Compose: func(tx *session.Tx, _ []session.Result, c *session.Content) ([]session.Address, error) {
			c.Body = append(c.Body, "attempt "+string(rune('1'+len(bodies)))...)
			bodies = append(bodies, string(c.Body))
			return nil, tx.Put(note, c.Body)
		}}
		watch.reset()
		watch.fail = func(call string, n int) error {
			if call == "commit" && len(bodies) == 1 {
				return lost
			}
			return nil
		}
		s, err := from.Send(ctx, []string{budi}, new(session.Content), o)
		require.NoError(t, err)
		require.Equal(t, []string{"attempt 1", "attempt 2"}, bodies)
		r.delivers(t, from, s, "attempt 2", at(budi, 1))
		require.Equal(t, "attempt 2", from.noted(t))
		copied, _ := from.copied(t, s)
		require.Equal(t, "attempt 2", string(copied.Content))
		s.Results = nil
		accepted := from.Accept(ctx, s)
		require.NoError(t, accepted)
	}
}
