// Package person is the app of the example, without its screen: what it does with a
// Device. It brings its requests to the relay by a Transport, and what is to be seen
// to a Screen, so that it does as well in a browser as in a terminal.
//
// To read it, begin at outbox.go: it has what an app does with a Device to send
// to all devices of somebody. person.go is what it does to receive, and of the
// others each is one thing:
//
//	seal.go     how envelopes are sealed and opened, so that the relay does not learn who writes
//	retry.go    what becomes of a message that cannot be read
//	groups.go   how a group is made, and how a message is encrypted once for all of it
//	safety.go   how two people make sure that nobody is in between
//	files.go    how a file is sent
//	link.go     how a second device is linked
//	label.go    what is shown of who holds the keys at the other end
//	consent.go  what is asked before anything is sent there
//	declare.go  how an account says who holds its keys
//	move.go     how a business moves to a provider; role.go, who is what
//	words.go    what is said of all that, in two languages
//	timer.go    how messages disappear
//	body.go     what is in a message
//	client.go   how a Device asks a server for devices and their keys
//	open.go     where a person begins
//
// And what a screen needs that is drawn from state, anew at any time:
//
//	conversation.go   the conversations, and what stands in their way
//	history.go        the lines of one
//	announcements.go  those that nobody wrote: that a label changed, and the like
//	held.go           changed keys, questions and alarms, which a reload does not lose
//	archive.go        all that a person takes along
//	plain.go          what went wrong, in a sentence; plainwords.go has those
package person

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// retryAfter is how long to wait before what failed is tried again.
const retryAfter = time.Second

// A Person is one process: a device, a relay, and the app around them.
type Person struct {
	me     session.Address
	device Device
	own    *session.Device // the device, unless it is the official library's
	groups *group.Groups   // of it
	gate   *hosting.Gate   // of it
	notes  notebook
	relay  *Client
	screen Screen

	kick      chan struct{}           // something is to be sent
	aging     chan struct{}           // something came into the history that disappears
	published chan struct{}           // closed once the relay knows this device
	decrypted func(from, mail string) // is called after each Decrypt, before anything is saved; may be nil
	due       time.Time               // when upkeep is; of receiveAll alone
	restate   time.Time               // when the manifest is looked at again; of receiveAll alone
	siblings  string                  // the devices of the owner, as the relay told; of receiveAll alone

	role     Role
	lang     atomic.Pointer[string] // what is said is in it: id or else en
	passport credentials
	open     bool       // say to the relay who writes
	telling  sync.Mutex // held while events of the device are shown
	sending  sync.Mutex // held while the outbox is emptied

	full atomic.Bool // there was no room to send something

	mu        sync.Mutex
	changed   map[session.Address]keys.IdentityKey // keys that were shown and not accepted
	accepted  map[string]keys.IdentityKey          // the last one that was, by name
	said      map[string]string                    // what was shown to be wrong with the mail to a name, with the relay (""), or here
	labels    map[string][]string                  // what was shown of who holds the keys in a conversation
	questions map[string]question                  // by the name of whom they are about
	bars      map[string]func(done, total int64)   // are told how far files are uploaded, by note
}

// Run receives and sends until ctx ends.
func (p *Person) Run(ctx context.Context) error {
	var all sync.WaitGroup
	all.Go(func() { p.sendAll(ctx) })
	all.Go(func() { p.receiveAll(ctx) })
	all.Go(func() { p.sweepAll(ctx) })
	all.Wait()
	return nil
}

// catchUp saves what was received before the last stop and not saved any more.
// It is there, whatever stopped the process: Decrypt stores the text together
// with the step of the ratchet.
func (p *Person) catchUp(ctx context.Context) error {
	var left []*session.Received
	for r, err := range p.device.Unacknowledged(ctx) {
		if err != nil {
			p.screen.Show(Event{Kind: TroubleEvent, Text: err.Error(), Err: err})
			continue
		}
		left = append(left, r)
	}
	slices.SortFunc(left, func(a, b *session.Received) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
	for _, r := range left {
		if err := p.keep(ctx, "", r); err != nil {
			return err
		}
	}
	return nil
}

// receiveAll publishes prekeys and reads the mailbox. After an error it begins
// again with the prekeys: a relay that was started anew has forgotten them.
func (p *Person) receiveAll(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.catchUp(ctx)
		if err == nil {
			err = p.publish(ctx)
		}
		for err == nil && ctx.Err() == nil {
			if err = p.receiveSome(ctx); err == nil {
				p.isNews(ownTrouble, nil)
			}
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, post.ErrRemoved) {
			p.screen.Show(Event{Kind: RemovedEvent})
			return
		}
		if about := troubleOf(err); p.isNews(about, err) && !errors.Is(err, post.ErrUnknown) {
			p.screen.Show(Event{Kind: TroubleEvent, Text: err.Error(), Err: err})
		}
		pause(ctx, retryAfter)
	}
}

// ownTrouble is the name under which what is wrong on this side is news. It is over when
// something can be received; what is wrong with the relay is when that takes prekeys.
const ownTrouble = "this device"

func troubleOf(err error) string {
	for _, relays := range []error{post.ErrGone, post.ErrUnknown, post.ErrFull, post.ErrRejected} {
		if errors.Is(err, relays) {
			return ""
		}
	}
	return ownTrouble
}

// publish uploads what the directory should have: at the start, and when the
// directory may have lost it.
func (p *Person) publish(ctx context.Context) error {
	if err := p.state(ctx); err != nil {
		return err
	}
	pub, err := p.device.Publish(ctx)
	if err != nil {
		return err
	}
	if err := p.upload(ctx, pub); err != nil {
		return err
	}
	if !p.unsealed() {
		if err := p.certify(ctx); err != nil {
			return err
		}
	}
	if err := p.meet(ctx, p.siblings); err != nil { // now, and not when there is something to send
		return err
	}
	select {
	case <-p.published:
	default:
		close(p.published)
	}
	p.isNews("", nil)
	p.screen.Show(Event{Kind: ReadyEvent})
	return nil
}

// upload brings prekeys to the directory. They are marked after it has them:
// an upload that comes twice does no harm.
func (p *Person) upload(ctx context.Context, pub *x3dh.Publication) error {
	if err := p.relay.publish(ctx, p.me, pub); err != nil {
		return err
	}
	return p.device.MarkPublished(ctx, pub)
}

// upkeep replaces prekeys that are used up or old, when that is due.
func (p *Person) upkeep(ctx context.Context) error {
	if time.Now().Before(p.due) {
		return nil
	}
	pub, err := p.device.Upkeep(ctx)
	if err != nil {
		return err
	}
	if pub != nil { // the directory lacks some of it
		if err := p.upload(ctx, pub); err != nil {
			return err
		}
	}
	next, err := p.device.Due(ctx)
	p.due = next.At
	return err
}

// receiveSome waits for mail, once all is kept up.
func (p *Person) receiveSome(ctx context.Context) error {
	if err := p.upkeep(ctx); err != nil {
		return err
	}
	if err := p.renew(ctx); err != nil {
		return err
	}
	if time.Now().After(p.restate) {
		if err := p.state(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	bag, err := p.relay.mail(ctx, p.me, p.siblings)
	if errors.Is(err, post.ErrRemoved) {
		p.resign()
	}
	if err != nil {
		return err
	}
	nothing := len(bag.Mail) == 0 && bag.Own == p.siblings
	if bag.Own != p.siblings {
		if err := p.meet(ctx, bag.Own); err != nil {
			return err
		}
	}
	for _, e := range bag.Mail {
		if err := p.receive(ctx, incoming{Envelope: e}); err != nil {
			return err
		}
	}
	if nothing && time.Since(began) < retryAfter { // the relay ought to wait until there is something
		pause(ctx, retryAfter)
	}
	return nil
}

// meet takes note that the owner has other devices than before.
func (p *Person) meet(ctx context.Context, own string) error {
	if err := p.device.Refresh(ctx, p.me.User); err != nil {
		return err
	}
	p.siblings = own
	return p.news(ctx)
}

// receive takes one message out of the mailbox. It is confirmed when it is
// saved, when it was saved before, and when it can never be read, which its
// sender is told. After any other error it stays, and comes again.
func (p *Person) receive(ctx context.Context, e incoming) error {
	r, err := p.unseal(ctx, &e)
	switch {
	case err == nil && r == nil:
		return p.resend(ctx, e)
	case err == nil:
		if e.Type == session.TypePreKey {
			p.due = time.Time{} // a prekey is used up
		}
		if p.decrypted != nil {
			p.decrypted(post.NameOf(e.From.User), e.ID)
		}
		err = p.keep(ctx, e.ID, r)
	case errors.Is(err, session.ErrDuplicate):
		p.screen.Show(Event{Kind: AgainEvent, Peer: post.NameOf(e.From.User), Mail: e.ID})
		err = nil
	case unreadable(err):
		err = p.refuse(ctx, e, err)
	}
	if err != nil {
		return err
	}
	return p.relay.confirm(ctx, p.me, e.ID)
}

// keep saves a message, then shows it, then tells the device to forget it. If
// the process stops on the way, keep runs again at the next start. A message
// that was saved is not shown again: should it not have been shown at all, it
// is in the history.
func (p *Person) keep(ctx context.Context, mail string, r *session.Received) error {
	if len(r.Content.Body) == 0 { // it brought the key of a group
		if err := p.notices(ctx, r); err != nil {
			return err
		}
		return p.device.Acknowledge(ctx, r)
	}
	b, err := parseBody(r.Content.Body)
	if err == nil && !post.ValidAddress(r.From) {
		err = post.ErrName
	}
	if err != nil { // whoever sent it, sent nonsense
		p.screen.Show(Event{Kind: RefusedEvent, Peer: post.NameOf(r.From.User), Mail: mail, Text: err.Error()})
		return p.device.Acknowledge(ctx, r)
	}
	if b.Members != nil {
		if err := p.notices(ctx, r); err != nil {
			return err
		}
		return p.hear(ctx, mail, r, b)
	}
	x := noteOf(r, b)
	x.Unaccepted = !r.Accepted
	if b.Group != "" {
		circle, err := p.notes.circle(ctx, b.Group)
		if err != nil {
			return err
		}
		x.Outsider = !slices.Contains(circle.Members, x.From)
	}
	if err := p.foretell(ctx, r, x); err != nil {
		return err
	}
	x.Unlisted = p.unlisted(r)
	isNew, err := p.notes.saveRead(ctx, x)
	if err != nil {
		return err
	}
	if isNew || mail != "" {
		p.screen.Show(x.event(mail, b, isNew))
	}
	p.ages()
	return p.device.Acknowledge(ctx, r)
}

// event is what is shown of a message that came.
func (x *note) event(mail string, b *body, isNew bool) Event {
	e := Event{Kind: ReadEvent, Peer: x.Peer, Mail: mail, Text: b.says(), File: b.attached(), Outsider: x.Outsider, Unaccepted: x.Unaccepted, Unlisted: x.Unlisted}
	if b.Group != "" {
		e.Group, e.Peer = b.Group, x.From
	}
	switch {
	case !isNew:
		e.Kind = AgainEvent
	case x.Mine:
		e.Kind = SyncEvent
	}
	return e
}

// foretell shows what is to be known of a message before it is read: whether its
// sender has another key than before, and who holds the keys in that conversation.
func (p *Person) foretell(ctx context.Context, r *session.Received, x *note) error {
	for _, e := range r.Events {
		if e.Kind == session.IdentityChanged {
			if err := p.noteChange(ctx, e.Address, e.Seen, r.ReceivedAt); err != nil {
				return err
			}
		}
	}
	if err := p.notices(ctx, r); err != nil {
		return err
	}
	if !x.Outsider {
		if err := p.hearTimer(ctx, x.Peer, r.Timer(), r.ReceivedAt); err != nil {
			return err
		}
	}
	if x.Mine { // nothing may be known here yet
		return p.Greet(ctx, x.Peer)
	}
	return p.showLabel(ctx, x.Peer)
}

// isNews reports whether err is another than the last of a name.
func (p *Person) isNews(name string, err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	isNew := p.said[name] != text
	p.said[name] = text
	return isNew
}

// failed reports whether the last message to a name could not be sent.
func (p *Person) failed(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said[name] != ""
}

// ChangedKeys returns the changed keys of people that are not accepted.
func (p *Person) ChangedKeys(names ...string) map[session.Address]keys.IdentityKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := maps.Clone(p.changed)
	maps.DeleteFunc(changed, func(a session.Address, _ keys.IdentityKey) bool { return !slices.Contains(names, post.NameOf(a.User)) })
	return changed
}

// Digits is a key to read out to each other.
func Digits(k keys.IdentityKey) string {
	x := fmt.Sprintf("%x", k.Bytes()[1:])
	var parts []string
	for part := range slices.Chunk([]byte(x), 8) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// unreadable reports whether err is the message's fault, so that trying again
// is no use. Trouble with the store, for one, is not.
func unreadable(err error) bool {
	if session.ReasonOf(err) != 0 { // another copy of it may be read
		return true
	}
	for _, class := range []error{sealed.ErrSelfSend, session.ErrMalformed, session.ErrVersion, session.ErrTooLarge, keys.ErrKey, keys.ErrZeroAgreement} {
		if errors.Is(err, class) {
			return true
		}
	}
	var reused *session.BaseKeyReusedError
	var mismatch *session.IdentityMismatchError
	var certificate *sealed.CertificateError
	return errors.As(err, &reused) || errors.As(err, &mismatch) || errors.As(err, &certificate)
}

// newID names a message.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x", b)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
