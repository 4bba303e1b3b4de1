package session

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/ratchet"
)

// Limits of a peer device's archive (design, Section 7).
const (
	maxArchived   = 40 // sessions, the current one aside
	maxUnaccepted = 4  // of them under an identity that never was the accepted one
	archiveTime   = 30 * 24 * time.Hour
)

// A book is the sessions with one peer device as an operation sees them: the
// record "session", whose archived entries are records of their own.
type book struct {
	t    *Tx
	peer Address
	wire.SessionIndex
}

// openBook reads the loaded record "session" of peer.
func (t *Tx) openBook(peer Address) (book, error) {
	index, err := parseIndex(t.value(t.d.sessionKey(peer)))
	return book{t: t, peer: peer, SessionIndex: index}, err
}

// parseIndex reads the value of a record "session"; nil: none.
func parseIndex(value []byte) (index wire.SessionIndex, err error) {
	if value == nil {
		return index, nil
	}
	body, err := unformat(kindSession, value)
	if err != nil {
		return index, err
	}
	if index, err = wire.ParseSessionIndex(body); err != nil {
		return index, corrupt(err)
	}
	return index, nil
}

// appendIndex returns the value of a record "session". In most operations it
// grows little from what it was.
func appendIndex(was []byte, index *wire.SessionIndex) []byte {
	return wire.AppendSessionIndex(append(make([]byte, 0, len(was)+512), format), index)
}

// renew makes s the current session in what write writes.
func (b *book) renew(s *ratchet.Session) { b.Current, b.Next = nil, s }

// write puts the record "session" back.
func (b *book) write() {
	k := b.t.d.sessionKey(b.peer)
	b.t.set(k, appendIndex(b.t.entry(k).rec.Value, &b.SessionIndex))
}

// current parses the current session; nil where there is none.
func (b *book) current() (*ratchet.Session, error) { return currentOf(&b.SessionIndex) }

func currentOf(index *wire.SessionIndex) (*ratchet.Session, error) {
	if index.Current == nil {
		return nil, nil
	}
	s, err := ratchet.Parse(index.Current)
	if err != nil {
		return nil, corrupt(err)
	}
	return s, nil
}

// loadArchive loads the archive records at places, in one Load, and that which
// the current session gets if one of them takes its place.
func (b *book) loadArchive(places []int) error {
	if len(places) == 0 {
		return nil
	}
	return b.t.loadBeside(b.t.d.sessionKey(b.peer), b.archiveKeys(places)...)
}

// archiveKeys are the archive records at places, and that which the current
// session gets.
func (b *book) archiveKeys(places []int) []keystore.Key {
	wanted := make([]keystore.Key, 0, len(places)+1)
	for _, i := range places {
		wanted = append(wanted, b.t.d.archiveKey(b.peer, b.Archived[i].Name))
	}
	if b.Current != nil {
		s, _ := b.current() // nil is fine, too
		wanted = append(wanted, b.t.d.archiveKey(b.peer, note(s, b.Current, 0).Name))
	}
	return wanted
}

// places are those of the archived sessions that match.
func (b *book) places(match func(*wire.ArchivedNote) bool) []int {
	var out []int
	for i := range b.Archived {
		if match(&b.Archived[i]) {
			out = append(out, i)
		}
	}
	return out
}

// every matches all archived sessions.
func every(*wire.ArchivedNote) bool { return true }

// archived parses the loaded archived session i; nil where its record is
// missing or does not decode, which blocks nothing else. The error is
// keystore.ErrNewerFormat: such a session may well be the one.
func (b *book) archived(i int) (*ratchet.Session, error) {
	body, ok, err := b.t.get(b.t.d.archiveKey(b.peer, b.Archived[i].Name))
	if errors.Is(err, keystore.ErrNewerFormat) {
		return nil, err
	}
	if err != nil || !ok {
		return nil, nil
	}
	s, err := ratchet.Parse(body)
	if err != nil {
		return nil, nil
	}
	return s, nil
}

// expired reports whether n was archived more than 30 days ago. Such a session
// is not tried any more, and goes with the next commit.
func expired(n *wire.ArchivedNote, now uint64) bool {
	return older(n.ArchivedAt, now, archiveTime)
}

// expire drops what expired.
func (b *book) expire(now uint64) error {
	return b.dropAll(func(n *wire.ArchivedNote) bool { return expired(n, now) })
}

// dropAll removes the archived sessions that match, and their records.
func (b *book) dropAll(match func(*wire.ArchivedNote) bool) error {
	places := b.places(match)
	if err := b.loadArchive(places); err != nil {
		return err
	}
	for _, i := range places {
		b.t.del(b.t.d.archiveKey(b.peer, b.Archived[i].Name))
	}
	if len(places) > 0 {
		b.Archived = slices.DeleteFunc(slices.Clone(b.Archived), func(n wire.ArchivedNote) bool { return match(&n) })
	}
	return nil
}

// archiveCurrent moves the current session to the front of the archive, where
// it sends no prekey messages any more.
func (b *book) archiveCurrent(now uint64) error {
	if b.Current == nil {
		return nil
	}
	raw := b.Current
	b.Current = nil
	s, err := ratchet.Parse(raw)
	if err != nil { // carried along; it blocks nothing
		return b.insert(note(nil, raw, now), raw)
	}
	return b.archive(s, now, false)
}

// archive puts s at the front of the archive; unaccepted says that its remote
// identity is not the accepted one.
func (b *book) archive(s *ratchet.Session, now uint64, unaccepted bool) error {
	s.ClearPending()
	raw := s.Append(nil)
	n := note(s, raw, now)
	n.Unaccepted = unaccepted
	return b.insert(n, raw)
}

// note is what the record "session" says of an archived session, nil for one
// that does not decode. Its name is SHA-256 of the base key, or of the stored
// bytes where there is none.
func note(s *ratchet.Session, raw []byte, now uint64) wire.ArchivedNote {
	if s == nil {
		return wire.ArchivedNote{Name: hashOf(raw), ArchivedAt: now}
	}
	name := raw
	if base := s.BaseKey(); len(base) > 0 {
		name = base
	}
	return wire.ArchivedNote{Name: hashOf(name), ArchivedAt: now, Hints: hints(s)}
}

// insert writes the archive record of n and puts n in front, in place of an
// older one of that name, and makes room.
func (b *book) insert(n wire.ArchivedNote, raw []byte) error {
	key := b.t.d.archiveKey(b.peer, n.Name)
	if err := b.t.load(key); err != nil {
		return err
	}
	b.t.put(key, raw)
	b.t.check(b.t.d.peerKey(b.peer))
	notes := []wire.ArchivedNote{n}
	for _, old := range b.Archived {
		if !bytes.Equal(old.Name, n.Name) {
			notes = append(notes, old)
		}
	}
	b.Archived = notes
	return b.trim(n.ArchivedAt)
}

// trim keeps the archive within its limits: what expired goes first, then, of
// the sessions under identities that are not accepted, the oldest; of the others
// only when all 40 are such.
func (b *book) trim(now uint64) error {
	if err := b.expire(now); err != nil {
		return err
	}
	for {
		unaccepted, oldest := 0, -1
		for i, n := range b.Archived {
			if n.Unaccepted {
				unaccepted, oldest = unaccepted+1, i
			}
		}
		switch {
		case unaccepted > maxUnaccepted:
		case len(b.Archived) <= maxArchived:
			return nil
		case oldest < 0:
			oldest = len(b.Archived) - 1
		}
		if err := b.drop(oldest); err != nil {
			return err
		}
	}
}

// drop removes archived session i and its record.
func (b *book) drop(i int) error {
	key := b.t.d.archiveKey(b.peer, b.Archived[i].Name)
	if err := b.t.load(key); err != nil {
		return err
	}
	b.t.del(key)
	b.Archived = slices.Concat(b.Archived[:i], b.Archived[i+1:])
	return nil
}

// keep writes archived session i back in its place.
func (b *book) keep(i int, s *ratchet.Session) {
	raw := s.Append(nil)
	b.Archived = slices.Clone(b.Archived)
	b.Archived[i].Hints = hints(s)
	b.t.put(b.t.d.archiveKey(b.peer, b.Archived[i].Name), raw)
}

// promote makes archived session i, which is s, the current one, the old
// current one the newest in the archive. It sends no prekey messages any more.
func (b *book) promote(i int, s *ratchet.Session, now uint64) error {
	if err := b.drop(i); err != nil {
		return err
	}
	if err := b.archiveCurrent(now); err != nil {
		return err
	}
	s.ClearPending()
	b.renew(s)
	return nil
}

// byName returns the place of an archived session, or −1.
func (b *book) byName(name []byte) int {
	return slices.IndexFunc(b.Archived, func(n wire.ArchivedNote) bool { return bytes.Equal(n.Name, name) })
}

func hashOf(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// hint is the first bytes of SHA-256, of a ratchet key above all.
func hint(ratchetKey []byte) []byte {
	return hashOf(ratchetKey)[:wire.HintSize]
}

func hints(s *ratchet.Session) []byte {
	var out []byte
	for _, k := range s.ReceiverKeys() {
		out = append(out, hint(k)...)
	}
	return out
}

// hinted reports whether n may hold the ratchet key with this hint.
func hinted(n *wire.ArchivedNote, hint []byte) bool {
	for h := range slices.Chunk(n.Hints, wire.HintSize) {
		if bytes.Equal(h, hint) {
			return true
		}
	}
	return false
}
