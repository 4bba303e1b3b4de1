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

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// diedEvent is that the process ends here, on demand.
const diedEvent = "died"

// jsonLines is the screen of a process that a program looks at.
type jsonLines struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *jsonLines) Show(e person.Event) {
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

// lineOf is what a terminal shows of an event, "" for nothing.
func lineOf(e *person.Event) string {
	peer, text, group := printable(e.Peer), printable(e.Text), printable(e.Group)
	switch e.Kind {
	case person.ReadyEvent:
		return "connected to the relay"
	case person.ReadEvent:
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
	case person.GroupEvent:
		return "in the group " + group + " are now " + text
	case person.SyncEvent:
		return "to " + cmp.Or(group, peer) + ": " + text
	case person.RefusedEvent:
		return "! refused what was not a message from " + peer + ": " + text
	case person.AskedEvent:
		return "! could not read a message from " + peer + ", and asks for it again: " + text
	case person.NewsEvent:
		return peer + " " + text
	case person.LinkEvent:
		return "waiting for another device of yours; there, type\n/link " + text
	case person.OfferEvent:
		return "waiting for the business whose account this is for; there, type\n/move " + text
	case person.RemovedEvent:
		return "! this device was removed by another one; it gets nothing any more"
	case person.LabelEvent:
		return below(text, e.Lines)
	case person.HostingEvent, person.AsksEvent, person.HeldEvent:
		return "! " + below(text, e.Lines)
	case person.WaitsEvent:
		return "! messages to " + peer + " wait: " + text
	case person.ChangedEvent:
		return "! " + peer + " has another identity key than before: a new phone, or somebody in between.\n" +
			"!   " + text + "\n" +
			"! Ask " + peer + " whether it is theirs (/who shows it). Nothing is sent until you /accept " + peer + "."
	case person.TroubleEvent:
		return "! " + text
	case person.NumberEvent:
		var qr strings.Builder
		_ = drawQR(&qr, e.Code) // without it, there are the digits
		return "the safety number with " + peer + ", to compare by reading it out:\n\n    " + text + "\n\n" + qr.String() +
			"or scan this code on the other side; where there is no camera:\n/verify NAME " + hex.EncodeToString(e.Code)
	case person.VerifiedEvent:
		return "the safety number with " + peer + " is the same on both sides: nobody is in between"
	case diedEvent:
		return "! received, not saved, and killed"
	case person.NoticeEvent, person.TimerEvent, person.GoneEvent:
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

func (t *terminal) Show(e person.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if line := lineOf(&e); line != "" {
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
