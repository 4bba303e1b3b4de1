package person

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// What a screen needs that is drawn from state, at any time anew: it is all in the
// store, but for what a reload cannot lose.

// A Conversation is what a screen shows of one beside its lines.
type Conversation struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind"` // "person", "business", "service", "group", or "unknown"
	Label    Label    `json:"label"`
	Verified bool     `json:"verified"`
	Changed  bool     `json:"changed"`  // somebody in it has another identity key, which is not accepted
	Key      string   `json:"key"`      // that one, as digits
	Asks     *Asks    `json:"asks"`     // nothing is sent before it is answered; nil is nothing
	Question string   `json:"question"` // what Answer answers: what is asked, or was declined
	Declined bool     `json:"declined"`
	Alarm    string   `json:"alarm"`   // what is wrong with what is said of who holds the keys
	Timer    int64    `json:"timer"`   // seconds; 0 is for good
	Members  []string `json:"members"` // of a group
	Mine     bool     `json:"mine"`    // a group of one's own
	Waiting  int      `json:"waiting"` // messages that are not sent yet
	Last     *Line    `json:"last"`    // the newest
}

// A Label is who holds the keys in a conversation.
type Label struct {
	State   string   `json:"state"`
	Lines   []string `json:"lines"` // canonical sentences
	Parties []Party  `json:"parties"`
}

// A Party is who hosts somebody in it.
type Party struct {
	Name     string `json:"name"`
	Domain   string `json:"domain"`
	Verified bool   `json:"verified"` // it is the owner of that domain
}

// Asks is a question.
type Asks struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines"`
}

// kindContact are records of conversations that were begun, before there is anything
// in them.
const kindContact = "contact"

// Start begins a conversation with somebody whom the relay knows, and asks who holds
// their keys.
func (p *Person) Start(ctx context.Context, name string) error {
	if !post.ValidName(name) || name == post.NameOf(p.me.User) {
		return post.ErrName
	}
	if _, err := p.relay.Devices(ctx, post.UserOf(name)); err != nil {
		return err
	}
	key := p.notes.about(kindContact, name, "")
	_, err := p.notes.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: key, Value: []byte("{}")})
	if there := (*keystore.ConflictError)(nil); err != nil && !errors.As(err, &there) {
		return err
	}
	return p.askRelay(ctx, name)
}

// Conversations returns all that there are, those with the newest lines first.
func (p *Person) Conversations(ctx context.Context) ([]Conversation, error) {
	all, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	names, err := p.names(ctx, all)
	if err != nil {
		return nil, err
	}
	out := make([]Conversation, 0, len(names))
	for _, name := range names {
		c, err := p.converse(ctx, name, all)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Conversation) int { return cmp.Compare(b.Last.when(), a.Last.when()) })
	return out, nil
}

// Conversation returns one.
func (p *Person) Conversation(ctx context.Context, name string) (Conversation, error) {
	if !post.ValidName(name) && !ValidGroup(name) {
		return Conversation{}, post.ErrName
	}
	all, err := p.read(ctx)
	if err != nil {
		return Conversation{}, err
	}
	return p.converse(ctx, name, all)
}

// names returns with whom, and in which groups, there is a conversation.
func (p *Person) names(ctx context.Context, all *ledger) ([]string, error) {
	names := map[string]bool{}
	for _, x := range slices.Concat(all.sent, all.waits) {
		names[x.Peer] = !x.Again || names[x.Peer]
	}
	for _, kind := range []string{kindGroup, kindContact} {
		for rec, err := range p.notes.store.List(ctx, p.notes.scope, kind, "") {
			if err != nil {
				return nil, err
			}
			names[cmp.Or(rec.Key.Name, rec.Key.Owner)] = true
		}
	}
	delete(names, post.NameOf(p.me.User))
	var out []string
	for name, there := range names {
		if there {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// converse returns a conversation.
func (p *Person) converse(ctx context.Context, name string, all *ledger) (Conversation, error) {
	c := Conversation{Name: name, Kind: "group", Label: Label{Lines: []string{}, Parties: []Party{}}, Members: []string{}}
	circle, err := p.notes.circle(ctx, name)
	if err != nil {
		return c, err
	}
	c.Members = append(c.Members, circle.Members...)
	c.Mine = ownerOf(name) == post.NameOf(p.me.User)
	timer, _, err := p.notes.timer(ctx, name)
	if err != nil {
		return c, err
	}
	c.Timer = int64(timer.Duration / time.Second)
	p.written(all, &c)
	var readers []string
	if !ValidGroup(name) || slices.Contains(c.Members, post.NameOf(p.me.User)) {
		if readers, err = p.readers(ctx, &note{Peer: name}); err != nil {
			return c, err
		}
	}
	if !ValidGroup(name) {
		if err := p.about(ctx, name, &c); err != nil {
			return c, err
		}
	}
	return c, p.stands(ctx, readers, &c)
}

// written fills in what was written last, and what is not sent.
func (p *Person) written(all *ledger, c *Conversation) {
	for _, x := range all.waits {
		if x.Peer == c.Name && x.says() {
			c.Waiting++
		}
	}
	if lines := p.lines(c.Name, c.Members, all); len(lines) > 0 {
		c.Last = &lines[len(lines)-1]
	}
}

// about fills in what is known of somebody.
func (p *Person) about(ctx context.Context, name string, c *Conversation) error {
	c.Kind = "unknown"
	id, err := p.firstIdentity(ctx, name)
	if err != nil || p.gate == nil {
		return err
	}
	c.Verified = id.Verified
	m, err := p.gate.Manifest(ctx, p.own, post.UserOf(name))
	switch {
	case damaged(err): // which stands says
		return nil
	case err == nil && m != nil:
		c.Kind = kindNames[m.Kind]
	}
	return err
}

// damaged reports whether a record cannot be read, and all others are as good as ever.
func damaged(err error) bool {
	return errors.Is(err, keystore.ErrCorrupt) || errors.Is(err, keystore.ErrNewerFormat)
}

var kindNames = map[hosting.Kind]string{hosting.KindPerson: "person", hosting.KindBusiness: "business", hosting.KindService: "service"}

// firstDevice returns the first of somebody's devices that is not gone.
func (p *Person) firstDevice(ctx context.Context, name string) (session.Address, error) {
	a := session.Address{User: post.UserOf(name), Device: 1}
	if p.own == nil {
		return a, nil
	}
	peer, err := p.own.Peer(ctx, a.User)
	if err != nil {
		return a, err
	}
	if i := slices.IndexFunc(peer.Devices, func(d session.PeerDevice) bool { return d.Stale.IsZero() }); i >= 0 {
		a.Device = peer.Devices[i].Device
	}
	return a, nil
}

// stands fills in what stands in the way of a message to readers, and who holds
// their keys.
func (p *Person) stands(ctx context.Context, readers []string, c *Conversation) error {
	changed := p.ChangedKeys(readers...)
	var all []string
	for a, key := range changed {
		all = append(all, post.NameOf(a.User)+" "+Digits(key))
	}
	slices.Sort(all)
	if c.Changed = len(all) > 0; c.Changed {
		_, c.Key, _ = strings.Cut(all[0], " ")
		c.Verified = false // what was compared is another key
	}
	if p.gate == nil || len(readers) == 0 {
		return nil
	}
	err := p.judged(ctx, readers, c)
	if damaged(err) {
		_, c.Alarm = p.Plain(err)
		return nil
	}
	return err
}

// judged fills in what the gate says of readers.
func (p *Person) judged(ctx context.Context, readers []string, c *Conversation) error {
	l, err := p.gate.Label(ctx, p.own, usersOf(readers)...)
	if err != nil {
		return err
	}
	c.Label.State, c.Label.Lines = string(l.State), append(c.Label.Lines, l.Lines(p.language())...)
	for _, party := range l.Parties {
		c.Label.Parties = append(c.Label.Parties, Party{party.Name, party.Domain, party.Known})
	}
	for _, name := range readers {
		s, err := p.standing(ctx, name)
		if err == nil {
			err = p.question(ctx, &s)
		}
		if err == nil && c.Alarm == "" {
			c.Alarm, err = p.alarmOf(ctx, &s)
		}
		if err != nil {
			return err
		}
	}
	p.asksOf(readers, c)
	return nil
}

// asksOf fills in what is asked, or was declined: all that consent would answer. What is
// asked only because the account signs with another key waits until that identity
// key is accepted: with it, it is answered.
func (p *Person) asksOf(readers []string, c *Conversation) {
	lang, questions := p.language(), p.asked(readers...)
	var names, lines []string
	open := false
	for _, name := range readers {
		q, asked := questions[name]
		if !asked {
			continue
		}
		if q.Diff.KeyChanged && len(q.Diff.Wider.Lines(lang)) == 0 && len(p.ChangedKeys(name)) > 0 {
			return
		}
		names, open = append(names, name), open || !q.declined
		for _, line := range q.lines(lang) {
			if len(readers) > 1 {
				line = name + ": " + line
			}
			lines = append(lines, line)
		}
	}
	if len(names) > 0 {
		c.Question = questionID(questions)
	}
	if c.Declined = len(names) > 0 && !open; open {
		c.Asks = &Asks{Text: fmt.Sprintf(agreeText.in(lang), strings.Join(names, ", ")), Lines: lines}
	}
}

// alarmOf says what is wrong with what is said of who holds the keys of somebody, "" for
// nothing.
func (p *Person) alarmOf(ctx context.Context, s *standing) (string, error) {
	stored, _, err := p.notes.alarm(ctx, s.name)
	switch {
	case err != nil:
		return "", err
	case errors.Is(s.refused, hosting.ErrLabelMismatch):
		return fmt.Sprintf(contradictText.in(p.language()), s.name), nil
	case stored != nil:
		return stored.Said.in(p.language()).Text, nil
	case errors.Is(s.refused, hosting.ErrLabelStale):
		return fmt.Sprintf(awaitedText.in(p.language()), s.name), nil
	}
	return "", nil
}
