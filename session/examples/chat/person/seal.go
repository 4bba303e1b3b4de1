package person

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// kindRoot are records of the roots that the relay has told.
const kindRoot = "root"

// Credentials are what a person needs to write to others so that the relay does
// not know who does, and to believe who wrote.
type credentials struct {
	mu       sync.Mutex
	sender   Sealer
	until    time.Time // when its certificate expires
	receiver Opener
}

// A Sealer is a sealed.Sender, or the official library that does as one.
type Sealer interface {
	SealAll(hint sealed.Hint, group []byte) func(*session.Sending) error
}

// An Opener is a sealed.Receiver, or the official library that does as one.
type Opener interface {
	Open(ctx context.Context, envelope []byte, at time.Time, o *session.DecryptOptions) (*sealed.Received, error)
}

// Sealing is a device that has a sealer and an opener of its own.
type Sealing interface {
	Seals(c *sealed.SenderCertificate, roots []keys.VerifyKey) (Sealer, Opener)
}

// incoming is an envelope, and what it turns out to say.
type incoming struct {
	post.Envelope
	by    *sealed.SenderCertificate // who sent it, once it is open
	group []byte                    // what for, by the sender's word
}

func (e *incoming) message() *session.Message {
	return &session.Message{Type: e.Type, Bytes: e.Bytes}
}

// certify gets a certificate, and the root that those of others are held against.
// It is done when the device publishes its prekeys, and again when half of the
// time is over: not when it has something to send, which would tell who sends.
func (p *Person) certify(ctx context.Context) error {
	got, err := p.relay.certificate(ctx, p.me)
	if err != nil {
		return err
	}
	root, err := keys.ParseVerifyKey(got.Root)
	if err != nil {
		return fmt.Errorf("%w: %w", errNonsense, err)
	}
	c, err := sealed.ParseSenderCertificate(got.Certificate)
	if err != nil {
		return fmt.Errorf("%w: %w", errNonsense, err)
	}
	if claims := c.Claims(); claims.User != p.me.User || claims.Device != p.me.Device || !claims.Identity.Equal(p.device.Identity()) {
		return fmt.Errorf("%w: a certificate of somebody else", errNonsense)
	}
	roots, err := p.notes.addRoot(ctx, root)
	if err != nil {
		return err
	}
	sender, receiver, err := p.seals(c, roots)
	if err != nil {
		return err
	}
	p.passport.mu.Lock()
	defer p.passport.mu.Unlock()
	p.passport.sender, p.passport.until, p.passport.receiver = sender, c.Claims().Expires, receiver
	return nil
}

// seals returns what seals with a certificate, and opens what is sealed with those
// of others.
func (p *Person) seals(c *sealed.SenderCertificate, roots []keys.VerifyKey) (Sealer, Opener, error) {
	if d, ok := p.device.(Sealing); ok {
		s, o := d.Seals(c, roots)
		return s, o, nil
	}
	sender, err := sealed.NewSender(p.own.IdentityKeyPair(), c, nil)
	if err != nil {
		return nil, nil, err
	}
	return sender, sealed.NewReceiver(p.own, p.groups, &sealed.Trust{Roots: roots, Cache: 100}, nil), nil
}

// renew is certify when it is time.
func (p *Person) renew(ctx context.Context) error {
	p.passport.mu.Lock()
	fresh := p.passport.sender != nil && time.Until(p.passport.until) > post.GoodFor/2
	p.passport.mu.Unlock()
	if fresh || p.unsealed() {
		return nil
	}
	return p.certify(ctx)
}

// resign gives the certificate up, of a device that was removed.
func (p *Person) resign() {
	p.passport.mu.Lock()
	defer p.passport.mu.Unlock()
	p.passport.sender = nil
}

// unsealed reports whether this person says to the relay who writes.
func (p *Person) unsealed() bool { return p.open }

// sealer returns what seals, and until when others believe it.
func (p *Person) sealer(ctx context.Context) (Sealer, time.Time, error) {
	p.passport.mu.Lock()
	sender, until := p.passport.sender, p.passport.until
	p.passport.mu.Unlock()
	if sender != nil && time.Until(until) > 0 {
		return sender, until, nil
	}
	if err := p.certify(ctx); err != nil {
		return nil, time.Time{}, err
	}
	p.passport.mu.Lock()
	defer p.passport.mu.Unlock()
	return p.passport.sender, p.passport.until, nil
}

// sealing returns the options by which a message to a group, or to people, is
// sealed within the operation that encrypts it.
func (p *Person) sealing(ctx context.Context, group string) (*session.SendOptions, error) {
	o := &session.SendOptions{Group: group}
	if p.unsealed() {
		return o, nil
	}
	sender, _, err := p.sealer(ctx)
	if err == nil {
		o.Seal = sender.SealAll(sealed.HintResendable, []byte(group))
	}
	return o, err
}

// unseal opens an envelope and decrypts what is inside, or what came without one.
// It fills in what the relay did not know: e then says who wrote, and what. Where
// that is a request to send something again, there is no Received.
func (p *Person) unseal(ctx context.Context, e *incoming) (*session.Received, error) {
	if e.Type != session.TypeSealed {
		return p.decrypt(ctx, e)
	}
	got, err := p.openOnce(ctx, e)
	if bad := (*sealed.CertificateError)(nil); errors.As(err, &bad) && bad.Reason == "untrusted" { // of a root that is not known here yet?
		if err := p.certify(ctx); err != nil {
			return nil, err
		}
		got, err = p.openOnce(ctx, e)
	}
	if got == nil {
		return nil, err
	}
	e.From, e.Type, e.Bytes, e.by, e.group = got.From, got.Type, got.Inner.Bytes, got.Sender, got.Group
	if err == nil && !post.ValidAddress(e.From) {
		err = session.ErrMalformed
	}
	return got.Received, err
}

func (p *Person) openOnce(ctx context.Context, e *incoming) (*sealed.Received, error) {
	p.passport.mu.Lock()
	receiver := p.passport.receiver
	p.passport.mu.Unlock()
	if receiver == nil {
		if err := p.certify(ctx); err != nil {
			return nil, err
		}
		return p.openOnce(ctx, e)
	}
	return receiver.Open(ctx, e.Bytes, e.Taken, nil)
}

func (p *Person) decrypt(ctx context.Context, e *incoming) (*session.Received, error) {
	m := e.message()
	switch {
	case !post.ValidAddress(e.From):
		return nil, session.ErrMalformed
	case m.Type == session.TypePlaintext:
		return nil, nil
	case p.groups != nil:
		return p.groups.Decrypt(ctx, e.From, m, nil)
	}
	return p.device.Decrypt(ctx, e.From, m, nil)
}

// addRoot stores a root, and returns all that the relay ever told: it may have
// started anew, and what was sealed before is believed still.
func (n *notebook) addRoot(ctx context.Context, root keys.VerifyKey) (roots []keys.VerifyKey, err error) {
	known := false
	for rec, err := range n.store.List(ctx, n.scope, kindRoot, "") {
		if err != nil {
			return nil, err
		}
		if k, err := keys.ParseVerifyKey(rec.Value); err == nil {
			roots, known = append(roots, k), known || k.Equal(root)
		}
	}
	if known {
		return roots, nil
	}
	b := root.Bytes()
	_, err = n.store.Commit(ctx, keystore.Change{Op: keystore.Put, Key: n.key(kindRoot, fmt.Sprintf("%x", b)), Value: b})
	return append(roots, root), err
}
