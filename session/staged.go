package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// maxInline is the largest plaintext, in bytes, that the record "staged"
	// holds itself.
	maxInline = 4096
	// markDays is how many UTC days back the mark of a message is looked for:
	// 7 days, begun or whole.
	markDays = 8
	dayMilli = 24 * 60 * 60 * 1000
)

// errRecordName reports a record under a name that this package never gives.
var errRecordName = errors.New("session: record name")

// A MessageID names a received message (design, Section 5): SHA-256 of the
// length of the sender's user name (4 bytes, big-endian), the name, the device
// (4 bytes) and the inner SignalMessage, which no one can change on the way. The
// zero value is none.
type MessageID [32]byte

func messageID(from Address, inner []byte) (id MessageID) {
	var buf [64]byte // most names fit
	head := binary.BigEndian.AppendUint32(buf[:0], uint32(len(from.User)))
	head = append(head, from.User...)
	head = binary.BigEndian.AppendUint32(head, from.Device)
	h := sha256.New()
	h.Write(head)
	h.Write(inner)
	h.Sum(id[:0])
	return id
}

// name is id in records' names.
func (id MessageID) name() string {
	var buf [2 * len(id)]byte
	hex.Encode(buf[:], id[:])
	return string(buf[:])
}

// idOf is the id in the name of a record; the error is ErrCorrupt.
func idOf(k keystore.Key) (MessageID, error) {
	id, err := hex.DecodeString(k.Name)
	if err != nil || len(id) != len(MessageID{}) {
		return MessageID{}, corrupt(errRecordName)
	}
	return MessageID(id), nil
}

// staging names the record of a message that is staged, or is to be. It is asked
// for several times in a row.
func (t *Tx) staging(user string, id MessageID) keystore.Key {
	if t.stagedID != id || t.stagedKey.Owner != user {
		t.stagedID, t.stagedKey = id, t.d.stagedKey(user, id)
	}
	return t.stagedKey
}

// stage stores r, with what the gate makes of it, until it is acknowledged.
// The staged record and those of sessionKeys are loaded.
func (t *Tx) stage(r *Received) error {
	d, now := t.d, t.d.now()
	if err := d.understand(r); err != nil {
		return err
	}
	if err := t.judgeReceived(r); err != nil {
		return err
	}
	r.ReceivedAt = moment(now)
	rec := wire.Staged{
		Device: r.From.Device, Identity: r.Identity.Bytes(), Accepted: r.Accepted, NoOneTimePreKey: r.NoOneTimePreKey,
		Note: r.Note, ReceivedAt: now,
	}
	if !r.Expires.IsZero() {
		rec.Expires = uint64(max(1, r.Expires.UnixMilli()))
	}
	if err := t.d.wind(r, &rec); err != nil {
		return err
	}
	rec.Plaintext, r.Expires = r.Plaintext, moment(rec.Expires)
	for i := range r.Events {
		e := &r.Events[i]
		if err := e.canonical(); err != nil {
			return err
		}
		e.ID, e.At = EventID{}, r.ReceivedAt
		rec.Events = append(rec.Events, e.stored(now))
	}
	if len(r.Plaintext) > maxInline {
		rec.Plaintext, rec.Apart = nil, true
		k := d.bodyKey(r.From.User, r.ID)
		t.expect(k, 0)
		t.put(k, r.Plaintext)
	}
	value := wire.AppendStaged(prefix, &rec)
	if len(value)-len(prefix) > wire.MaxDeviceRecord-spare(&rec) {
		return fmt.Errorf("%w: note and events of %d bytes", ErrTooLarge, len(value))
	}
	t.set(t.staging(r.From.User, r.ID), value)
	t.check(d.peerKey(r.From))
	t.goes(rec.Expires)
	return nil
}

// staged returns the staged message in the loaded record k; nil when there is
// none.
func (t *Tx) staged(k keystore.Key) (*wire.Staged, error) {
	body, ok, err := t.get(k)
	if err != nil || !ok {
		return nil, err
	}
	rec, err := wire.ParseStaged(body)
	if err != nil {
		return nil, corrupt(err)
	}
	return &rec, nil
}

// again returns the result of a message that is staged in the loaded record k;
// nil when it is not.
func (t *Tx) again(k keystore.Key, id MessageID) (*Received, error) {
	rec, err := t.staged(k)
	if err != nil || rec == nil {
		return nil, err
	}
	if past(rec.Expires, t.d.now()) {
		return nil, fmt.Errorf("%w: past its expiry", ErrDuplicate)
	}
	r := &Received{
		ID: id, From: Address{User: k.Owner, Device: rec.Device}, Identity: identityOf(rec.Identity),
		Accepted: rec.Accepted, NoOneTimePreKey: rec.NoOneTimePreKey, Redelivered: true,
		Plaintext: rec.Plaintext, Note: rec.Note, ReceivedAt: moment(rec.ReceivedAt), Expires: moment(rec.Expires),
	}
	for i := range rec.Events {
		r.Events = append(r.Events, eventOf(&rec.Events[i]))
	}
	switch {
	case rec.Apart:
		r.Plaintext, err = t.body(k.Owner, id)
	case r.Plaintext == nil:
		r.Plaintext = []byte{}
	}
	if err != nil {
		return nil, err
	}
	if err := t.d.understand(r); err != nil {
		return nil, corrupt(err)
	}
	return r, nil
}

// body returns a plaintext that is a record of its own. It is loaded together
// with the staged one, which may have been acknowledged meanwhile, unless this
// operation staged it.
func (t *Tx) body(user string, id MessageID) ([]byte, error) {
	k := t.d.bodyKey(user, id)
	if e := t.find(k); e != nil && e.op == keystore.Put {
		return unformat(kindBody, e.value)
	}
	recs, err := t.fetch([]keystore.Key{t.staging(user, id), k})
	switch {
	case err != nil:
		return nil, err
	case recs[0].Version == 0:
		return nil, ErrDuplicate
	}
	return unformat(kindBody, recs[1].Value)
}

// past reports whether an expiry, in milliseconds, is reached; 0 is never.
func past(expires, now uint64) bool { return expires != 0 && now >= expires }

// acknowledged reports whether one of the marks of the last days names the
// message.
func (t *Tx) acknowledged(id MessageID) (bool, error) {
	today := t.d.now() / dayMilli
	marks := make([]keystore.Key, 0, markDays)
	for day := today; day+markDays > today && len(marks) < markDays; day-- {
		marks = append(marks, t.d.markKey(day, id))
	}
	if err := t.load(marks...); err != nil {
		return false, err
	}
	for _, k := range marks {
		if t.has(k) {
			return true, nil
		}
	}
	return false, nil
}

// Acknowledge says that the app has saved these messages, in one commit: they
// are not kept any longer, and the same message again is ErrDuplicate. Those
// acknowledged before are passed over.
//
// Errors: ErrMalformed for nil, ErrCorrupt for a damaged staged record, those of
// the store. After an error none is acknowledged, but for
// keystore.ErrCommitUnknown, after which it is to be tried again.
func (d *Device) Acknowledge(ctx context.Context, messages ...*Received) error {
	if slices.Contains(messages, nil) {
		return fmt.Errorf("%w: no message", ErrMalformed)
	}
	return d.run(ctx, "", func(t *Tx) error {
		t.always = true
		day := d.now() / dayMilli
		keys := make([]keystore.Key, 0, 2*len(messages))
		for _, r := range messages {
			keys = append(keys, d.stagedKey(r.From.User, r.ID), d.markKey(day, r.ID))
		}
		if err := t.load(keys...); err != nil {
			return err
		}
		for _, r := range messages {
			if err := t.retire(r.From.User, r.ID, day); err != nil {
				return err
			}
		}
		return nil
	})
}

// retire puts a mark of a day in the place of a staged message. Both records
// are loaded. The body came with the same commit, and so has the same version,
// which saves loading it, unless MarkRead wrote the other one; in a store that was
// copied it may have another.
func (t *Tx) retire(user string, id MessageID, day uint64) error {
	k := t.staging(user, id)
	if !t.has(k) {
		return nil
	}
	rec, err := t.staged(k)
	if err != nil {
		return err
	}
	if rec.Apart {
		body := t.d.bodyKey(user, id)
		if !t.rerun && rec.Began == 0 {
			t.expect(body, t.entry(k).rec.Version)
		} else if err := t.load(body); err != nil {
			return err
		}
		t.del(body)
	}
	t.del(k)
	t.put(t.d.markKey(day, id), nil)
	return nil
}

// Unacknowledged yields the messages that the app has not acknowledged, in no
// order: at the start, those that a crash kept it from saving. Redelivered is
// set. Those past their expiry are left out. A record that is damaged is yielded
// as its error, ErrCorrupt or keystore.ErrNewerFormat, and the others follow; an
// error of the store ends the sequence.
func (d *Device) Unacknowledged(ctx context.Context) iter.Seq2[*Received, error] {
	return func(yield func(*Received, error) bool) {
		for rec, err := range d.list(ctx, kindStaged, "") {
			if err != nil {
				yield(nil, err)
				return
			}
			r, err := d.listed(ctx, rec)
			if errors.Is(err, ErrDuplicate) {
				continue // expired, or acknowledged meanwhile
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// listed reads a staged record that List found.
func (d *Device) listed(ctx context.Context, rec keystore.Record) (*Received, error) {
	id, err := idOf(rec.Key)
	if err != nil {
		return nil, err
	}
	t := d.begin(ctx)
	t.add(entry{rec: rec})
	return t.again(rec.Key, id)
}
