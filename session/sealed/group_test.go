package sealed_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

const friends = "friends" // the name of a group

// A circle is people in a group, with all their devices.
type circle struct {
	*world
	all []*party
}

// circleOf makes the group of alice, bob and carol, of whom alice and bob have two
// devices each.
func circleOf(t testing.TB, alice, bob, carol string) *circle {
	t.Helper()
	w := newWorld(t)
	c := &circle{world: w, all: []*party{w.joins(t, alice, 1, nil), w.joins(t, bob, 1, nil), w.joins(t, carol, 1, nil)}}
	c.all = append(c.all, w.joins(t, alice, 2, c.all[0].IdentityKeyPair()), w.joins(t, bob, 2, c.all[1].IdentityKeyPair()))
	for _, p := range c.all {
		require.NoError(t, p.groups.Set(ctx, friends, []string{alice, bob, carol}, nil))
	}
	return c
}

// distributes gives p's sender key to those who lack it, who are as many.
func (c *circle) distributes(t testing.TB, p *party, lack int) {
	t.Helper()
	s, err := p.groups.Distribute(ctx, friends, p.sealing(friends))
	require.NoError(t, err)
	require.Len(t, s.Results, lack)
	require.Nil(t, s.Envelope)
	sent := envelopes(t, s)
	for _, to := range c.all {
		if e := sent[to.Address()]; e != nil {
			require.NotNil(t, to.opens(t, c.world, e, "").Content.Distribution)
		}
	}
	require.NoError(t, p.groups.Accept(ctx, s))
}

// sends has p send to the group.
func (c *circle) sends(t testing.TB, p *party, body string) *session.Sending {
	t.Helper()
	s, err := p.groups.Send(ctx, friends, &session.Content{Body: []byte(body)}, p.sealing(friends))
	require.NoError(t, err)
	return s
}

// read has all devices open what was sent by p.
func (c *circle) read(t testing.TB, p *party, s *session.Sending, body string) {
	t.Helper()
	sent := envelopes(t, s)
	for _, to := range c.all {
		if to == p {
			continue
		}
		r := to.opens(t, c.world, sent[to.Address()], body)
		require.Equal(t, p.Address(), r.From)
		require.True(t, r.Accepted)
		require.Equal(t, sealed.HintResendable, r.Hint)
		require.Equal(t, friends, string(r.Group))
		if own := to.Address().User == p.Address().User; own {
			require.Equal(t, friends, r.Content.SyncTo)
		} else {
			require.Equal(t, session.TypeSenderKey, r.Type)
		}
		require.NoError(t, to.Acknowledge(ctx, r.Received))
	}
	require.NoError(t, p.groups.Accept(ctx, s))
}

func TestSealedGroup(t *testing.T) {
	for name, people := range map[string][3]string{
		"service ids": {aliceID, bobID, carolID}, "names": {"ani", "budi", "citra"}, "both": {aliceID, "budi", carolID},
	} {
		t.Run(name, func(t *testing.T) {
			c := circleOf(t, people[0], people[1], people[2])
			for _, p := range c.all {
				lack := 3
				if p == c.all[2] {
					lack = 4
				}
				_, err := p.groups.Send(ctx, friends, &session.Content{Body: []byte("too early")}, p.sealing(friends))
				require.ErrorAs(t, err, new(*group.WaitingError))
				c.distributes(t, p, lack)
				for _, body := range []string{"one", "two"} {
					s := c.sends(t, p, body)
					require.Equal(t, name == "names", s.Envelope == nil)
					c.read(t, p, s, body)
				}
			}
		})
	}
}

// What a server says is missing is sent on a session, in an envelope of its own;
// when somebody is gone, nothing leaves.
func TestSealedGroupReconcile(t *testing.T) {
	c := circleOf(t, aliceID, bobID, carolID)
	alice := c.all[0]
	c.distributes(t, alice, 3)
	s := c.sends(t, alice, "to all")
	before := s.Envelope
	carols := c.joins(t, carolID, 2, c.all[2].IdentityKeyPair())
	require.NoError(t, carols.groups.Set(ctx, friends, []string{aliceID, bobID, carolID}, nil))
	require.NoError(t, alice.groups.Reconcile(ctx, s, session.Difference{User: carolID, Missing: []uint32{2}}))
	require.Equal(t, before, s.Envelope)
	sent := envelopes(t, s)
	require.Len(t, sent, 5)
	r := carols.opens(t, c.world, sent[carols.Address()], "to all")
	require.Equal(t, session.TypePreKey, r.Type)
	require.Equal(t, friends, string(r.Group))
	c.read(t, alice, s, "to all")

	c.all = append(c.all, carols)
	c.distributes(t, alice, 1)
	s = c.sends(t, alice, "to all still")
	err := alice.groups.Reconcile(ctx, s, session.Difference{User: bobID, Extra: []uint32{2}})
	require.ErrorIs(t, err, session.ErrUnsettled)
	require.Nil(t, s.Envelope)
	for _, r := range s.Results {
		require.True(t, r.Message == nil || r.To.User == aliceID)
	}
}

// A message of a group that could not be read is asked for like any other, and
// comes again on a session: on a new one, when that is gone, too.
func TestSealedGroupRetry(t *testing.T) {
	c := circleOf(t, aliceID, bobID, carolID)
	alice, carol := c.all[0], c.all[2]
	c.distributes(t, alice, 3)
	c.read(t, alice, c.sends(t, alice, "read"), "read")
	require.NoError(t, carol.Forget(ctx, aliceID)) // session and sender key
	s := c.sends(t, alice, "lost")
	require.NoError(t, alice.groups.Accept(ctx, s))
	lost, cause := carol.refuses(t, c.world, envelopes(t, s)[carol.Address()])
	require.ErrorIs(t, cause, group.ErrNoSenderKey)
	answer := c.asksAgain(t, carol, alice, lost, s, cause)
	lost, cause = carol.refuses(t, c.world, answer)
	require.ErrorAs(t, cause, new(*session.PreKeyNotFoundError))
	require.Equal(t, friends, string(lost.Group))
	r := carol.opens(t, c.world, c.asksAgain(t, carol, alice, lost, s, cause), "lost")
	require.Equal(t, session.TypePreKey, r.Type)

	c.distributes(t, alice, 1)
	c.read(t, alice, c.sends(t, alice, "read again"), "read again")
}

// asksAgain has p ask for a message of from's that it could not read, and returns
// the answer.
func (c *circle) asksAgain(t testing.TB, p, from *party, lost *sealed.Received, s *session.Sending, cause error) []byte {
	t.Helper()
	request, err := p.RequestRetry(ctx, lost.From, lost.Inner, s.SentAt, cause)
	require.NoError(t, err)
	e, err := p.sender.Seal(lost.Sender.Claims().Identity, request, sealed.HintImplicit, lost.Group)
	require.NoError(t, err)
	asked, err := from.receiver.Open(ctx, e.Bytes, c.now, nil)
	require.NoError(t, err)
	require.Equal(t, friends, string(asked.Group))
	answer, err := from.groups.Resend(ctx, asked.From, asked.Retry)
	require.NoError(t, err)
	require.NoError(t, from.sender.SealAll(sealed.HintResendable, asked.Group)(answer))
	return envelopes(t, answer)[p.Address()]
}
