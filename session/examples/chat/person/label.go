package person

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// What a person sees of who holds the keys at the other end. The Gate decides; this
// shows what it says, in the words that hosting has for it.

// say shows something of who holds the keys.
func (p *Person) say(kind, peer string, t text, lines []string) {
	p.screen.Show(Event{Kind: kind, Peer: peer, Text: fmt.Sprintf(t.in(p.language()), peer), Lines: lines})
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
	lines := l.Lines(p.language())
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
		if err := p.reconsider(ctx, reader); err != nil {
			return err
		}
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
	p.isNews(caughtKey(name), nil) // it is wording once more
	if asked == nil {
		if err := p.calm(ctx, name); err != nil {
			return err
		}
	}
	if err := p.news(ctx); err != nil || asked == nil {
		return err
	}
	return p.showCaught(ctx, name, asked)
}

// notice announces what the Gate has to tell of somebody, and has what waits for that
// one tried again. Where a message only spoke of a manifest, the relay is to be asked
// for it.
func (p *Person) notice(ctx context.Context, e *session.Event, id string, at time.Time) (ask bool, err error) {
	n, err := p.gate.Notice(e)
	if err != nil {
		return false, err
	}
	name, written := post.NameOf(n.Account), e.Address.Device != 0 // in a message, or shown by the relay
	if written && !n.Own && n.To == nil && errors.Is(n.Err, hosting.ErrLabelStale) {
		return true, nil
	}
	if t, label := tells(n, written); t != nil {
		var lines func(string) []string
		if label != nil {
			lines = label.Lines
		}
		err = p.tell(ctx, announced(name, HostingEvent, saying(*t, lines, name)).of(id, at))
	} else if n.Err != nil && !n.Own {
		err = p.showCaught(ctx, name, n.Err)
	}
	if !n.Own && n.To != nil && len(p.asked(name)) > 0 { // that may be another question by now
		p.settle(name)
	}
	return false, err
}

// tells says what a notice is about, and what is new or no more; nil where that is
// nothing, or what is wrong with what the relay shows.
func tells(n *hosting.Notice, written bool) (*text, *hosting.Label) {
	switch {
	case n.Own && errors.Is(n.Err, hosting.ErrLabelStale): // somebody was shown something else
		return &newerOwnText, nil
	case n.Own && n.Err != nil:
		return &otherOwnText, nil
	case n.Own:
	case n.Evidence != nil:
		return &contradictText, nil
	case n.Err != nil && n.Diff.KeyChanged:
		return &strangerText, nil
	case n.Err != nil && written:
		return &unfitText, nil
	case n.Err != nil:
	case n.From != nil && n.Diff.IsWider():
		return &changeText, &n.Diff.Wider
	case n.From != nil && n.Diff.IsNarrower():
		return &fewerText, &n.Diff.Narrower
	}
	return nil, nil
}

// notices shows what came with a message.
func (p *Person) notices(ctx context.Context, r *session.Received) error {
	for i, e := range r.Events {
		if e.Kind != session.LabelNotice {
			continue
		}
		ask, err := p.notice(ctx, &e, eventID(r, i, &e), r.ReceivedAt)
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

// showCaught shows, once, what is wrong with what the relay shows of somebody, which
// is an alarm until it shows what is right.
func (p *Person) showCaught(ctx context.Context, name string, err error) error {
	s := caught(name, err)
	if err := p.raise(ctx, name, s); err != nil {
		return err
	}
	if p.isNews(caughtKey(name), err) {
		p.screen.Show(Event{Kind: HostingEvent, Peer: name, Text: s.in(p.language()).Text})
	}
	return nil
}

func caughtKey(name string) string { return "label of " + name }

// caught says in plain words what a refusal of the Gate is about.
func caught(name string, err error) wording {
	switch {
	case errors.Is(err, hosting.ErrLabelStripped):
		return saying(strippedText, nil, name)
	case errors.Is(err, hosting.ErrLabelStale):
		return saying(staleText, nil, name)
	case errors.Is(err, hosting.ErrLabelMismatch):
		return saying(mismatchText, nil, name)
	}
	return saying(untrueText, nil, name, err)
}

// refusal says why the Gate lets nothing through, nil for another error.
func (p *Person) refusal(name string, err error) wording {
	switch {
	case errors.Is(err, hosting.ErrLabelStale):
		return saying(awaitedText, nil, name)
	case errors.Is(err, hosting.ErrLabelStripped):
		return saying(unshownText, nil, name)
	case errors.Is(err, hosting.ErrLabelMismatch), errors.Is(err, hosting.ErrManifestExpired):
		return caught(name, err)
	}
	return nil
}

// hold shows why the Gate lets nothing through. It is an alarm, unless the gate knows
// it by itself, or there is one.
func (p *Person) hold(ctx context.Context, name string, err error) error {
	s := p.refusal(name, err)
	if !errors.Is(err, hosting.ErrLabelStale) && post.ValidName(name) {
		if old, _, err := p.notes.alarm(ctx, name); err != nil {
			return err
		} else if old == nil {
			if err := p.raise(ctx, name, s); err != nil {
				return err
			}
		}
	}
	p.screen.Show(Event{Kind: HeldEvent, Peer: name, Text: s.in(p.language()).Text})
	return nil
}

func usersOf(names []string) (users []string) {
	for _, name := range names {
		users = append(users, post.UserOf(name))
	}
	return users
}
