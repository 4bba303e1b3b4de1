package session

import (
	"bytes"
	"context"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// ExportSession returns the sessions with a peer device as a libsignal session
// record (storage, Section 4.1), the current one and the archived ones but for
// those that AfterRestore archived: others would send on them. It is secret.
// Whoever goes on with it must be the only one who does. The error is
// ErrNoSession where there is none.
func (d *Device) ExportSession(ctx context.Context, peer Address) ([]byte, error) {
	peer, err := peer.canonical()
	if err != nil {
		return nil, err
	}
	var out []byte
	err = d.run(ctx, peer.String(), func(t *Tx) (err error) {
		out, err = t.export(peer)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// export joins the records of the sessions with peer. That they belong
// together is for the commit to find out.
func (t *Tx) export(peer Address) ([]byte, error) {
	if err := t.load(t.d.sessionKey(peer)); err != nil {
		return nil, err
	}
	b, err := t.openBook(peer)
	if err != nil {
		return nil, err
	}
	places := b.places(func(n *wire.ArchivedNote) bool { return !n.Restored })
	if b.Current == nil && len(places) == 0 {
		return nil, ErrNoSession
	}
	if err := b.loadArchive(places); err != nil {
		return nil, err
	}
	rec := wire.SessionRecord{Current: b.Current}
	for _, i := range places {
		key := t.d.archiveKey(peer, b.Archived[i].Name)
		body, ok, err := t.get(key)
		if err != nil {
			return nil, err
		}
		if ok {
			rec.Previous = append(rec.Previous, body)
		}
		t.check(key)
	}
	t.check(t.d.sessionKey(peer))
	return wire.AppendSessionRecord(nil, &rec), nil
}

// ImportSession puts a libsignal session record in place of all sessions with
// a peer device. The identity key of the record's newest session is trusted
// when none of that device was accepted before. Archived sessions count as
// archived now, and stay byte for byte as they are until they are used. Of two
// with one base key only the newer is taken: the other would read messages, and
// use counters, a second time.
//
// Errors: ErrMalformed and ErrTooLarge; ErrVersion for a current session that
// is neither of version 4 nor 3; ErrNoSession for a record without sessions;
// IdentityMismatchError for a record of another own identity;
// UntrustedIdentityError when the current session is under another key than
// the accepted one.
func (d *Device) ImportSession(ctx context.Context, peer Address, record []byte) error {
	peer, err := peer.canonical()
	if err != nil {
		return err
	}
	rec, err := wire.ParseSessionRecord(record)
	if err != nil {
		return err
	}
	in, err := d.readImport(peer, &rec)
	if err != nil {
		return err
	}
	return d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(d.sessionKey(peer), d.identityKey(peer), d.peerKey(peer)); err != nil {
			return err
		}
		tr, err := t.trust(peer)
		if err != nil {
			return err
		}
		if in.current != nil && !tr.accepts(in.remote) {
			return tr.refuse(in.remote)
		}
		b, err := t.openBook(peer)
		if err != nil {
			return err
		}
		if !in.remote.IsZero() {
			tr.rely(in.remote, d.now())
		}
		t.check(d.peerKey(peer))
		return b.replace(in, d.now())
	})
}

// An imported is a session record taken apart.
type imported struct {
	wire.Secret

	current  *ratchet.Session   // nil: none
	archived []*ratchet.Session // newest first; nil where one does not decode
	raw      [][]byte           // the same, as they came
	remote   keys.IdentityKey   // of the newest session that has one
}

// readImport takes a session record apart.
func (d *Device) readImport(peer Address, rec *wire.SessionRecord) (*imported, error) {
	in := &imported{}
	if rec.Current == nil && len(rec.Previous) == 0 {
		return nil, ErrNoSession
	}
	if rec.Current != nil {
		if err := d.readCurrent(in, peer, rec.Current); err != nil {
			return nil, err
		}
	}
	for _, raw := range rec.Previous {
		s, err := ratchet.Parse(raw)
		if err != nil {
			s = nil
		}
		if in.doubles(s) {
			continue
		}
		if s != nil && in.remote.IsZero() {
			in.remote, _ = s.RemoteIdentity()
		}
		in.archived, in.raw = append(in.archived, s), append(in.raw, raw)
	}
	return in, nil
}

// readCurrent reads the current session of a record, which must be one that
// this device could have made.
func (d *Device) readCurrent(in *imported, peer Address, raw []byte) error {
	s, err := ratchet.Parse(raw)
	if err != nil {
		return err
	}
	if !speaks(s) {
		return fmt.Errorf("%w: session of version %d", ErrVersion, s.Version())
	}
	local, err := s.LocalIdentity()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !local.Equal(d.identity.Public()) {
		return &IdentityMismatchError{Address: peer, Expected: d.identity.Public(), Seen: local}
	}
	if in.remote, err = s.RemoteIdentity(); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	in.current = s
	return nil
}

// doubles reports whether s is an older state of the current session.
func (in *imported) doubles(s *ratchet.Session) bool {
	if s == nil || in.current == nil {
		return false
	}
	base := s.BaseKey()
	return len(base) > 0 && bytes.Equal(base, in.current.BaseKey())
}

// speaks reports whether s is of a version that can be sent: 4, or 3, which
// only imported sessions are.
func speaks(s *ratchet.Session) bool { return s.Version() == wire.Version || s.Version() == 3 }

// replace puts the imported sessions in place of those in b.
func (b *book) replace(in *imported, now uint64) error {
	if err := b.dropAll(every); err != nil {
		return err
	}
	b.Current = nil
	notes := make([]wire.ArchivedNote, len(in.raw))
	wanted := make([]keystore.Key, len(in.raw))
	for i, raw := range in.raw {
		notes[i] = note(in.archived[i], raw, now)
		wanted[i] = b.t.d.archiveKey(b.peer, notes[i].Name)
	}
	if err := b.t.load(wanted...); err != nil {
		return err
	}
	for i := len(notes) - 1; i >= 0; i-- {
		if err := b.insert(notes[i], in.raw[i]); err != nil {
			return err
		}
	}
	if in.current != nil {
		b.renew(in.current)
	}
	b.write()
	return nil
}

// Archive archives the current session with a peer device: sending then needs
// a new one, receiving goes on. The error is ErrNoSession where there is none.
func (d *Device) Archive(ctx context.Context, peer Address) error {
	peer, err := peer.canonical()
	if err != nil {
		return err
	}
	return d.run(ctx, peer.String(), func(t *Tx) error {
		if err := t.load(d.sessionKey(peer), d.peerKey(peer)); err != nil {
			return err
		}
		b, err := t.openBook(peer)
		if err != nil {
			return err
		}
		if b.Current == nil {
			return ErrNoSession
		}
		if err := b.archiveCurrent(d.now()); err != nil {
			return err
		}
		b.write()
		t.check(d.peerKey(peer))
		return nil
	})
}
