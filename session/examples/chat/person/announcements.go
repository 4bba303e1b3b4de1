package person

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// kindNotice are records of announcements. Their owner is the conversation.
const kindNotice = "notice"

// maxNotices bounds the announcements of one kind in a conversation, of which the
// newest stay. Each kind has room of its own: what somebody can bring about as often
// as they like pushes out nothing of another kind.
const maxNotices = 40

// A wording is a text in every language, so that what was announced once is there in
// the one that is spoken now.
type wording map[string]spoken

// A spoken is a text, and lines below it.
type spoken struct {
	Text  string   `json:"text"`
	Lines []string `json:"lines,omitempty"`
}

// saying fills in a text; lines, nil for none, are below it.
func saying(t text, lines func(lang string) []string, args ...any) wording {
	s := wording{}
	for _, lang := range []string{"en", "id"} {
		one := spoken{Text: fmt.Sprintf(t.in(lang), args...)}
		if lines != nil {
			one.Lines = lines(lang)
		}
		s[lang] = one
	}
	return s
}

// in returns what is wording in a language, English for one that is not known.
func (s wording) in(lang string) spoken {
	if one, ok := s[lang]; ok {
		return one
	}
	return s["en"]
}

// An announcement is what stands between the messages of a conversation: that its
// label changed, and the like. It is stored before what it tells of is acknowledged
// or shown, so that neither a crash nor a reload loses it.
type announcement struct {
	ID   string    `json:"-"` // the record's name
	Peer string    `json:"-"` // its owner
	At   time.Time `json:"at"`
	Kind string    `json:"kind"` // of the event
	Said wording   `json:"said"`

	version uint64
}

func announced(peer, kind string, s wording) *announcement {
	return &announcement{ID: newID(), Peer: peer, At: time.Now(), Kind: kind, Said: s}
}

// of names a by what it tells of, so that the same thing is announced once.
func (a *announcement) of(id string, at time.Time) *announcement {
	a.ID, a.At = id, at
	return a
}

// at says when it was.
func (a *announcement) at(at time.Time) *announcement {
	a.At = at
	return a
}

// eventID names the event of a message, or of none.
func eventID(r *session.Received, i int, e *session.Event) string {
	if r == nil {
		return hex.EncodeToString(e.ID[:])
	}
	return fmt.Sprintf("%x-%d", r.ID, i)
}

func (n notebook) noticeKey(peer, id string) keystore.Key {
	return keystore.Key{Scope: n.scope, Kind: kindNotice, Owner: peer, Name: id}
}

// announce stores an announcement together with other changes. One that is there is
// not stored again.
func (n notebook) announce(ctx context.Context, a *announcement, with ...keystore.Change) error {
	value, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = n.store.Commit(ctx, append(with, keystore.Change{Op: keystore.Put, Key: n.noticeKey(a.Peer, a.ID), Value: value})...)
	there := (*keystore.ConflictError)(nil)
	switch {
	case len(with) == 0 && errors.As(err, &there):
		return nil
	case err != nil:
		return err
	}
	_ = n.forgetOld(ctx, a.Peer, a.Kind) // what stays goes with the next
	return nil
}

// forgetOld removes the oldest announcements of a kind, above the maximum.
func (n notebook) forgetOld(ctx context.Context, peer, kind string) error {
	all, err := n.announcements(ctx, peer)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(a *announcement) bool { return a.Kind != kind })
	for len(all) > maxNotices {
		old := all[0]
		_, err := n.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: n.noticeKey(old.Peer, old.ID), Expect: old.version})
		if err != nil {
			return err
		}
		all = all[1:]
	}
	return nil
}

// announcements returns those of a conversation, "" for all, oldest first.
func (n notebook) announcements(ctx context.Context, peer string) ([]*announcement, error) {
	var out []*announcement
	for rec, err := range n.store.List(ctx, n.scope, kindNotice, peer) {
		if err != nil {
			return nil, err
		}
		a := &announcement{ID: rec.Key.Name, Peer: rec.Key.Owner, version: rec.Version}
		if err := json.Unmarshal(rec.Value, a); err != nil {
			return nil, fmt.Errorf("%w: an announcement", keystore.ErrCorrupt)
		}
		out = append(out, a)
	}
	slices.SortFunc(out, inTurn)
	return out, nil
}

// inTurn orders announcements by time. Those that one message brought have the same:
// then by whose keys it is, what becomes of them, and what else it says.
func inTurn(a, b *announcement) int {
	turn := []string{ChangedEvent, HostingEvent, TimerEvent}
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(slices.Index(turn, a.Kind), slices.Index(turn, b.Kind)), cmp.Compare(a.ID, b.ID))
}

// tell stores an announcement and shows it.
func (p *Person) tell(ctx context.Context, a *announcement, with ...keystore.Change) error {
	if err := p.notes.announce(ctx, a, with...); err != nil {
		return err
	}
	one := a.Said.in(p.language())
	p.screen.Show(Event{Kind: a.Kind, Peer: a.Peer, Text: one.Text, Lines: one.Lines})
	return nil
}
