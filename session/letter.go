package session

import (
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A letter is one message to one peer device in the making: values of records
// go in, and come out as they are to become. It has no Tx and looks at nothing
// of the Device but who it is, so that several are made at once, each by one
// goroutine. It is opened, and then sealed; after an error of either the values
// are as they were. It holds secrets.
type letter struct {
	wire.Secret

	standing
	now      uint64    // milliseconds since 1970
	at       [2]int    // where the Tx has the records "session" and "identity"
	versions [2]uint64 // which they had

	// The values of the records "session" and "identity" of the peer device; nil:
	// none. Seal sets what they become.
	session, identity []byte
	// bundle is what seal begins a session from; to archive one that was current
	// is left to others. Nil: it goes on with the current one.
	bundle *x3dh.Bundle
	// room, if it is set, is where one letter after the other is written before
	// it takes the place of the loaded value, of which nobody may need anything.
	room *[]byte

	index   wire.SessionIndex
	current *ratchet.Session
	remote  keys.IdentityKey    // whom it is for, once opened
	hint    [wire.HintSize]byte // of the keys it was encrypted under, once sealed
	name    [32]byte            // of the session it was encrypted on, once sealed
	first   bool                // remote is trusted on first use: "identity" changed, and relies on "peer"
}

// letter is a message to a peer device whose records are loaded.
func (t *Tx) letter(to Address) letter {
	l := letter{standing: standing{d: t.d, peer: to}, now: t.d.now()}
	l.versions = l.lookUp(t)
	l.session, l.identity = t.recs[l.at[0]].current(), t.recs[l.at[1]].current()
	return l
}

// lookUp finds the records, and returns their versions.
func (l *letter) lookUp(t *Tx) (versions [2]uint64) {
	l.at = [2]int{t.at(t.d.sessionKey(l.peer)), t.at(t.d.identityKey(l.peer))}
	return [2]uint64{t.recs[l.at[0]].rec.Version, t.recs[l.at[1]].rec.Version}
}

// standsIn reports whether a letter, of a Tx that lost, would come out of
// another one as it is: of the same records. It is one of that Tx then.
func (l *letter) standsIn(t *Tx) bool { return l.lookUp(t) == l.versions }

// post puts the records of a sealed letter, and makes the outcome depend on
// what it relied on.
func (t *Tx) post(l *letter) {
	t.alterAt(l.at[0], keystore.Put, l.session)
	if l.first {
		t.alterAt(l.at[1], keystore.Put, l.identity)
		t.check(t.d.peerKey(l.peer))
	} else {
		t.checkAt(l.at[1])
	}
	if l.bundle != nil {
		t.check(t.d.peerKey(l.peer))
	}
	t.bound = true
}

// open reads the records, and finds out whom the message is for. A session that
// is current beside a bundle is the caller's to archive.
//
// Errors: ErrNoSession, UntrustedIdentityError, ErrCorrupt,
// keystore.ErrNewerFormat.
func (l *letter) open() (err error) {
	if l.index, err = parseIndex(l.session); err != nil {
		return err
	}
	if l.bundle != nil {
		l.remote = l.bundle.IdentityKey
	} else if err = l.resume(); err != nil {
		return err
	}
	if err = l.read(l.identity); err != nil {
		return err
	}
	switch {
	case !l.accepts(l.remote):
		return l.refuse(l.remote)
	case !l.settled():
		return l.refuse(identityOf(l.rec.Seen))
	}
	return nil
}

// resume takes up the current session.
func (l *letter) resume() (err error) {
	if l.current, err = currentOf(&l.index); err != nil {
		return err
	}
	if l.current == nil {
		return ErrNoSession
	}
	if l.remote, err = l.current.RemoteIdentity(); err != nil {
		return corrupt(err)
	}
	return nil
}

// seal encrypts plaintext, and sets the values of the records.
//
// Errors: ErrStale, ErrTooLarge, ErrExhausted, ErrCorrupt; with a bundle also
// ErrSignature and ErrZeroAgreement of package x3dh.
func (l *letter) seal(plaintext []byte) (*Message, error) {
	if l.bundle != nil {
		s, err := l.d.initiate(l.peer, l.bundle, l.now)
		if err != nil {
			return nil, err
		}
		l.current = s
	}
	m, err := l.encrypt(plaintext)
	if err != nil {
		return nil, err
	}
	l.hint, l.name = sentHint(l.current.SenderKey(), l.remote.Bytes()), sessionName(l.current)
	l.index.Next = l.current
	l.write()
	if l.first = !l.known; l.first {
		l.accept(l.remote, l.now)
		l.identity = formatted(wire.AppendIdentity(nil, &l.rec))
	}
	return m, nil
}

// write sets the value of the record "session". What was parsed of the one
// before may lie in it, and is not to be looked at any more.
func (l *letter) write() {
	if l.room == nil || l.bundle != nil {
		l.session = appendIndex(l.session, &l.index)
		return
	}
	room := wire.AppendSessionIndex(append((*l.room)[:0], format), &l.index)
	clear(l.session)
	l.session = append(l.session[:0], room...)
	clear(room)
	*l.room, l.room = room, nil
}

// encrypt encrypts on the session, and wraps while that is unanswered
// (wire-core, Section 9.1).
func (l *letter) encrypt(plaintext []byte) (*Message, error) {
	pending, unanswered := l.current.Pending()
	if !unanswered {
		raw, err := l.current.Encrypt(plaintext, nil)
		if err != nil {
			return nil, ratchetError(err)
		}
		return &Message{Type: TypeSignal, Bytes: raw}, nil
	}
	if stale(pending.Created, l.now) {
		return nil, ErrStale
	}
	raw, err := l.current.Encrypt(plaintext, binding(l.d.address, l.peer))
	if err != nil {
		return nil, ratchetError(err)
	}
	local, err := l.current.LocalIdentity()
	if err != nil {
		return nil, corrupt(err)
	}
	out := wire.PreKeySignalMessage{
		Version:        byte(l.current.Version()),
		RegistrationID: l.current.LocalRegistrationID(),
		HasPreKeyID:    pending.HasPreKey,
		PreKeyID:       pending.PreKeyID,
		SignedPreKeyID: pending.SignedPreKeyID,
		HasKEM:         len(pending.KEMCiphertext) > 0,
		KEMPreKeyID:    pending.KEMPreKeyID,
		KEMCiphertext:  pending.KEMCiphertext,
		BaseKey:        pending.BaseKey,
		IdentityKey:    local.Bytes(),
		MessageBytes:   raw,
	}
	return &Message{Type: TypePreKey, Bytes: wire.AppendPreKeySignalMessage(nil, &out)}, nil
}

// stale reports whether a session created at a time in seconds is older than
// 30 days at now in milliseconds; exactly 30 days is not (wire-core, 7.6).
func stale(created int64, now uint64) bool {
	if created < 0 || created > 1<<50 {
		return false
	}
	return older(uint64(created)*1000, now, staleAfter)
}
