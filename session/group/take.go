package group

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An intake is a sender key on its way into the records of a sender.
type intake struct {
	wire.Secret

	t        *session.Tx
	record   keystore.Key
	index    keystore.Key
	accepted []byte // identity key of the sender, 33 bytes; empty: none
	state    *wire.SenderKeyState
}

// take adds a state that came in r to the record of the sender, unless it is to be
// left out.
func take(t *session.Tx, r *session.Received, id DistributionID, s *wire.SenderKeyState) error {
	in := &intake{t: t, record: senderKey(r.From, id), index: indexKey(r.From), state: s}
	if err := in.load(); err != nil {
		return err
	}
	entries, err := in.entries()
	if err != nil {
		return in.leftOut(err)
	}
	states, gone, err := in.states(at(entries, id))
	if err == nil {
		err = in.enter(r, id, entries, gone)
	}
	if err == nil {
		err = store(t, in.record, states)
	}
	return in.leftOut(err)
}

// leftOut is no error for a sender key that was left out.
func (in *intake) leftOut(err error) error {
	if errors.Is(err, errLeftOut) {
		return nil
	}
	return err
}

// errLeftOut reports a sender key that is not to change anything.
var errLeftOut = errors.New("group: internal error: sender key left out")

// load loads the records, and what key is accepted, on which the outcome then
// depends.
func (in *intake) load() error {
	person := keystore.Key{Kind: "identity", Owner: in.index.Owner, Name: in.index.Name}
	if err := in.t.Load(in.record, in.index, person); err != nil {
		return err
	}
	body, ok, err := in.t.Get(person)
	if err != nil || !ok {
		return err
	}
	rec, err := wire.ParseIdentity(body)
	if err != nil {
		return fmt.Errorf("%w: %w", session.ErrCorrupt, err)
	}
	in.accepted = rec.Accepted
	return in.t.Check(person)
}

// mend is what becomes of damage: what is damaged counts as nothing under the
// accepted key, so that the next message is read again, and under another one
// stays as it is.
func (in *intake) mend(err error) error {
	switch {
	case !errors.Is(err, session.ErrCorrupt):
		return err
	case string(in.accepted) == string(in.state.Identity):
		return nil
	}
	return errLeftOut
}

// entries returns the index of the sender.
func (in *intake) entries() ([]wire.SenderKeyEntry, error) {
	var index wire.SenderKeyIndex
	body, ok, err := in.t.Get(in.index)
	if ok {
		if index, err = wire.ParseSenderKeyIndex(body); err != nil {
			err = fmt.Errorf("%w: %w", session.ErrCorrupt, err)
		}
	}
	return index.Entries, in.mend(err)
}

// at returns the entry of an id; nil is none.
func at(entries []wire.SenderKeyEntry, id DistributionID) *wire.SenderKeyEntry {
	i := slices.IndexFunc(entries, func(e wire.SenderKeyEntry) bool { return bytes.Equal(e.ID, id[:]) })
	if i < 0 {
		return nil
	}
	return &entries[i]
}

// states returns the states of the sender with the new one, and which went out, now
// and before.
func (in *intake) states(e *wire.SenderKeyEntry) (states []wire.SenderKeyState, gone []wire.SenderKeyGone, err error) {
	old, _, err := load(in.t, in.record)
	if err := in.mend(err); err != nil {
		return nil, nil, err
	}
	if e != nil {
		gone = e.Gone
	}
	if find(old, in.state.ChainID) < 0 && back(gone, in.state) {
		return nil, nil, errLeftOut
	}
	states, ok := add(old, in.state, in.accepted)
	if !ok {
		return nil, nil, errLeftOut
	}
	return states, passed(gone, old, states, in.accepted), nil
}

// enter writes the index, and deletes the record that goes out. Nothing changed
// after an error.
func (in *intake) enter(r *session.Received, id DistributionID, entries []wire.SenderKeyEntry, gone []wire.SenderKeyGone) error {
	e := wire.SenderKeyEntry{ID: id[:], At: uint64(r.ReceivedAt.UnixMilli()), Identity: in.state.Identity, Gone: gone}
	entries, out, ok := enter(entries, &e, in.accepted)
	if !ok {
		return errLeftOut
	}
	if out != nil {
		if err := in.t.Delete(senderKey(r.From, DistributionID(out.ID))); err != nil {
			return err
		}
	}
	return in.t.Put(in.index, wire.AppendSenderKeyIndex(nil, &wire.SenderKeyIndex{Entries: entries}))
}
