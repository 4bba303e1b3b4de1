package session

import (
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Gate decides before each message leaves whether it may, from records of
// its own, and sees each message that arrives. Its records join the Load of the
// operation, its changes the Commit, which also expects that what it read is
// still so. It computes on values: no clock, randomness or I/O of its own, as
// the operation may run again. It must be safe for concurrent use.
//
// A record is a Key, whose Scope is the Device's whatever it says, and a Value,
// which here has no format byte. One that is absent has Version 0.
type Gate interface {
	// Keys names the records about users, always the same ones and none twice.
	Keys(users []string) []keystore.Key
	// Send returns nil when a message to a peer device may be encrypted, and
	// otherwise why not: the error of the send, which changes nothing. Identity is
	// zero for a device that there is nothing with yet, of those that all get one
	// message alike (SendOptions.Shared).
	Send(now time.Time, records []keystore.Record, to Address, identity keys.IdentityKey) error
	// Receive sees an authentic message, of which plaintext is what
	// Received.Plaintext is, and cannot refuse it. Changes may put
	// and delete the records that Keys named for the sender; their Expect is
	// of no meaning. Note is kept and returned with the message, and so are
	// the events.
	Receive(now time.Time, records []keystore.Record, from Address, identity keys.IdentityKey, plaintext []byte) (changes []keystore.Change, note []byte, events []Event)
}

// gateKeys are the gate's records about the user of a.
func (d *Device) gateKeys(a Address) []keystore.Key {
	if d.opts.Gate == nil {
		return nil
	}
	keys := d.opts.Gate.Keys([]string{a.User})
	out := make([]keystore.Key, len(keys))
	for i, k := range keys {
		out[i] = d.key(k.Kind, k.Owner, k.Name)
	}
	return out
}

// gateRecords are those records as the gate sees them. The outcome depends on
// them.
func (t *Tx) gateRecords(keys []keystore.Key) ([]keystore.Record, error) {
	if err := t.load(keys...); err != nil {
		return nil, err
	}
	out := make([]keystore.Record, len(keys))
	for i, k := range keys {
		body, _, err := t.get(k)
		if err != nil {
			return nil, err
		}
		out[i] = keystore.Record{Key: k, Value: body, Version: t.entry(k).rec.Version}
		t.check(k)
	}
	return out, nil
}

// mayTransmit asks the gate before a message is encrypted.
func (t *Tx) mayTransmit(to Address, identity keys.IdentityKey) error {
	if t.d.opts.Gate == nil {
		return nil
	}
	recs, err := t.gateRecords(t.d.gateKeys(to))
	if err != nil {
		return err
	}
	return t.d.opts.Gate.Send(t.d.opts.Now(), recs, to, identity)
}

// judgeReceived shows the gate a message, and takes over what it makes of it.
func (t *Tx) judgeReceived(r *Received) error {
	if t.d.opts.Gate == nil {
		return nil
	}
	keys := t.d.gateKeys(r.From)
	recs, err := t.gateRecords(keys)
	if err != nil {
		return err
	}
	changes, note, events := t.d.opts.Gate.Receive(t.d.opts.Now(), recs, r.From, r.Identity, r.Plaintext)
	r.Note = note
	r.Events = append(r.Events, events...)
	for _, c := range changes {
		if err := t.change(keys, &c); err != nil {
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
