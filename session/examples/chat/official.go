package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An officialDevice is a device of the official library, which runs in a child
// process. It keeps all in memory, stages nothing and replaces no prekeys. The
// library has no Send: this is what an app writes by hand around it, and in
// little; it asks the relay for the list of devices each time.
type officialDevice struct {
	me        session.Address
	directory session.Directory
	peer      *interop.Peer
	party     *interop.Party
	identity  keys.IdentityKey
	last      time.Time        // when a message was sent
	sent      map[int64][]byte // plaintexts, by when they were sent
}

func newOfficial(me session.Address, directory session.Directory) (*officialDevice, error) {
	peer, err := interop.Open("")
	if err != nil {
		return nil, err
	}
	party, err := peer.NewParty(interop.PartyOptions{Name: me.User, Device: me.Device, RegistrationID: 4711})
	if err != nil {
		return nil, errors.Join(err, peer.Close())
	}
	identity, err := keys.ParseIdentityKey(party.Identity)
	if err != nil {
		return nil, errors.Join(err, peer.Close())
	}
	return &officialDevice{me: me, directory: directory, peer: peer, party: party, identity: identity, sent: map[int64][]byte{}}, nil
}

func (d *officialDevice) close() { _ = d.peer.Close() }

// Seals has the library do that, too.
func (d *officialDevice) Seals(c *sealed.SenderCertificate, roots []keys.VerifyKey) (person.Sealer, person.Opener) {
	s := newOfficialSealer(d, c, roots)
	return s, s
}

func (d *officialDevice) Identity() keys.IdentityKey { return d.identity }

// Publish makes a publication of one bundle.
func (d *officialDevice) Publish(context.Context) (*x3dh.Publication, error) {
	made, err := d.party.MakeBundle(interop.BundleOptions{OneTime: true, LastResort: true})
	if err != nil {
		return nil, err
	}
	b, err := made.ToBundle()
	if err != nil {
		return nil, err
	}
	return &x3dh.Publication{
		RegistrationID: b.RegistrationID, DeviceID: b.DeviceID, IdentityKey: b.IdentityKey,
		SignedPreKey: b.SignedPreKey, LastResort: b.KEMPreKey, PreKeys: []x3dh.PreKey{*b.PreKey},
	}, nil
}

func (d *officialDevice) MarkPublished(context.Context, *x3dh.Publication) error { return nil }

func (d *officialDevice) Upkeep(context.Context) (*x3dh.Publication, error) { return nil, nil }

func (d *officialDevice) Due(context.Context) (session.Due, error) {
	return session.Due{At: time.Now().AddDate(1, 0, 0)}, nil
}

func (d *officialDevice) Send(ctx context.Context, users []string, c *session.Content, o *session.SendOptions) (*session.Sending, error) {
	d.last = time.UnixMilli(max(time.Now().UnixMilli(), d.last.UnixMilli()+1))
	s := &session.Sending{SentAt: d.last}
	plaintext := wire.AppendPadded(nil, (&session.Content{Body: c.Body, SentAt: d.last}).Bytes())
	d.sent[d.last.UnixMilli()] = plaintext
	for _, user := range users {
		list, err := d.directory.Devices(ctx, user)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			to := session.Address{User: user, Device: p.Device}
			m, err := d.encrypt(ctx, to, plaintext)
			s.Results = append(s.Results, session.Result{To: to, RegistrationID: p.RegistrationID, Message: m, Err: err})
		}
	}
	if o != nil && o.Seal != nil {
		return s, o.Seal(s)
	}
	return s, nil
}

// encrypt encrypts for one device, and begins a session if there is none.
func (d *officialDevice) encrypt(ctx context.Context, to session.Address, plaintext []byte) (*session.Message, error) {
	_, usable, err := d.party.HasSession(official(to), time.Time{})
	if err != nil {
		return nil, err
	}
	if !usable {
		b, err := d.directory.Bundle(ctx, to)
		if err != nil {
			return nil, err
		}
		if err := d.party.ProcessBundle(official(to), interop.FromBundle(b), time.Time{}); err != nil {
			return nil, err
		}
	}
	m, err := d.party.Encrypt(official(to), plaintext, time.Time{})
	return &session.Message{Type: session.MessageType(m.Type), Bytes: m.Bytes}, err
}

func (d *officialDevice) Reconcile(context.Context, *session.Sending, ...session.Difference) error {
	return session.ErrUnsettled
}

func (d *officialDevice) Accept(context.Context, *session.Sending) error { return nil }

func (d *officialDevice) Refresh(context.Context, ...string) error { return nil }

func (d *officialDevice) Decrypt(_ context.Context, from session.Address, m *session.Message, _ *session.DecryptOptions) (*session.Received, error) {
	text, err := d.party.Decrypt(official(from), interop.Message{Type: int(m.Type), Bytes: m.Bytes})
	switch e := (*interop.PeerError)(nil); {
	case errors.As(err, &e) && e.Name == "DuplicatedMessage":
		return nil, session.ErrDuplicate
	case errors.As(err, &e):
		return nil, fmt.Errorf("%w: %w", session.ErrAuth, err)
	case err != nil:
		return nil, err
	}
	c, err := readContent(text)
	if err != nil {
		return nil, err
	}
	return &session.Received{
		ID: sha256.Sum256(m.Bytes), From: from, Accepted: true, ReceivedAt: time.Now(),
		Content: &session.Content{Body: c.Body, SentAt: time.UnixMilli(int64(c.SentAt))},
	}, nil
}

func readContent(plaintext []byte) (*wire.Content, error) {
	b, err := wire.TrimPadding(plaintext)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", session.ErrMalformed, err)
	}
	c, err := wire.ParseContent(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", session.ErrMalformed, err)
	}
	return c, nil
}

func (d *officialDevice) Acknowledge(context.Context, ...*session.Received) error { return nil }

func (d *officialDevice) Unacknowledged(context.Context) iter.Seq2[*session.Received, error] {
	return func(func(*session.Received, error) bool) {}
}

func (d *officialDevice) RequestRetry(_ context.Context, from session.Address, m *session.Message, sentAt time.Time, _ error) (*session.Message, error) {
	request, err := d.peer.SendBuild(interop.KindDecryptionErrorMessage, interop.BuildOptions{
		Original: m.Bytes, Type: int(m.Type), Timestamp: uint64(sentAt.UnixMilli()), Device: from.Device,
	}).Parsed()
	if err != nil {
		return nil, err
	}
	content, err := d.peer.SendBuild(interop.KindPlaintextContent, interop.BuildOptions{DecryptionError: request.Bytes}).Parsed()
	if err != nil {
		return nil, err
	}
	return &session.Message{Type: session.TypePlaintext, Bytes: content.Bytes}, nil
}

func (d *officialDevice) Resend(ctx context.Context, from session.Address, m *session.Message) (*session.Sending, error) {
	request, err := wire.ParsePlaintextContent(m.Bytes)
	if err != nil {
		return nil, err
	}
	plaintext, ok := d.sent[int64(request.Timestamp)]
	if !ok || request.Device != d.me.Device {
		return nil, session.ErrNoRetry
	}
	if err := d.party.Archive(official(from)); err != nil {
		return nil, err
	}
	m, err = d.encrypt(ctx, from, plaintext)
	return &session.Sending{
		SentAt: time.UnixMilli(int64(request.Timestamp)), Results: []session.Result{{To: from, Message: m, Err: err}},
	}, nil
}

func (d *officialDevice) Events(context.Context) iter.Seq2[session.Event, error] {
	return func(func(session.Event, error) bool) {}
}

func (d *officialDevice) AcknowledgeEvents(context.Context, ...session.Event) error { return nil }

func (d *officialDevice) PeerIdentity(_ context.Context, peer session.Address) (session.PeerIdentity, error) {
	b, err := d.party.IdentityOf(official(peer))
	if err != nil || b == nil {
		return session.PeerIdentity{}, err
	}
	k, err := keys.ParseIdentityKey(b)
	return session.PeerIdentity{Accepted: k, Seen: k}, err
}

func (d *officialDevice) AcceptIdentity(_ context.Context, peer session.Address, key keys.IdentityKey) error {
	return d.party.SetIdentity(official(peer), key.Bytes())
}

// Verify has nothing to note it in.
func (d *officialDevice) Verify(context.Context, session.Address, keys.IdentityKey, bool) error {
	return nil
}

// Forget deletes the sessions with someone.
func (d *officialDevice) Forget(ctx context.Context, user string) error {
	list, err := d.directory.Devices(ctx, user)
	for _, p := range list {
		err = errors.Join(err, d.party.SetSession(official(session.Address{User: user, Device: p.Device}), nil))
	}
	return err
}

func (d *officialDevice) Link(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("the official library does not link with this app")
}

func official(a session.Address) interop.Address {
	return interop.Address{Name: a.User, Device: a.Device}
}
