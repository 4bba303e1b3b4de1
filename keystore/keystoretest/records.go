package keystoretest

import (
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/keystore"
)

func emptyStore(t *tester) {
	made := t.generation() // not 0 where the store has records of its own
	equal(t, "records in an empty store", len(t.all("", "", "")), 0)
	t.holds(key("k", "", ""), 0, "")
	equal(t, "records loaded by no key", len(t.load()), 0)
	equal(t, "version of a Commit without changes", t.commit(), 0)
	equal(t, "generation of an empty store that was looked at", t.generation(), made)
	v := t.commit(put(key("k", "", ""), 0, "v"))
	t.require(v > made, "the first Put has version %d, after %d", v, made)
}

func loadInTheOrderAsked(t *tester) {
	a, b, c, none := key("k", "o", "a"), key("k", "o", "b"), key("k", "p", "a"), key("other", "o", "a")
	v1 := t.commit(put(a, 0, "A"), put(c, 0, "C"))
	v2 := t.commit(put(b, 0, "B"))
	for range 3 { // also where the engine's order has to do with chance
		got := t.load(c, b, none, a, c, none)
		for i, want := range []stored{{v1, "C"}, {v2, "B"}, {}, {v1, "A"}, {v1, "C"}, {}} {
			equal(t, "record loaded", stored{got[i].Version, string(got[i].Value)}, want)
		}
		got[0].Value[0] = 'x'
		equal(t, "the other one of a key that was asked for twice", string(got[4].Value), "C")
	}
}

// What goes in and comes out is copied: no side sees the other write to it,
// and no call, Close included, changes what an earlier one returned.
func valuesAreCopied(t *tester) {
	k, other := key("k", "o", "n"), key("k", "o", "other")
	in := []byte("value")
	v := t.commit(keystore.Change{Op: keystore.Put, Key: k, Value: in})
	in[0] = 'X'
	r := t.load(k)[0]
	equal(t, "value whose bytes the caller used again", string(r.Value), "value")
	r.Value[0] = 'Y'
	_ = append(r.Value, "behind it"...)
	t.commit(put(other, 0, "other"))
	t.holds(k, v, "value")
	for r, err := range t.s.List(ctx, "", "", "") {
		t.ok("List", err)
		r.Value[0] = 'Z'
	}
	t.holds(k, v, "value")

	held := t.load(k)[0]
	var listed []keystore.Record
	for r, err := range t.s.List(ctx, "scope", "k", "o") {
		t.ok("List", err)
		listed = append(listed, r)
	}
	for i := range 100 {
		v = t.commit(put(k, v, fmt.Sprintf("%05d", i)))
	}
	t.commit(remove(k, v))
	t.ok("Close", t.s.Close())
	equal(t, "value that was held while its record changed", string(held.Value), "value")
	for _, r := range listed {
		want := "value"
		if r.Key == other {
			want = "other"
		}
		equal(t, "value of a record listed, held while records changed", string(r.Value), want)
	}
}

// A record with an empty value is there.
func emptyIsNotMissing(t *tester) {
	for i, empty := range [][]byte{nil, {}} {
		k := key("k", "o", fmt.Sprint(i))
		v := t.commit(keystore.Change{Op: keystore.Put, Key: k, Value: empty})
		t.require(v != 0, "an empty record has version 0")
		t.holds(k, v, "")
		equal(t, "empty record listed", t.all("", "", "")[k], stored{version: v})
		t.conflict([]keystore.Key{k}, check(k, 0))
		t.conflict([]keystore.Key{k}, put(k, 0, "x"))
		t.commit(check(k, v))

		v = t.commit(put(k, v, "full"))
		v = t.commit(keystore.Change{Op: keystore.Put, Key: k, Expect: v, Value: empty})
		t.holds(k, v, "")
		t.commit(remove(k, v))
		t.holds(k, 0, "")
	}
	// The empty parts of a key name records like any others.
	a, b, c := key("k", "", ""), key("k", "", "x"), key("k", "x", "")
	v := t.commit(put(a, 0, "a"), put(b, 0, "b"), put(c, 0, "c"))
	t.holds(a, v, "a")
	t.holds(b, v, "b")
	t.holds(c, v, "c")
}

// Once Commit has returned, all see what it did, whoever they are.
func readYourWrites(t *tester) {
	k, flag := key("k", "o", "n"), key("k", "o", "flag")
	v, f := uint64(0), uint64(0)
	for i := range some(200, 50) {
		value := fmt.Sprint(i)
		if v = t.commit(put(k, v, value)); i%2 == 0 {
			f = t.commit(put(flag, f, value))
		} else {
			t.commit(remove(flag, f))
			f = 0
		}
		seen := make(chan []keystore.Record)
		go func() {
			records, _ := t.s.Load(ctx, k, flag)
			seen <- records
		}()
		records := <-seen
		t.require(len(records) == 2, "Load in another goroutine failed")
		equal(t, "what another goroutine reads", stored{records[0].Version, string(records[0].Value)}, stored{v, value})
		equal(t, "whether another goroutine reads it", records[1].Version, f)
		t.holds(k, v, value)
		equal(t, "version listed", t.all("scope", "k", "o")[k].version, v)
		t.require(t.generation() >= v, "the generation is older than a version")
	}
}

// All that a Commit puts has the version that it returns; all else keeps its
// own.
func oneVersionACommit(t *tester) {
	var keys []keystore.Key
	var changes []keystore.Change
	for i := range 20 {
		keys = append(keys, key("k", "o", fmt.Sprint(i)))
		changes = append(changes, put(keys[i], 0, "1"))
	}
	v1 := t.commit(changes...)
	for _, k := range keys {
		t.holds(k, v1, "1")
	}
	v2 := t.commit(put(keys[3], v1, "2"), check(keys[4], v1), remove(keys[5], v1), put(keys[6], v1, "1"))
	t.require(v2 > v1, "version %d after %d", v2, v1)
	for i, k := range keys {
		switch i {
		case 3:
			t.holds(k, v2, "2")
		case 5:
			t.holds(k, 0, "")
		case 6: // the same value, put again
			t.holds(k, v2, "1")
		default:
			t.holds(k, v1, "1")
		}
	}
}

// One counter counts for the whole store, and never a number twice.
func versionsNeverReturn(t *tester) {
	k := key("k", "o", "n")
	v1 := t.commit(put(k, 0, "1"))
	v2 := t.commit(remove(k, v1))
	t.require(v2 > v1, "a Delete has version %d, after %d", v2, v1)
	v3 := t.commit(put(k, 0, "3"))
	t.require(v3 > v2, "version %d after a Delete that had %d", v3, v2)
	t.conflict([]keystore.Key{k}, put(k, v1, "late"))
	t.commit(remove(k, v3))

	last := t.generation()
	for i := range 30 {
		k := keystore.Key{Scope: fmt.Sprint("scope", i%3), Kind: fmt.Sprint("kind", i%2), Owner: fmt.Sprint(i % 5), Name: fmt.Sprint(i)}
		v := t.commit(put(k, 0, "v"))
		t.require(v > last, "version %d after %d, which was in another scope", v, last)
		_, err := t.s.Commit(ctx, put(k, 0, "again"))
		t.require(lost(err), "a Put that expects nothing where something is: %q", text(err))
		if last = v; i%4 == 0 {
			last = t.commit(remove(k, v))
		}
		t.require(last >= v, "a Delete has version %d, after %d", last, v)
	}
}

func generationIsTheNewest(t *tester) {
	a, b := key("k", "o", "a"), key("k", "o", "b")
	v := t.commit(put(a, 0, "1"), put(b, 0, "1"))
	for i := range 10 {
		equal(t, "generation after a Commit", t.generation(), v)
		t.load(a, b)
		t.all("", "", "")
		t.commit(check(a, t.load(a)[0].Version))
		t.conflict([]keystore.Key{b}, remove(b, v+100))
		equal(t, "generation after reads, Checks and a conflict", t.generation(), v)
		v = t.commit(put(a, t.load(a)[0].Version, fmt.Sprint(i)))
	}
	v = t.commit(remove(a, v))
	equal(t, "generation after the newest record was deleted", t.generation(), v)
	last := t.commit(remove(b, t.load(b)[0].Version))
	equal(t, "generation of a store that is empty again", t.generation(), last)
	t.require(last > v, "version %d after %d", last, v)
}

func checksAlone(t *tester) {
	a, b := key("k", "o", "a"), key("k", "o", "b")
	v := t.commit(put(a, 0, "1"))
	before := t.state()
	equal(t, "version of a Commit of Checks", t.commit(check(a, v), check(b, 0)), 0)
	equal(t, "version of a Commit of one Check", t.commit(check(a, v)), 0)
	t.unchanged("a Commit of Checks", before)
	t.conflict([]keystore.Key{b}, check(a, v), check(b, v))
	t.conflict([]keystore.Key{a, b}, check(a, 0), check(b, v))
	withValue := check(a, v)
	withValue.Value = []byte("of no meaning")
	equal(t, "version of a Check that has a value", t.commit(withValue), 0)
	t.holds(a, v, "1")
}

// That a record is absent may be expected of a Delete.
func deleteOfAbsent(t *tester) {
	k := key("k", "o", "n")
	before := t.generation()
	v, err := t.s.Commit(ctx, remove(k, 0))
	t.ok("Delete of what is absent", err)
	t.require(v > before, "a Commit with a Delete has version %d, after %d", v, before)
	t.holds(k, 0, "")
	v = t.commit(put(k, 0, "1"))
	t.conflict([]keystore.Key{k}, remove(k, 0))
	v2 := t.commit(remove(k, v))
	t.conflict([]keystore.Key{k}, remove(k, v))
	t.conflict([]keystore.Key{k}, remove(k, v2))
}

// One Load and one Commit of thousands, as an account with many devices has.
func manyRecordsAtOnce(t *tester) {
	n := some(10000, 2000)
	keys, changes := make([]keystore.Key, n), make([]keystore.Change, n)
	for i := range keys {
		keys[i] = key("k", fmt.Sprint(i%100), fmt.Sprint(i))
		changes[i] = put(keys[i], 0, fmt.Sprint("first ", i))
	}
	v := t.commit(changes...)
	slices.Reverse(keys)
	for i, r := range t.load(keys...) {
		equal(t, "one of many", stored{r.Version, string(r.Value)}, stored{v, fmt.Sprint("first ", n-1-i)})
	}
	equal(t, "records listed", len(t.all("scope", "k", "")), n)
	for i := range changes {
		switch changes[i].Expect = v; i % 3 {
		case 0:
			changes[i].Value = fmt.Append(nil, "second ", i)
		case 1:
			changes[i].Op = keystore.Delete
		case 2:
			changes[i].Op = keystore.Check
		}
	}
	v2 := t.commit(changes...)
	want := map[keystore.Key]stored{}
	for i, c := range changes {
		switch i % 3 {
		case 0:
			want[c.Key] = stored{v2, fmt.Sprint("second ", i)}
		case 2:
			want[c.Key] = stored{v, fmt.Sprint("first ", i)}
		}
	}
	t.hasAll(want)
}
