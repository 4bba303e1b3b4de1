package crash

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var (
	ctx = context.Background()
	// owner is who has the device that is worked on.
	owner = session.Address{User: "6f2c1f0e-8f0b-4a52-9d7a-0c6f5a1b2c3d", Device: 1}
	// counted is a record of the app's, which counts Updates.
	counted = keystore.Key{Kind: "counted", Owner: "-"}
	// policy makes upkeep have something to do, and records few.
	policy = session.PreKeyPolicy{OneTime: 6, Low: 3}
)

// A command is what a process is to do with its Device: one operation. What
// the operation does not need is empty.
type command struct {
	Op                    string
	Now                   time.Time // what the clock shows
	Peer                  session.Address
	Type                  byte
	Bytes                 []byte // a message, bundle, publication or identity key
	Text                  string
	Expires               time.Time
	IDs                   []session.MessageID
	Peers                 []session.Address // of Update, and of IDs
	Events                []event
	Users                 []string // of a Sending, and a difference, by device
	Lists                 []listing
	Missing, Stale, Extra []uint32
	Yes                   bool
	Kill                  *end
}

// A reply is what the process says of a command.
type reply struct {
	Err      string // name of the error, of those below; "": it was done
	Detail   string // its text
	Calls    int    // of the store
	Due      bool   // a top-up was
	Count    uint64 // Updates
	Identity []byte // the Device's own
	Type     byte
	Bytes    []byte // a message, bundle or publication
	Messages []session.Message
	Received []received
	Events   []event
	SentAt   time.Time
	Results  []result
}

// A received is a session.Received.
type received struct {
	ID              session.MessageID
	From            session.Address
	Identity        []byte
	Accepted        bool
	NoOneTimePreKey bool
	Redelivered     bool
	Plaintext       []byte
	Events          []event
	ReceivedAt      time.Time
	Expires         time.Time
}

// An event is a session.Event.
type event struct {
	ID             session.EventID
	Kind           session.EventKind
	Address        session.Address
	At             time.Time
	Accepted, Seen []byte
}

func asEvent(e *session.Event) event {
	return event{ID: e.ID, Kind: e.Kind, Address: e.Address, At: e.At.UTC(), Accepted: e.Accepted.Bytes(), Seen: e.Seen.Bytes()}
}

func asReceived(r *session.Received) received {
	out := received{
		ID: r.ID, From: r.From, Identity: r.Identity.Bytes(), Accepted: r.Accepted, NoOneTimePreKey: r.NoOneTimePreKey,
		Redelivered: r.Redelivered, Plaintext: r.Plaintext, ReceivedAt: r.ReceivedAt.UTC(), Expires: r.Expires.UTC(),
	}
	for i := range r.Events {
		out.Events = append(out.Events, asEvent(&r.Events[i]))
	}
	return out
}

// The errors that an operation may come to, by their names in a reply. Any
// other one is of the store, or is wrong.
var errorNames = []struct {
	name string
	err  error
}{
	{"unknown", keystore.ErrCommitUnknown}, {"none", session.ErrNoDevice}, {"exists", session.ErrExists},
	{"no session", session.ErrNoSession}, {"duplicate", session.ErrDuplicate}, {"authentication", session.ErrAuth},
	{"rolled back", keystore.ErrRolledBack}, {"no retry", session.ErrNoRetry}, {"blocked", session.ErrBlocked},
}

// failed is an error of the store.
const failed = "failed"

func errorName(err error) string {
	if err == nil {
		return ""
	}
	for _, e := range errorNames {
		if errors.Is(err, e.err) {
			return e.name
		}
	}
	switch {
	case is[*session.UntrustedIdentityError](err):
		return "untrusted"
	case is[*session.PreKeyNotFoundError](err):
		return "no prekey"
	case is[*session.BaseKeyReusedError](err):
		return "base key"
	case is[*session.IdentityMismatchError](err):
		return "mismatch"
	}
	return failed
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// An actor is a process: a Device over a store.
type actor struct {
	store   *teller
	d       *session.Device
	now     time.Time
	lists   []listing        // what its Directory says
	sending *session.Sending // the newest
}

func (a *actor) options() *session.Options {
	return &session.Options{Now: func() time.Time { return a.now }, PreKeys: policy, Directory: a, RetryCopies: copies}
}

// obey carries out a command.
func (a *actor) obey(c *command) *reply {
	a.now, a.lists = c.Now, c.Lists
	a.store.expects(c.Kill)
	r := &reply{}
	err := operations[c.Op](a, c, r)
	if err != nil {
		*r = reply{Err: errorName(err), Detail: err.Error()}
	}
	r.Calls = a.store.calls
	return r
}

// operations are what a command may be: most are one method of Device.
var operations = map[string]func(a *actor, c *command, r *reply) error{
	"open": func(a *actor, _ *command, r *reply) (err error) {
		if a.d, err = session.Open(ctx, a.store, owner, a.options()); err == nil {
			r.Identity = a.d.Identity().Bytes()
		}
		return err
	},
	"create": func(a *actor, _ *command, r *reply) (err error) {
		if a.d, err = session.Create(ctx, a.store, session.Account{Address: owner}, a.options()); err == nil {
			r.Identity = a.d.Identity().Bytes()
		}
		return err
	},
	"publish": func(a *actor, _ *command, r *reply) error { return r.publication(a.d.Publish(ctx)) },
	"upkeep": func(a *actor, _ *command, r *reply) error {
		due, err := a.d.Due(ctx)
		if r.Due = due.TopUp; err != nil {
			return err
		}
		return r.publication(a.d.Upkeep(ctx))
	},
	"mark published": func(a *actor, c *command, _ *reply) error {
		p, err := x3dh.ParsePublication(c.Bytes)
		if err != nil {
			return err
		}
		return a.d.MarkPublished(ctx, p)
	},
	"bundle": func(a *actor, _ *command, r *reply) error {
		b, err := a.d.Bundle(ctx)
		if err == nil {
			r.Bytes = b.Bytes()
		}
		return err
	},
	"begin": func(a *actor, c *command, _ *reply) error {
		b, err := x3dh.ParseBundle(c.Bytes)
		if err != nil {
			return err
		}
		return a.d.Begin(ctx, c.Peer, b)
	},
	"encrypt": func(a *actor, c *command, r *reply) error {
		m, err := a.d.Encrypt(ctx, c.Peer, []byte(c.Text))
		if err == nil {
			r.Type, r.Bytes = byte(m.Type), m.Bytes
		}
		return err
	},
	"decrypt": func(a *actor, c *command, r *reply) error {
		got, err := a.d.Decrypt(ctx, c.Peer, c.message(), &session.DecryptOptions{Expires: c.Expires})
		if err == nil {
			r.Received = []received{asReceived(got)}
		}
		return err
	},
	"acknowledge": func(a *actor, c *command, _ *reply) error {
		var rs []*session.Received
		for i, id := range c.IDs {
			rs = append(rs, &session.Received{ID: id, From: c.Peers[i]})
		}
		return a.d.Acknowledge(ctx, rs...)
	},
	"unacknowledged": func(a *actor, _ *command, r *reply) error {
		for got, err := range a.d.Unacknowledged(ctx) {
			if err != nil {
				return err
			}
			r.Received = append(r.Received, asReceived(got))
		}
		return nil
	},
	"events": func(a *actor, _ *command, r *reply) error {
		for e, err := range a.d.Events(ctx) {
			if err != nil {
				return err
			}
			r.Events = append(r.Events, asEvent(&e))
		}
		return nil
	},
	"acknowledge events": func(a *actor, c *command, _ *reply) error {
		var es []session.Event
		for _, e := range c.Events {
			es = append(es, session.Event{ID: e.ID, Address: e.Address})
		}
		return a.d.AcknowledgeEvents(ctx, es...)
	},
	"archive": func(a *actor, c *command, _ *reply) error { return a.d.Archive(ctx, c.Peer) },
	"accept": func(a *actor, c *command, _ *reply) error {
		key, err := keys.ParseIdentityKey(c.Bytes)
		if err != nil {
			return err
		}
		return a.d.AcceptIdentity(ctx, c.Peer, key)
	},
	"identity": func(a *actor, c *command, r *reply) error {
		known, err := a.d.PeerIdentity(ctx, c.Peer)
		r.Bytes = append(known.Accepted.Bytes(), known.Seen.Bytes()...)
		r.Due = known.Verified
		return err
	},
	"move": func(a *actor, c *command, _ *reply) error {
		record, err := a.d.ExportSession(ctx, c.Peer)
		if err != nil {
			return err
		}
		return a.d.ImportSession(ctx, c.Peer, record)
	},
	"check": func(a *actor, _ *command, _ *reply) error {
		newest, err := a.store.Generation(ctx)
		if err != nil {
			return err
		}
		return session.CheckGeneration(ctx, a.store, newest+1) // as if there had been one more Commit
	},
	"restore":   func(a *actor, _ *command, _ *reply) error { return a.d.AfterRestore(ctx) },
	"update":    (*actor).update,
	"send":      (*actor).send,
	"sing":      (*actor).sing,
	"reconcile": (*actor).reconcile,
	"taken":     func(a *actor, _ *command, _ *reply) error { return a.d.Accept(ctx, a.sending) },
	"refresh":   func(a *actor, c *command, _ *reply) error { return a.d.Refresh(ctx, c.Users...) },
	"resend":    (*actor).resend,
	"request":   (*actor).request,
	"block":     func(a *actor, c *command, _ *reply) error { return a.d.Block(ctx, c.Peer.User, c.Yes) },
	"verify":    (*actor).verify,
	"rename":    func(a *actor, c *command, _ *reply) error { return a.d.Rename(ctx, c.Peer.User, c.Text) },
	"forget":    func(a *actor, c *command, _ *reply) error { return a.d.Forget(ctx, c.Peer.User) },
}

func (c *command) message() *session.Message {
	return &session.Message{Type: session.MessageType(c.Type), Bytes: c.Bytes}
}

func (r *reply) publication(p *x3dh.Publication, err error) error {
	if err == nil && p != nil {
		r.Bytes = p.Bytes()
	}
	return err
}

// update does in one Update: a message to each of several peers, one read if
// the command has one, an event, and a count in a record of the app's.
func (a *actor) update(c *command, r *reply) error {
	return a.d.Update(ctx, c.Peers, func(tx *session.Tx) error {
		*r = reply{}
		for _, p := range c.Peers {
			m, err := tx.Encrypt(p, []byte(c.Text))
			if err != nil {
				return err
			}
			r.Messages = append(r.Messages, *m)
		}
		if len(c.Bytes) > 0 {
			got, err := tx.Decrypt(c.Peer, c.message(), &session.DecryptOptions{Expires: c.Expires})
			if err != nil {
				return err
			}
			r.Received = []received{asReceived(got)}
		}
		body, _, err := tx.Get(counted)
		if err != nil {
			return err
		}
		if len(body) == 8 {
			r.Count = binary.BigEndian.Uint64(body)
		}
		r.Count++
		if err := tx.Put(counted, binary.BigEndian.AppendUint64(nil, r.Count)); err != nil {
			return err
		}
		return tx.Emit(session.Event{Kind: session.DeviceAdded, Address: c.Peers[0]})
	})
}
