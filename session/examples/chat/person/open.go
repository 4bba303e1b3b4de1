package person

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Device is what a person has: a session.Device, or the official library
// that does as one.
type Device interface {
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

// Options are what a person chooses; nil is none of it.
type Options struct {
	Lang     string // of what has to do with labels: en or id
	Unsealed bool   // say to the relay who writes

	// Decrypted is called with the sender and the ID of each message that was
	// decrypted, before anything is saved, if it is not nil.
	Decrypted func(from, mail string)
}

// New returns a person who has a device that is there: the official library's, which
// asks relay itself. store is for what the app keeps.
func New(me session.Address, d Device, store keystore.Store, relay *Client, s Screen, o *Options) *Person {
	return newPerson(me, d, nil, store, relay, s, o)
}

func newPerson(me session.Address, d Device, gate *hosting.Gate, store keystore.Store, relay *Client, s Screen, o *Options) *Person {
	if o == nil {
		o = &Options{}
	}
	p := &Person{
		me: me, device: d, siblings: fmt.Sprint(me.Device), notes: notesOf(store, me), relay: relay, screen: s,
		kick: make(chan struct{}, 1), aging: make(chan struct{}, 1), published: make(chan struct{}),
		changed: map[session.Address]keys.IdentityKey{}, accepted: map[string]keys.IdentityKey{}, said: map[string]string{},
		labels: map[string][]string{}, questions: map[string]question{},
		bars: map[string]func(done, total int64){},
		open: o.Unsealed, decrypted: o.Decrypted,
	}
	p.SetLang(o.Lang)
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
func settings(relay *Client, gate *hosting.Gate) *session.Options {
	return &session.Options{Directory: relay, Content: true, Gate: gate}
}

// Open returns the person whose device is in store, or a new one there, who
// has the role that is asked for.
func Open(ctx context.Context, store keystore.Store, me session.Address, asked Role, relay *Client, s Screen, o *Options) (*Person, error) {
	gate := hosting.NewGate(me.User, nil)
	d, r, err := openDevice(ctx, store, me, asked, settings(relay, gate), relay, s)
	if err != nil {
		return nil, err
	}
	p := newPerson(me, d, gate, store, relay, s, o)
	p.role = r
	_ = p.announceAnswers(ctx, "") // what cannot be announced now is at the next start
	return p, p.recall(ctx)
}

// openDevice returns the device in store. The first time, the first device of
// someone is a new account; a further one is linked to it, unless a provider
// operates it, to which no key of somebody else's goes.
func openDevice(ctx context.Context, store keystore.Store, me session.Address, asked Role, o *session.Options, relay *Client, s Screen) (*session.Device, Role, error) {
	d, err := session.Open(ctx, store, me, o)
	isNew := errors.Is(err, session.ErrNoDevice)
	if err != nil && !isNew {
		return nil, Role{}, err
	}
	r, err := notesOf(store, me).role(ctx, asked, isNew)
	if err != nil || !isNew {
		return d, r, err
	}
	account := session.Account{Address: me}
	if me.Device > 1 && !r.hosted() {
		if account, err = askToLink(ctx, me, relay, s); err != nil {
			return nil, r, err
		}
	}
	d, err = session.Create(ctx, store, account, o)
	return d, r, err
}
