package interop_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A couple is two ends of which both may begin, one of them gembok's.
type couple struct {
	t         *testing.T
	ends      [2]end
	published [2]int // bundles handed out
	last      int    // number of the last text
}

// A letter is a message on its way to the end of that number, 0 or 1.
type letter struct {
	to   int
	msg  interop.Message
	text string
}

// eachRole runs f twice: gembok is end 0, then end 1. The one time the names are
// service ids, whose addresses the messages are bound to, the other time not.
func eachRole(t *testing.T, p *interop.Peer, f func(c *couple)) {
	for role, names := range [2][2]string{{"ani", "budi"}, {aliceName, "PNI:" + bobName}} {
		t.Run(fmt.Sprintf("gembok is end %d", role), func(t *testing.T) {
			f(newCouple(t, p, role, names))
		})
	}
}

func newCouple(t *testing.T, p *interop.Peer, role int, names [2]string) *couple {
	own, peer := interop.Address{Name: names[role], Device: 1}, interop.Address{Name: names[1-role], Device: 3}
	d, err := session.Create(context.Background(), keystore.NewMemory(), session.Account{Address: toSession(own)}, nil)
	require.NoError(t, err)
	c := &couple{t: t}
	c.ends[role], c.ends[1-role] = &gembokEnd{device: d, peer: toSession(peer)}, newOfficial(t, p, peer, own)
	return c
}

// begin has an end begin a session, every other time without one-time prekeys.
func (c *couple) begin(from int) {
	c.published[1-from]++
	c.ends[from].begin(c.t, c.ends[1-from].bundle(c.t, c.published[1-from]%2 == 1))
}

// send has an end encrypt a message of its type.
func (c *couple) send(from, typ int) letter {
	c.last++
	l := letter{to: 1 - from, text: fmt.Sprint("letter ", c.last)}
	l.msg = c.ends[from].encrypt(c.t, []byte(l.text))
	require.Equal(c.t, typ, l.msg.Type)
	return l
}

// read requires that letters are read, and only once.
func (c *couple) read(letters ...letter) {
	c.t.Helper()
	for _, l := range letters {
		got, err := c.ends[l.to].decrypt(l.msg)
		require.NoError(c.t, err, l.text)
		require.Equal(c.t, l.text, string(got))
		_, err = c.ends[l.to].decrypt(l.msg)
		require.ErrorIs(c.t, err, errDuplicate, l.text)
	}
}

// bothBegin has each end begin, and send.
func (c *couple) bothBegin() (to1, to0 letter) {
	c.t.Helper()
	c.begin(0)
	c.begin(1)
	to1, to0 = c.send(0, interop.PreKey), c.send(1, interop.PreKey)
	require.NotEqual(c.t, c.outerBaseKey(to1), c.outerBaseKey(to0))
	return to1, to0
}

func (c *couple) outerBaseKey(l letter) []byte {
	m, err := wire.ParsePreKeySignalMessage(l.msg.Bytes)
	require.NoError(c.t, err)
	return m.BaseKey
}

// baseKey is that of the session on which an end sends.
func (c *couple) baseKey(i int) []byte {
	rec, err := wire.ParseSessionRecord(c.ends[i].record(c.t))
	require.NoError(c.t, err)
	s, err := wire.ParseSession(rec.Current)
	require.NoError(c.t, err)
	require.NotEmpty(c.t, s.BaseKey)
	return s.BaseKey
}

// agree reports whether both send on the same session.
func (c *couple) agree() bool { return string(c.baseKey(0)) == string(c.baseKey(1)) }

// crossed has both send before either reads, n times: they stay on two sessions.
func (c *couple) crossed(n int) {
	c.t.Helper()
	for range n {
		to1, to0 := c.send(0, interop.Whisper), c.send(1, interop.Whisper)
		c.read(to0, to1)
	}
	require.False(c.t, c.agree())
}

// doubleStarts has both begin, and read, n times; what lost says of the i-th
// start stays on its way: that to end 0, that to end 1.
func (c *couple) doubleStarts(n int, lost func(i int) [2]bool) (late []letter) {
	c.t.Helper()
	for i := range n {
		to1, to0 := c.bothBegin()
		gone := lost(i)
		for _, l := range []letter{to0, to1} {
			if gone[l.to] {
				late = append(late, l)
			} else {
				c.read(l)
			}
		}
		require.Equal(c.t, gone[0] != gone[1], c.agree(), "start %d", i)
	}
	return late
}

// none loses nothing.
func none(int) [2]bool { return [2]bool{} }

// settle has them agree by one message and its answer, the first of them from an
// end.
func (c *couple) settle(from int) {
	c.t.Helper()
	c.read(c.send(from, interop.Whisper))
	c.read(c.send(1-from, interop.Whisper))
	require.True(c.t, c.agree())
}

// A first message of each, then an answer, and they agree.
func TestInterop_SES_01_A10_Simultaneous(t *testing.T) {
	eachRole(t, interop.Share(t), func(c *couple) {
		for range 15 {
			to1, to0 := c.bothBegin()
			c.read(to0, to1)
			require.False(c.t, c.agree())
			answer := c.send(0, interop.Whisper)
			require.False(c.t, c.agree())
			c.read(answer)
			require.True(c.t, c.agree())
			c.settle(1)
		}
	})
}

// One of the two first messages is lost, and turns up after all.
func TestInterop_SES_01_A11_FirstMessageLost(t *testing.T) {
	eachRole(t, interop.Share(t), func(c *couple) {
		var late []letter
		for range 15 {
			to1, to0 := c.bothBegin()
			late = append(late, to0)
			c.read(to1)
			require.True(c.t, c.agree(), "end 1 took the session of end 0")
			c.read(c.send(1, interop.Whisper))
			require.True(c.t, c.agree())
			c.settle(0)
		}
		for i, l := range late {
			c.read(l)
			require.Equal(c.t, c.outerBaseKey(l), c.baseKey(0), "an old first message begins what end 0 sends on")
			c.settle(i % 2)
		}
	})
}

// Both arrive, the message after them does not; the other end's settles it.
func TestInterop_SES_01_A12_FollowUpLost(t *testing.T) {
	eachRole(t, interop.Share(t), func(c *couple) {
		var late []letter
		for range 15 {
			to1, to0 := c.bothBegin()
			c.read(to0, to1)
			late = append(late, c.send(0, interop.Whisper))
			require.False(c.t, c.agree())
			c.read(c.send(1, interop.Whisper))
			require.True(c.t, c.agree())
			c.settle(0)
		}
		for _, l := range late {
			c.read(l)
			c.settle(0)
		}
	})
}

// Fifteen double starts, of which first messages are lost or not, fifty crossed
// messages each, and they settle; then what was lost turns up.
func TestInterop_SES_01_A13_Repeated(t *testing.T) {
	p := interop.Share(t)
	for name, lost := range map[string]func(i int) [2]bool{
		"none":       none,
		"to one end": func(i int) [2]bool { return [2]bool{i < 14 && i%2 == 0, i < 14 && i%2 == 1} },
		"to both":    func(i int) [2]bool { return [2]bool{i < 14, i < 14} },
	} {
		t.Run("lost "+name, func(t *testing.T) {
			eachRole(t, p, func(c *couple) {
				late := c.doubleStarts(15, lost)
				c.crossed(50)
				c.settle(0)
				for i, l := range late {
					c.read(l)
					c.settle(i % 2)
				}
			})
		})
	}
}

// A very old first message turns up after all that: it is read, its session is
// what its reader sends on, and they settle again.
func TestInterop_SES_01_A14_OldMessageRevived(t *testing.T) {
	eachRole(t, interop.Share(t), func(c *couple) {
		to1, to0 := c.bothBegin()
		late := c.doubleStarts(15, func(i int) [2]bool { return [2]bool{i == 3, i == 7} })
		c.crossed(50)
		c.settle(1)
		for _, l := range append(late, to0, to1) {
			c.read(l)
			require.Equal(c.t, c.outerBaseKey(l), c.baseKey(l.to))
			require.False(c.t, c.agree())
			c.read(c.send(l.to, interop.Whisper))
			require.True(c.t, c.agree())
			c.settle(0)
		}
	})
}

// Ends begin, send, lose and reorder as it comes: everything that arrives is
// read once, and they agree in a message and its answer.
func TestInterop_SES_01_RandomStarts(t *testing.T) {
	eachRole(t, interop.Share(t), func(c *couple) {
		rng := random(t)
		for range cases(20) {
			c.disorder(rng, 20)
			c.settleAny(rng.IntN(2))
		}
	})
}

// disorder is steps of a bad network. What is late is overtaken by three others
// at most, and so never falls out of a loss window.
func (c *couple) disorder(rng *rand.Rand, steps int) {
	var waiting []letter
	begun := 0
	for range steps {
		from := rng.IntN(2)
		if begun < 2 || rng.IntN(8) == 0 && begun < 6 {
			from, begun = begun%2, begun+1
			c.begin(from)
		}
		l := letter{to: 1 - from, text: fmt.Sprint("letter ", c.last)}
		l.msg = c.ends[from].encrypt(c.t, []byte(l.text))
		c.last++
		if rng.IntN(5) > 0 {
			waiting = append(waiting, l)
		}
		if len(waiting) > 3 {
			at := rng.IntN(len(waiting))
			c.read(waiting[at])
			waiting = append(waiting[:at:at], waiting[at+1:]...)
		}
	}
	c.read(waiting...)
}

// settleAny is settle where the first messages may still begin a session.
func (c *couple) settleAny(from int) {
	for i := range 2 {
		l := letter{to: 1 - (from+i)%2, text: "settle"}
		l.msg = c.ends[1-l.to].encrypt(c.t, []byte(l.text))
		c.read(l)
	}
	require.True(c.t, c.agree())
}
