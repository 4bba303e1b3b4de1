package person

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// maxLines bounds what History returns: the newest lines.
const maxLines = 1000

// A Line is a message of a conversation, or an announcement in it.
type Line struct {
	ID     string   `json:"id"`
	At     int64    `json:"at"`   // milliseconds since 1970
	Kind   string   `json:"kind"` // "message" or "notice"
	Notice string   `json:"notice,omitempty"`
	Mine   bool     `json:"mine,omitempty"`
	From   string   `json:"from,omitempty"`
	Text   string   `json:"text,omitempty"`
	Lines  []string `json:"lines,omitempty"` // below the text, of a notice
	File   *File    `json:"file,omitempty"`
	Gone   int64    `json:"gone,omitempty"`  // when it disappears, 0 is never
	State  string   `json:"state,omitempty"` // "waiting" to be sent, "sent", "rejected" by the relay, or "read"

	Outsider   bool `json:"outsider,omitempty"`   // by one who is not in the group
	Unlisted   bool `json:"unlisted,omitempty"`   // from a device that its owner's statement does not list
	Unaccepted bool `json:"unaccepted,omitempty"` // under an identity key that was not accepted

	nanos int64 // At, more exactly
}

// when is when l was, nil for never.
func (l *Line) when() int64 {
	if l == nil {
		return 0
	}
	return l.At
}

// A ledger is all that was said, as it was found in the store.
type ledger struct {
	waits, sent []*note
	announced   []*announcement
}

// read reads it. A message goes from the outbox to the history: who looks into the
// outbox first finds it in one of them, or in both.
func (p *Person) read(ctx context.Context) (l *ledger, err error) {
	l = new(ledger)
	if l.waits, err = p.notes.all(ctx, kindOutbox); err != nil {
		return nil, err
	}
	if l.sent, err = p.notes.all(ctx, kindHistory); err != nil {
		return nil, err
	}
	now := time.Now()
	l.sent = slices.DeleteFunc(l.sent, func(x *note) bool { return !x.Gone.IsZero() && !now.Before(x.Gone) })
	there := map[string]bool{}
	for _, x := range l.sent {
		there[x.ID] = true
	}
	l.waits = slices.DeleteFunc(l.waits, func(x *note) bool { return there[x.ID] })
	l.announced, err = p.notes.announcements(ctx, "")
	return l, err
}

// History returns the newest lines of a conversation, oldest first: messages, what
// waits to be sent, and announcements.
func (p *Person) History(ctx context.Context, name string) ([]Line, error) {
	all, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	circle, err := p.notes.circle(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.lines(name, circle.Members, all), nil
}

// lines returns those of a conversation. In a group, what became of its members' keys
// since it began is announced, too.
func (p *Person) lines(name string, members []string, all *ledger) []Line {
	lines := []Line{}
	for _, x := range all.sent {
		if x.Peer == name {
			lines = append(lines, p.message(x, false))
		}
	}
	for _, x := range all.waits {
		if x.Peer == name && x.says() {
			lines = append(lines, p.message(x, true))
		}
	}
	for _, a := range all.announced {
		if a.Peer == name {
			lines = append(lines, p.aside(a))
		}
	}
	slices.SortStableFunc(lines, inOrder)
	if len(lines) > 0 && len(members) > 0 {
		lines = append(lines, p.asides(members, all, lines[0].At)...)
		slices.SortStableFunc(lines, inOrder)
	}
	return lines[max(0, len(lines)-maxLines):]
}

// inOrder orders lines by time; at the same one, what is announced comes first.
func inOrder(a, b Line) int {
	return cmp.Or(cmp.Compare(a.nanos, b.nanos), cmp.Compare(b.Kind, a.Kind))
}

// asides returns what was announced of the keys of people from a time on.
func (p *Person) asides(names []string, all *ledger, from int64) (out []Line) {
	about := []string{HostingEvent, ChangedEvent, AgreedEvent, NewsEvent}
	for _, a := range all.announced {
		if slices.Contains(names, a.Peer) && slices.Contains(about, a.Kind) && a.At.UnixMilli() >= from {
			out = append(out, p.aside(a))
		}
	}
	return out
}

func (p *Person) aside(a *announcement) Line {
	one := a.Said.in(p.language())
	return Line{ID: a.Peer + " " + a.ID, At: a.At.UnixMilli(), Kind: "notice", Notice: a.Kind, Text: one.Text, Lines: one.Lines, nanos: a.At.UnixNano()}
}

// says reports whether x is something that somebody wrote.
func (x *note) says() bool { return !x.Again && x.Members == nil }

func (p *Person) message(x *note, waits bool) Line {
	l := Line{
		ID: x.ID, At: x.At.UnixMilli(), Kind: "message", Mine: x.Mine, From: cmp.Or(x.From, x.Peer), Text: x.Text,
		Outsider: x.Outsider, Unlisted: x.Unlisted, Unaccepted: x.Unaccepted, nanos: x.At.UnixNano(),
	}
	if !x.Gone.IsZero() {
		l.Gone = x.Gone.UnixMilli()
	}
	if x.File != nil {
		l.File = x.body().attached()
	}
	switch {
	case waits:
		l.State = "waiting"
	case x.Rejected:
		l.State = "rejected"
	case x.Mine:
		l.State = "sent"
	default:
		l.State = "read"
	}
	if x.Mine {
		l.From = post.NameOf(p.me.User)
	}
	return l
}
