package person

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// The kinds of records in a notebook.
const (
	kindHistory = "history" // what was read and what was sent
	kindOutbox  = "outbox"  // what was written, until the relay has it
)

// A notebook is what the app itself keeps: the conversations, and what waits to
// be sent. An app has a database for that. Here the store does for it, under a
// scope of its own: it is durable, and a second save of the same record is a
// keystore.ConflictError, which is all it takes to show nothing twice.
type notebook struct {
	store keystore.Store
	scope string
}

func notesOf(store keystore.Store, me session.Address) notebook {
	return notebook{store, "chat " + post.Label(me)}
}

// A note is one message. Peer is whom one talks with, or the group in which one
// does.
type note struct {
	ID   string    `json:"-"` // the record's name
	At   time.Time `json:"at"`
	Peer string    `json:"peer"`
	Mine bool      `json:"mine,omitempty"`
	Text string    `json:"text,omitempty"`
	File *file     `json:"file,omitempty"`
	From string    `json:"from,omitempty"` // who wrote it, in a group
	Gone time.Time `json:"gone,omitzero"`  // when it disappears; zero: never
	// What was known of its sender when it came, as an event says it.
	Outsider   bool `json:"outsider,omitempty"`
	Unlisted   bool `json:"unlisted,omitempty"`
	Unaccepted bool `json:"unaccepted,omitempty"`
	Rejected   bool `json:"rejected,omitempty"` // by the relay; it went to nobody, as far as is known
	// In the outbox: who is in the group from the Round on, and who is told that.
	Members []string `json:"members,omitempty"`
	Round   uint64   `json:"round,omitempty"`
	To      []string `json:"to,omitempty"`
	// Sealed is the ciphertext of one in the outbox, once there is one. It is
	// sent as it is for as long as it takes: what was encrypted is never
	// encrypted again, since a relay that was slow to answer may have it.
	Sealed []*post.Submission `json:"sealed,omitempty"`
	Until  time.Time          `json:"until,omitzero"`  // when its certificate expires; zero: it has none
	Again  bool               `json:"again,omitempty"` // sent before: it is in the history
	Lasts  time.Duration      `json:"lasts,omitempty"` // after it was sent, or read; 0: for good

	version uint64 // the record's; 0: not stored
}

func (n notebook) key(kind, id string) keystore.Key {
	return keystore.Key{Scope: n.scope, Kind: kind, Name: id}
}

// save stores a note as it now is, together with other changes.
func (n *notebook) save(ctx context.Context, kind string, x *note, with ...keystore.Change) error {
	value, err := json.Marshal(x)
	if err != nil {
		return err
	}
	v, err := n.store.Commit(ctx, append(with, keystore.Change{Op: keystore.Put, Key: n.key(kind, x.ID), Expect: x.version, Value: value})...)
	if err != nil {
		return err
	}
	x.version = v
	return nil
}

// body is what a note says.
func (x *note) body() *body {
	b := &body{ID: x.ID, Text: x.Text, File: x.File, Members: x.Members, Round: x.Round}
	if ValidGroup(x.Peer) {
		b.Group = x.Peer
	}
	return b
}

// noteOf is the note of a message that was received. Its sender and the name that
// the sender gave it name it: the same message, sent again because it could not be
// read, may come twice in different ciphertexts.
func noteOf(r *session.Received, b *body) *note {
	x := &note{ID: r.From.User + " " + b.ID, At: r.ReceivedAt, Peer: post.NameOf(r.From.User), Text: b.Text, File: b.File}
	if to := r.Content.SyncTo; to != "" { // one's own, from another device
		x.Peer, x.Mine = post.NameOf(to), true
	}
	if b.Group != "" {
		x.Peer, x.From = b.Group, post.NameOf(r.From.User)
	}
	x.Gone = x.ends(r)
	return x
}

// saveRead saves a message that was received, and reports whether it is new.
func (n *notebook) saveRead(ctx context.Context, x *note) (isNew bool, err error) {
	err = n.save(ctx, kindHistory, x)
	if saved := (*keystore.ConflictError)(nil); errors.As(err, &saved) {
		return false, nil
	}
	return err == nil, err
}

// saveSent moves a note from the outbox to the history.
func (n *notebook) saveSent(ctx context.Context, x *note) error {
	if x.Again || x.Members != nil {
		return n.drop(ctx, kindOutbox, x)
	}
	sent := *x
	sent.Sealed, sent.Gone = nil, session.Timer{Duration: x.Lasts}.Deadline(x.Sealed[0].SentAt)
	value, err := json.Marshal(sent)
	if err != nil {
		return err
	}
	_, err = n.store.Commit(ctx,
		keystore.Change{Op: keystore.Delete, Key: n.key(kindOutbox, x.ID), Expect: x.version},
		keystore.Change{Op: keystore.Put, Key: n.key(kindHistory, x.ID), Value: value})
	return err
}

// drop removes a note.
func (n *notebook) drop(ctx context.Context, kind string, x *note) error {
	_, err := n.store.Commit(ctx, keystore.Change{Op: keystore.Delete, Key: n.key(kind, x.ID), Expect: x.version})
	return err
}

// all returns the notes of a kind, oldest first.
func (n *notebook) all(ctx context.Context, kind string) ([]*note, error) {
	var out []*note
	for rec, err := range n.store.List(ctx, n.scope, kind, "") {
		if err != nil {
			return nil, err
		}
		x := &note{ID: rec.Key.Name, version: rec.Version}
		if err := json.Unmarshal(rec.Value, x); err != nil {
			return nil, fmt.Errorf("%w: a note", keystore.ErrCorrupt)
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b *note) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out, nil
}
