package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	// eventTime is how long an event that nobody acknowledges is kept.
	eventTime = 7 * 24 * time.Hour
	// maxNote is how long the Note of an event is at most, in bytes: evidence of
	// some manifests.
	maxNote = 64 << 10
)

// An EventKind says what an Event reports. The zero value is none.
type EventKind byte

const (
	// IdentityChanged: a handshake came from another identity key than the
	// accepted one. Sends are refused until a key is accepted.
	IdentityChanged EventKind = 1 + iota
	// SessionRenewed: the peer began a new session in place of the current one.
	SessionRenewed
	// PreKeysLow: fewer one-time prekeys are left than the policy wants.
	// Upload what Upkeep returns. It has no Address.
	PreKeysLow
	// DeviceAdded: a user whose devices were known has one more, or again.
	DeviceAdded
	// DeviceRemoved: a device of a user is gone, and gets no more messages.
	DeviceRemoved
	// LabelNotice: the Gate tells something of a user, in Note.
	LabelNotice
)

// An EventID names an Event that belongs to no message. The zero value is
// that of events that do.
type EventID [16]byte

// An Event is something the app should know of, beside a result. The zero
// value is none.
type Event struct {
	ID      EventID
	Kind    EventKind
	Address Address
	At      time.Time
	// Accepted and Seen are the identity keys of IdentityChanged.
	Accepted, Seen keys.IdentityKey
	// Note is the Gate's, of at most 64 KiB.
	Note []byte
}

func (e *Event) stored(now uint64) wire.Event {
	out := wire.Event{Kind: uint32(e.Kind), User: e.Address.User, Device: e.Address.Device, At: now, Note: e.Note}
	if !e.Accepted.IsZero() {
		out.Accepted = e.Accepted.Bytes()
	}
	if !e.Seen.IsZero() {
		out.Seen = e.Seen.Bytes()
	}
	return out
}

// owner is whom the event is about.
func (e *Event) owner() string {
	if e.Address.User == "" {
		return ownOwner
	}
	return e.Address.User
}

// canonical gives the address its one spelling. It may be none, or a user's
// without a device. Errors are ErrMalformed, and ErrTooLarge for the Note.
func (e *Event) canonical() error {
	if len(e.Note) > maxNote {
		return fmt.Errorf("%w: note of %d bytes", ErrTooLarge, len(e.Note))
	}
	if e.Address == (Address{}) {
		return nil
	}
	a, err := Address{User: e.Address.User, Device: max(1, e.Address.Device)}.canonical()
	e.Address.User = a.User
	return err
}

func eventOf(e *wire.Event) Event {
	return Event{
		Kind: EventKind(e.Kind), Address: Address{User: e.User, Device: e.Device}, At: moment(e.At),
		Accepted: identityOf(e.Accepted), Seen: identityOf(e.Seen), Note: e.Note,
	}
}

// moment is the time of a record; 0 is none.
func moment(ms uint64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// Emit stores an event with the outcome, as one that Events yields until it is
// acknowledged. Its ID and At are drawn here. Errors are ErrMalformed for an
// address that is none, ErrTooLarge for a Note, and those of the store.
func (t *Tx) Emit(e Event) error {
	err := e.canonical()
	if err != nil {
		return err
	}
	rand.Read(e.ID[:])
	if e.Address.User == "" {
		err = t.load() // nothing but what every operation looks at
	} else if err = t.load(t.d.peerKey(e.Address)); err == nil {
		t.check(t.d.peerKey(e.Address))
	}
	if err != nil {
		return err
	}
	k := t.d.eventKey(e.owner(), e.ID)
	t.expect(k, 0)
	stored := e.stored(t.d.now())
	t.put(k, wire.AppendEvent(nil, &stored))
	return nil
}

// Events yields the events that belong to no message, those of sends, bundles
// and upkeep, and of messages that expired, in no order, until they are acknowledged, for 7 days. A record
// that is damaged is yielded as its error, ErrCorrupt or
// keystore.ErrNewerFormat, and the others follow; an error of the store ends the
// sequence.
func (d *Device) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for rec, err := range d.list(ctx, kindEvent, "") {
			if err != nil {
				yield(Event{}, err)
				return
			}
			e, err := readEvent(&rec)
			if err == nil && eventExpired(e.At, d.now()) {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// eventExpired reports whether an event is past its time.
func eventExpired(at time.Time, now uint64) bool {
	return !at.IsZero() && older(uint64(at.UnixMilli()), now, eventTime)
}

func readEvent(rec *keystore.Record) (Event, error) {
	body, err := unformat(kindEvent, rec.Value)
	if err != nil {
		return Event{}, err
	}
	stored, err := wire.ParseEvent(body)
	if err != nil {
		return Event{}, corrupt(err)
	}
	e := eventOf(&stored)
	id, err := hex.DecodeString(rec.Key.Name)
	if err != nil || len(id) != len(e.ID) {
		return Event{}, corrupt(errRecordName)
	}
	e.ID = EventID(id)
	return e, nil
}

// AcknowledgeEvents removes events that Events yielded. Those of messages are
// acknowledged with them, and are passed over, as are those that are gone.
func (d *Device) AcknowledgeEvents(ctx context.Context, events ...Event) error {
	keys := make([]keystore.Key, 0, len(events))
	for i := range events {
		if e := &events[i]; e.ID != (EventID{}) {
			keys = append(keys, d.eventKey(e.owner(), e.ID))
		}
	}
	return d.run(ctx, "", func(t *Tx) error {
		t.always = true
		if err := t.load(keys...); err != nil {
			return err
		}
		for _, k := range keys {
			t.del(k)
		}
		return nil
	})
}
