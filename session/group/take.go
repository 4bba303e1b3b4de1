package group

import (
	"errors"
	"fmt"

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
	states, err := in.states()
	if err == nil {
		err = in.enter(r, id)
	}
	if err == nil {
		err = store(t, in.record, states)
	}
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

// states returns the states of the sender with the new one.
func (in *intake) states() ([]wire.SenderKeyState, error) {
	old, _, err := load(in.t, in.record)
	if err := in.mend(err); err != nil {
		return nil, err
	}
	states, ok := add(old, in.state, in.accepted)
	if !ok {
		return nil, errLeftOut
	}
	return states, nil
}

// enter writes the index, and deletes the record that goes out. Nothing changed
// after an error.
func (in *intake) enter(r *session.Received, id DistributionID) error {
	var index wire.SenderKeyIndex
	body, ok, err := in.t.Get(in.index)
	if ok {
		if index, err = wire.ParseSenderKeyIndex(body); err != nil {
			err = fmt.Errorf("%w: %w", session.ErrCorrupt, err)
		}
	}
	if err := in.mend(err); err != nil {
		return err
	}
	e := wire.SenderKeyEntry{ID: id[:], At: uint64(r.ReceivedAt.UnixMilli()), Identity: in.state.Identity}
	entries, out, ok := enter(index.Entries, &e, in.accepted)
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
