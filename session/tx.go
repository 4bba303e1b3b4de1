package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// A Tx is one operation of a Device: records as they were loaded, and what is
// to become of them. Nothing reaches the store before the end, and then all of
// it or nothing. Update hands one to its func, which must not keep it; it is
// for one goroutine. It may hold secrets, and prints as redacted.
type Tx struct {
	wire.Secret

	d     *Device
	ctx   context.Context
	recs  []entry
	index map[keystore.Key]int // where they are, once they are many
	undo  []altered            // what try has to take back

	peers  []Address // of Update: their records join the first Load
	joined bool      // they did
	always bool      // the operation works in a store that was rolled back, too
	once   bool      // of Update: what may have been done is not done again
	rerun  bool      // the operation ran before, and lost
	unsure bool      // or nobody knows whether it did
	moved  error     // it has lost already, or may not be done
	bound  bool      // a ciphertext leaves once this is committed
	sends  []*sent   // what Tx.Encrypt made
	past   []*sent   // what it made when the operation ran before
	held   []func()  // gives out what was made, in a transaction of the app's

	gating   *gating // nil: there is no gate
	deadline uint64  // when the first of what is stored here is to go; 0: never

	stagedID  MessageID // of the message asked for last, and its record
	stagedKey keystore.Key

	room    [6]entry // of recs, where they are few
	changes [6]keystore.Change
}

// An entry is one record. Op 0 means that nothing depends on it.
type entry struct {
	rec   keystore.Record
	op    keystore.Op
	value []byte
}

// An altered is where an entry was altered, and what it was.
type altered struct {
	at  int
	was entry
}

// indexed is how many records are found faster by a map than one by one.
const indexed = 32

func (d *Device) begin(ctx context.Context) *Tx {
	if d.opts.Gate == nil {
		return &Tx{d: d, ctx: ctx}
	}
	g := &gatedTx{Tx: Tx{d: d, ctx: ctx}}
	g.Tx.gating = &g.gating
	return &g.Tx
}

// errStore reports a Load that did not return what it was asked for.
var errStore = errors.New("session: store broke its contract")

// maxReruns bounds how often an operation that lost a race is computed again.
const maxReruns = 16

// run holds the lock of name while f computes and its outcome is committed;
// "" is no lock. When another process changed what f relied on, f runs again,
// on a new Tx.
func (d *Device) run(ctx context.Context, name string, f func(*Tx) error) error {
	if name != "" && !joined(ctx) {
		if err := d.locks.lock(ctx, name); err != nil {
			return err
		}
		defer d.locks.unlock(name)
	}
	return d.rerun(d.begin(ctx), f)
}

// joined reports whether an operation is in a transaction of the app's. Such a
// one takes no lock: the transaction holds what the engine locks for longer than
// the operation lasts, and who has the lock may wait for it. Expectations alone
// keep it right.
func joined(ctx context.Context) bool { return keystore.PendingIn(ctx) != nil }

// withhold returns what an operation made: at once, or, in a transaction of
// the app's, an empty one that is filled when that was committed.
func withhold[T any](t *Tx, made *T) *T {
	if made == nil || !joined(t.ctx) {
		return made
	}
	out := new(T)
	t.held = append(t.held, func() { *out = *made })
	return out
}

// rerun runs f on t and commits, again and again while others win the race.
func (d *Device) rerun(t *Tx, f func(*Tx) error) (err error) {
	erasing(func() { err = d.repeat(t, f) })
	return err
}

func (d *Device) repeat(t *Tx, f func(*Tx) error) error {
	for again := 0; ; again++ {
		err := f(t)
		switch {
		case t.moved != nil:
			err = t.moved
		case err != nil:
			return err
		default:
			err = t.commit()
			d.deadline.add(t.deadline)
		}
		pending := keystore.PendingIn(t.ctx)
		if err == nil {
			for _, release := range t.held {
				pending.Hold(release)
			}
			return nil
		}
		if pending != nil {
			return err // the transaction is the app's to begin anew
		}
		repeat, err := t.judge(err)
		if err == nil || !repeat || again == maxReruns {
			return err
		}
		before := t
		t = d.begin(before.ctx)
		t.past, t.peers, t.once, t.rerun = before.sends, before.peers, before.once, true
		t.unsure = before.unsure || errors.Is(err, keystore.ErrCommitUnknown)
	}
}

// judge says whether an operation whose commit failed is to be computed again;
// no error means that it was committed after all.
//
// After ErrCommitUnknown the records tell. That they are as they were says that
// nothing was made. That they have the values they were to have proves nothing
// where another process may have given them the same: two ciphertexts of one
// counter lead to one state, and two may count from 5 to 6. So what was
// encrypted is dropped, and encrypted anew; of an Update, which holds more than
// that, the caller is told. A message that two decrypt in one millisecond is
// then new to both, which loses nothing: its ID is one.
func (t *Tx) judge(err error) (repeat bool, _ error) {
	if conflict := (*keystore.ConflictError)(nil); errors.As(err, &conflict) {
		return true, err
	}
	if !errors.Is(err, keystore.ErrCommitUnknown) {
		return false, err
	}
	made, unmade, loadErr := t.compare()
	switch {
	case loadErr != nil:
		return false, err
	case unmade, t.bound && !t.once:
		return true, err
	case made && !t.once:
		return false, nil
	}
	return false, err
}

// compare tells whether the store shows all that this operation was to change,
// or nothing of it.
func (t *Tx) compare() (made, unmade bool, err error) {
	var changed []*entry
	var wanted []keystore.Key
	for i := range t.recs {
		if e := &t.recs[i]; e.op == keystore.Put || e.op == keystore.Delete && e.rec.Version != 0 {
			changed, wanted = append(changed, e), append(wanted, e.rec.Key)
		}
	}
	recs, err := t.fetch(wanted)
	if err != nil {
		return false, false, err
	}
	made, unmade = true, true
	for i, r := range recs {
		e := changed[i]
		unmade = unmade && r.Version == e.rec.Version
		if e.op == keystore.Delete {
			made = made && r.Version == 0
		} else {
			made = made && r.Version > e.rec.Version && bytes.Equal(r.Value, e.value)
		}
	}
	return made, unmade, nil
}

// load loads the records of keys that were not loaded yet, in one Load. The
// first one brings those of Update's peers along, and that which says that the
// store was rolled back.
func (t *Tx) load(keys ...keystore.Key) error { return t.loadBeside(keystore.Key{}, keys...) }

// loadBeside is load of records that mean something only beside another one,
// which may be loaded already. If that has changed since, the operation runs
// again whatever it comes to: a message that another process needed an archived
// session for is not to fail here because the session was moved.
func (t *Tx) loadBeside(anchor keystore.Key, keys ...keystore.Key) error {
	first := !t.joined
	if first {
		for _, p := range t.peers {
			keys = append(keys, t.sessionKeys(p)...)
		}
		if !t.always {
			keys = append(keys, t.d.restoreKey())
		}
	}
	known := func(k keystore.Key) bool { return t.find(k) != nil }
	if len(t.recs) > 0 && slices.ContainsFunc(keys, known) {
		keys = slices.DeleteFunc(slices.Clone(keys), known)
	}
	if len(keys) == 0 {
		return nil
	}
	if t.find(anchor) != nil {
		keys = append(keys, anchor)
	}
	recs, err := t.fetch(keys)
	if err != nil {
		return err
	}
	t.joined = true
	t.grow(len(recs))
	for _, r := range recs {
		e := t.find(r.Key)
		switch {
		case e == nil:
			t.add(entry{rec: r})
		case r.Key == anchor && r.Version != e.rec.Version:
			t.moved = &keystore.ConflictError{Keys: []keystore.Key{anchor}}
			return t.moved
		}
	}
	if first && !t.always && t.has(t.d.restoreKey()) {
		t.moved = keystore.ErrRolledBack
		return t.moved
	}
	return nil
}

// fetch loads records, and sees that they are those asked for. A damaged one
// has no value then, which is ErrCorrupt for whoever needs it.
func (t *Tx) fetch(keys []keystore.Key) ([]keystore.Record, error) {
	recs, err := t.d.store.Load(t.ctx, keys...)
	if err != nil && !damaged(err) {
		return nil, err
	}
	if len(recs) != len(keys) {
		return nil, errStore
	}
	for i := range recs {
		if recs[i].Key != keys[i] {
			return nil, errStore
		}
	}
	return recs, nil
}

// damaged reports whether an error is about single records, which come with it.
func damaged(err error) bool {
	_, ok := errors.AsType[*keystore.CorruptError](err)
	return ok
}

// list yields the records of a kind and owner, a damaged one without a value, as
// fetch does.
func (d *Device) list(ctx context.Context, kind, owner string) iter.Seq2[keystore.Record, error] {
	return func(yield func(keystore.Record, error) bool) {
		for rec, err := range d.store.List(ctx, d.scope, kind, owner) {
			if err != nil && damaged(err) {
				err = nil
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func (t *Tx) find(k keystore.Key) *entry {
	if i := t.place(k); i >= 0 {
		return &t.recs[i]
	}
	return nil
}

// place returns where the entry of a key is, -1 for nowhere.
func (t *Tx) place(k keystore.Key) int {
	if t.index != nil {
		if i, ok := t.index[k]; ok {
			return i
		}
		return -1
	}
	for i := range t.recs {
		if t.recs[i].rec.Key == k {
			return i
		}
	}
	return -1
}

// at returns where the entry of a key is, that must have been loaded or
// expected.
func (t *Tx) at(k keystore.Key) int {
	i := t.place(k)
	if i < 0 {
		panic("session: internal error: record " + k.Kind + " not loaded")
	}
	return i
}

// entry returns the entry of such a key.
func (t *Tx) entry(k keystore.Key) *entry { return &t.recs[t.at(k)] }

// get returns the body of a loaded record, as it will be; ok is false where
// there is none. The body is not written to.
func (t *Tx) get(k keystore.Key) (body []byte, ok bool, err error) {
	value := t.value(k)
	if value == nil {
		return nil, false, nil
	}
	body, err = unformat(k.Kind, value)
	return body, err == nil, err
}

// value returns the value of a loaded record, as it will be: nil where there is
// none, and nothing of a damaged one. It is not written to.
func (t *Tx) value(k keystore.Key) []byte { return t.entry(k).current() }

func (e *entry) current() []byte {
	switch {
	case e.op == keystore.Put:
		return e.value
	case e.op == keystore.Delete, e.rec.Version == 0:
		return nil
	case e.rec.Value == nil:
		return []byte{}
	}
	return e.rec.Value
}

// unformat returns the body of a record value.
func unformat(kind string, value []byte) ([]byte, error) {
	if len(value) == 0 {
		return nil, fmt.Errorf("%w: empty %s record", ErrCorrupt, kind)
	}
	if value[0] != format {
		return nil, fmt.Errorf("%w: %s record of format %d", keystore.ErrNewerFormat, kind, value[0])
	}
	return value[1:], nil
}

// formatted returns the record value of a body.
func formatted(body []byte) []byte {
	return append(append(make([]byte, 0, 1+len(body)), format), body...)
}

// has reports whether a loaded record exists, or will.
func (t *Tx) has(k keystore.Key) bool {
	e := t.entry(k)
	return e.op == keystore.Put || e.op != keystore.Delete && e.rec.Version != 0
}

// grow makes room for n more entries.
func (t *Tx) grow(n int) {
	if t.recs == nil && n <= len(t.room) {
		t.recs = t.room[:0]
	}
	t.recs = slices.Grow(t.recs, n)
	if n += len(t.recs); t.index == nil && n >= indexed {
		t.index = make(map[keystore.Key]int, n)
		for i := range t.recs {
			t.index[t.recs[i].rec.Key] = i
		}
	}
}

// add takes a record in that there is no entry of.
func (t *Tx) add(e entry) {
	if t.index == nil && len(t.recs) >= indexed {
		t.grow(len(t.recs))
	}
	t.recs = append(t.recs, e)
	if t.index != nil {
		t.index[e.rec.Key] = len(t.recs) - 1
	}
}

// alter sets what is to become of a record.
func (t *Tx) alter(k keystore.Key, op keystore.Op, value []byte) { t.alterAt(t.at(k), op, value) }

func (t *Tx) alterAt(at int, op keystore.Op, value []byte) {
	e := &t.recs[at]
	if t.undo != nil {
		t.undo = append(t.undo, altered{at, *e})
	}
	e.op, e.value = op, value
}

// try runs f, and takes back what it did if that fails.
func (t *Tx) try(f func() error) error {
	n := len(t.recs)
	t.undo = make([]altered, 0, 4)
	err := f()
	if err != nil {
		for _, c := range slices.Backward(t.undo) {
			t.recs[c.at] = c.was
		}
		for _, e := range t.recs[n:] {
			delete(t.index, e.rec.Key)
		}
		t.recs = t.recs[:n]
		t.ungate()
	}
	t.undo = nil
	return err
}

// expect declares a record without loading it: it must have this version.
func (t *Tx) expect(k keystore.Key, version uint64) {
	t.add(entry{rec: keystore.Record{Key: k, Version: version}})
}

// put sets the body of a record.
func (t *Tx) put(k keystore.Key, body []byte) {
	t.set(k, formatted(body))
}

// set sets the value of a record: prefix and body.
func (t *Tx) set(k keystore.Key, value []byte) {
	t.alter(k, keystore.Put, value)
}

// del removes a record; it may be absent.
func (t *Tx) del(k keystore.Key) {
	t.alter(k, keystore.Delete, nil)
}

// check makes the outcome depend on a record that stays as it is.
func (t *Tx) check(k keystore.Key) { t.checkAt(t.at(k)) }

func (t *Tx) checkAt(at int) {
	if t.recs[at].op == 0 {
		t.alterAt(at, keystore.Check, nil)
	}
}

// commit commits what put, del and check said, if that is anything.
func (t *Tx) commit() error {
	changes := t.changes[:0]
	if len(t.recs) > len(t.changes) {
		changes = make([]keystore.Change, 0, len(t.recs))
	}
	for i := range t.recs {
		e := &t.recs[i]
		if e.op == 0 || e.op == keystore.Delete && e.rec.Version == 0 {
			continue
		}
		changes = append(changes, keystore.Change{Op: e.op, Key: e.rec.Key, Expect: e.rec.Version, Value: e.value})
	}
	if len(changes) == 0 {
		return nil
	}
	_, err := t.d.store.Commit(t.ctx, changes...)
	return err
}
