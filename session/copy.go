package session

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// plaintexts are what the devices of others (false) and of the own account
// (true) get, with padding.
func (m *mailing) plaintexts() (map[bool][]byte, error) {
	out := map[bool][]byte{false: m.d.padded(m.s.plain)}
	if !slices.ContainsFunc(m.parcels, func(p *parcel) bool { return p.own(m.d) }) {
		return out, nil
	}
	copied, err := m.d.synced(m.s.plain, m.s.syncTo)
	if err != nil { // a server says of own devices only now: the others get it
		for _, p := range m.parcels {
			if p.own(m.d) {
				p.err, p.wanting = err, false
			}
		}
		return out, nil
	}
	out[true] = m.d.padded(copied)
	return out, nil
}

// copy puts the record "sent": the message, and who got it. One of a newer
// format, a damaged one, and that of another message stay as they are; one that was
// taken away, as Forget does, does not come back.
func (m *mailing) copy() {
	k := m.d.sentKey(m.s.sentAt)
	rec, ok, err := m.t.sent(k)
	switch {
	case err != nil, ok && !m.begins && !m.s.copiedAs(&rec), !ok && !m.begins && m.s.reached():
		m.t.check(k)
		return
	case m.begins || !ok:
		if !m.kept() {
			m.t.check(k) // another process may take the time meanwhile
			return
		}
		rec, ok = wire.Sent{Content: m.s.plain, Expires: m.copyExpires(), SyncTo: m.s.syncTo}, false
	}
	if rec.Recipients = m.recipients(rec.Recipients, ok); len(rec.Recipients) == 0 {
		m.t.del(k)
		return
	}
	m.t.put(k, wire.AppendSent(nil, &rec))
	m.t.goes(rec.Expires)
	m.copied = m.t.value(k)
}

// copiedAs reports whether a record "sent" is of this message. Of one without a
// copy another process does not see that the time is taken.
func (s *Sending) copiedAs(rec *wire.Sent) bool { return bytes.Equal(rec.Content, s.plain) }

// reached reports whether there was a message for somebody, and with it a copy.
func (s *Sending) reached() bool {
	return slices.ContainsFunc(s.Results, func(r Result) bool { return s.reaches(&r) })
}

// sentHint is what a copy says of the keys that a message was encrypted under: the
// first bytes of SHA-256 of the sending ratchet key and the identity key of the
// device that it is for.
func sentHint(ratchetKey, identity []byte) (out [wire.HintSize]byte) {
	var both [66]byte
	h := sha256.Sum256(append(append(both[:0], ratchetKey...), identity...))
	copy(out[:], h[:])
	return out
}

// sent reads the loaded record "sent" of a message.
func (t *Tx) sent(k keystore.Key) (rec wire.Sent, ok bool, err error) {
	body, ok, err := t.get(k)
	if err != nil || !ok {
		return rec, false, err
	}
	if rec, err = wire.ParseSent(body); err != nil {
		return rec, false, corrupt(err)
	}
	return rec, true, nil
}

// kept reports whether a copy of the message is kept.
func (m *mailing) kept() bool {
	expires := m.copyExpires()
	return m.d.opts.RetryFor >= 0 && len(m.s.plain) <= maxCopied && (expires == 0 || expires > m.d.now())
}

// copyExpires is when the copy goes at the latest, in milliseconds, which is
// also when the message disappears; 0 is never.
func (m *mailing) copyExpires() uint64 {
	expires := m.s.expires
	if timer := m.s.content.Timer; timer > 0 {
		if at := after(m.s.sentAt, timer); expires == 0 || at < expires {
			expires = at
		}
	}
	return expires
}

// over reports whether the message has disappeared.
func (s *Sending) over(now uint64) bool {
	return s.content.Timer > 0 && past(after(s.sentAt, s.content.Timer), now)
}

// recipients are the devices with a message. In a record that was there, what is
// said of devices that this mailing is not about, and how often they asked, stays,
// also under the name that their user was given since.
func (m *mailing) recipients(before []wire.Recipient, there bool) []wire.Recipient {
	known := make(map[Address]*wire.Recipient, len(before))
	for i := range before {
		known[Address{User: before[i].User, Device: before[i].Device}] = &before[i]
	}
	out := make([]wire.Recipient, 0, len(before)+len(m.results))
	for _, to := range before {
		if there && !m.s.isTo(m.d, to.User) {
			out = append(out, to)
		}
	}
	for i := range m.results {
		r := &m.results[i]
		if !m.s.reaches(r) {
			continue
		}
		to := wire.Recipient{User: r.To.User, Device: r.To.Device, Hint: r.hint[:]}
		was := known[r.To]
		switch {
		case m.made[r.To] != nil && was != nil:
			to.Resends = was.Resends
		case was != nil:
			to = *was
		case m.made[r.To] == nil && there:
			continue // taken out by another operation
		}
		out = append(out, to)
	}
	return out
}

// trimCopy takes devices without a message out of the loaded record "sent".
func (t *Tx) trimCopy(s *Sending) {
	k := t.d.sentKey(s.sentAt)
	rec, ok, err := t.sent(k)
	if err != nil || !ok || !s.copiedAs(&rec) {
		t.check(k)
		return
	}
	n := len(rec.Recipients)
	rec.Recipients = slices.DeleteFunc(rec.Recipients, func(to wire.Recipient) bool {
		was := s.result(Address{User: to.User, Device: to.Device})
		return s.isTo(t.d, to.User) && !s.reaches(was)
	})
	switch len(rec.Recipients) {
	case n:
	case 0:
		t.del(k)
	default:
		t.put(k, wire.AppendSent(nil, &rec))
	}
}
