package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// Rename gives a user another name, such as an id in place of a phone number:
// in one commit, what the Device has under the one comes under the other, from
// identity keys, sessions and sender keys to messages that wait. Sessions go on where they
// were, bound to the new name where that is a service id; the peer must go by it
// by then. Devices stay blocked, or verified, as they were. It is the app that
// knows that the two are one: nothing proves it.
//
// A message that waits to be acknowledged keeps its ID, and Unacknowledged yields
// it under the new name. A Received from before is acknowledged once its
// From.User is set to that. Delivered again, under the new name, a message from
// before is no Redelivered one: it is ErrDuplicate, or, where its session is gone,
// an error of one that cannot be read, and never read twice.
//
// Records of a Gate, a feature or the app stay where they are. An Update, before
// or after, can move those of the app; what package hosting knows of a user is
// signed for the one name, and is nothing under another.
//
// Errors: ErrMalformed for what is no name, for the own name, and where either
// is a service id of the kind "PNI:", whose sessions are never another's;
// ErrExists when there is anything under the new name, which Forget ends;
// ErrCorrupt for a damaged identity key, session or list of devices;
// keystore.ErrNewerFormat; keystore.ErrInvalid in a context that has a
// keystore.Pending; those of the store. After an error nothing changed, but for
// keystore.ErrCommitUnknown, after which PeerIdentity tells.
func (d *Device) Rename(ctx context.Context, from, to string) error {
	var names [2]string
	for i, name := range []string{from, to} {
		name, err := userName(name)
		if err != nil {
			return err
		}
		if name == d.address.User {
			return fmt.Errorf("%w: own account renamed", ErrMalformed)
		}
		if id, err := wire.ParseServiceID(name); err == nil && id.PNI {
			return fmt.Errorf("%w: sessions of a phone number's identity are no other's", ErrMalformed)
		}
		names[i] = name
	}
	if names[0] == names[1] {
		return nil
	}
	return d.relocate(ctx, names[:], func(t *Tx) error { return (&relocation{t: t, from: names[0], to: names[1]}).run() })
}

// Forget deletes all that the Device has under a user's name, in one commit:
// identity keys and their marks, sessions and sender keys, messages and events that
// nobody acknowledged, a block, and that messages were sent there. What comes from there
// next is a stranger's. Of messages that were acknowledged, hashes stay for a
// week, and of what began sessions with last-resort prekeys as long as these. What
// package hosting keeps of the user goes, too, what he said of his keys and what was
// agreed to; of the own account it stays. Other records of a Gate, a feature or the
// app are for an Update.
//
// Errors: ErrMalformed for what is no name; keystore.ErrNewerFormat;
// keystore.ErrInvalid in a context that has a keystore.Pending; those of the
// store. After an error nothing changed, but for keystore.ErrCommitUnknown, after
// which it is to be called again.
func (d *Device) Forget(ctx context.Context, user string) error {
	user, err := userName(user)
	if err != nil {
		return err
	}
	return d.relocate(ctx, []string{user}, func(t *Tx) error { return (&relocation{t: t, from: user}).run() })
}

// relocate runs f with the locks of all devices of users.
func (d *Device) relocate(ctx context.Context, users []string, f func(*Tx) error) error {
	if joined(ctx) { // List would not see what the transaction did
		return fmt.Errorf("%w: user moved in a transaction of the app's", keystore.ErrInvalid)
	}
	peers := make([]Address, 0, len(users)*maxDevices)
	for _, user := range users {
		for device := range uint32(maxDevices) {
			peers = append(peers, Address{User: user, Device: device + 1})
		}
	}
	slices.SortFunc(peers, Address.compare)
	unlock, err := d.lockAll(ctx, peers)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.run(ctx, "", f); err != nil {
		return err
	}
	d.unhint(users)
	return nil
}

// The kinds of records under a user: those of a device, which are named after
// it; and the others, which are listed.
var (
	deviceKinds = []string{kindSession, kindIdentity, kindRetry}
	listedKinds = []string{kindArchive, kindStaged, kindBody, kindEvent, kindSenderKey}
	// forgottenKinds are under the one name only.
	forgottenKinds = []string{kindHosting, kindConsent}
)

// A relocation is the records under a user on their way to another name, or to
// none. It goes by a snapshot of those that hang together: of each device,
// session and identity key. Archived sessions do not change without the session
// record. Whatever else another process makes under the old name meanwhile is as
// if it had made it afterwards.
type relocation struct {
	t        *Tx
	from, to string // to "": they are deleted
}

func (m *relocation) run() error {
	if err := m.vacant(); err != nil {
		return err
	}
	if err := m.devices(); err != nil {
		return err
	}
	kinds := listedKinds
	if m.to == "" && m.from != m.t.d.address.User {
		kinds = slices.Concat(kinds, forgottenKinds)
	}
	for _, kind := range kinds {
		if err := m.listed(kind); err != nil {
			return err
		}
	}
	return m.sent()
}

// vacant requires that there is nothing under the new name, and relies on it.
// A record "peer" that says nothing is none.
func (m *relocation) vacant() error {
	if m.to == "" {
		return nil
	}
	t, k := m.t, m.t.d.peerKey(Address{User: m.to})
	if err := t.load(k); err != nil {
		return err
	}
	if body, ok, err := t.get(k); err != nil || ok && len(body) > 0 {
		return ErrExists
	}
	t.check(k)
	for _, kind := range slices.Concat(deviceKinds, listedKinds) {
		for rec, err := range t.d.list(t.ctx, kind, m.to) {
			if err != nil {
				return err
			}
			if concerns(&rec, m.to) {
				return ErrExists
			}
		}
	}
	return nil
}

// devices moves the record "peer" and those of the devices.
func (m *relocation) devices() error {
	keys := []keystore.Key{m.t.d.peerKey(Address{User: m.from})}
	for device := range uint32(maxDevices) {
		for _, kind := range deviceKinds {
			keys = append(keys, m.t.d.key(kind, m.from, deviceName(Address{Device: device + 1})))
		}
	}
	if err := m.t.load(keys...); err != nil {
		return err
	}
	for _, k := range keys {
		rec := m.t.entry(k).rec
		if rec.Version == 0 {
			m.t.check(k)
		} else if err := m.move(&rec); err != nil {
			return err
		}
	}
	return nil
}

// listed moves the other records of a kind. Those that are damaged stay; such a
// one has no name, perhaps, to be deleted by.
func (m *relocation) listed(kind string) error {
	for rec, err := range m.t.d.list(m.t.ctx, kind, m.from) {
		switch {
		case err != nil:
			return err
		case rec.Key.Owner != m.from, m.to != "" && len(rec.Value) == 0, !concerns(&rec, m.from):
			continue
		}
		m.t.add(entry{rec: rec})
		if err := m.move(&rec); err != nil {
			return err
		}
	}
	return nil
}

// concerns reports whether a record under a user's name is about the user. The
// Device's own events are under a name that may be a user's, too.
func concerns(rec *keystore.Record, user string) bool {
	if rec.Key.Kind != kindEvent {
		return true
	}
	e, err := readEvent(rec)
	return err != nil || e.Address.User == user
}

// move moves one record, of which there is an entry.
func (m *relocation) move(rec *keystore.Record) error {
	body, err := unformat(rec.Key.Kind, rec.Value)
	switch {
	case errors.Is(err, keystore.ErrNewerFormat), err != nil && m.to != "" && rec.Key.Kind != kindRetry:
		return err
	case err == nil && m.to != "":
		k := rec.Key
		k.Owner = m.to
		if m.t.find(k) == nil {
			m.t.expect(k, 0)
		}
		m.t.put(k, m.renamed(k.Kind, body))
	}
	m.t.del(rec.Key)
	return nil
}

// renamed is the body of a record with the new name in it. One that does not
// decode stays as it is.
func (m *relocation) renamed(kind string, body []byte) []byte {
	switch kind {
	case kindEvent:
		if e, err := wire.ParseEvent(body); err == nil {
			m.rename(&e.User)
			return wire.AppendEvent(nil, &e)
		}
	case kindStaged:
		if s, err := wire.ParseStaged(body); err == nil {
			for i := range s.Events {
				m.rename(&s.Events[i].User)
			}
			return wire.AppendStaged(nil, &s)
		}
	}
	return body
}

func (m *relocation) rename(user *string) {
	if *user == m.from {
		*user = m.to
	}
}

// sent changes the names in the copies of messages that were sent. A copy that
// is left without a recipient goes, and so does one that tells own devices of a
// message to who is forgotten.
func (m *relocation) sent() error {
	t := m.t
	for rec, err := range t.d.list(t.ctx, kindSent, ownOwner) {
		if err != nil {
			return err
		}
		body, err := unformat(kindSent, rec.Value)
		if errors.Is(err, keystore.ErrNewerFormat) {
			return err
		}
		s, parseErr := wire.ParseSent(body)
		if err != nil || parseErr != nil || !m.named(&s) {
			continue
		}
		t.add(entry{rec: rec})
		m.readdress(&s)
		if m.to == "" && s.SyncTo == m.from || len(s.Recipients) == 0 {
			t.del(rec.Key)
		} else {
			t.put(rec.Key, wire.AppendSent(nil, &s))
		}
	}
	return nil
}

func (m *relocation) named(s *wire.Sent) bool {
	return s.SyncTo == m.from || slices.ContainsFunc(s.Recipients, func(r wire.Recipient) bool { return r.User == m.from })
}

func (m *relocation) readdress(s *wire.Sent) {
	if m.to == "" {
		s.Recipients = slices.DeleteFunc(s.Recipients, func(r wire.Recipient) bool { return r.User == m.from })
		return
	}
	m.rename(&s.SyncTo)
	for i := range s.Recipients {
		m.rename(&s.Recipients[i].User)
	}
}
