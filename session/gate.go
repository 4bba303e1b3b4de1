package session

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Gate decides before each message leaves whether it may, from records of
// its own, says what goes along with it of hosting, and sees each message that
// arrives. Its records join the Load of the operation, its changes the Commit,
// which also expects that what it read is still so. It computes on values: no
// clock, randomness or I/O of its own, as the operation may run again. It must be
// safe for concurrent use, and keeps nothing that it is given.
//
// A record is a Key, whose Scope is the Device's whatever it says, and a Value,
// which here has no format byte. One that is absent has Version 0. A method gets
// those that Keys names for the one user whom it is about, in that order. Changes
// may put and delete these; their Expect is of no meaning.
//
// What is asked where:
//
//   - Encrypt, of a Device and of a Tx: Claim, Send. The Directory is not.
//   - Device.Send, and with it package group's Send and Distribute: Wants for each
//     user who is to get the message, See for what the Directory or a bundle then
//     shows, Claim, and Send for each device, own ones included, before anything is
//     encrypted: one that is refused stops the message for all.
//   - Reconcile: the same for the devices it is about, but Claim: the message says
//     what it said.
//   - Resend: See for a bundle, and Send. An answer that was given is given again
//     without, and so is what a copy claims.
//   - Begin and Refresh: See. Nothing is encrypted for anybody.
//   - Link: Send, for the device that is to have the account's identity.
//   - Decrypt and Tx.Stage, and with them packages group and sealed: Receive, for a
//     message that is not staged yet.
//   - RequestRetry is not asked about, as it says nothing, and is not encrypted. Nor
//     is package group's Encrypt, which knows of nobody who reads it: Send was asked
//     when each of them was given the key.
//
// What See makes of a manifest is committed on its own before the message is, in
// Begin and Refresh with the rest: it stays though the message is refused, unless an
// app takes it back with a transaction of its own. Where a bundle that a message needs
// has no manifest, the Directory is asked for it, once a user, and See is told if there
// is none either. Why there is no answer, or none that is believed, is joined to the
// error of a send that the gate refuses, and to that of Refresh; where the gate lets a
// message out, it counts for nothing.
type Gate interface {
	// Keys names the records about users and, also when these are none, those
	// about the own account: always the same ones and none twice.
	Keys(users []string) []keystore.Key
	// Wants says whether the Directory is to be asked for the manifest of a user
	// before a message to him is encrypted.
	Wants(now time.Time, records []keystore.Record, user string) bool
	// See takes in what the Directory, or a bundle, shows as the signed manifest
	// of a user, whatever that is; nil is that there is none. The events are kept
	// until they are acknowledged. The error is why it is not believed; changes and
	// events are kept all the same.
	See(now time.Time, records []keystore.Record, user string, manifest []byte) (changes []keystore.Change, events []Event, err error)
	// Claim says what a message says of hosting; to is the one user it is for,
	// "" several, or the own account. It is not asked without Options.Content.
	Claim(now time.Time, records []keystore.Record, to string) Claim
	// Send returns nil when a message to a peer device may be encrypted, and
	// otherwise why not: the error of the send, which changes nothing. Identity is
	// zero for a device that there is nothing with yet: one that is to be linked, and
	// of those that all get one message alike (SendOptions.Shared). An error that is
	// ErrNoDevice says that the user has no such device: Send has the Directory list
	// them once more before it gives up.
	Send(now time.Time, records []keystore.Record, to Address, identity keys.IdentityKey) error
	// Receive sees an authentic message, of which content is what
	// Received.Plaintext is, nil without Options.Content, and cannot refuse it. A record that is damaged, or of a
	// newer version, has a Version and no Value here, and stays. Note is kept and
	// returned with the message, and so are the events.
	Receive(now time.Time, records []keystore.Record, from Address, identity keys.IdentityKey, content []byte) (changes []keystore.Change, note []byte, events []Event)
}

// A gating is what a Tx remembers of the gate: which records that has about the
// user whom it was asked about last, and room for them. The zero value is nobody.
type gating struct {
	known   bool
	user    [1]string
	now     time.Time // for all that is asked about the user
	keys    []keystore.Key
	places  []int // of the records in the Tx, once they are loaded
	records []keystore.Record

	roomPlaces [3]int
	room       [3]keystore.Record
	claim      Claim
}

// A gatedTx is a Tx of a Device that has a gate.
type gatedTx struct {
	Tx
	gating
}

// gateKeys are the records of the gate that there is about a user; "" is nobody but
// the own account.
func (t *Tx) gateKeys(user string) []keystore.Key {
	if g := t.gating; !g.known || g.user[0] != user {
		t.withGateKeys(nil, user)
	}
	return t.gating.keys
}

// withGateKeys appends them to keys.
func (t *Tx) withGateKeys(keys []keystore.Key, user string) []keystore.Key {
	g := t.gating
	switch {
	case g == nil:
		return keys
	case g.known && g.user[0] == user:
		return append(keys, g.keys...)
	}
	g.known, g.user[0], g.now = true, user, t.Now()
	g.places, g.records = g.roomPlaces[:0], g.room[:0]
	users := g.user[:]
	if user == "" {
		users = nil
	}
	n := len(keys)
	keys = t.d.withGateKeys(keys, users)
	g.keys = keys[n:len(keys):len(keys)]
	return keys
}

// withGateKeys appends the gate's records about users to keys.
func (d *Device) withGateKeys(keys []keystore.Key, users []string) []keystore.Key {
	if d.opts.Gate == nil {
		return keys
	}
	named := d.opts.Gate.Keys(users)
	keys = slices.Grow(keys, len(named))
	for _, k := range named {
		keys = append(keys, d.key(k.Kind, k.Owner, k.Name))
	}
	return keys
}

// gateRecords are those records about a user as the gate sees them, until it is
// asked about another one. They are loaded, but for a gate that names others each
// time. With an error of what is in one, all are returned, that one without a Value.
func (t *Tx) gateRecords(user string) (_ []keystore.Record, unreadable error) {
	places, err := t.gatePlaces(user)
	if err != nil {
		return nil, err
	}
	g := t.gating
	g.records = g.records[:0]
	for _, at := range places {
		rec, err := t.gateRecord(at)
		g.records, unreadable = append(g.records, rec), cmp.Or(unreadable, err)
	}
	return g.records, unreadable
}

// gatePlaces are where these records are.
func (t *Tx) gatePlaces(user string) ([]int, error) {
	keys := t.gateKeys(user)
	g := t.gating
	if len(g.places) == len(keys) {
		return g.places, nil
	}
	if slices.ContainsFunc(keys, func(k keystore.Key) bool { return t.place(k) < 0 }) {
		if err := t.load(keys...); err != nil {
			return nil, err
		}
	}
	for _, k := range keys {
		g.places = append(g.places, t.at(k))
	}
	return g.places, nil
}

// relyOnGate makes the outcome depend on the records that the gate was given
// last.
func (t *Tx) relyOnGate() {
	for _, at := range t.gating.places {
		t.checkAt(at)
	}
}

// ungate forgets where the records were.
func (t *Tx) ungate() {
	if t.gating != nil {
		t.gating.known = false
	}
}

// gateRecord is one of them.
func (t *Tx) gateRecord(at int) (out keystore.Record, err error) {
	e := &t.recs[at]
	out = keystore.Record{Key: e.rec.Key, Version: e.rec.Version}
	if value := e.current(); value != nil {
		out.Value, err = unformat(e.rec.Key.Kind, value)
	}
	return out, err
}

// mayTransmit asks the gate before a message is encrypted.
func (t *Tx) mayTransmit(to Address, identity keys.IdentityKey) error {
	if t.d.opts.Gate == nil {
		return nil
	}
	recs, err := t.gateRecords(to.User)
	if err != nil {
		return err
	}
	t.relyOnGate()
	return t.d.opts.Gate.Send(t.gating.now, recs, to, identity)
}

// judgeReceived shows the gate a message, and takes over what it makes of it.
func (t *Tx) judgeReceived(r *Received) error {
	if t.d.opts.Gate == nil {
		return nil
	}
	recs, err := t.gateRecords(r.From.User)
	if recs == nil { // what cannot be read is no reason not to read the message
		return err
	}
	t.relyOnGate()
	var content []byte
	if r.Content != nil {
		content = r.Plaintext
	}
	changes, note, events := t.d.opts.Gate.Receive(t.gating.now, recs, r.From, r.Identity, content)
	r.Note = note
	r.Events = append(r.Events, events...)
	return t.adopt(r.From.User, changes)
}

// adopt makes a gate's changes of the records about a user.
func (t *Tx) adopt(user string, changes []keystore.Change) error {
	for i := range changes {
		if err := t.change(t.gateKeys(user), &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// change makes one of a gate's changes, to a record among keys.
func (t *Tx) change(keys []keystore.Key, c *keystore.Change) error {
	k := t.d.key(c.Key.Kind, c.Key.Owner, c.Key.Name)
	for i := range keys {
		if keys[i] != k || slices.Contains(kept, k.Kind) {
			continue
		}
		switch c.Op {
		case keystore.Put:
			t.put(k, c.Value)
			return nil
		case keystore.Delete:
			t.del(k)
			return nil
		}
	}
	return fmt.Errorf("%w: change of a record that is not the gate's", keystore.ErrInvalid)
}
