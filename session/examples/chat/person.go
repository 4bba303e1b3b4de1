package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
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
	Begin(ctx context.Context, peer session.Address, b *x3dh.Bundle) error
	Encrypt(ctx context.Context, peer session.Address, text []byte) (*session.Message, error)
	Decrypt(ctx context.Context, from session.Address, m *session.Message, o *session.DecryptOptions) (*session.Received, error)
	Acknowledge(context.Context, ...*session.Received) error
	Unacknowledged(context.Context) iter.Seq2[*session.Received, error]
	PeerIdentity(ctx context.Context, peer session.Address) (session.PeerIdentity, error)
	AcceptIdentity(ctx context.Context, peer session.Address, key keys.IdentityKey) error
}

// A person is one process: a device, a relay, and the app around them.
type person struct {
	name   string
	device device
	notes  notebook
	relay  *client
	screen screen

	kick  chan struct{} // something is to be sent
	crash atomic.Bool   // end after the next Decrypt, before anything is saved
	due   time.Time     // when upkeep is; of receiveAll alone

	mu      sync.Mutex
	changed map[string]keys.IdentityKey // keys that were shown and not accepted, by name
	said    map[string]string           // what was shown to be wrong with the mail to a name, or with the relay ("")
}

func newPerson(name string, d device, store keystore.Store, relay *client, s screen) *person {
	return &person{
		name: name, device: d, notes: notebook{store, "chat " + name}, relay: relay, screen: s,
		kick: make(chan struct{}, 1), changed: map[string]keys.IdentityKey{}, said: map[string]string{},
	}
}

// openDevice returns the device of a person in store, a new one the first time.
func openDevice(ctx context.Context, store keystore.Store, name string) (*session.Device, error) {
	d, err := session.Open(ctx, store, address(name), nil)
	if errors.Is(err, session.ErrNoDevice) {
		return session.Create(ctx, store, session.Account{Address: address(name)}, nil)
	}
	return d, err
}

// run receives and sends until ctx ends.
func (p *person) run(ctx context.Context) error {
	if err := p.catchUp(ctx); err != nil {
		return err
	}
	var both sync.WaitGroup
	both.Go(func() { p.sendAll(ctx) })
	both.Go(func() { p.receiveAll(ctx) })
	both.Wait()
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
		if p.isNews("", err) && !errors.Is(err, errUnknown) {
			p.screen.show(event{Kind: troubleEvent, Text: err.Error()})
		}
		pause(ctx, retryAfter)
	}
}

// publish uploads what the directory should have: at the start, and when the
// directory may have lost it.
func (p *person) publish(ctx context.Context) error {
	pub, err := p.device.Publish(ctx)
	if err != nil {
		return err
	}
	if err := p.upload(ctx, pub); err != nil {
		return err
	}
	p.isNews("", nil)
	p.screen.show(event{Kind: readyEvent})
	return nil
}

// upload brings prekeys to the directory. They are marked after it has them:
// an upload that comes twice does no harm.
func (p *person) upload(ctx context.Context, pub *x3dh.Publication) error {
	if err := p.relay.publish(ctx, p.name, pub); err != nil {
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
	mail, err := p.relay.mail(ctx, p.name)
	if err != nil {
		return err
	}
	for _, e := range mail {
		if err := p.receive(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// receive takes one message out of the mailbox. It is confirmed when it is
// saved, when it was saved before, and when it can never be read. After any
// other error it stays, and comes again.
func (p *person) receive(ctx context.Context, e envelope) error {
	err := error(session.ErrMalformed)
	var r *session.Received
	if validName(e.From) {
		r, err = p.device.Decrypt(ctx, address(e.From), &session.Message{Type: e.Type, Bytes: e.Bytes}, nil)
	}
	switch {
	case err == nil:
		if e.Type == session.TypePreKey {
			p.due = time.Time{} // a prekey is used up
		}
		if p.crash.Load() {
			p.die(e)
		}
		if err := p.keep(ctx, e.ID, r); err != nil {
			return err
		}
	case errors.Is(err, session.ErrDuplicate):
		p.screen.show(event{Kind: againEvent, Peer: e.From, Mail: e.ID})
	case unreadable(err):
		p.screen.show(event{Kind: refusedEvent, Peer: e.From, Mail: e.ID, Text: err.Error()})
	default:
		return err
	}
	return p.relay.confirm(ctx, p.name, e.ID)
}

// keep saves a message, then shows it, then tells the device to forget it. If
// the process stops on the way, keep runs again at the next start. A message
// that was saved is not shown again: should it not have been shown at all, it
// is in the history.
func (p *person) keep(ctx context.Context, mail string, r *session.Received) error {
	isNew, err := p.notes.saveRead(ctx, r)
	if err != nil {
		return err
	}
	for _, e := range r.Events {
		if e.Kind == session.IdentityChanged {
			p.noteChange(nameOf(e.Address), e.Seen)
		}
	}
	if isNew {
		p.screen.show(event{Kind: readEvent, Peer: nameOf(r.From), Mail: mail, Text: string(r.Plaintext), Unaccepted: !r.Accepted})
	}
	return p.device.Acknowledge(ctx, r)
}

// noteChange shows that somebody has another identity key than before.
func (p *person) noteChange(name string, key keys.IdentityKey) {
	p.mu.Lock()
	p.changed[name] = key
	p.mu.Unlock()
	p.screen.show(event{Kind: changedEvent, Peer: name, Text: digits(key)})
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

// changedKey returns the changed key of someone that is not accepted, if there
// is one.
func (p *person) changedKey(name string) (key keys.IdentityKey, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, changed = p.changed[name]
	return key, changed
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
	p.screen.show(event{Kind: diedEvent, Peer: e.From, Mail: e.ID})
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until it has
}

// unreadable reports whether err is the message's fault, so that trying again
// is no use. Trouble with the store, for one, is not.
func unreadable(err error) bool {
	for _, class := range []error{
		session.ErrMalformed, session.ErrVersion, session.ErrTooLarge, session.ErrAuth, session.ErrNoSession,
		session.ErrTooFar, session.ErrTooExpensive, session.ErrExhausted, keys.ErrKey, keys.ErrZeroAgreement,
	} {
		if errors.Is(err, class) {
			return true
		}
	}
	var noPreKey *session.PreKeyNotFoundError
	var reused *session.BaseKeyReusedError
	var mismatch *session.IdentityMismatchError
	return errors.As(err, &noPreKey) || errors.As(err, &reused) || errors.As(err, &mismatch)
}

// newID names a message.
func newID() string { return strings.ToLower(rand.Text()) }

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
