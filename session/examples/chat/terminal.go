package main

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// The kinds of events.
const (
	readyEvent    = "ready"    // prekeys are published
	readEvent     = "read"     // a message was received and saved
	againEvent    = "again"    // a message came that was saved before
	refusedEvent  = "refused"  // a message is no message of that person
	askedEvent    = "asked"    // a message could not be read; its sender was asked for it again
	syncEvent     = "sync"     // a message of one's own came from another device of one's own
	resentEvent   = "resent"   // the relay has a message again, for somebody who could not read it
	sentEvent     = "sent"     // the relay has a message
	waitsEvent    = "waits"    // messages cannot be sent now
	changedEvent  = "changed"  // somebody has another identity key
	newsEvent     = "news"     // somebody has another device, or one less
	linkEvent     = "link"     // this new device waits to be linked
	offerEvent    = "offer"    // this device of a provider waits for the business to take it
	labelEvent    = "label"    // who holds the keys at the other end
	hostingEvent  = "hosting"  // that changed, or what is said of it is not true
	asksEvent     = "asks"     // nothing is sent before the answer
	heldEvent     = "held"     // messages are not sent, because of who holds the keys, or may
	timerEvent    = "timer"    // somebody says how long messages last
	goneEvent     = "gone"     // a message has disappeared
	removedEvent  = "removed"  // this device was removed
	troubleEvent  = "trouble"  // something else went wrong
	noticeEvent   = "notice"   // the answer to a command
	groupEvent    = "group"    // somebody says who is in a group
	keyEvent      = "key"      // those who lacked the key of a group were given it
	numberEvent   = "number"   // the safety number with somebody
	verifiedEvent = "verified" // it is the same on the other side
	diedEvent     = "died"     // the process ends here, on demand
)

// An event is something for the person to see. Peer and Text come from outside.
type event struct {
	Kind       string   `json:"kind"`
	Peer       string   `json:"peer,omitempty"`
	Group      string   `json:"group,omitempty"`    // in which it was said
	Outsider   bool     `json:"outsider,omitempty"` // by one who is not in it, as far as is known here
	Mail       string   `json:"mail,omitempty"`     // the ID of an envelope
	Text       string   `json:"text,omitempty"`
	Lines      []string `json:"lines,omitempty"`      // below the text
	Code       []byte   `json:"code,omitempty"`       // of a safety number, for the other side to scan
	Unaccepted bool     `json:"unaccepted,omitempty"` // the sender's identity key
	Unlisted   bool     `json:"unlisted,omitempty"`   // the sender\'s device, in the statement of who holds the keys
}

// A screen shows events, from several goroutines.
type screen interface{ show(event) }

// jsonLines is the screen of a process that a program looks at.
type jsonLines struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *jsonLines) show(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = json.NewEncoder(s.out).Encode(e) // no reader, nothing to show
}

// A terminal is the screen of a process that a person looks at. When live, a
// prompt stands below what was shown last.
type terminal struct {
	mu     sync.Mutex
	out    io.Writer
	live   bool
	prompt string
}

// line is what a terminal shows of an event, "" for nothing.
func (e *event) line() string {
	peer, text, group := printable(e.Peer), printable(e.Text), printable(e.Group)
	switch e.Kind {
	case readyEvent:
		return "connected to the relay"
	case readEvent:
		if e.Unaccepted {
			peer += " (identity key not accepted)"
		}
		if e.Unlisted {
			peer += " (device not listed)"
		}
		if group != "" {
			peer += " in " + group
		}
		if e.Outsider {
			peer += " (who is not in that group)"
		}
		return peer + ": " + text
	case groupEvent:
		return "in the group " + group + " are now " + text
	case syncEvent:
		return "to " + cmp.Or(group, peer) + ": " + text
	case refusedEvent:
		return "! refused what was not a message from " + peer + ": " + text
	case askedEvent:
		return "! could not read a message from " + peer + ", and asks for it again: " + text
	case newsEvent:
		return peer + " " + text
	case linkEvent:
		return "waiting for another device of yours; there, type\n/link " + text
	case offerEvent:
		return "waiting for the business whose account this is for; there, type\n/move " + text
	case removedEvent:
		return "! this device was removed by another one; it gets nothing any more"
	case labelEvent:
		return below(text, e.Lines)
	case hostingEvent, asksEvent, heldEvent:
		return "! " + below(text, e.Lines)
	case waitsEvent:
		return "! messages to " + peer + " wait: " + text
	case changedEvent:
		return "! " + peer + " has another identity key than before: a new phone, or somebody in between.\n" +
			"!   " + text + "\n" +
			"! Ask " + peer + " whether it is theirs (/who shows it). Nothing is sent until you /accept " + peer + "."
	case troubleEvent:
		return "! " + text
	case numberEvent:
		var qr strings.Builder
		_ = drawQR(&qr, e.Code) // without it, there are the digits
		return "the safety number with " + peer + ", to compare by reading it out:\n\n    " + text + "\n\n" + qr.String() +
			"or scan this code on the other side; where there is no camera:\n/verify NAME " + hex.EncodeToString(e.Code)
	case verifiedEvent:
		return "the safety number with " + peer + " is the same on both sides: nobody is in between"
	case diedEvent:
		return "! received, not saved, and killed"
	case noticeEvent, timerEvent, goneEvent:
		return text
	}
	return ""
}

// below puts lines below a heading.
func below(heading string, lines []string) string {
	for _, line := range lines {
		heading += "\n    " + printable(line)
	}
	return heading
}

func (t *terminal) show(e event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line := e.line(); line != "" {
		t.print(line + "\n")
	}
}

// ask shows a prompt.
func (t *terminal) ask(prompt string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prompt = prompt
	t.print("")
}

// print writes over the prompt, and puts it below.
func (t *terminal) print(s string) {
	if t.live {
		s = "\r\x1b[K" + s + t.prompt
	}
	fmt.Fprint(t.out, s)
}

// printable escapes all that a terminal might take for more than text: control
// characters, those that change the direction of writing or cannot be seen, and
// what is no UTF-8. Backslashes are doubled, so that nothing looks escaped that
// is not.
func printable(s string) string {
	q := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
