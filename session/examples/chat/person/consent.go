package person

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// A question is what a person is asked before anything is sent to an account, until
// it is answered with yes.
type question struct {
	*hosting.ConsentRequiredError
	declined bool
}

// ask shows what a person is asked, unless it was shown. What was written waits.
func (p *Person) ask(ctx context.Context, e *hosting.ConsentRequiredError) {
	name := post.NameOf(e.Account)
	no, err := p.saidNo(ctx, e)
	p.complain(err)
	p.mu.Lock()
	old, known := p.questions[name]
	p.questions[name] = question{e, no}
	p.mu.Unlock()
	if known && old.Token == e.Token {
		return
	}
	if no {
		p.screen.Show(Event{Kind: HeldEvent, Peer: name, Text: fmt.Sprintf(refusedText.in(p.language()), name), Declined: true})
		return
	}
	p.say(AsksEvent, name, askText, question{e, false}.lines(p.language()))
}

// lines say what a question is about.
func (q question) lines(lang string) []string {
	if q.From == q.To { // there is nothing new: nothing is known, or it is out of date
		l := hosting.Label{State: q.State}
		return l.Lines(lang)
	}
	lines := q.Diff.Wider.Lines(lang)
	if q.Diff.KeyChanged {
		lines = append([]string{fmt.Sprintf(strangerText.in(lang), post.NameOf(q.Account))}, lines...)
	}
	return lines
}

// asked returns the questions that are open about people, by name.
func (p *Person) asked(names ...string) map[string]question {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]question{}
	for _, name := range names {
		if q, ok := p.questions[name]; ok {
			out[name] = q
		}
	}
	return out
}

// settle forgets a question: what waits is tried again, and may lead to another.
func (p *Person) settle(name string) {
	p.mu.Lock()
	delete(p.questions, name)
	p.mu.Unlock()
	p.isNews(name, nil)
	p.wake()
}

// unanswered says why nothing is written to people, nil if nothing is asked.
func (p *Person) unanswered(names ...string) error {
	for name, q := range p.asked(names...) {
		t := openText
		if q.declined {
			t = refusedText
		}
		return &ConsentError{Name: name, Declined: q.declined, text: fmt.Sprintf(t.in(p.language()), name)}
	}
	return nil
}

// A ConsentError is that nothing is written to somebody, because of what was asked
// about who holds the keys.
type ConsentError struct {
	Name     string
	Declined bool // and not open
	text     string
}

func (e *ConsentError) Error() string { return e.text }

// Consent answers what was asked about those in a conversation by the last events.
// Should there be something newer to agree to than was asked, that is asked.
func (p *Person) Consent(ctx context.Context, name string, yes bool) error {
	open, err := p.questionsIn(ctx, name)
	if err != nil {
		return err
	}
	return p.replyAll(ctx, name, open, yes)
}

// Answer answers what a Conversation asked, by its Question. Should something else be
// asked by now, it answers nothing.
func (p *Person) Answer(ctx context.Context, name, question string, yes bool) error {
	open, err := p.questionsIn(ctx, name)
	if err != nil {
		return err
	}
	if questionID(open) != question {
		return plainly("other", otherAskText, name)
	}
	return p.replyAll(ctx, name, open, yes)
}

// questionsIn returns what is asked about those in a conversation.
func (p *Person) questionsIn(ctx context.Context, name string) (map[string]question, error) {
	readers, err := p.readers(ctx, &note{Peer: name})
	if err != nil {
		return nil, err
	}
	open := p.asked(readers...)
	if len(open) == 0 {
		return nil, plainly("nothing", nothingText, name).in(p.language())
	}
	return open, nil
}

// questionID names questions, so that an answer to them is one to no other. A token is
// of an account and of what changes there.
func questionID(open map[string]question) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(open)) {
		token := open[name].Token
		h.Write(token[:])
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (p *Person) replyAll(ctx context.Context, name string, open map[string]question, yes bool) error {
	for reader, q := range open {
		if err := p.reply(ctx, reader, q, yes); err != nil {
			return err
		}
	}
	if err := p.showLabel(ctx, name); err != nil {
		return err
	}
	if yes {
		for reader := range open {
			p.settle(reader)
		}
	}
	return nil
}

// reply answers one question.
func (p *Person) reply(ctx context.Context, name string, q question, yes bool) error {
	answer, t := hosting.No, noText
	if yes {
		answer, t = hosting.Yes, yesText
	}
	err := p.gate.Consent(ctx, p.own, q.Account, q.Token, answer)
	switch {
	case errors.Is(err, hosting.ErrLabelStale), errors.Is(err, hosting.ErrManifestExpired):
		p.settle(name) // and asked anew
		return nil
	case err != nil:
		return err
	}
	p.mu.Lock()
	p.questions[name] = question{q.ConsentRequiredError, !yes}
	p.mu.Unlock()
	if err := p.announceAnswers(ctx, q.Account); err != nil {
		return err
	}
	p.say(NoticeEvent, name, t, nil)
	return nil
}

// answers returns the last of those answers in the ledger, by account.
func (p *Person) answers(ctx context.Context, those func(*hosting.Consent) bool) (map[string]*hosting.Consent, error) {
	last := map[string]*hosting.Consent{}
	for c, err := range p.gate.Consents(ctx, p.own) {
		switch {
		case damaged(err):
		case err != nil:
			return nil, err
		case those(c) && (last[c.Account] == nil || c.At.After(last[c.Account].At)):
			last[c.Account] = c
		}
	}
	return last, nil
}

// announceAnswers announces the last answer that was given about an account, "" for all
// accounts, unless that was done. The ledger has it before.
func (p *Person) announceAnswers(ctx context.Context, account string) error {
	last, err := p.answers(ctx, func(c *hosting.Consent) bool { return account == "" || c.Account == account })
	if err != nil {
		return err
	}
	said := map[hosting.Answer]text{hosting.Yes: yesText, hosting.No: noText} // not what a rule answered
	for _, c := range last {
		t, ok := said[c.Answer]
		if name := post.NameOf(c.Account); ok {
			at := c.At.Add(time.Second - 1) // the ledger counts whole seconds
			if now := time.Now(); now.Before(at) {
				at = now
			}
			a := announced(name, AgreedEvent, saying(t, nil, name)).of(fmt.Sprintf("%x-%d-%d", c.To, c.At.Unix(), c.Answer), at)
			err = errors.Join(err, p.notes.announce(ctx, a))
		}
	}
	return err
}

// trusts reports whether what is asked was answered before: that somebody signs with
// another account key than before, which is the new identity key that was accepted of
// them, as a person's is.
func (p *Person) trusts(ctx context.Context, e *hosting.ConsentRequiredError) bool {
	p.mu.Lock()
	key, accepted := p.accepted[post.NameOf(e.Account)]
	p.mu.Unlock()
	if no, err := p.saidNo(ctx, e); err != nil || no || !accepted || !e.Diff.KeyChanged || len(e.Diff.Wider.Lines(p.language())) > 0 {
		return false
	}
	signed, err := p.relay.Manifest(ctx, e.Account)
	if err != nil || signed == nil {
		return false
	}
	m, err := hosting.Parse(signed)
	return err == nil && m.Hash() == e.To && m.Key.Equal(key)
}
