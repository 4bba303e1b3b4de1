package session

import (
	"crypto/sha256"
	"errors"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A parcel is the part of a mailing that goes to one device.
type parcel struct {
	wire.Secret

	to Address
	// listed is the registration id that the device has, as far as is known; 0
	// is unknown. With renew it is that of the session that is of no use any more.
	listed uint32
	renew  bool
	roster *roster
	shared bool // it gets the message that all get alike

	letter  letter
	wanting bool // a bundle
	begins  bool // a session, in place of what there was

	registrationID uint32
	hint           [wire.HintSize]byte
	identity       keys.IdentityKey
	session        [32]byte // SHA-256 of the base key
	message        *Message
	err            error

	sentAt uint64 // under which it was sealed
}

// own reports whether the parcel is for the own account.
func (p *parcel) own(d *Device) bool { return p.to.User == d.address.User }

// result is what became of it.
func (p *parcel) result() Result {
	r := Result{To: p.to, Message: p.message, Err: p.err, Identity: p.identity, Session: p.session, hint: p.hint, shared: p.shared}
	if r.RegistrationID = p.listed; p.message != nil || p.shared && p.registrationID != 0 {
		r.RegistrationID = p.registrationID
	}
	return r
}

// open opens the letter: on the current session, if that is of use, else with
// a bundle.
func (p *parcel) open(m *mailing) {
	p.letter = m.t.letter(p.to)
	l := &p.letter
	err := l.open()
	switch {
	case err == nil && p.usable():
		if p.registrationID = p.listed; p.listed == 0 || p.renew {
			p.registrationID = l.current.RemoteRegistrationID()
		}
		return
	case err == nil:
		if err = ErrNoSession; unansweredTooLong(l.current, l.now) {
			err = ErrStale
		}
	case !errors.Is(err, ErrNoSession):
		p.err = err
		return
	case l.read(l.identity) == nil && !l.settled():
		p.err = l.refuse(identityOf(l.rec.Seen))
		return
	}
	p.begin(m, err)
}

// begin takes the bundle that there is for a letter that has no session to go
// on with, or says that it is wanting; reason is why it is needed.
func (p *parcel) begin(m *mailing, reason error) {
	o, ok := m.offers[p.to]
	switch {
	case !ok && !m.last && m.d.opts.Directory != nil:
		p.wanting = true
		return
	case !ok:
		p.err = reason
		return
	case o.err != nil:
		p.err = o.err
		return
	}
	p.letter.bundle, p.begins = o.bundle, true
	p.registrationID = o.bundle.RegistrationID
	p.err = p.letter.open()
}

// usable reports whether the current session is with the device that there is
// now, and may be sent on.
func (p *parcel) usable() bool {
	remote := p.letter.current.RemoteRegistrationID()
	valid := remote >= 1 && remote <= maxRegistrationID
	switch {
	case unansweredTooLong(p.letter.current, p.letter.now):
		return false
	case p.renew:
		return valid && remote != p.listed
	case p.listed == 0:
		return valid
	}
	return registered(p.letter.current, p.listed)
}

// registered reports whether a session is with the registration that a device has
// now; imported ones may not say.
func registered(s *ratchet.Session, listed uint32) bool {
	remote := s.RemoteRegistrationID()
	return remote == 0 || remote == listed
}

func unansweredTooLong(s *ratchet.Session, now uint64) bool {
	pending, unanswered := s.Pending()
	return unanswered && stale(pending.Created, now)
}

// seal encrypts plaintext, and lets go what is not needed any more. Room is the
// letter's.
func (p *parcel) seal(plaintext []byte, room *[]byte) {
	if p.message != nil || p.err != nil || p.wanting || p.shared {
		return
	}
	p.letter.room = room
	if p.message, p.err = p.letter.seal(plaintext); p.err != nil {
		if p.begins {
			p.err = &DirectoryError{User: p.to.User, Device: p.to.Device, Err: p.err}
		}
		return
	}
	p.hint, p.identity, p.session = p.letter.hint, p.letter.remote, p.letter.name
	if !p.replaces() {
		p.letter.current, p.letter.index = nil, wire.SessionIndex{}
	}
}

// sessionName names a session in a Result.
func sessionName(s *ratchet.Session) [32]byte { return sha256.Sum256(s.BaseKey()) }

// replaces reports whether the letter begins a session in place of another one.
func (p *parcel) replaces() bool { return p.begins && p.letter.index.Current != nil }

// post puts what became of the records. A session that is replaced is archived.
func (p *parcel) post(t *Tx) error {
	if p.roster.set(p.to.Device, p.registrationID) {
		if err := t.Emit(Event{Kind: DeviceAdded, Address: p.to}); err != nil {
			return err
		}
	}
	if p.begins {
		b, err := t.openBook(p.to)
		if err != nil {
			return err
		}
		if b.Current != nil {
			if err := b.archiveCurrent(t.d.now()); err != nil {
				return err
			}
			b.renew(p.letter.current)
			b.write()
			p.letter.session = t.value(t.d.sessionKey(p.to))
		}
	}
	t.post(&p.letter)
	return nil
}

// stands reports whether p, which was sealed in an attempt that lost, is what q
// would come to: of the same records and the same message. Nothing left then, so
// its counter is used once. It is q then in all else.
func (p *parcel) stands(q *parcel, t *Tx) bool {
	if p.sentAt != q.sentAt || p.listed != q.listed || p.renew != q.renew || !p.letter.standsIn(t) {
		return false
	}
	p.roster = q.roster
	return true
}
