package person

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// What a person sees of who holds the keys at the other end. The Gate decides; this
// shows what it says, in the words that hosting has for it.

// say shows something of who holds the keys.
func (p *Person) say(kind, peer string, t text, lines []string) {
	p.screen.Show(Event{Kind: kind, Peer: peer, Text: fmt.Sprintf(t.in(p.lang), peer), Lines: lines})
}

// labelOf returns the label of a conversation; of a group that one is not in it says
// nothing.
func (p *Person) labelOf(ctx context.Context, name string) (hosting.Label, error) {
	readers, err := p.readers(ctx, &note{Peer: name})
	if err != nil || len(readers) == 0 {
		return hosting.Label{}, nil
	}
	return p.gate.Label(ctx, p.own, usersOf(readers)...)
}

// showLabel shows the label of a conversation, if it is another one than was shown.
// It stands above what is written and read under it.
func (p *Person) showLabel(ctx context.Context, name string) error {
	if p.gate == nil {
		return nil
	}
	l, err := p.labelOf(ctx, name)
	if err != nil {
		return err
	}
	lines := l.Lines(p.lang)
	p.mu.Lock()
	isNew := !slices.Equal(p.labels[name], lines)
	p.labels[name] = lines
	p.mu.Unlock()
	if isNew {
		p.say(LabelEvent, name, labelText, lines)
	}
	return nil
}

// Greet shows the label of a conversation that begins, if there is one: of somebody
// who was never written to, it comes with the first message.
func (p *Person) Greet(ctx context.Context, name string) error {
	if p.gate == nil {
		return nil
	}
	if l, err := p.labelOf(ctx, name); err != nil || len(l.Controllers) == 0 {
		return err
	}
	return p.showLabel(ctx, name)
}

// Label asks the relay anew who holds the keys in a conversation, and shows it, and
// what is wrong with what the relay says.
func (p *Person) Label(ctx context.Context, name string) error {
	if p.gate == nil {
		return errors.New("the official library knows no labels")
	}
	readers, err := p.readers(ctx, &note{Peer: name})
	if err != nil {
		return err
	}
	for _, reader := range readers {
		if err := p.askRelay(ctx, reader); err != nil {
			return err
		}
	}
	p.mu.Lock()
	delete(p.labels, name)
	p.mu.Unlock()
	p.wake() // what waits may go now
	return p.showLabel(ctx, name)
}

// askRelay asks who holds the keys of somebody, and shows what is wrong with the
// answer.
func (p *Person) askRelay(ctx context.Context, name string) error {
	asked := p.device.Refresh(ctx, post.UserOf(name))
	if failed := (*session.DirectoryError)(nil); errors.As(asked, &failed) {
		return failed.Err
	}
	p.isNews(caughtKey(name), nil) // it is said once more
	if err := p.news(ctx); err != nil || asked == nil {
		return err
	}
	p.showCaught(name, asked)
	return nil
}

// notice shows what the Gate has to tell of somebody, and has what waits for that one
// tried again. Where a message only spoke of a manifest, the relay is to be asked for
// it.
func (p *Person) notice(e *session.Event) (ask bool, err error) {
	n, err := p.gate.Notice(e)
	if err != nil {
		return false, err
	}
	name, written := post.NameOf(n.Account), e.Address.Device != 0 // in a message, or shown by the relay
	switch {
	case written && !n.Own && n.To == nil && errors.Is(n.Err, hosting.ErrLabelStale):
		return true, nil
	case n.Own:
		p.showOwn(name, n)
	case n.Evidence != nil:
		p.say(HostingEvent, name, contradictText, nil)
	case n.Err != nil && n.Diff.KeyChanged:
		p.say(HostingEvent, name, strangerText, nil)
	case n.Err != nil && written:
		p.say(HostingEvent, name, unfitText, nil)
	case n.Err != nil:
		p.showCaught(name, n.Err)
	case n.From != nil && n.Diff.IsWider():
		p.say(HostingEvent, name, changeText, n.Diff.Wider.Lines(p.lang))
	case n.From != nil && n.Diff.IsNarrower():
		p.say(HostingEvent, name, fewerText, n.Diff.Narrower.Lines(p.lang))
	}
	if !n.Own && n.To != nil && len(p.asked(name)) > 0 { // that may be another question by now
		p.settle(name)
	}
	return false, nil
}

// notices shows what came with a message.
func (p *Person) notices(ctx context.Context, r *session.Received) error {
	for _, e := range r.Events {
		if e.Kind != session.LabelNotice {
			continue
		}
		ask, err := p.notice(&e)
		if err != nil {
			return err
		}
		if ask && p.device.Refresh(ctx, r.From.User) == nil {
			err = p.news(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unlisted reports whether a message came from a device that its sender's statement
// does not list.
func (p *Person) unlisted(r *session.Received) bool {
	if p.gate == nil {
		return false
	}
	receipt, err := p.gate.Receipt(r)
	return err == nil && !receipt.Listed && len(receipt.Label.Controllers) > 0
}

// showOwn shows that somebody was shown something else about the own account than
// what this device states.
func (p *Person) showOwn(name string, n *hosting.Notice) {
	switch {
	case errors.Is(n.Err, hosting.ErrLabelStale):
		p.say(HostingEvent, name, newerOwnText, nil)
	case n.Err != nil:
		p.say(HostingEvent, name, otherOwnText, nil)
	}
}

// showCaught shows, once, what is wrong with what is said of somebody.
func (p *Person) showCaught(name string, err error) {
	if p.isNews(caughtKey(name), err) {
		p.screen.Show(Event{Kind: HostingEvent, Peer: name, Text: p.caught(name, err)})
	}
}

func caughtKey(name string) string { return "label of " + name }

// caught says in plain words what a refusal of the Gate is about, "" for another
// error.
func (p *Person) caught(name string, err error) string {
	var t text
	switch {
	case errors.Is(err, hosting.ErrLabelStripped):
		t = strippedText
	case errors.Is(err, hosting.ErrLabelStale):
		t = staleText
	case errors.Is(err, hosting.ErrLabelMismatch):
		t = mismatchText
	default:
		return fmt.Sprintf(untrueText.in(p.lang), name, err)
	}
	return fmt.Sprintf(t.in(p.lang), name)
}

// refusal says why the Gate lets nothing through, "" for another error.
func (p *Person) refusal(name string, err error) string {
	switch {
	case errors.Is(err, hosting.ErrLabelStale):
		return fmt.Sprintf(awaitedText.in(p.lang), name)
	case errors.Is(err, hosting.ErrLabelStripped):
		return fmt.Sprintf(unshownText.in(p.lang), name)
	case errors.Is(err, hosting.ErrLabelMismatch), errors.Is(err, hosting.ErrManifestExpired):
		return p.caught(name, err)
	}
	return ""
}

func usersOf(names []string) (users []string) {
	for _, name := range names {
		users = append(users, post.UserOf(name))
	}
	return users
}
