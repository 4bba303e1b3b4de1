package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A phonebook is an honest session.Directory of devices in this process.
type phonebook map[session.Address]*session.Device

func (b phonebook) Devices(_ context.Context, user string) (out []session.PeerDevice, _ error) {
	for a, d := range b {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: d.RegistrationID()})
		}
	}
	return out, nil
}

func (b phonebook) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	if b[peer] == nil {
		return nil, errors.New("nobody")
	}
	return b[peer].Bundle(ctx)
}

func (b phonebook) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// A byMail is a pair who send through a Directory.
type byMail struct{ *pair }

// strangersByMail never met.
func strangersByMail(t *testing.T) byMail {
	t.Helper()
	p, book := &pair{now: time.Unix(1_700_000_000, 0)}, phonebook{}
	o := &session.Options{Now: func() time.Time { return p.now }, Directory: book}
	p.alice, p.bob = newSide(t, aliceAddress, nil, o), newSide(t, bobAddress, nil, o)
	book[aliceAddress], book[bobAddress] = p.alice.Device, p.bob.Device
	return byMail{p}
}

// sends has one side send to the other user: to the one device there is.
func (s *side) sends(t *testing.T, to *side, text string) *session.Message {
	t.Helper()
	sending, err := s.Send(ctx, []string{to.Address().User}, &session.Content{Body: []byte(text)}, nil)
	require.NoError(t, err)
	require.Len(t, sending.Results, 1)
	r := sending.Results[0]
	require.NoError(t, r.Err)
	require.Equal(t, to.Address(), r.To)
	require.Equal(t, to.RegistrationID(), r.RegistrationID)
	require.NoError(t, s.Accept(ctx, sending))
	return r.Message
}

// bothStart has each side send on a session of its own, which Send begins where
// there is none.
func (c byMail) bothStart(t *testing.T) (toBob, toAlice *session.Message) {
	t.Helper()
	for _, two := range [][2]*side{{c.alice, c.bob}, {c.bob, c.alice}} {
		if err := two[0].Archive(ctx, two[1].Address()); err != nil {
			require.ErrorIs(t, err, session.ErrNoSession)
		}
	}
	toBob, toAlice = c.alice.sends(t, c.bob, "hi Bob"), c.bob.sends(t, c.alice, "hi Alice")
	require.Equal(t, session.TypePreKey, toBob.Type)
	require.Equal(t, session.TypePreKey, toAlice.Type)
	require.NotEqual(t, outerOf(t, toBob).BaseKey, outerOf(t, toAlice).BaseKey)
	return toBob, toAlice
}

// settle has them agree by one message and its answer.
func (c byMail) settle(t *testing.T) {
	t.Helper()
	for range 2 {
		c.bob.reads(t, c.alice, c.alice.sends(t, c.bob, "how are you"), "how are you")
		c.alice.reads(t, c.bob, c.bob.sends(t, c.alice, "fine"), "fine")
		require.True(t, c.agree(t))
	}
}

// TestSES_01_Send_A10: a first message of each, then an answer, and they agree.
func TestSES_01_Send_A10_Simultaneous(t *testing.T) {
	c := strangersByMail(t)
	toBob, toAlice := c.bothStart(t)
	c.alice.reads(t, c.bob, toAlice, "hi Alice")
	c.bob.reads(t, c.alice, toBob, "hi Bob")
	require.False(t, c.agree(t))
	m := c.alice.sends(t, c.bob, "nice to meet you")
	require.Equal(t, session.TypeSignal, m.Type)
	c.bob.reads(t, c.alice, m, "nice to meet you")
	require.True(t, c.agree(t))
	c.settle(t)
}

// TestSES_01_Send_A11: one of the two first messages is lost.
func TestSES_01_Send_A11_FirstMessageLost(t *testing.T) {
	c := strangersByMail(t)
	toBob, _ := c.bothStart(t)
	c.bob.reads(t, c.alice, toBob, "hi Bob")
	m := c.bob.sends(t, c.alice, "nice to meet you")
	require.Equal(t, session.TypeSignal, m.Type)
	c.alice.reads(t, c.bob, m, "nice to meet you")
	require.True(t, c.agree(t))
	c.settle(t)
}

// TestSES_01_Send_A12: both arrive, the message after them does not.
func TestSES_01_Send_A12_FollowUpLost(t *testing.T) {
	c := strangersByMail(t)
	toBob, toAlice := c.bothStart(t)
	c.alice.reads(t, c.bob, toAlice, "hi Alice")
	c.bob.reads(t, c.alice, toBob, "hi Bob")
	lost := c.alice.sends(t, c.bob, "lost")
	c.alice.reads(t, c.bob, c.bob.sends(t, c.alice, "are you there?"), "are you there?")
	require.True(t, c.agree(t))
	c.settle(t)
	c.bob.reads(t, c.alice, lost, "lost") // late, after all
	c.settle(t)
}

// repeat has both start n times, and then send crossed messages, in which
// neither takes up the other's session.
func (c byMail) repeat(t *testing.T, starts, crossed int) {
	t.Helper()
	for i := range starts + crossed {
		toBob, toAlice := (*session.Message)(nil), (*session.Message)(nil)
		if i < starts {
			toBob, toAlice = c.bothStart(t)
		} else {
			toBob, toAlice = c.alice.sends(t, c.bob, "hi Bob"), c.bob.sends(t, c.alice, "hi Alice")
		}
		c.alice.reads(t, c.bob, toAlice, "hi Alice")
		c.bob.reads(t, c.alice, toBob, "hi Bob")
		require.False(t, c.agree(t))
	}
}

// TestSES_01_Send_A13: fifteen double starts, fifty crossed messages each.
func TestSES_01_Send_A13_Repeated(t *testing.T) {
	c := strangersByMail(t)
	c.repeat(t, 15, 50)
	c.settle(t)
}

// TestSES_01_Send_A14: a very old first message turns up at the end.
func TestSES_01_Send_A14_OldMessageRevived(t *testing.T) {
	c := strangersByMail(t)
	old := c.alice.sends(t, c.bob, "from long ago")
	c.repeat(t, 15, 50)
	c.settle(t)
	c.bob.reads(t, c.alice, old, "from long ago")
	require.Equal(t, outerOf(t, old).BaseKey, baseKey(c.bob.index(t, c.alice.Address()).Current))
	require.False(t, c.agree(t))
	c.alice.reads(t, c.bob, c.bob.sends(t, c.alice, "so you wrote"), "so you wrote")
	require.True(t, c.agree(t))
	c.settle(t)
}
