package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A PeerIdentity is what is known of a peer device's identity key. The zero
// value says that nothing is.
type PeerIdentity struct {
	Accepted   keys.IdentityKey
	AcceptedAt time.Time
	// Verified says that the user has compared Accepted with the peer's own,
	// which Verify notes.
	Verified bool
	// Seen is the key of the newest handshake. While it is not Accepted, sends
	// are refused.
	Seen keys.IdentityKey
}

// A standing is what the record "identity" says of a peer device.
type standing struct {
	d     *Device // of which it needs who that is
	peer  Address
	known bool
	rec   wire.Identity
}

// read reads the value of the record; nil: none.
func (st *standing) read(value []byte) error {
	if value == nil {
		return nil
	}
	body, err := unformat(kindIdentity, value)
	if err != nil {
		return err
	}
	if st.rec, err = wire.ParseIdentity(body); err != nil {
		return corrupt(err)
	}
	st.known = true
	return nil
}

// accepts reports whether key is the accepted one; the first key ever is, but
// for a device of the own account, which has the own key until another is
// accepted.
func (st *standing) accepts(key keys.IdentityKey) bool {
	if !st.known {
		return !st.own() || key.Equal(st.d.Identity())
	}
	return string(st.rec.Accepted) == string(key.Bytes())
}

// own reports whether the peer is a device of the own account.
func (st *standing) own() bool { return st.peer.User == st.d.address.User }

// settled reports whether the newest handshake came from the accepted key.
func (st *standing) settled() bool {
	return !st.known || string(st.rec.Accepted) == string(st.rec.Seen)
}

// accept makes key the accepted one.
func (st *standing) accept(key keys.IdentityKey, now uint64) {
	verified := st.rec.Verified && st.accepts(key)
	st.rec = wire.Identity{Accepted: key.Bytes(), AcceptedAt: now, Seen: key.Bytes(), Verified: verified}
	st.known = true
}

func (st *standing) acceptedKey() keys.IdentityKey {
	if !st.known && st.own() {
		return st.d.Identity()
	}
	return identityOf(st.rec.Accepted)
}

// refuse is the error of a send that the record forbids.
func (st *standing) refuse(seen keys.IdentityKey) error {
	return &UntrustedIdentityError{Address: st.peer, Accepted: st.acceptedKey(), Seen: seen}
}

// A trust is the record "identity" of a peer device within an operation.
type trust struct {
	standing
	t *Tx
}

func (t *Tx) trust(peer Address) (trust, error) {
	tr := trust{t: t, standing: standing{d: t.d, peer: peer}}
	err := tr.read(t.value(t.d.identityKey(peer)))
	return tr, err
}

// rely makes the outcome depend on the record; where there is none yet, key
// is trusted on first use, if it may be.
func (tr *trust) rely(key keys.IdentityKey, now uint64) {
	if tr.known || !tr.accepts(key) {
		tr.t.check(tr.t.d.identityKey(tr.peer))
		return
	}
	tr.accept(key, now)
}

// accept makes key the accepted one, in the record.
func (tr *trust) accept(key keys.IdentityKey, now uint64) {
	tr.standing.accept(key, now)
	tr.write()
	tr.t.check(tr.t.d.peerKey(tr.peer))
}

// see notes the key of a handshake, and reports a change once.
func (tr *trust) see(key keys.IdentityKey, now uint64) []Event {
	if !tr.known && !tr.accepts(key) {
		tr.accept(tr.t.d.Identity(), now)
	}
	if !tr.known || string(tr.rec.Seen) == string(key.Bytes()) {
		tr.rely(key, now)
		return nil
	}
	tr.rec.Seen = key.Bytes()
	tr.write()
	if tr.accepts(key) {
		return nil
	}
	return []Event{{Kind: IdentityChanged, Address: tr.peer, Accepted: tr.acceptedKey(), Seen: key}}
}

func (tr *trust) write() {
	tr.t.put(tr.t.d.identityKey(tr.peer), wire.AppendIdentity(nil, &tr.rec))
}

// identityOf returns the zero key for a record without one.
func identityOf(b []byte) keys.IdentityKey {
	k, _ := keys.ParseIdentityKey(b)
	return k
}

// PeerIdentity returns what is known of a peer device's identity key; the zero
// value when that is nothing.
func (d *Device) PeerIdentity(ctx context.Context, peer Address) (PeerIdentity, error) {
	peer, err := peer.canonical()
	if err != nil {
		return PeerIdentity{}, err
	}
	t := d.begin(ctx)
	t.always = true
	if err := t.load(d.identityKey(peer)); err != nil {
		return PeerIdentity{}, err
	}
	tr, err := t.trust(peer)
	if err != nil || !tr.known {
		return PeerIdentity{}, err
	}
	return PeerIdentity{
		Accepted:   tr.acceptedKey(),
		AcceptedAt: time.UnixMilli(int64(tr.rec.AcceptedAt)),
		Verified:   tr.rec.Verified,
		Seen:       identityOf(tr.rec.Seen),
	}, nil
}

// AcceptIdentity makes key the accepted identity key of a peer device. A
// current session under another key is archived; the newest one under this
// key on which something was read, if there is one, becomes the current one. A
// key other than the one before is not verified. The zero key is keys.ErrKey.
func (d *Device) AcceptIdentity(ctx context.Context, peer Address, key keys.IdentityKey) error {
	peer, err := peer.canonical()
	if err != nil {
		return err
	}
	if key.IsZero() {
		return fmt.Errorf("%w: no identity key", keys.ErrKey)
	}
	return d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(d.sessionKey(peer), d.identityKey(peer), d.peerKey(peer)); err != nil {
			return err
		}
		tr, err := t.trust(peer)
		if err != nil {
			return err
		}
		b, err := t.openBook(peer)
		if err != nil {
			return err
		}
		tr.accept(key, d.now())
		return b.reorder(key, d.now())
	})
}

// Verify notes that the user has compared the accepted identity key of a peer
// device with the peer's own, or takes that back; PeerIdentity tells it. Key is
// the one that was compared. It changes nothing else, and goes when another key
// is accepted.
//
// Errors: keys.ErrKey for the zero key; IdentityMismatchError when key is not
// the accepted one, or none is; those of the store. After an error nothing
// changed.
func (d *Device) Verify(ctx context.Context, peer Address, key keys.IdentityKey, verified bool) error {
	peer, err := peer.canonical()
	if err != nil {
		return err
	}
	if key.IsZero() {
		return fmt.Errorf("%w: no identity key", keys.ErrKey)
	}
	return d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(d.identityKey(peer)); err != nil {
			return err
		}
		tr, err := t.trust(peer)
		if err != nil {
			return err
		}
		if !tr.known || !tr.accepts(key) {
			return &IdentityMismatchError{Address: peer, Expected: identityOf(tr.rec.Accepted), Seen: key}
		}
		if tr.rec.Verified != verified {
			tr.rec.Verified = verified
			tr.write()
		}
		return nil
	})
}

// reorder puts the sessions in order after key became the accepted one.
// Sessions under the key before keep their places in the archive.
func (b *book) reorder(key keys.IdentityKey, now uint64) error {
	if b.Current == nil && len(b.Archived) == 0 {
		return nil
	}
	if err := b.expire(now); err != nil {
		return err
	}
	current, err := b.current()
	outdated := err != nil || current == nil || !under(current, key)
	place, s, err := b.admit(key)
	switch {
	case err != nil:
	case !outdated:
	case s != nil:
		err = b.promote(place, s, now)
	default:
		err = b.archiveCurrent(now)
	}
	if err != nil {
		return err
	}
	b.write()
	return nil
}

// admit marks the archived sessions under key as accepted, and returns the
// newest of them that may send: that the peer knows of, since no archived one
// sends prekey messages.
func (b *book) admit(key keys.IdentityKey) (place int, newest *ratchet.Session, err error) {
	if err := b.loadArchive(b.places(every)); err != nil {
		return 0, nil, err
	}
	b.Archived = slices.Clone(b.Archived)
	for i := range b.Archived {
		s, err := b.archived(i)
		if err != nil {
			return 0, nil, err
		}
		if s == nil || !under(s, key) {
			continue
		}
		b.Archived[i].Unaccepted = false
		if newest == nil && !b.Archived[i].Restored && s.Heard() {
			place, newest = i, s
		}
	}
	return place, newest, nil
}

// under reports whether the remote identity of s is key.
func under(s *ratchet.Session, key keys.IdentityKey) bool {
	remote, err := s.RemoteIdentity()
	return err == nil && remote.Equal(key)
}
