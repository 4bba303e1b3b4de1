package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// retryAfter is how long to wait before what failed is tried again.
const retryAfter = time.Second

// A device is what a person has: a session.Device, or the official library
// that does as one.
type device interface {
	Identity() keys.IdentityKey
	Publish(context.Context) (*x3dh.Publication, error)
	MarkPublished(context.Context, *x3dh.Publication) error
	Upkeep(context.Context) (*x3dh.Publication, error)
	Due(context.Context) (session.Due, error)
	Send(ctx context.Context, users []string, c *session.Content, o *session.SendOptions) (*session.Sending, error)
	Reconcile(ctx context.Context, s *session.Sending, said ...session.Difference) error
	Accept(ctx context.Context, s *session.Sending) error
	Refresh(ctx context.Context, users ...string) error
	Decrypt(ctx context.Context, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error)
	Acknowledge(context.Context, ...*session.Received) error
	Unacknowledged(context.Context) iter.Seq2[*session.Received, error]
	RequestRetry(ctx context.Context, from session.Address, m *session.Message, sentAt time.Time, cause error) (*session.Message, error)
	Resend(ctx context.Context, from session.Address, m *session.Message) (*session.Sending, error)
	Events(context.Context) iter.Seq2[session.Event, error]
	AcknowledgeEvents(context.Context, ...session.Event) error
	PeerIdentity(ctx context.Context, peer session.Address) (session.PeerIdentity, error)
	AcceptIdentity(ctx context.Context, peer session.Address, key keys.IdentityKey) error
	Verify(ctx context.Context, peer session.Address, key keys.IdentityKey, verified bool) error
	Forget(ctx context.Context, user string) error
	Link(ctx context.Context, code string, publicKey []byte) (sealed []byte, err error)
}

// A person is one process: a device, a relay, and the app around them.
type person struct {
	me     session.Address
	device device
	own    *session.Device // the device, unless it is the official library's
	groups *group.Groups   // of it
	gate   *hosting.Gate   // of it
	notes  notebook
	relay  *client
	screen screen

	kick      chan struct{} // something is to be sent
	aging     chan struct{} // something came into the history that disappears
	published chan struct{} // closed once the relay knows this device
	crash     atomic.Bool   // end after the next Decrypt, before anything is saved
	due       time.Time     // when upkeep is; of receiveAll alone
	restate   time.Time     // when the manifest is looked at again; of receiveAll alone
	siblings  string        // the devices of the owner, as the relay told; of receiveAll alone

	role     role
	lang     string // of what has to do with labels: en or id
	passport credentials
	open     bool       // say to the relay who writes
	telling  sync.Mutex // held while events of the device are shown

	mu        sync.Mutex
	changed   map[session.Address]keys.IdentityKey // keys that were shown and not accepted
	accepted  map[string]keys.IdentityKey          // the last one that was, by name
	said      map[string]string                    // what was shown to be wrong with the mail to a name, or with the relay ("")
	labels    map[string][]string                  // what was shown of who holds the keys in a conversation
	questions map[string]question                  // by the name of whom they are about
}

func newPerson(me session.Address, d device, gate *hosting.Gate, store keystore.Store, relay *client, s screen) *person {
	p := &person{
		me: me, device: d, siblings: fmt.Sprint(me.Device), notes: notesOf(store, me), relay: relay, screen: s,
		kick: make(chan struct{}, 1), aging: make(chan struct{}, 1), published: make(chan struct{}),
		changed: map[session.Address]keys.IdentityKey{}, accepted: map[string]keys.IdentityKey{}, said: map[string]string{},
		labels: map[string][]string{}, questions: map[string]question{},
	}
	if own, ok := d.(*session.Device); ok {
		p.own, p.groups, p.gate = own, group.New(own, nil), gate
	}
	return p
}

// settings are the policies of a device: it asks the relay who has which
// devices, and its messages are Content, so that one's own devices can tell what
// another of them sent to whom. Of what was sent it keeps copies for 14 days, as
// Options.RetryFor has it unless told otherwise, for those who cannot read it. The
// gate holds back what would go to a key that the user does not know about.
func settings(relay *client, gate *hosting.Gate) *session.Options {
	return &session.Options{Directory: relay, Content: true, Gate: gate}
}

// openPerson returns the person whose device is in store, or a new one there, who
// has the role that is asked for.
func openPerson(ctx context.Context, store keystore.Store, me session.Address, asked role, relay *client, s screen) (*person, error) {
	r, err := notesOf(store, me).role(ctx, asked)
	if err != nil {
		return nil, err
	}
	gate := hosting.NewGate(me.User, nil)
	d, err := openDevice(ctx, store, me, &r, settings(relay, gate), relay, s)
	if err != nil {
		return nil, err
	}
	p := newPerson(me, d, gate, store, relay, s)
	p.role = r
	return p, nil
}

// openDevice returns the device in store. The first time, the first device of
// someone is a new account; a further one is linked to it, unless a provider
// operates it, to which no key of somebody else's goes.
func openDevice(ctx context.Context, store keystore.Store, me session.Address, r *role, o *session.Options, relay *client, s screen) (*session.Device, error) {
	d, err := session.Open(ctx, store, me, o)
	if !errors.Is(err, session.ErrNoDevice) {
		return d, err
	}
	account := session.Account{Address: me}
	if me.Device > 1 && !r.hosted() {
		if account, err = askToLink(ctx, me, relay, s); err != nil {
			return nil, err
		}
	}
	return session.Create(ctx, store, account, o)
}

// run receives and sends until ctx ends.
func (p *person) run(ctx context.Context) error {
	if err := p.catchUp(ctx); err != nil {
		return err
	}
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
func (p *person) catchUp(ctx context.Context) error {
	var left []*session.Received
	for r, err := range p.device.Unacknowledged(ctx) {
		if err != nil {
			p.screen.show(event{Kind: troubleEvent, Text: err.Error()})
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
func (p *person) receiveAll(ctx context.Context) {
	for ctx.Err() == nil {
		err := p.publish(ctx)
		for err == nil {
			err = p.receiveSome(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRemoved) {
			p.screen.show(event{Kind: removedEvent})
			return
		}
		if p.isNews("", err) && !errors.Is(err, errUnknown) {
			p.screen.show(event{Kind: troubleEvent, Text: err.Error()})
		}
		pause(ctx, retryAfter)
	}
}

// publish uploads what the directory should have: at the start, and when the
// directory may have lost it.
func (p *person) publish(ctx context.Context) error {
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
	p.screen.show(event{Kind: readyEvent})
	return nil
}

// upload brings prekeys to the directory. They are marked after it has them:
// an upload that comes twice does no harm.
func (p *person) upload(ctx context.Context, pub *x3dh.Publication) error {
	if err := p.relay.publish(ctx, p.me, pub); err != nil {
		return err
	}
	return p.device.MarkPublished(ctx, pub)
}

// upkeep replaces prekeys that are used up or old, when that is due.
func (p *person) upkeep(ctx context.Context) error {
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
func (p *person) receiveSome(ctx context.Context) error {
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
	bag, err := p.relay.mail(ctx, p.me, p.siblings)
	if errors.Is(err, errRemoved) {
		p.resign()
	}
	if err != nil {
		return err
	}
	if bag.Own != p.siblings {
		if err := p.meet(ctx, bag.Own); err != nil {
			return err
		}
	}
	for _, e := range bag.Mail {
		if err := p.receive(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// meet takes note that the owner has other devices than before.
func (p *person) meet(ctx context.Context, own string) error {
	if err := p.device.Refresh(ctx, p.me.User); err != nil {
		return err
	}
	p.siblings = own
	return p.news(ctx)
}

// receive takes one message out of the mailbox. It is confirmed when it is
// saved, when it was saved before, and when it can never be read, which its
// sender is told. After any other error it stays, and comes again.
func (p *person) receive(ctx context.Context, e envelope) error {
	r, err := p.unseal(ctx, &e)
	switch {
	case err == nil && r == nil:
		return p.resend(ctx, e)
	case err == nil:
		if e.Type == session.TypePreKey {
			p.due = time.Time{} // a prekey is used up
		}
		if p.crash.Load() {
			p.die(e)
		}
		err = p.keep(ctx, e.ID, r)
	case errors.Is(err, session.ErrDuplicate):
		p.screen.show(event{Kind: againEvent, Peer: nameOf(e.From.User), Mail: e.ID})
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
func (p *person) keep(ctx context.Context, mail string, r *session.Received) error {
	if len(r.Content.Body) == 0 { // it brought the key of a group
		if err := p.notices(ctx, r); err != nil {
			return err
		}
		return p.device.Acknowledge(ctx, r)
	}
	b, err := parseBody(r.Content.Body)
	if err == nil && !validAddress(r.From) {
		err = errName
	}
	if err != nil { // whoever sent it, sent nonsense
		p.screen.show(event{Kind: refusedEvent, Peer: nameOf(r.From.User), Mail: mail, Text: err.Error()})
		return p.device.Acknowledge(ctx, r)
	}
	if b.Members != nil {
		if err := p.notices(ctx, r); err != nil {
			return err
		}
		return p.hear(ctx, mail, r, b)
	}
	x := noteOf(r, b)
	if err := p.foretell(ctx, r, x); err != nil {
		return err
	}
	isNew, err := p.notes.saveRead(ctx, x)
	if err != nil {
		return err
	}
	shown := event{Kind: readEvent, Peer: x.Peer, Mail: mail, Text: b.says(), Unaccepted: !r.Accepted, Unlisted: p.unlisted(r)}
	if b.Group != "" {
		circle, err := p.notes.circle(ctx, b.Group)
		if err != nil {
			return err
		}
		shown.Group, shown.Peer = b.Group, x.From
		shown.Outsider = !slices.Contains(circle.Members, x.From)
	}
	switch {
	case !isNew:
		shown.Kind = againEvent
	case x.Mine:
		shown.Kind = syncEvent
	}
	if isNew || mail != "" {
		p.screen.show(shown)
	}
	p.ages()
	return p.device.Acknowledge(ctx, r)
}

// foretell shows what is to be known of a message before it is read: whether its
// sender has another key than before, and who holds the keys in that conversation.
func (p *person) foretell(ctx context.Context, r *session.Received, x *note) error {
	for _, e := range r.Events {
		if e.Kind == session.IdentityChanged {
			p.noteChange(e.Address, e.Seen)
		}
	}
	if err := p.notices(ctx, r); err != nil {
		return err
	}
	if err := p.hearTimer(ctx, x.Peer, r.Timer()); err != nil {
		return err
	}
	if x.Mine { // nothing may be known here yet
		return p.greet(ctx, x.Peer)
	}
	return p.showLabel(ctx, x.Peer)
}

// noteChange shows that somebody has another identity key than before.
func (p *person) noteChange(a session.Address, key keys.IdentityKey) {
	p.mu.Lock()
	p.changed[a] = key
	p.mu.Unlock()
	p.screen.show(event{Kind: changedEvent, Peer: nameOf(a.User), Text: digits(key)})
}

// isNews reports whether err is another than the last of a name.
func (p *person) isNews(name string, err error) bool {
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
func (p *person) failed(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said[name] != ""
}

// changedKeys returns the changed keys of people that are not accepted.
func (p *person) changedKeys(names ...string) map[session.Address]keys.IdentityKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := maps.Clone(p.changed)
	maps.DeleteFunc(changed, func(a session.Address, _ keys.IdentityKey) bool { return !slices.Contains(names, nameOf(a.User)) })
	return changed
}

// digits is a key to read out to each other.
func digits(k keys.IdentityKey) string {
	x := fmt.Sprintf("%x", k.Bytes()[1:])
	var parts []string
	for part := range slices.Chunk([]byte(x), 8) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// die ends the process as a crash does.
func (p *person) die(e envelope) {
	p.screen.show(event{Kind: diedEvent, Peer: nameOf(e.From.User), Mail: e.ID})
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until it has
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
func newID() string { return strings.ToLower(rand.Text()) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
