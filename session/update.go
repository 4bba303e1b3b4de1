package session

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/gembok-e2ee/gembok/keystore"
)

// Update runs f as one operation: one lock on all peers, one Load of their
// records and what f names first, one Commit of all that f did. It is for what
// must be true together: messages to several devices, and records of a feature
// or an app beside the sessions.
//
// When f returns an error nothing changed, and Update returns it. When another
// process was faster, f runs again on a new Tx, so it has no side effects; what
// did not depend on the change is not encrypted a second time. What f made,
// ciphertext above all, may be used only once Update returned nil, and is not
// written to. F calls no other method of the Device, which may wait for it.
//
// After keystore.ErrCommitUnknown all of it was done or nothing: Load what f
// changed. A message that it decrypted is Redelivered if it was; a ciphertext
// must not be sent, and is encrypted anew.
func (d *Device) Update(ctx context.Context, peers []Address, f func(*Tx) error) error {
	all := make([]Address, 0, len(peers))
	for _, p := range peers {
		p, err := p.canonical()
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, Address.compare)
	all = slices.Compact(all)
	unlock, err := d.lockAll(ctx, all)
	if err != nil {
		return err
	}
	defer unlock()
	t := d.begin(ctx)
	t.peers, t.once = all, true
	return d.rerun(t, f)
}

// kept are the kinds of records that only this package writes.
var kept = []string{kindSelf, kindUpkeep, kindNextID, kindPreKey, kindSigned, kindKEM, kindLastResort, kindBaseKey, kindPeer,
	kindIdentity, kindSession, kindArchive, kindStaged, kindBody, kindMark, kindEvent, kindRestore, kindSent, kindRetry, kindLink}

// own returns k as a key of the Device, whatever its Scope.
func (t *Tx) own(k keystore.Key) keystore.Key { return t.d.key(k.Kind, k.Owner, k.Name) }

// writable loads k, and refuses a record that the Device keeps itself.
func (t *Tx) writable(k keystore.Key) (keystore.Key, error) {
	if slices.Contains(kept, k.Kind) {
		return k, fmt.Errorf("%w: %s records are the Device's", keystore.ErrInvalid, k.Kind)
	}
	k = t.own(k)
	return k, t.loadOne(k)
}

// loadOne is load of one record, with room for what the first Load brings along.
func (t *Tx) loadOne(k keystore.Key) error {
	if t.find(k) != nil {
		return nil
	}
	return t.load(append(make([]keystore.Key, 0, 2), k)...)
}

// Load loads records, in one Load of the store; the Scope of a key is the
// Device's, whatever it says. The other methods load what was not, one by one.
func (t *Tx) Load(keys ...keystore.Key) error {
	all := make([]keystore.Key, len(keys), len(keys)+1+3*len(t.peers)) // with what the first Load brings along
	for i, k := range keys {
		all[i] = t.own(k)
	}
	return t.load(all...)
}

// Get returns the body of a record as this operation leaves it, without the
// format byte; ok is false where there is none. It must not be written to. The
// outcome does not depend on it unless it is changed or checked, too.
//
// Errors: keystore.ErrNewerFormat, ErrCorrupt, those of the store.
func (t *Tx) Get(k keystore.Key) (body []byte, ok bool, err error) {
	k = t.own(k)
	if err := t.loadOne(k); err != nil {
		return nil, false, err
	}
	return t.get(k)
}

// List yields the records of a kind, in no order and of no one moment
// (keystore.Store.List), each with its body, without the format byte, as Value.
// It may be any kind, and the Device's own have secrets. One that cannot be read
// comes with its Key, no Value and an error, ErrCorrupt or
// keystore.ErrNewerFormat, and the others follow; an error of the store has no
// Key, and comes last. It only looks, as PeerIdentity does.
func (d *Device) List(ctx context.Context, kind string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for rec, err := range d.list(ctx, kind, "") {
			if err != nil {
				yield(keystore.Record{}, err)
				return
			}
			body, err := unformat(kind, rec.Value)
			if rec.Value = body; !yield(rec, err) {
				return
			}
		}
	}
}

// Put sets the body of a record, as it was when loaded. The error is
// keystore.ErrInvalid for a kind of record that the Device keeps.
func (t *Tx) Put(k keystore.Key, body []byte) error {
	k, err := t.writable(k)
	if err != nil {
		return err
	}
	t.put(k, body)
	return nil
}

// Encode is Put of the body that encode appends to what it is given.
func (t *Tx) Encode(k keystore.Key, encode func(dst []byte) []byte) error {
	k, err := t.writable(k)
	if err != nil {
		return err
	}
	t.set(k, encode(prefix))
	return nil
}

// Delete removes a record, which may be absent; errors are those of Put.
func (t *Tx) Delete(k keystore.Key) error {
	k, err := t.writable(k)
	if err != nil {
		return err
	}
	t.del(k)
	return nil
}

// Check makes the outcome depend on a record's staying as it was when loaded.
// It may be any.
func (t *Tx) Check(k keystore.Key) error {
	k = t.own(k)
	if err := t.loadOne(k); err != nil {
		return err
	}
	t.check(k)
	return nil
}

// Encrypt is Device.Encrypt within the operation. After an error it goes on
// without this message; after a keystore.ConflictError, too, but f runs again
// whatever it returns.
func (t *Tx) Encrypt(to Address, plaintext []byte) (*Message, error) {
	to, err := to.canonical()
	if err != nil {
		return nil, err
	}
	content, err := t.d.outgoes(to, plaintext)
	if err != nil {
		return nil, err
	}
	keys := t.sessionKeys(to)
	if err := t.loadBeside(t.d.sessionKey(to), keys...); err != nil {
		return nil, err
	}
	if plaintext, err = t.outgoing(to, plaintext, content); err != nil {
		return nil, err
	}
	fresh := t.untouched(keys)
	if fresh {
		if m := t.repeat(to, plaintext); m != nil {
			return m, nil
		}
	}
	var m *Message
	err = t.try(func() error {
		m, err = t.d.encrypt(t, to, plaintext)
		return err
	})
	if err != nil {
		return nil, err
	}
	if fresh {
		t.sends = append(t.sends, &sent{to: to, plaintext: bytes.Clone(plaintext), message: m, entries: t.entries(keys)})
	}
	return withhold(t, m), nil
}

// A sent is a message that Encrypt made of records as they were loaded, and
// what they became.
type sent struct {
	to        Address
	plaintext []byte
	message   *Message
	entries   []entry
}

// untouched reports whether the loaded records of keys are as they were loaded.
func (t *Tx) untouched(keys []keystore.Key) bool {
	return !slices.ContainsFunc(keys, func(k keystore.Key) bool {
		op := t.entry(k).op
		return op != 0 && op != keystore.Check
	})
}

func (t *Tx) entries(keys []keystore.Key) []entry {
	out := make([]entry, len(keys))
	for i, k := range keys {
		out[i] = *t.entry(k)
	}
	return out
}

// repeat returns the message that was encrypted when the operation ran before,
// if it would come out the same: of the same plaintext and the same records,
// which are untouched. Nothing left then, so its counter is used once.
func (t *Tx) repeat(to Address, plaintext []byte) *Message {
	i := slices.IndexFunc(t.past, func(s *sent) bool {
		return s.to == to && bytes.Equal(s.plaintext, plaintext) && t.unchanged(s.entries)
	})
	if i < 0 {
		return nil
	}
	s := t.past[i]
	for _, e := range s.entries {
		if now := t.entry(e.rec.Key); e.op != 0 {
			now.op, now.value = e.op, e.value
		}
	}
	t.bound = true
	t.sends = append(t.sends, s)
	return s.message
}

// unchanged reports whether the records are those of entries still.
func (t *Tx) unchanged(entries []entry) bool {
	for _, e := range entries {
		if now := t.find(e.rec.Key); now == nil || now.rec.Version != e.rec.Version {
			return false
		}
	}
	return true
}

// Decrypt is Device.Decrypt within the operation; errors are as with Encrypt.
func (t *Tx) Decrypt(from Address, m *Message, o *DecryptOptions) (*Received, error) {
	in, err := t.d.inbound(from, m, o)
	if err != nil {
		return nil, err
	}
	var r *Received
	err = t.try(func() error {
		r, err = in.run(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Staged returns the message of a sender whose inner bytes are these, when it
// is staged, with Redelivered set; nil when it is not. Errors are ErrDuplicate
// for one that is past its expiry, ErrCorrupt and those of the store. Records
// beside it come with the same Load. One that was acknowledged is not staged any
// more: who cannot decrypt it asks Late.
func (t *Tx) Staged(from Address, inner []byte, beside ...keystore.Key) (*Received, error) {
	from, err := from.canonical()
	if err != nil {
		return nil, err
	}
	id := messageID(from, inner)
	k := t.staging(from.User, id)
	keys := append(make([]keystore.Key, 0, 6+3*len(t.peers)), k)
	for _, b := range beside {
		keys = append(keys, t.own(b))
	}
	if t.joined || !slices.Contains(t.peers, from) { // what Stage needs; those of the peers come along
		keys = t.withGateKeys(append(keys, t.d.identityKey(from), t.d.peerKey(from)), from.User)
	}
	if err := t.load(keys...); err != nil {
		return nil, err
	}
	return t.again(k, id)
}

// Late returns what is wrong with a message of a sender that a feature could not
// decrypt because of err: ErrDuplicate when one of these inner bytes was
// acknowledged in the last days, so that it need not be sent again, else err.
func (t *Tx) Late(from Address, inner []byte, err error) error {
	from, addressErr := from.canonical()
	if addressErr != nil {
		return addressErr
	}
	return t.late(messageID(from, inner), err)
}

// Stage stores a message that a feature decrypted, of which inner are the bytes
// that no one can change, until it is acknowledged: what Decrypt does with its
// own. R has From, Identity, Plaintext and perhaps Expires and Events; Stage sets
// ID, Accepted, ReceivedAt, Content and Note, and adds events of the gate: f
// makes it anew when it runs again. An identity key that nobody accepted yet stays
// so. A message that is staged already is ErrDuplicate, and with Options.Content a
// Plaintext, here without padding, that is none ErrMalformed.
func (t *Tx) Stage(r *Received, inner []byte) error {
	if r == nil {
		return fmt.Errorf("%w: no message", ErrMalformed)
	}
	from, err := r.From.canonical()
	if err != nil {
		return err
	}
	r.From, r.ID = from, messageID(from, inner)
	k := t.staging(from.User, r.ID)
	if t.find(k) == nil { // Staged loads all of it
		if err := t.load(append(t.sessionKeys(from), k)...); err != nil {
			return err
		}
	}
	if t.has(k) {
		return ErrDuplicate
	}
	tr, err := t.trust(from)
	if err != nil {
		return err
	}
	r.Accepted = !r.Identity.IsZero() && r.Identity.Equal(tr.acceptedKey())
	t.check(t.d.identityKey(from))
	return t.stage(r)
}
