package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/gembok-e2ee/gembok/session"
)

// An envelope is what a relay holds: addresses, a type and ciphertext.
type envelope struct {
	number   int
	from, to person
	msg      *session.Message
	text     string // what must be read; for the count, the relay does not see it
	wait     int    // messages to let pass first
	read     bool
}

// A chat is the people, the relay between them, and the counts.
type chat struct {
	ctx    context.Context
	out    io.Writer
	people map[string]person

	sent, read, lost, refused int
	held                      []*envelope // late ones
	wrong                     []string
}

// say encrypts a line and hands it to the relay.
func (c *chat) say(l line) error {
	from, to := c.people[l.from], c.people[other(l.from)]
	msg, err := from.encrypt(c.ctx, to.who(), []byte(l.text))
	if err != nil {
		return fmt.Errorf("%s cannot send: %w", l.from, err)
	}
	c.sent++
	e := &envelope{number: c.sent, from: from, to: to, msg: msg, text: l.text}
	fmt.Fprintf(c.out, "%2d  %s writes: %s\n", e.number, l.from, printable(l.text))
	fmt.Fprintf(c.out, "    the relay sees: %s to %s, type %d, %d bytes: %x…\n",
		short(from.who()), short(to.who()), msg.Type, len(msg.Bytes), msg.Bytes[:16])
	switch l.fate {
	case lost:
		c.lost++
		fmt.Fprintf(c.out, "    … and loses it\n")
	case late:
		e.wait = 2
		c.held = append(c.held, e)
		fmt.Fprintf(c.out, "    … and is late with it\n")
		return nil
	case twice:
		fmt.Fprintf(c.out, "    … and delivers it twice\n")
		c.deliver(e)
		c.deliver(e)
	default:
		c.deliver(e)
	}
	c.pass()
	return nil
}

// pass lets the late messages come nearer.
func (c *chat) pass() {
	var still []*envelope
	for _, e := range c.held {
		if e.wait--; e.wait > 0 {
			still = append(still, e)
			continue
		}
		fmt.Fprintf(c.out, "    number %d arrives, late\n", e.number)
		c.deliver(e)
	}
	c.held = still
}

// flush delivers what is still on the way.
func (c *chat) flush() error {
	for len(c.held) > 0 {
		c.pass()
	}
	return c.ctx.Err()
}

// deliver gives an envelope to its reader.
func (c *chat) deliver(e *envelope) {
	name := e.to.name()
	text, err := e.to.decrypt(c.ctx, e.from.who(), e.msg)
	switch {
	case errors.Is(err, session.ErrDuplicate):
		c.refused++
		fmt.Fprintf(c.out, "    %s refuses number %d: it was read before\n", name, e.number)
		if !e.read {
			c.fail("number %d was refused and never read", e.number)
		}
	case err != nil:
		c.fail("%s cannot read number %d: %v", name, e.number, err)
	case e.read:
		c.fail("number %d was read twice", e.number)
	case string(text) != e.text:
		c.fail("number %d was read wrongly", e.number)
	default:
		e.read = true
		c.read++
		fmt.Fprintf(c.out, "    %s reads:  %s\n", name, printable(string(text)))
	}
}

func (c *chat) fail(format string, args ...any) {
	c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	fmt.Fprintln(c.out, "    WRONG: "+c.wrong[len(c.wrong)-1])
}

// close prints the last line and says whether all went right.
func (c *chat) close() error {
	if len(c.wrong) == 0 && c.read+c.lost != c.sent {
		c.fail("%d messages were neither read nor lost", c.sent-c.read-c.lost)
	}
	fmt.Fprintf(c.out, "\nsent %d, read %d, lost %d, refused %d\n", c.sent, c.read, c.lost, c.refused)
	if len(c.wrong) > 0 {
		return errors.New(strings.Join(c.wrong, "; "))
	}
	return nil
}

func other(name string) string {
	if name == "Ani" {
		return "Budi"
	}
	return "Ani"
}

// short is the beginning of an address.
func short(a session.Address) string { return fmt.Sprintf("%.8s….%d", a.User, a.Device) }

// printable replaces what a terminal would take for a command.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
