package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gembok-e2ee/gembok/keystore"
)

// errFault is what lies beneath a store fails with.
var errFault = errors.New("keystoretest: fault")

// A trap does something at one of the points that Fault offers.
type trap struct {
	mu   sync.Mutex
	at   int // which one, from 0
	seen int // how many there were
	do   func() error
}

func (p *trap) hook() error {
	p.mu.Lock()
	p.seen++
	sprung := p.seen == p.at+1
	p.mu.Unlock()
	if sprung {
		return p.do()
	}
	return nil
}

// sprung tells whether there were so many points.
func (p *trap) sprung() bool { return p.seen > p.at }

// eachPoint tries something at each point, the first, the second, and so on,
// on a new store each time, until there are no more.
func (t *tester) eachPoint(what string, try func(p *trap)) {
	t.Helper()
	for at := 0; ; at++ {
		p := &trap{at: at}
		try(p)
		t.require(!t.Failed() && at < 10_000, "%s at point %d", what, at)
		if !p.sprung() {
			t.require(at > 0, "%s: Fault's hook was not called", what)
			return
		}
		t.renew()
	}
}

// A scene is a store with a few records, and a Commit that may be made or not.
type scene struct {
	before, after map[keystore.Key]stored // after: with version 0 for the new one
	newest        uint64
	changes       []keystore.Change
}

func (t *tester) scene() *scene {
	t.Helper()
	a, b, c, d := key("k", "o", "a"), key("k", "o", "b"), key("k", "o", "c"), key("k", "o", "d")
	v := t.commit(put(a, 0, "A"), put(b, 0, "B"), put(d, 0, string(pattern(100_000))))
	large := string(pattern(70_000))
	return &scene{
		before: map[keystore.Key]stored{a: {v, "A"}, b: {v, "B"}, d: {v, string(pattern(100_000))}},
		after:  map[keystore.Key]stored{a: {0, large}, c: {0, "C"}, d: {v, string(pattern(100_000))}},
		newest: v,
		changes: []keystore.Change{
			put(a, v, large), remove(b, v), put(c, 0, "C"), check(d, v),
		},
	}
}

// An outcome is how a Commit ended: by an answer, or by a panic.
type outcome struct {
	version  uint64
	err      error
	panicked bool
}

func (t *tester) attempt(c context.Context, changes []keystore.Change) (o outcome) {
	o.panicked = true
	defer func() {
		if o.panicked {
			_ = recover()
		}
	}()
	o.version, o.err = t.s.Commit(c, changes...)
	o.panicked = false
	return o
}

// truthful requires that what the Commit answered is so, and that the Commit was
// made in whole or not at all. It returns whether it was made.
func (t *tester) truthful(s *scene, o outcome) (made bool) {
	t.Helper()
	t.require(o.err == nil || o.version == 0, "a Commit that failed has version %d", o.version)
	version := t.load(s.changes[0].Key)[0].Version
	if made = version != s.newest; made {
		want := map[keystore.Key]stored{}
		for k, r := range s.after {
			if r.version == 0 {
				r.version = version
			}
			want[k] = r
		}
		t.hasAll(want)
	} else {
		t.hasAll(s.before)
	}
	equal(t, "generation", t.generation(), version)
	switch {
	case o.panicked || errors.Is(o.err, keystore.ErrCommitUnknown):
	case o.err != nil:
		t.require(!made, "Commit failed by %q, and was made", text(o.err))
	default:
		t.require(made, "Commit did not fail, and was not made")
		equal(t, "version", o.version, version)
	}
	return made
}

// usable sees to it that the store works again: by itself, unless it says that
// it does not know what became of a Commit or can do no more, and else once it
// was opened again.
func (t *tester) usable() {
	t.Helper()
	k := key("probe", "", "")
	r, err := t.s.Load(ctx, k)
	if err == nil {
		var v uint64
		if v, err = t.s.Commit(ctx, put(k, r[0].Version, "")); err == nil {
			_, err = t.s.Commit(ctx, remove(k, v))
		}
	}
	if err == nil {
		return
	}
	t.require(t.h.Reopen != nil, "after a fault: %v; and there is no Reopen", err)
	_ = t.s.Close() // which may tell of the fault
	t.adopt("Reopen", t.h.Reopen)
	t.commit(put(key("probe", "", ""), 0, ""))
}

// Whatever fails in the midst of a Commit, it is made in whole or not at all,
// the answer tells which or that it is not known, and others can go on.
func faults(t *tester) {
	for what, spring := range map[string]func(cancel func()) error{
		"an error":                       func(func()) error { return errFault },
		"a panic":                        func(func()) error { panic("keystoretest: fault") },
		"the context's end":              func(cancel func()) error { cancel(); return nil },
		"an error and the context's end": func(cancel func()) error { cancel(); return errFault },
	} {
		t.renew()
		t.eachPoint(what, func(p *trap) {
			s := t.scene()
			c, cancel := context.WithCancel(ctx)
			defer cancel()
			p.do = func() error { return spring(cancel) }
			t.h.Fault(p.hook)
			o := t.attempt(c, s.changes)
			t.h.Fault(nil)
			t.tells(what, p, o)
			t.readable()
			t.truthful(s, o)
			t.usable()
		})
	}
}

// tells requires an error that says why.
func (t *tester) tells(what string, p *trap, o outcome) {
	t.Helper()
	switch {
	case !p.sprung():
		t.ok("Commit without a fault", o.err)
		t.require(!o.panicked, "Commit panics without a fault")
	case o.err == nil || o.panicked || errors.Is(o.err, keystore.ErrCommitUnknown):
	case what == "an error":
		t.is("Commit", o.err, errFault)
	case what == "the context's end":
		t.is("Commit", o.err, context.Canceled)
	}
}

// readable opens the store again if it can not be read any more.
func (t *tester) readable() {
	t.Helper()
	if _, err := t.s.Generation(ctx); err != nil {
		t.require(t.h.Reopen != nil, "after a fault: %v; and there is no Reopen", err)
		_ = t.s.Close()
		t.adopt("Reopen", t.h.Reopen)
	}
}

// A read that fails says why, and changes nothing.
func faultsOfReads(t *tester) {
	k := key("k", "o", "a")
	for what, read := range map[string]func(*scene) error{
		"Load": func(s *scene) error {
			r, err := t.s.Load(ctx, k)
			if err == nil && (len(r) != 1 || r[0].Version != s.before[k].version || string(r[0].Value) != "A") {
				t.Fatalf("Load answers wrongly instead of failing")
			}
			return err
		},
		"Generation": func(s *scene) error {
			v, err := t.s.Generation(ctx)
			if err == nil && v != s.newest {
				t.Fatalf("Generation answers wrongly instead of failing")
			}
			return err
		},
		"List": func(s *scene) (err error) {
			n := 0
			for _, err = range t.s.List(ctx, "", "", "") {
				if err == nil {
					n++
				}
			}
			if err == nil && n != len(s.before) {
				t.Fatalf("List yields %d records of %d instead of failing", n, len(s.before))
			}
			return err
		},
	} {
		for at := range 1000 {
			t.renew()
			s := t.scene()
			p := &trap{at: at, do: func() error { return errFault }}
			t.h.Fault(p.hook)
			err := read(s)
			t.h.Fault(nil)
			if err != nil {
				t.is(fmt.Sprintf("%s at point %d", what, at), err, errFault)
			}
			t.readable()
			t.hasAll(s.before)
			equal(t, "generation", t.generation(), s.newest)
			t.usable()
			if !p.sprung() {
				break
			}
		}
	}
}

// Wherever a crash falls into a Commit, that was made in whole or not at all,
// and versions count on.
func crashInCommit(t *tester) {
	t.eachPoint("a crash", func(p *trap) {
		s := t.scene()
		var found keystore.Store
		var err error
		p.do = func() error {
			found, err = t.h.Crash()
			return errFault
		}
		t.h.Fault(p.hook)
		o := t.attempt(ctx, s.changes)
		t.h.Fault(nil)
		if !p.sprung() {
			t.ok("Commit", o.err)
			return
		}
		t.adopt("Crash", func() (keystore.Store, error) { return found, err })
		made := t.truthful(s, outcome{panicked: true}) // nobody was there to hear the answer
		last := t.generation()
		v := t.commit(put(key("after", "", ""), 0, "crash"))
		t.require(v > last, "version %d after a crash, and %d before", v, last)
		if !made {
			for i := range s.changes {
				t.require(t.load(s.changes[i].Key)[0].Version == s.changes[i].Expect, "what was not made has changed what it expects")
			}
			t.commit(s.changes...)
		}
	})
}
