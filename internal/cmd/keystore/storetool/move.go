package storetool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A copy that is not finished has a record of its own, in a scope that no
// device has, and a value of a format that nobody reads in place of each record
// "self": in such a store no device of the source can be opened or made. So has the
// header of an encrypted store that is copied as it is, which cannot be opened
// then. The first commit puts them there, the last takes them away. A device of
// another address that an app makes meanwhile is not deleted: move refuses to go on.
const unfinished = 0xFF

var (
	movingKey   = keystore.Key{Scope: "gembok", Kind: "moving", Owner: ownOwner}
	placeholder = []byte{unfinished}
)

var (
	errNotEmpty  = errors.New("the target has records already, and is no copy that was interrupted")
	errUsed      = errors.New("the target has a device that was made there after the move was interrupted: make it elsewhere, delete the target and move again")
	errHalf      = errors.New("the source is itself a copy that was interrupted")
	errSource    = errors.New("the source has records that cannot be read: see verify; nothing was moved")
	errChanged   = errors.New("the source was changed meanwhile: stop every app that uses it, and give the same command again")
	errDifferent = errors.New("source and target differ: do not use the target")
)

func (t *Tool) move(ctx context.Context, args []string) error {
	o, err := t.parse("move", args, func(f *flag.FlagSet, o *options) {
		o.to.flags(f, "to-")
		f.BoolVar(&o.to.blind, "to-blind", false, "")
	}, func(o *options) []*place { return []*place{&o.store, &o.to} })
	if err != nil {
		return err
	}
	if o.to.blind && !o.to.encrypted() {
		return fmt.Errorf("%w: what is not encrypted is not blinded", errUsage)
	}
	from, err := t.open(ctx, &o.store, !o.to.encrypted())
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer from.Close()
	to, err := t.make(ctx, &o.to)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer to.Close()
	m := &mover{from: from, to: to, bar: newProgress(t.Err)}
	if err := m.run(ctx); err != nil {
		return err
	}
	mark, err := to.Generation(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.Out, `Moved and compared %s records, %s bytes of values.
The generation of the target is %d: apps that keep that mark take this one.
Use the target alone from now on, and then delete the source: it is a second
copy of all keys, and a device that goes on in both uses keys twice.
`, count(m.records), count(m.bytes), mark)
	return errors.Join(from.Close(), to.Close())
}

// A mover copies a store into another.
type mover struct {
	from, to   keystore.Store
	bar        *progress
	generation uint64            // of from, at the start
	records    int               // of from
	bytes      int               // of their values
	last       []keystore.Record // of from: the records that come last
}

// run copies, compares, and then lets the target be used. Whatever it returns
// an error for can be done again.
func (m *mover) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{m.survey, m.begin, m.copy, m.prune, m.compare, m.finish, m.confirm} {
		if err := step(ctx); err != nil {
			m.bar.end()
			return err
		}
	}
	m.bar.end()
	return nil
}

// survey counts the source, and finds what comes last.
func (m *mover) survey(ctx context.Context) (err error) {
	if m.generation, err = m.from.Generation(ctx); err != nil {
		return err
	}
	for rec, err := range m.from.List(ctx, "", "", "") {
		switch {
		case errors.Is(err, keystore.ErrCorrupt):
			return errSource
		case err != nil:
			return err
		case isHalf(&rec):
			return errHalf
		}
		m.records++
		m.bytes += len(rec.Value)
		if comesLast(&rec) {
			m.last = append(m.last, rec)
		}
	}
	return nil
}

// comesLast tells whether a store is of no use without the record.
func comesLast(rec *keystore.Record) bool {
	return rec.Key == selfKey(rec.Key.Scope) || rec.Key == headKey
}

func isHalf(rec *keystore.Record) bool {
	return rec.Key == movingKey || comesLast(rec) && bytes.Equal(rec.Value, placeholder)
}

// begin makes the target a copy that is not finished, if it is empty; it may be
// one already.
func (m *mover) begin(ctx context.Context) error {
	first, err := m.to.Load(ctx, movingKey)
	if err != nil {
		return err
	}
	for rec, err := range m.to.List(ctx, "", "", "") {
		switch {
		case err != nil:
			return err
		case first[0].Version == 0:
			return errNotEmpty
		case comesLast(&rec) && !isHalf(&rec):
			return errUsed
		}
	}
	wanted := []keystore.Record{{Key: movingKey, Value: placeholder}}
	for i := range m.last {
		wanted = append(wanted, keystore.Record{Key: m.last[i].Key, Value: placeholder})
	}
	return m.put(ctx, wanted)
}

// put writes those records to the target that it has not, in one commit.
func (m *mover) put(ctx context.Context, recs []keystore.Record) error {
	have, err := m.to.Load(ctx, keysOf(recs)...)
	if err != nil {
		return err
	}
	var changes []keystore.Change
	for i := range recs {
		if have[i].Version == 0 || !bytes.Equal(have[i].Value, recs[i].Value) {
			changes = append(changes, keystore.Change{Op: keystore.Put, Key: recs[i].Key, Expect: have[i].Version, Value: recs[i].Value})
		}
	}
	return m.commit(ctx, changes)
}

func (m *mover) commit(ctx context.Context, changes []keystore.Change) error {
	if len(changes) == 0 {
		return nil
	}
	_, err := m.to.Commit(ctx, changes...)
	return err
}

func keysOf(recs []keystore.Record) []keystore.Key {
	out := make([]keystore.Key, len(recs))
	for i := range recs {
		out[i] = recs[i].Key
	}
	return out
}

// What goes into a commit, unless a single value is larger. Tests change it.
var (
	batchRecords = 500
	batchBytes   = 1 << 20
)

// batches yields the records of a store, several at a time, those that come last
// only if all are wanted.
func batches(ctx context.Context, s keystore.Store, all bool) iter.Seq2[[]keystore.Record, error] {
	return func(yield func([]keystore.Record, error) bool) {
		var batch []keystore.Record
		size := 0
		for rec, err := range s.List(ctx, "", "", "") {
			if err != nil {
				yield(nil, err)
				return
			}
			if rec.Key == movingKey || !all && comesLast(&rec) {
				continue
			}
			if len(batch) == batchRecords || len(batch) > 0 && size+len(rec.Value) > batchBytes {
				if !yield(batch, nil) {
					return
				}
				batch, size = nil, 0
			}
			batch, size = append(batch, rec), size+len(rec.Value)
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// copy copies all but what comes last.
func (m *mover) copy(ctx context.Context) error {
	m.bar.begin("copying", m.records-len(m.last))
	for batch, err := range batches(ctx, m.from, false) {
		if err != nil {
			return err
		}
		if err := m.put(ctx, batch); err != nil {
			return err
		}
		m.bar.add(len(batch))
	}
	return m.unchanged(ctx)
}

// unchanged tells whether the source is what it was at the start.
func (m *mover) unchanged(ctx context.Context) error {
	now, err := m.from.Generation(ctx)
	if err == nil && now != m.generation {
		err = errChanged
	}
	return err
}

// prune deletes from the target what the source has not (any more): a copy that
// was interrupted may be of an older state.
func (m *mover) prune(ctx context.Context) error {
	for batch, err := range batches(ctx, m.to, true) {
		if err != nil {
			return err
		}
		have, err := m.from.Load(ctx, keysOf(batch)...)
		if err != nil {
			return err
		}
		var changes []keystore.Change
		for i := range batch {
			if have[i].Version == 0 {
				changes = append(changes, keystore.Change{Op: keystore.Delete, Key: batch[i].Key, Expect: batch[i].Version})
			}
		}
		if err := m.commit(ctx, changes); err != nil {
			return err
		}
	}
	return nil
}

// compare reads both stores again: each record of the source is in the target,
// and there are as many.
func (m *mover) compare(ctx context.Context) error {
	m.bar.begin("comparing", m.records-len(m.last))
	for batch, err := range batches(ctx, m.from, false) {
		if err != nil {
			return err
		}
		have, err := m.to.Load(ctx, keysOf(batch)...)
		if err != nil {
			return err
		}
		if !equal(batch, have) {
			return cmp.Or(m.unchanged(ctx), errDifferent)
		}
		m.bar.add(len(batch))
	}
	n := 0
	for batch, err := range batches(ctx, m.to, true) {
		if err != nil {
			return err
		}
		n += len(batch)
	}
	err := m.unchanged(ctx)
	if err == nil && n != m.records {
		err = errDifferent
	}
	return err
}

// equal tells whether records have the same values. Versions are new.
func equal(a, b []keystore.Record) bool {
	for i := range a {
		if b[i].Version == 0 || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return len(a) == len(b)
}

// finish makes the target a store that can be used, in one commit. Whether it
// was made is for confirm to see, also when the store cannot tell.
func (m *mover) finish(ctx context.Context) error {
	keys := append(keysOf(m.last), movingKey)
	have, err := m.to.Load(ctx, keys...)
	if err != nil {
		return err
	}
	var changes []keystore.Change
	for i := range m.last {
		changes = append(changes, keystore.Change{Op: keystore.Put, Key: keys[i], Expect: have[i].Version, Value: m.last[i].Value})
	}
	last := len(keys) - 1
	changes = append(changes, keystore.Change{Op: keystore.Delete, Key: movingKey, Expect: have[last].Version})
	if err := m.commit(ctx, changes); !errors.Is(err, keystore.ErrCommitUnknown) {
		return err
	}
	return nil
}

// confirm sees whether the target can be used, and the source was left alone
// until then.
func (m *mover) confirm(ctx context.Context) error {
	have, err := m.to.Load(ctx, append(keysOf(m.last), movingKey)...)
	if err != nil {
		return err
	}
	last := len(have) - 1
	if have[last].Version != 0 {
		return fmt.Errorf("the copy is not finished: give the same command again: %w", keystore.ErrCommitUnknown)
	}
	if !equal(m.last, have[:last]) {
		return errDifferent
	}
	if now, err := m.from.Generation(ctx); err != nil || now != m.generation {
		return errors.Join(err, errLate)
	}
	return nil
}

// errLate reports an app that wrote to the source between the last comparison
// and the end.
var errLate = errors.New("the source was changed at the very end: delete the target, stop every app that uses the source, and move again")
