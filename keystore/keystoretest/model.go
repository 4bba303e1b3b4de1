package keystoretest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A model is what a store must be: a map and a counter.
type model struct {
	records map[keystore.Key]stored
	newest  uint64
}

// judge tells what a Commit must answer: the contract in its plainest form.
func (m *model) judge(changes []keystore.Change) (conflicts []keystore.Key, writes, invalid bool) {
	seen := map[keystore.Key]bool{}
	for _, c := range changes {
		if c.Key.Scope == "" || c.Key.Kind == "" || c.Op < keystore.Put || c.Op > keystore.Check || seen[c.Key] {
			return nil, false, true
		}
		seen[c.Key] = true
		writes = writes || c.Op != keystore.Check
		if m.records[c.Key].version != c.Expect {
			conflicts = append(conflicts, c.Key)
		}
	}
	return conflicts, writes, false
}

// apply makes the changes.
func (m *model) apply(changes []keystore.Change, version uint64) {
	for _, c := range changes {
		switch c.Op {
		case keystore.Put:
			m.records[c.Key] = stored{version, string(c.Value)}
		case keystore.Delete:
			delete(m.records, c.Key)
		}
	}
	m.newest = max(m.newest, version)
}

// A player does random operations on a store and its model. They are the same
// ones each time, so that a failure repeats itself.
type player struct {
	*tester
	model
	rng   *rand.Rand
	step  int
	doing func() string // it is at
}

// A store does what its model does, in 100,000 random operations. Where the
// Harness can, it is closed and opened again, crashes, and is used by two in
// turn in between.
func followsTheModel(t *tester) {
	p := &player{tester: t, model: model{records: map[keystore.Key]stored{}, newest: t.generation()}, rng: rand.New(rand.NewPCG(1, 2))}
	defer func() {
		if t.Failed() {
			t.Logf("operation %d: %s", p.step, p.doing())
		}
	}()
	steps := some(100_000, 4000)
	for p.step = range steps {
		if p.step%(steps/20) == steps/20-1 {
			p.pause()
		}
		p.operation()
	}
	p.doing = func() string { return "the end" }
	equal(t, "generation", t.generation(), p.newest)
	t.hasAll(p.records)
}

// pause opens the store anew, in one way or another.
func (p *player) pause() {
	p.Helper()
	p.doing = func() string { return "Reopen" }
	switch n := p.rng.IntN(3); {
	case n == 0 && p.h.Crash != nil:
		p.doing = func() string { return "Crash" }
		p.adopt("Crash", p.h.Crash)
		p.rest = nil
	case n == 1 && p.h.Another != nil && p.rest == nil:
		p.doing = func() string { return "Another" }
		s, err := p.h.Another()
		if !errors.Is(err, keystore.ErrLocked) {
			p.ok("Another", err)
			p.rest = append(p.rest, s)
		}
	case p.h.Reopen != nil:
		p.reopen()
	}
	equal(p.tester, "generation", p.generation(), p.newest)
	p.hasAll(p.records)
}

func (p *player) operation() {
	p.Helper()
	if p.rest != nil { // whoever it is: they have the same records
		p.s, p.rest[0] = p.rest[0], p.s
	}
	switch n := p.rng.IntN(100); {
	case n < 65:
		p.playLoad()
	case n < 80:
		p.playCommit()
	case n < 88:
		p.playList(false)
	case n < 91:
		p.playList(true)
	case n < 94:
		p.playCancelled()
	default:
		p.doing = func() string { return "Generation" }
		equal(p.tester, "generation", p.generation(), p.newest)
	}
}

// pick returns one of several texts.
func (p *player) pick(from ...string) string { return from[p.rng.IntN(len(from))] }

func (p *player) key() keystore.Key {
	return keystore.Key{
		Scope: p.pick("a", "a", "a", "b", "\xff"), Kind: p.pick("x", "x", "y", "yy"),
		Owner: p.pick("", "1", "2", "%", strings.Repeat("long", 200)), Name: p.pick("", "1", "2", "\x00", "_", "'"),
	}
}

func (p *player) value() []byte {
	switch n := p.rng.IntN(200); {
	case n == 0:
		return pattern(p.rng.IntN(200_000))
	case n < 10:
		return pattern(p.rng.IntN(6000))
	default:
		return pattern(p.rng.IntN(40))
	}
}

// change is one that the model expects to work, most of the time.
func (p *player) change() keystore.Change {
	c := keystore.Change{Op: keystore.Put, Key: p.key(), Value: p.value()}
	switch n := p.rng.IntN(100); {
	case n < 25:
		c.Op = keystore.Delete
	case n < 40:
		c.Op = keystore.Check
	case n == 40:
		c.Op = keystore.Op(p.rng.IntN(6)) // 0, 4 and 5 are none
	case n == 41:
		c.Key.Scope = ""
	}
	c.Expect = p.records[c.Key].version
	if p.rng.IntN(20) == 0 {
		c.Expect = p.rng.Uint64N(p.newest + 2)
	}
	return c
}

func (p *player) playCommit() {
	p.Helper()
	var changes []keystore.Change
	for range p.rng.IntN(6) {
		changes = append(changes, p.change())
	}
	p.doing = func() string { return describe(changes) }
	conflicts, writes, invalid := p.judge(changes)
	given := slices.Clone(changes)
	for i := range given {
		given[i].Value = slices.Clone(given[i].Value)
	}
	v, err := p.s.Commit(ctx, given...)
	for i := range given {
		clear(given[i].Value) // what was given is ours again
	}
	switch {
	case invalid:
		p.is("Commit", err, keystore.ErrInvalid)
	case conflicts != nil:
		p.names(err, conflicts)
	default:
		p.ok("Commit", err)
		p.require(writes == (v > p.newest), "Commit has version %d after %d", v, p.newest)
		p.apply(changes, v)
	}
	p.require(err == nil && writes || v == 0, "Commit has version %d", v)
}

// describe names the changes, not their values.
func describe(changes []keystore.Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Commit of %d:", len(changes))
	for _, c := range changes {
		fmt.Fprintf(&b, " {op %d, key %v, expect %d, %d bytes}", c.Op, short(c.Key), c.Expect, len(c.Value))
	}
	return b.String()
}

func (p *player) playLoad() {
	p.Helper()
	var keys []keystore.Key
	for range p.rng.IntN(7) {
		keys = append(keys, p.key())
	}
	p.doing = func() string { return fmt.Sprint("Load of ", short(keys)) }
	for i, r := range p.load(keys...) {
		p.same("loaded", r.Key, stored{r.Version, string(r.Value)}, p.records[keys[i]])
	}
}

// playList lists, and commits within the loop where that is asked for.
func (p *player) playList(commit bool) {
	p.Helper()
	ask := p.key()
	scope, kind, owner := p.pick(ask.Scope, ""), p.pick(ask.Kind, ""), p.pick(ask.Owner, "")
	within := commit
	doing := func() string {
		return fmt.Sprintf("List by (%.20q, %.20q, %.20q), commit within: %t", scope, kind, owner, within)
	}
	p.doing = doing
	before := maps.Clone(p.records)
	got := map[keystore.Key]stored{}
	for r, err := range p.s.List(ctx, scope, kind, owner) {
		p.ok("List", err)
		p.require(got[r.Key].version == 0, "List yields a record twice")
		got[r.Key] = stored{r.Version, string(r.Value)}
		if commit {
			commit = false
			p.playCommit()
			p.doing = doing
		}
	}
	for k, r := range got {
		p.require(asked(k, scope, kind, owner) && r.version != 0, "List yields what is not asked for")
		if r != before[k] {
			p.same("listed", k, r, p.records[k])
		}
	}
	for k, r := range before {
		if asked(k, scope, kind, owner) && r == p.records[k] {
			p.same("listed", k, got[k], r)
		}
	}
}

// playCancelled calls with a context that has ended.
func (p *player) playCancelled() {
	p.Helper()
	c, cancel := context.WithCancel(ctx)
	cancel()
	k := p.key()
	p.doing = func() string { return fmt.Sprint("calls whose context has ended, for ", short(k)) }
	_, err := p.s.Commit(c, put(k, p.records[k].version, "x"))
	p.is("Commit", err, context.Canceled)
	_, err = p.s.Load(c, k)
	p.is("Load", err, context.Canceled)
}
