package interop_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A conversation is two parties of the official library, and a relay between
// them that loses, doubles and reorders messages.
type conversation struct {
	t     *testing.T
	r     *rand.Rand
	party [2]*interop.Party
	// waiting are the messages to party i.
	waiting [2][]flight
	silent  bool // party 1 has read nothing yet, and so has no session
	count   int
	keys    [2][]string // ratchet keys of the messages to party i, oldest first
	newest  [2]int      // of those that party i has read
	last    [2][]byte   // record of party i, where sent or read look at it
	// sent, if set, sees each message, and the sender's records around it. It
	// and read are set together, before the first message.
	sent func(from int, m interop.Message, before, after []byte)
	// read, if set, sees each message that was read, and the reader's records
	// around it.
	read func(to int, m interop.Message, text string, before, after []byte)
}

type flight struct {
	m     interop.Message
	text  string
	chain int // index of its ratchet key
	read  bool
}

// meet has party 0 begin a session from a bundle of party 1.
func meet(t *testing.T, p *interop.Peer, r *rand.Rand, names [2]string, o interop.BundleOptions) *conversation {
	c := &conversation{t: t, r: r, silent: true}
	for i, name := range names {
		c.party[i] = newParty(t, p, name, uint32(1+r.IntN(16380)))
	}
	begin(t, c.party[0], c.party[1], o)
	c.last[0] = c.record(0)
	return c
}

// record returns the session record of party i.
func (c *conversation) record(i int) []byte {
	b, err := c.party[i].Session(c.party[1-i].Address)
	require.NoError(c.t, err)
	return b
}

// send sends one message from party i, which then waits to be delivered.
func (c *conversation) send(i int) {
	before := c.last[i]
	c.count++
	text := fmt.Sprint("message ", c.count)
	m, err := c.party[i].Encrypt(c.party[1-i].Address, []byte(text), time.Time{})
	require.NoError(c.t, err)
	c.waiting[1-i] = append(c.waiting[1-i], flight{m: m, text: text, chain: c.chain(1-i, m)})
	if c.sent != nil {
		c.last[i] = c.record(i)
		c.sent(i, m, before, c.last[i])
	}
}

// chain returns the index of the ratchet key of a message to party i.
func (c *conversation) chain(i int, m interop.Message) int {
	b := m.Bytes
	if m.Type == interop.PreKey {
		outer, err := wire.ParsePreKeySignalMessage(b)
		require.NoError(c.t, err)
		b = outer.MessageBytes
	}
	inner, err := wire.ParseSignalMessage(b)
	require.NoError(c.t, err)
	key := string(inner.RatchetKey)
	if n := len(c.keys[i]); n == 0 || c.keys[i][n-1] != key {
		c.keys[i] = append(c.keys[i], key)
	}
	return len(c.keys[i]) - 1
}

// deliver delivers the message at an index of those that wait for party i. It
// stays there when keep is set, and is then a duplicate the next time.
func (c *conversation) deliver(i, at int, keep bool) {
	f := c.waiting[i][at]
	before := c.last[i]
	text, err := c.party[i].Decrypt(c.party[1-i].Address, f.m)
	if f.read {
		peerError(c.t, err, "DuplicatedMessage")
	} else {
		require.NoError(c.t, err)
		require.Equal(c.t, f.text, string(text))
		c.silent = c.silent && i == 0
		c.newest[i] = max(c.newest[i], f.chain)
		if c.read != nil {
			c.last[i] = c.record(i)
			c.read(i, f.m, f.text, before, c.last[i])
		}
	}
	if keep {
		c.waiting[i][at].read = true
		return
	}
	c.drop(i, at)
}

func (c *conversation) drop(i, at int) {
	c.waiting[i] = append(c.waiting[i][:at:at], c.waiting[i][at+1:]...)
}

// say sends n messages from party i, each read before the next is sent.
func (c *conversation) say(i, n int) {
	for range n {
		c.send(i)
		c.deliver(1-i, len(c.waiting[1-i])-1, false)
	}
}

// roundTrips has each party say one message after the other.
func (c *conversation) roundTrips(n int) {
	for range n {
		c.say(0, 1)
		c.say(1, 1)
	}
}

// storm is n steps of a bad network: 15 % of the messages are lost, 10 % come
// twice, all in any order within the window. What comes so late that its chain
// is gone counts as lost.
func (c *conversation) storm(n, window int) {
	for range n {
		to := c.r.IntN(2)
		if c.silent {
			to = 1
		}
		if len(c.waiting[to]) < window && c.r.IntN(2) == 0 {
			c.send(1 - to)
			continue
		}
		if len(c.waiting[to]) == 0 {
			continue
		}
		at := c.r.IntN(len(c.waiting[to]))
		late := c.newest[to]-c.waiting[to][at].chain >= wire.MaxReceivers
		if luck := c.r.IntN(100); late || luck < 15 && !c.waiting[to][at].read {
			c.drop(to, at)
		} else {
			c.deliver(to, at, luck >= 90)
		}
	}
}
