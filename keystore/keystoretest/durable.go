package keystoretest

import (
	"fmt"
	"maps"

	"github.com/gembok-e2ee/gembok/keystore"
)

// What rules need; each returns the name of what is missing.

func reopens(h *Harness) string {
	if h.Reopen == nil {
		return "Reopen"
	}
	return ""
}

func crashes(h *Harness) string {
	if h.Crash == nil {
		return "Crash"
	}
	return ""
}

func others(h *Harness) string {
	if h.Another == nil {
		return "Another"
	}
	return ""
}

func faulty(h *Harness) string {
	if h.Fault == nil {
		return "Fault"
	}
	return ""
}

func crashesInCommit(h *Harness) string {
	if h.Fault == nil {
		return "Fault"
	}
	return crashes(h)
}

// A store that is closed and opened again is the one that it was.
func reopen(t *tester) { t.survives(t.reopen) }

// What Commit said to be durable is there after a crash.
func crash(t *tester) { t.survives(func() { t.adopt("Crash", t.h.Crash) }) }

// survives requires that all is the same after again, which opens the store
// anew, and that versions count on.
func (t *tester) survives(again func()) {
	t.Helper()
	newest := t.generation()
	want := map[keystore.Key]stored{}
	same := func() {
		t.Helper()
		again()
		equal(t, "generation", t.generation(), newest)
		t.hasAll(want)
	}
	same() // empty
	commit := func(changes ...keystore.Change) {
		t.Helper()
		v := t.commit(changes...)
		t.require(v > newest, "version %d after %d, which was before the store was opened anew", v, newest)
		m := model{want, newest}
		m.apply(changes, v)
		newest = m.newest
	}
	a, b, c := key("k", "o", "a"), key("k", "o", "b"), key("k", "o", "c")
	for range 3 { // each time it is empty at the end
		commit(put(a, 0, "1"), put(b, 0, ""), put(c, 0, string(pattern(300_000))))
		same()
		commit(put(a, want[a].version, "2"), check(b, want[b].version))
		commit(put(a, want[a].version, "3"))
		same()
		commit(put(c, want[c].version, string(pattern(2_000_000))))
		same()
		commit(remove(c, want[c].version))
		same()
		t.commit(check(a, want[a].version), check(c, 0))
		t.conflict([]keystore.Key{b}, check(a, want[a].version), remove(b, newest))
		same()
		commit(remove(a, want[a].version))
		commit(remove(b, want[b].version))
		same()
	}
}

// Whoever else has the store open sees each Commit once it has returned, and
// counts with the same counter. A store for one process alone says so.
func another(t *tester) {
	k := key("k", "o", "n")
	v := t.commit(put(k, 0, "1"))
	if !t.openAnother() {
		t.holds(k, v, "1")
		v = t.commit(put(k, v, "2"))
		if t.h.Reopen != nil { // the one that was refused holds nothing
			t.reopen()
			t.holds(k, v, "2")
		}
		return
	}
	for i := range some(100, 20) {
		value := fmt.Sprint(i)
		next := t.commit(put(k, v, value))
		t.require(next > v, "version %d after %d", next, v)
		t.s, t.rest[0] = t.rest[0], t.s
		t.conflict([]keystore.Key{k}, put(k, v, "late"))
		v = next
		t.holds(k, v, value)
		equal(t, "record listed", t.all("", "k", "")[k], stored{v, value})
		equal(t, "generation", t.generation(), v)
		if i%5 == 0 { // the one that goes on learns of what is not there too
			gone := t.commit(remove(k, v))
			t.require(gone > v, "version %d after %d", gone, v)
			t.s, t.rest[0] = t.rest[0], t.s
			t.holds(k, 0, "")
			equal(t, "generation", t.generation(), gone)
			v = 0
		}
	}
	before := t.state()
	t.ok("Close", t.rest[0].Close())
	t.unchanged("the other one was closed, which", before)
}

// openAnother opens the store once more, unless it is for one process alone.
func (t *tester) openAnother() bool {
	t.Helper()
	s, err := t.h.Another()
	if s == nil || err != nil {
		t.is("Another", err, keystore.ErrLocked)
		return false
	}
	t.rest = append(t.rest, s)
	return true
}

// Several that have the store open keep out of each other's way.
func anotherAtOnce(t *tester) {
	for range 3 {
		if !t.openAnother() {
			return
		}
	}
	all := append([]keystore.Store{t.s}, t.rest...)
	t.linearize(all...)
	countTogether(t, all...)
	state := t.state()
	for _, t.s = range all {
		t.unchanged("what another has seen", state)
	}
	t.s, t.rest = all[0], all[1:]
	t.require(maps.Equal(state.records, t.all("", "", "")), "two have other records")
}
