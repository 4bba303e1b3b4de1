package session_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// bothBegin has each side begin a session of its own, and send.
func (p *pair) bothBegin(t *testing.T) (toBob, toAlice *session.Message) {
	t.Helper()
	toBobBundle, toAliceBundle := bundleOf(t, p.bob), bundleOf(t, p.alice)
	require.NoError(t, p.alice.Begin(ctx, p.bob.Address(), toBobBundle))
	require.NoError(t, p.bob.Begin(ctx, p.alice.Address(), toAliceBundle))
	toBob, toAlice = p.alice.send(t, p.bob, "hi Bob"), p.bob.send(t, p.alice, "hi Alice")
	require.Equal(t, session.TypePreKey, toBob.Type)
	require.Equal(t, session.TypePreKey, toAlice.Type)
	require.NotEqual(t, outerOf(t, toBob).BaseKey, outerOf(t, toAlice).BaseKey)
	return toBob, toAlice
}

// agree reports whether both send on the same session. Neither archive is ever
// unsound.
func (p *pair) agree(t *testing.T) bool {
	t.Helper()
	a, b := p.alice.index(t, p.bob.Address()), p.bob.index(t, p.alice.Address())
	require.NotNil(t, a.Current)
	require.NotNil(t, b.Current)
	return string(baseKey(a.Current)) == string(baseKey(b.Current))
}

// TestSES_01_A10: a first message of each, then an answer, and they agree.
func TestSES_01_A10_Simultaneous(t *testing.T) {
	p := strangers(t)
	toBob, toAlice := p.bothBegin(t)
	p.alice.reads(t, p.bob, toAlice, "hi Alice")
	p.bob.reads(t, p.alice, toBob, "hi Bob")
	require.False(t, p.agree(t))
	m := p.alice.send(t, p.bob, "nice to meet you")
	require.Equal(t, session.TypeSignal, m.Type)
	require.False(t, p.agree(t))
	p.bob.reads(t, p.alice, m, "nice to meet you")
	require.True(t, p.agree(t))
	p.goesOn(t)
	require.True(t, p.agree(t))
}

// TestSES_01_A11: one of the two first messages is lost.
func TestSES_01_A11_FirstMessageLost(t *testing.T) {
	p := strangers(t)
	toBob, _ := p.bothBegin(t)
	p.bob.reads(t, p.alice, toBob, "hi Bob")
	require.True(t, p.agree(t), "bob took hers")
	m := p.bob.send(t, p.alice, "nice to meet you")
	require.Equal(t, session.TypeSignal, m.Type)
	p.alice.reads(t, p.bob, m, "nice to meet you")
	require.True(t, p.agree(t))
	p.goesOn(t)
}

// TestSES_01_A12: both arrive, the message after them does not.
func TestSES_01_A12_FollowUpLost(t *testing.T) {
	p := strangers(t)
	toBob, toAlice := p.bothBegin(t)
	p.alice.reads(t, p.bob, toAlice, "hi Alice")
	p.bob.reads(t, p.alice, toBob, "hi Bob")
	lost := p.alice.send(t, p.bob, "lost")
	require.Equal(t, session.TypeSignal, lost.Type)
	require.False(t, p.agree(t))
	m := p.bob.send(t, p.alice, "are you there?")
	p.alice.reads(t, p.bob, m, "are you there?")
	require.True(t, p.agree(t))
	p.goesOn(t)
	p.bob.reads(t, p.alice, lost, "lost") // late, after all
	p.goesOn(t)
	require.True(t, p.agree(t))
}

// crossed has both send before either reads, n times: they stay on different
// sessions.
func (p *pair) crossed(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		require.False(t, p.agree(t), i)
		toBob, toAlice := p.alice.send(t, p.bob, "crossed"), p.bob.send(t, p.alice, "crossed")
		require.Equal(t, session.TypeSignal, toBob.Type)
		require.Equal(t, session.TypeSignal, toAlice.Type)
		p.alice.reads(t, p.bob, toAlice, "crossed")
		p.bob.reads(t, p.alice, toBob, "crossed")
	}
	require.False(t, p.agree(t))
}

// TestSES_01_A13: fifteen double starts, fifty crossed messages each.
func TestSES_01_A13_Repeated(t *testing.T) {
	p := strangers(t)
	p.doubleStarts(t, 15)
	p.crossed(t, 50)
	p.settles(t)
}

func (p *pair) doubleStarts(t *testing.T, n int) {
	t.Helper()
	for range n {
		toBob, toAlice := p.bothBegin(t)
		p.alice.reads(t, p.bob, toAlice, "hi Alice")
		p.bob.reads(t, p.alice, toBob, "hi Bob")
		require.False(t, p.agree(t))
	}
}

// settles has them agree by one message and its answer.
func (p *pair) settles(t *testing.T) {
	t.Helper()
	p.goesOn(t)
	require.True(t, p.agree(t))
	p.goesOn(t)
	require.True(t, p.agree(t))
}

// TestSES_01_A14: a very old first message turns up at the end.
func TestSES_01_A14_OldMessageRevived(t *testing.T) {
	p := strangers(t)
	p.alice.begin(t, p.bob)
	old := p.alice.send(t, p.bob, "from long ago")
	p.doubleStarts(t, 15)
	p.crossed(t, 50)
	p.settles(t)
	p.bob.reads(t, p.alice, old, "from long ago")
	require.Equal(t, outerOf(t, old).BaseKey, baseKey(p.bob.index(t, p.alice.Address()).Current))
	require.False(t, p.agree(t))
	m := p.bob.send(t, p.alice, "so you wrote")
	p.alice.reads(t, p.bob, m, "so you wrote")
	require.True(t, p.agree(t))
	p.settles(t)
}

// TestSES_01_Storm repeats the double start with all first messages late, in
// any order, and every one of them is read once.
func TestSES_01_AllFirstMessagesLate(t *testing.T) {
	p := strangers(t)
	type late struct {
		m        *session.Message
		to, from *side
		text     string
	}
	var all []late
	for i := range 10 {
		p.bothBegin(t)
		for j := range 3 {
			text := fmt.Sprint(i, ".", j)
			all = append(all, late{p.alice.send(t, p.bob, text), p.bob, p.alice, text}, late{p.bob.send(t, p.alice, text), p.alice, p.bob, text})
		}
	}
	for _, i := range permutation(len(all), 5) {
		l := all[i]
		l.to.saves(t, l.from, l.m, l.text)
		refused(t, l.to.decrypt(l.from, l.m), session.ErrDuplicate)
	}
	p.settles(t)
}
