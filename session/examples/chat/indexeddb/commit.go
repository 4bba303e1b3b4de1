//go:build js && wasm

package indexeddb

import (
	"context"
	"fmt"
	"syscall/js"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A commit is a Commit at work.
type commit struct {
	changes []keystore.Change
	keys    []js.Value // as they are stored
	have    []js.Value // the requests that tell what is there
	counter js.Value   // the one that tells the generation
	version uint64     // that the changes get; 0 if there are none
}

// Commit implements [keystore.Store]. Where ctx ends while the transaction is
// under way, Commit takes it back, and waits until the browser has said whether
// it still could.
func (s *Store) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if err := keystore.Validate(changes); err != nil {
		return 0, err
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil || len(changes) == 0 {
		return 0, err
	}
	c := &commit{changes: changes}
	mode := readonly
	if c.writes() {
		mode = readwrite
	}
	if err := s.run(ctx, mode, c.ask, c.decide); err != nil {
		return 0, err
	}
	return c.version, nil
}

func (c *commit) writes() bool {
	for i := range c.changes {
		if c.changes[i].Op != keystore.Check {
			return true
		}
	}
	return false
}

// ask asks for what is there.
func (c *commit) ask(t *transaction) error {
	for i := range c.changes {
		key := toJS(appendKey(nil, &c.changes[i].Key))
		have, err := t.request(t.records, "get", key)
		if err != nil {
			return err
		}
		c.keys, c.have = append(c.keys, key), append(c.have, have)
	}
	counter, err := t.request(t.meta, "get", generation)
	c.counter = counter
	return err
}

// decide judges the expectations, and makes the changes.
func (c *commit) decide(t *transaction) error {
	var conflicts []keystore.Key
	for i := range c.changes {
		have, err := version(c.have[i].Get("result"))
		if err != nil {
			return err
		}
		if have != c.changes[i].Expect {
			conflicts = append(conflicts, c.changes[i].Key)
		}
	}
	if conflicts != nil {
		return &keystore.ConflictError{Keys: conflicts}
	}
	if !c.writes() {
		return nil
	}
	newest, err := number(c.counter.Get("result"))
	if err != nil {
		return err
	}
	if newest == maxNumber {
		return fmt.Errorf("%w: no version is left", keystore.ErrFull)
	}
	c.version = newest + 1
	return c.apply(t)
}

// apply makes the changes.
func (c *commit) apply(t *transaction) (err error) {
	for i := range c.changes {
		switch change := &c.changes[i]; change.Op {
		case keystore.Put:
			_, err = t.request(t.records, "put", stored(c.version, change.Value), c.keys[i])
		case keystore.Delete:
			_, err = t.request(t.records, "delete", c.keys[i])
		}
		if err != nil {
			return err
		}
	}
	if _, err := t.request(t.meta, "put", float64(c.version), generation); err != nil {
		return err
	}
	return t.commit()
}
