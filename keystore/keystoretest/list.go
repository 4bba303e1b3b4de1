package keystoretest

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"

	"github.com/gembok-e2ee/gembok/keystore"
)

// asked tells whether a List by these values yields k.
func asked(k keystore.Key, scope, kind, owner string) bool {
	return (scope == "" || scope == k.Scope) && (kind == "" || kind == k.Kind) && (owner == "" || owner == k.Owner)
}

// lists requires that List yields those of all records that are asked for.
func (t *tester) lists(all map[keystore.Key]stored, scope, kind, owner string) {
	t.Helper()
	want := 0
	got := t.all(scope, kind, owner)
	for k, r := range all {
		if !asked(k, scope, kind, owner) {
			continue
		}
		want++
		t.same("listed", k, got[k], r)
	}
	equal(t, fmt.Sprintf("records listed by (%.20q, %.20q, %.20q)", scope, kind, owner), len(got), want)
}

// listFails requires an error, once and alone.
func (t *tester) listFails(list iter.Seq2[keystore.Record, error], want error) {
	t.Helper()
	steps := 0
	for r, err := range list {
		steps++
		t.is("List", err, want)
		t.require(r.Key == keystore.Key{} && r.Version == 0 && r.Value == nil, "List yields a Record with an error")
	}
	equal(t, "steps of a List that fails", steps, 1)
}

func listSelects(t *tester) {
	values := []string{"a", "b", ""}
	all := map[keystore.Key]stored{}
	var changes []keystore.Change
	for _, scope := range values[:2] {
		for _, kind := range values[:2] {
			for _, owner := range values {
				for _, name := range values {
					k := keystore.Key{Scope: scope, Kind: kind, Owner: owner, Name: name}
					changes = append(changes, put(k, 0, scope+kind+owner+name))
				}
			}
		}
	}
	v := t.commit(changes...)
	for _, c := range changes {
		all[c.Key] = stored{v, string(c.Value)}
	}
	values = append(values, "c", "aa")
	for _, scope := range values {
		for _, kind := range values {
			for _, owner := range values {
				t.lists(all, scope, kind, owner)
			}
		}
	}
}

// fill puts n records "0", "1", ... of kind "k" and owner "o".
func (t *tester) fill(n int) {
	t.Helper()
	var changes []keystore.Change
	for i := range n {
		changes = append(changes, put(key("k", "o", fmt.Sprint(i)), 0, "old"))
	}
	t.commit(changes...)
}

func listIsReusableAndStops(t *tester) {
	list := t.s.List(ctx, "", "", "")
	for range list {
		t.Fatal("List yields what is not there yet")
	}
	t.fill(5)
	for range 2 {
		n := 0
		for _, err := range list {
			t.ok("List", err)
			if n++; n == 3 {
				break
			}
		}
		equal(t, "steps until the loop ended", n, 3)
		equal(t, "records listed", len(t.collect(list)), 5)
	}
	t.commit(put(key("k", "o", "another"), 0, "v"))
	equal(t, "records listed by the same sequence", len(t.collect(list)), 6)
}

// A context that ends within the loop, and a Close there, end the list by
// their errors, if not all was read before.
func listEndsEarly(t *tester) {
	n := 5000
	t.fill(n)
	c, cancel := context.WithCancel(ctx)
	t.endsBy(t.s.List(c, "", "", ""), n, cancel, context.Canceled)
	t.endsBy(t.s.List(ctx, "", "", ""), n, func() { t.ok("Close within a loop", t.s.Close()) }, keystore.ErrClosed)
}

func (t *tester) endsBy(list iter.Seq2[keystore.Record, error], n int, end func(), want error) {
	t.Helper()
	steps := 0
	for r, err := range list {
		steps++
		if err != nil {
			t.is("List that was ended", err, want)
			t.require(r.Version == 0, "List yields a Record with an error")
			n = steps // nothing may follow
			continue
		}
		if steps == 2 {
			end()
		}
	}
	equal(t, "steps of a List that was ended", steps, n)
}

// The loop may change what it lists.
func commitInsideList(t *tester) {
	const n = 50
	t.fill(n)
	seen := map[keystore.Key]bool{}
	for r, err := range t.s.List(ctx, "scope", "k", "o") {
		t.ok("List", err)
		t.require(!seen[r.Key], "List yields a record twice")
		if seen[r.Key] = true; string(r.Value) == "new" {
			continue // added by the loop
		}
		t.holds(r.Key, r.Version, "old")
		t.commit(remove(r.Key, r.Version), put(key("k", "o", "new"+r.Key.Name), 0, "new"))
		t.require(len(seen) <= 2*n, "List yields more than there ever was")
	}
	for k, r := range t.all("", "", "") {
		t.require(r.value == "new" && k.Name[:3] == "new", "List did not yield a record that was there")
	}

	// A loop in a loop, which deletes all that the outer one asked for.
	steps := 0
	for _, err := range t.s.List(ctx, "", "", "") {
		t.ok("List", err)
		if steps++; steps > 1 {
			continue
		}
		for r, err := range t.s.List(ctx, "", "", "") {
			t.ok("List within a List", err)
			t.commit(remove(r.Key, r.Version))
		}
	}
	t.require(steps <= n, "List yields more than there ever was")
	equal(t, "records left", len(t.all("", "", "")), 0)
}

// A loop that is left by a panic holds nothing up.
func panicInsideList(t *tester) {
	t.fill(3)
	func() {
		defer func() { equal(t, "what the loop panicked with", recover(), any("enough")) }()
		for range t.s.List(ctx, "", "", "") {
			panic("enough")
		}
	}()
	t.commit(put(key("k", "o", "after"), 0, "v"))
	equal(t, "records listed", len(t.all("", "", "")), 4)
}

// While others commit, what is there all the time comes once, and nothing
// comes as it never was.
func listWhileOthersCommit(t *tester) {
	const still, writers = 300, 4
	t.fill(still)
	var done atomic.Bool
	defer done.Store(true)
	written := make(chan map[uint64]string, writers)
	for w := range writers {
		go func() { written <- restless(t, t.s, &done, fmt.Sprint(w)) }()
	}
	listed := map[uint64]string{}
	for range some(50, 10) {
		seen := 0
		for r, err := range t.s.List(ctx, "scope", "", "") {
			runtime.Gosched() // to the others
			if err != nil {
				t.Errorf("List while others commit: %v", err)
			} else if r.Key.Kind == "k" {
				seen++
			} else {
				listed[r.Version] = r.Key.Name + string(r.Value)
			}
		}
		if seen != still {
			t.Errorf("List yields %d records of %d that were there all the time", seen, still)
			break
		}
	}
	done.Store(true)
	for range writers {
		for v, what := range <-written {
			if got, ok := listed[v]; ok {
				equal(t, "record listed while others commit", got, what)
				delete(listed, v)
			}
		}
	}
	equal(t, "records listed that never were", len(listed), 0)
}

// restless puts and deletes records of its own, and returns what each version
// has put.
func restless(t *tester, s keystore.Store, done *atomic.Bool, owner string) map[uint64]string {
	versions, written := map[string]uint64{}, map[uint64]string{}
	for i := 0; !done.Load(); i++ {
		name := fmt.Sprint(owner, "-", i*7%20)
		c := put(key("restless", owner, name), versions[name], fmt.Sprint(i))
		if versions[name] != 0 && i%3 == 0 {
			c = remove(c.Key, versions[name])
		}
		v, err := s.Commit(ctx, c)
		if err != nil {
			t.Errorf("Commit while others list: %v", err)
			return written
		}
		if versions[name] = v; c.Op == keystore.Delete {
			delete(versions, name)
			continue
		}
		written[v] = name + fmt.Sprint(i)
	}
	return written
}
