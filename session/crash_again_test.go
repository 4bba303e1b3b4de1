//go:build !wasm

package session_test

import (
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// A correspondence is alice, here, and bob in a process that is killed again
// and again.
type correspondence struct {
	*pair
	*victim
	t       *testing.T
	letters []*mail         // to bob, until they are acknowledged
	left    map[string]bool // "ratchet key, counter" of bob's ciphertexts
	n       int             // letters
	rounds  int
	count   map[string]int
}

// A mail is a message to bob, and what is known of it.
type mail struct {
	name, text string
	round      int // when it was written
	m          *session.Message
	id         string // once it is known
	state      string
}

// The states of a mail. A process that was killed leaves open whether it did
// what it was told last.
const (
	unread         = "unread"
	perhapsRead    = "perhaps read"
	staged         = "read"
	perhapsRetired = "perhaps acknowledged"
	retired        = "acknowledged"
)

func correspond(t *testing.T) *correspondence {
	p := strangers(t)
	p.now = time.Now() // as the other process has it
	p.bob.opts = nil
	p.alice.begin(t, p.bob)
	p.goesOn(t)
	for r, err := range p.bob.Unacknowledged(ctx) {
		require.NoError(t, err)
		require.NoError(t, p.bob.Acknowledge(ctx, r))
	}
	return &correspondence{pair: p, victim: newVictim(t, p.bob), t: t, left: map[string]bool{}, count: map[string]int{}}
}

// round has a process carry out commands until its end, and looks at what that
// left.
func (c *correspondence) round(commands []string, e end) {
	c.rounds++
	said := c.runs(commands, e)
	for i, command := range commands {
		words := strings.Fields(command)
		switch {
		case i < len(said):
			c.hears(words, said[i])
		case i == len(said):
			c.doubts(words)
			c.count["killed"]++
		}
	}
	c.open(func(bob *side, _ keystore.Store) {
		bob.identity = c.bob.identity
		c.looks(bob)
		c.leaves(bob.send(c.t, c.alice, "goes on"), "goes on")
		if mathrand.IntN(10) == 0 { // a session begins with new prekeys
			c.alice.begin(c.t, bob)
		}
	})
}

// letter is the mail that a command names.
func (c *correspondence) letter(name string) *mail {
	i := slices.IndexFunc(c.letters, func(l *mail) bool { return l.name == name })
	return c.letters[i]
}

// hears takes in what the process said of a command.
func (c *correspondence) hears(words []string, said string) {
	switch words[0] {
	case "decrypt":
		l := c.letter(words[1])
		if said == "duplicate" {
			require.Contains(c.t, []string{retired, perhapsRetired}, l.state, "message %s is lost", l.name)
			l.state = retired
			return
		}
		id, text, _ := strings.Cut(said, " ")
		c.sees(l, id, text)
	case "acknowledge":
		if l := c.letter(words[1]); l.state == staged {
			l.state = retired
		}
	case "encrypt":
		c.leaves(fromWord(said), words[1])
	}
}

// sees requires that a mail that is read may be, and that it is what it was.
func (c *correspondence) sees(l *mail, id, text string) {
	require.NotEqual(c.t, retired, l.state, "message %s came again", l.name)
	require.Equal(c.t, l.text, text)
	if l.id != "" {
		require.Equal(c.t, l.id, id)
	}
	l.id, l.state = id, staged
}

// doubts notes a command that the process may have carried out.
func (c *correspondence) doubts(words []string) {
	if words[0] == "encrypt" {
		return
	}
	l := c.letter(words[1])
	switch {
	case words[0] == "decrypt" && l.state == unread:
		l.state = perhapsRead
	case words[0] == "acknowledge" && l.state == staged:
		l.state = perhapsRetired
	}
}

// looks at what the process left: all that was read and not acknowledged
// waits, and some of the mail is delivered again.
func (c *correspondence) looks(bob *side) {
	waiting := map[string]bool{}
	for r, err := range bob.Unacknowledged(ctx) {
		require.NoError(c.t, err)
		waiting[string(r.Plaintext)] = true
	}
	for _, l := range c.letters {
		there := waiting[l.text]
		delete(waiting, l.text)
		switch l.state {
		case unread, retired:
			require.False(c.t, there, "message %s waits, and is %s", l.name, l.state)
		case staged:
			require.True(c.t, there, "message %s is lost", l.name)
		case perhapsRetired:
			l.state = map[bool]string{true: staged, false: retired}[there]
		}
		old := l.round+3 < c.rounds // before its ratchet key is too far back
		if l.state != unread && mathrand.IntN(2) == 0 || old {
			c.again(bob, l, there)
		}
		if old && l.state != retired {
			require.NoError(c.t, bob.Acknowledge(ctx, &session.Received{ID: c.idOf(l), From: aliceAddress}))
			l.state = retired
		}
	}
	require.Empty(c.t, waiting)
	c.letters = slices.DeleteFunc(c.letters, func(l *mail) bool { return l.state == retired && mathrand.IntN(4) == 0 })
}

func (c *correspondence) idOf(l *mail) session.MessageID {
	id, err := hex.DecodeString(l.id)
	require.NoError(c.t, err)
	return session.MessageID(id)
}

// again delivers a mail once more; there says that it waits.
func (c *correspondence) again(bob *side, l *mail, there bool) {
	r, err := bob.Decrypt(ctx, aliceAddress, l.m, nil)
	if l.state == retired {
		refused(c.t, err, session.ErrDuplicate)
		return
	}
	require.NoError(c.t, err)
	require.Equal(c.t, there, r.Redelivered)
	c.sees(l, fmt.Sprintf("%x", r.ID), string(r.Plaintext))
	c.count["delivered again"]++
}

// leaves has alice read what left bob's device. No two ciphertexts have one
// counter.
func (c *correspondence) leaves(m *session.Message, text string) {
	require.NotNil(c.t, m)
	in := inner(c.t, m)
	name := fmt.Sprint(string(in.RatchetKey), in.Counter)
	require.False(c.t, c.left[name], "a counter twice")
	c.left[name] = true
	c.alice.saves(c.t, c.bob, m, text)
	c.count["left"]++
}

// writes has alice send bob a mail.
func (c *correspondence) writes() *mail {
	c.n++
	l := &mail{name: strconv.Itoa(c.n), text: fmt.Sprint("text-", c.n), round: c.rounds, state: unread}
	if c.n%7 == 0 { // a record of its own
		l.text += strings.Repeat("x", 5000)
	}
	l.m = c.alice.send(c.t, c.bob, l.text)
	c.letters = append(c.letters, l)
	return l
}

// TestSTO_02_CrashBeforeAcknowledge kills a process between decrypting and
// acknowledging. What was read comes again until it was acknowledged, and not
// after that; nothing is lost.
func TestSTO_02_CrashBeforeAcknowledge(t *testing.T) {
	c := correspond(t)
	random := killed(250, 20)
	for i := range random {
		for range 1 + mathrand.IntN(3) {
			c.writes()
		}
		var commands []string
		for _, at := range mathrand.Perm(len(c.letters)) {
			l := c.letters[at]
			commands = append(commands, "decrypt "+l.name+" "+asWord(l.m))
			if mathrand.IntN(3) > 0 {
				commands = append(commands, "acknowledge "+l.name)
			}
		}
		e := atRandom(len(commands))
		if i%2 == 0 { // at a call of its own store
			e = end{call: mathrand.IntN(2 * len(commands)), after: mathrand.IntN(2) == 0}
		}
		c.round(commands, e)
	}
	t.Log(c.count)
	require.Greater(t, c.count["killed"], random/3)
}

// TestSTO_03_StoreBeforeRelease kills a process while it encrypts, at each
// call of its store and at random. No two different ciphertexts with one
// counter ever leave it, and the peer reads all that leave.
func TestSTO_03_StoreBeforeRelease(t *testing.T) {
	c := correspond(t)
	random := killed(150, 20)
	for i := range random {
		l := c.writes() // and its ratchet key is new once bob has answered
		commands := []string{"decrypt " + l.name + " " + asWord(l.m), "acknowledge " + l.name}
		for j := range 5 {
			commands = append(commands, fmt.Sprint("encrypt text-", i, "-", j))
		}
		e := atRandom(len(commands))
		if call := i / 2; call < 2*len(commands)+1 {
			e = end{call: call, after: i%2 == 0}
		}
		c.round(commands, e)
	}
	t.Log(c.count)
	require.Greater(t, c.count["killed"], random/3)
}
