package group_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
)

// asks requires that a device cannot read what it got, and returns its request for
// that.
func (r *resident) asks(from *resident, s *session.Sending, m *session.Message) *session.Message {
	r.town.t.Helper()
	err := r.hears(from, m)
	require.NotZero(r.town.t, session.ReasonOf(err), "%v", err)
	request, err := r.RequestRetry(ctx, from.Address(), m, s.SentAt, err)
	require.NoError(r.town.t, err)
	return request
}

// answers requires that a request is answered, and that the answer is read.
func (r *resident) answers(to *resident, request *session.Message) {
	r.town.t.Helper()
	s, err := r.groups.Resend(ctx, to.Address(), request)
	require.NoError(r.town.t, err)
	require.Len(r.town.t, s.Results, 1)
	require.NoError(r.town.t, s.Results[0].Err)
	require.NoError(r.town.t, to.hears(r, s.Results[0].Message))
}

// One who did not get the key asks for the message that he cannot read, and gets
// the key before the next one.
func TestLostDistribution(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1), at(cici, 1))
	a, c := w.of[at(ani, 1)], w.of[at(cici, 1)]
	a.set(budi, cici)
	s, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, w.of[at(budi, 1)].hears(a, s.Results[0].Message)) // and cici's is lost
	require.NoError(t, a.groups.Accept(ctx, s))
	s = a.sends("one")
	require.NoError(t, a.groups.Accept(ctx, s))
	require.ErrorIs(t, c.hears(a, s.Results[1].Message), group.ErrNoSenderKey)
	request := c.asks(a, s, s.Results[1].Message)
	a.answers(c, request)
	w.heard(at(cici, 1), "one")
	a.waits(nil, at(cici, 1))
	require.Equal(t, []session.Address{at(budi, 1)}, a.club().Has)
	require.Equal(t, []session.Address{at(cici, 1)}, a.club().Unsure)
	a.answers2(c, request)
	require.Equal(t, []session.Address{at(cici, 1)}, a.says("two"))
	w.heard(at(cici, 1), "two")
	require.NoError(t, w.of[at(budi, 1)].hears(a, s.Results[0].Message))
	w.heard(at(budi, 1), "two", "one")
}

// answers2 requires that the same request gets the same answer, which was read.
func (r *resident) answers2(to *resident, request *session.Message) {
	r.town.t.Helper()
	s, err := r.groups.Resend(ctx, to.Address(), request)
	require.NoError(r.town.t, err)
	require.ErrorIs(r.town.t, to.hears(r, s.Results[0].Message), session.ErrDuplicate)
}

// One who lost his sessions asks for the key itself.
func TestUnreadableDistribution(t *testing.T) {
	w, a := three(t)
	w.add(at(budi, 3))
	require.NoError(t, a.Refresh(ctx, budi))
	s, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, a.groups.Accept(ctx, s))
	b := w.of[at(budi, 3)]
	bad := *s.Results[0].Message
	bad.Bytes = append([]byte(nil), bad.Bytes...)
	bad.Bytes[len(bad.Bytes)/2] ^= 1
	a.answers(b, b.asks(a, s, &bad))
	require.Empty(t, b.heard)
	require.Equal(t, []session.Address{at(budi, 3)}, a.says("hello"))
	w.heard(at(budi, 3), "hello")
}

// A request that is not answered changes nothing of the group, and neither does one
// about something that the group did not get.
func TestForeignRequests(t *testing.T) {
	w, a := three(t)
	b := w.of[at(budi, 1)]
	s := a.sends("hello")
	stranger := w.add(at(dewi, 1))
	_, err := a.groups.Resend(ctx, at(dewi, 1), stranger.asks(a, s, s.Results[0].Message))
	refused(t, err, session.ErrNoRetry)
	require.Equal(t, everybody, a.club().Has)

	direct, err := a.Send(ctx, []string{budi}, &session.Content{Body: []byte("to you")}, nil)
	require.NoError(t, err)
	b.deletes(keystore.Key{Scope: b.Address().String(), Kind: "session", Owner: ani, Name: "1"})
	a.answers(b, b.asks(a, direct, direct.Results[0].Message))
	require.Equal(t, []string{"to you"}, b.heard)
	require.NoError(t, a.groups.Forget(ctx, club))
	cannot := w.of[at(cici, 1)]
	cannot.deletes((&party{Device: cannot.Device}).senderRecord(at(ani, 1), idOf(t, s)))
	a.answers(cannot, cannot.asks(a, s, s.Results[2].Message))
	w.heard(at(cici, 1), "hello")
}

func idOf(t *testing.T, s *session.Sending) group.DistributionID {
	t.Helper()
	id, err := group.IDOf(s.Results[0].Message)
	require.NoError(t, err)
	return id
}

// Messages from before the key that a device was given are not taken for ones that
// it has read: it asks for them.
func TestBehindTheKey(t *testing.T) {
	w := newTown(t, at(ani, 1), at(budi, 1))
	a, b := w.of[at(ani, 1)], w.of[at(budi, 1)]
	a.set(budi)
	key, err := a.groups.Distribute(ctx, club, nil)
	require.NoError(t, err)
	require.NoError(t, a.groups.Accept(ctx, key)) // which comes too late
	s := []*session.Sending{a.sends("one"), a.sends("two"), a.sends("three")}
	a.answers(b, b.asks(a, s[2], s[2].Results[0].Message))
	require.Equal(t, []session.Address{at(budi, 1)}, a.says("four"))
	require.NoError(t, b.hears(a, key.Results[0].Message))
	require.ErrorIs(t, b.hears(a, s[1].Results[0].Message), group.ErrNoSenderKey)
	a.answers(b, b.asks(a, s[1], s[1].Results[0].Message))
	a.answers(b, b.asks(a, s[0], s[0].Results[0].Message))
	w.heard(at(budi, 1), "three", "four", "two", "one")
	require.Empty(t, a.says("five"), "it has the key since")
	require.NoError(t, a.groups.Accept(ctx, key))
	late := a.sends("six")
	require.NoError(t, b.hears(a, late.Results[0].Message))
	require.ErrorIs(t, b.hears(a, late.Results[0].Message), session.ErrDuplicate)
}
