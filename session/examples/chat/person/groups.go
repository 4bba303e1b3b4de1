package person

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/group"
)

// maxMembers bounds a group.
const maxMembers = 50

// kindGroup are records of who is in a group.
const kindGroup = "group"

// A circle is who is in a group. Its name is that of whoever made it and one of
// his choice, "ani/family": nobody else may say who is in it, and that it was he
// who said so, his messages prove. The relay knows of no groups.
type circle struct {
	Members []string `json:"members"` // by name, in order
	Round   uint64   `json:"round"`   // counts the changes, which may arrive in another order

	version uint64 // the record's
}

// ValidGroup reports whether s can name a group.
func ValidGroup(s string) bool {
	owner, name, ok := strings.Cut(s, "/")
	return ok && post.ValidName(owner) && post.ValidName(name)
}

// ownerOf is who may say who is in a group.
func ownerOf(id string) string {
	owner, _, _ := strings.Cut(id, "/")
	return owner
}

// circle returns who is in a group; nobody is in one that is not known.
func (n *notebook) circle(ctx context.Context, id string) (c circle, err error) {
	rec, err := n.store.Load(ctx, n.key(kindGroup, id))
	if err != nil || len(rec) == 0 || rec[0].Version == 0 {
		return c, err
	}
	c.version = rec[0].Version
	return c, json.Unmarshal(rec[0].Value, &c)
}

// set is the change that stores c.
func (n *notebook) set(id string, c circle) (keystore.Change, error) {
	value, err := json.Marshal(c)
	return keystore.Change{Op: keystore.Put, Key: n.key(kindGroup, id), Expect: c.version, Value: value}, err
}

// Gather makes a group, or says anew who is in one.
func (p *Person) Gather(ctx context.Context, name string, members []string) error {
	me := post.NameOf(p.me.User)
	id := me + "/" + name
	members = append(slices.Clone(members), me)
	slices.Sort(members)
	members = slices.Compact(members)
	if !ValidGroup(id) || slices.ContainsFunc(members, func(m string) bool { return !post.ValidName(m) }) {
		return post.ErrName
	}
	if len(members) > maxMembers {
		return plainly("large", crowdText, maxMembers)
	}
	if p.groups == nil {
		return errors.New("the official library has no groups here")
	}
	c, err := p.notes.circle(ctx, id)
	if err != nil {
		return err
	}
	old := c.Members
	c.Members, c.Round = members, c.Round+1
	return p.announce(ctx, id, old, c)
}

// Expel removes somebody from a group. What is sent to it from then on is under a
// key that they are not given.
func (p *Person) Expel(ctx context.Context, name, member string) error {
	c, err := p.notes.circle(ctx, post.NameOf(p.me.User)+"/"+name)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(c.Members), func(m string) bool { return m == member })
	if len(left) == len(c.Members) || member == post.NameOf(p.me.User) {
		return plainly("member", memberText, member)
	}
	return p.Gather(ctx, name, left)
}

// announce stores who is in a group, together with the message that tells those
// who are, and those who were.
func (p *Person) announce(ctx context.Context, id string, old []string, c circle) error {
	x := &note{ID: newID(), At: time.Now(), Peer: id, Mine: true, Members: c.Members, Round: c.Round}
	for _, m := range slices.Concat(old, c.Members) {
		if m != post.NameOf(p.me.User) && !slices.Contains(x.To, m) {
			x.To = append(x.To, m)
		}
	}
	members, err := p.notes.set(id, c)
	if err != nil {
		return err
	}
	message, err := json.Marshal(x)
	if err != nil {
		return err
	}
	err = p.notes.announce(ctx, announced(id, GroupEvent, p.gathered(c)), members,
		keystore.Change{Op: keystore.Put, Key: p.notes.key(kindOutbox, x.ID), Value: message})
	if err != nil {
		return err
	}
	p.wake()
	return nil
}

// hear takes in what somebody says about who is in a group, and shows it. It
// reports whether it is theirs to say.
func (p *Person) hear(ctx context.Context, mail string, r *session.Received, b *body) error {
	from := post.NameOf(r.From.User)
	if ownerOf(b.Group) != from {
		p.screen.Show(Event{Kind: RefusedEvent, Peer: from, Mail: mail, Text: errBody.Error()})
		return p.device.Acknowledge(ctx, r)
	}
	c, err := p.notes.circle(ctx, b.Group)
	if err != nil {
		return err
	}
	shown := Event{Kind: AgainEvent, Peer: from, Mail: mail, Group: b.Group, Text: strings.Join(b.Members, ", ")}
	if b.Round > c.Round {
		c.Members, c.Round, shown.Kind = b.Members, b.Round, GroupEvent
		change, err := p.notes.set(b.Group, c)
		if err != nil {
			return err
		}
		if err := p.notes.announce(ctx, announced(b.Group, GroupEvent, p.gathered(c)).at(r.ReceivedAt), change); err != nil {
			return err
		}
		_ = p.device.Refresh(ctx, usersOf(b.Members)...) // who holds their keys; what is not heard now, is later
	}
	if shown.Kind == GroupEvent || mail != "" {
		p.screen.Show(shown)
	}
	return p.device.Acknowledge(ctx, r)
}

// gathered says who is in a group.
func (p *Person) gathered(c circle) wording {
	if !slices.Contains(c.Members, post.NameOf(p.me.User)) {
		return saying(outText, nil)
	}
	return saying(membersText, nil, strings.Join(c.Members, ", "))
}

// readers are the names of those whom a note in the outbox goes to.
func (p *Person) readers(ctx context.Context, x *note) ([]string, error) {
	switch {
	case x.To != nil:
		return x.To, nil
	case !ValidGroup(x.Peer):
		return []string{x.Peer}, nil
	}
	c, err := p.notes.circle(ctx, x.Peer)
	if err == nil && !slices.Contains(c.Members, post.NameOf(p.me.User)) {
		err = plainly("outside", outsideText, x.Peer)
	}
	return slices.DeleteFunc(c.Members, func(m string) bool { return m == post.NameOf(p.me.User) }), err
}

// encryptOnce encrypts a message for all members of a group at once. Those who lack
// the key for that are given it before: everybody, after somebody was removed. The
// relay does not know of the group, but sees which mailboxes fill at once: where it is
// always the same few, and one of them stays empty, it can guess who wrote.
func (p *Person) encryptOnce(ctx context.Context, id string, users []string, c *session.Content, o *session.SendOptions) (*session.Sending, error) {
	if err := p.groups.Set(ctx, id, users, nil); err != nil {
		return nil, err
	}
	for range 5 { // somebody may come meanwhile
		if err := p.giveKey(ctx, id, o); err != nil {
			return nil, err
		}
		s, err := p.groups.Send(ctx, id, c, o)
		var waiting *group.WaitingError
		if !errors.As(err, &waiting) || slices.ContainsFunc(waiting.Errs, func(err error) bool { return err != nil }) {
			return s, err
		}
	}
	return nil, session.ErrUnsettled
}

// giveKey gives the key of a group to those who lack it. Nothing is saved: should
// the process stop on the way, they are given it again.
func (p *Person) giveKey(ctx context.Context, id string, o *session.SendOptions) error {
	s, err := p.groups.Distribute(ctx, id, o)
	if err != nil || s == nil {
		return err
	}
	x := &note{ID: newID(), Peer: id}
	for {
		if err := p.pack(ctx, x, s); err != nil {
			return err
		}
		said, err := p.submit(ctx, x)
		if err != nil {
			return err
		}
		if len(said) == 0 {
			break
		}
		if err := p.groups.Reconcile(ctx, s, said...); err != nil {
			return err
		}
	}
	if err := p.groups.Accept(ctx, s); err != nil {
		return err
	}
	p.screen.Show(Event{Kind: KeyEvent, Peer: id, Mail: x.ID})
	return nil
}
