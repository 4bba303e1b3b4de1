package keystoretest

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// workers is how many goroutines use a store at once.
const workers = 64

// together calls do in goroutines, each with a number from 0, and ends the test
// if one of them returns an error.
func (t *tester) together(what string, n int, do func(w int) error) {
	t.Helper()
	errs := make(chan error, n)
	for w := range n {
		go func() { errs <- do(w) }()
	}
	var first error
	for range n {
		first = cmp.Or(first, <-errs)
	}
	t.ok(what, first)
}

func number(r keystore.Record) uint64 {
	if len(r.Value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(r.Value)
}

func amount(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }

// adjust adds to two records in one Commit, until it wins, and returns the
// version.
func adjust(s keystore.Store, a, b keystore.Key, toA, toB uint64) (uint64, error) {
	for {
		r, err := s.Load(ctx, a, b)
		if err != nil {
			return 0, err
		}
		v, err := s.Commit(ctx, put(a, r[0].Version, amount(number(r[0])+toA)), put(b, r[1].Version, amount(number(r[1])+toB)))
		if !lost(err) {
			return v, err
		}
	}
}

func noLostUpdate(t *tester) { countTogether(t, t.s) }

// countTogether lets 64 goroutines count in one record for all and in one of
// their own, in one Commit.
func countTogether(t *tester, stores ...keystore.Store) {
	rounds := some(10, 3)
	shared := key("counter", "", "shared")
	own := func(w int) keystore.Key { return key("counter", fmt.Sprint(w), "") }
	var versions sync.Map
	t.together("counting", workers, func(w int) error {
		for range rounds {
			v, err := adjust(stores[w%len(stores)], shared, own(w), 1, 1)
			if err != nil {
				return err
			}
			if _, again := versions.LoadOrStore(v, true); again {
				return fmt.Errorf("version %d was given twice", v)
			}
		}
		return nil
	})
	equal(t, "count of all", number(t.load(shared)[0]), uint64(workers*rounds))
	for w := range workers {
		equal(t, "count of one", number(t.load(own(w))[0]), uint64(rounds))
	}
}

// Of many that expect the same, one wins; the others are told so, and have
// changed nothing.
func oneWins(t *tester) {
	k := key("k", "o", "n")
	for range some(50, 10) {
		expect := t.load(k)[0].Version
		var wins atomic.Int32
		t.together("one of many", workers, func(w int) error {
			_, err := t.s.Commit(ctx, put(k, expect, fmt.Sprint(w)), put(key("beside", "", fmt.Sprint(w)), 0, "made"))
			if err == nil {
				wins.Add(1)
			} else if !lost(err) {
				return err
			}
			return nil
		})
		equal(t, "winners", wins.Load(), 1)
		beside := t.all("", "beside", "")
		equal(t, "records made by the winner", len(beside), 1)
		for b, r := range beside {
			t.holds(k, r.version, b.Name)
			t.commit(remove(b, r.version))
		}
	}
}

// Amounts move between accounts while others look: the sum is the same in
// every Load, for it is a snapshot.
func snapshots(t *tester) {
	const accounts, each = 32, 1000
	var keys []keystore.Key
	var changes []keystore.Change
	for i := range accounts {
		keys = append(keys, key("account", fmt.Sprint(i%3), fmt.Sprint(i)))
		changes = append(changes, put(keys[i], 0, amount(each)))
	}
	t.commit(changes...)
	var done atomic.Bool
	defer done.Store(true)
	watched := make(chan error, 2)
	for range cap(watched) {
		go func() {
			for !done.Load() {
				if err := sumIs(t.s, keys, accounts*each); err != nil {
					watched <- err
					return
				}
			}
			watched <- nil
		}()
	}
	moves := some(100, 20)
	t.together("moving amounts", 8, func(w int) error {
		for i := range moves {
			from := (w + i) % accounts
			if _, err := adjust(t.s, keys[from], keys[(from+1+(w*7+i)%(accounts-1))%accounts], ^uint64(0), 1); err != nil {
				return err
			}
		}
		return nil
	})
	done.Store(true)
	for range cap(watched) {
		t.ok("a snapshot", <-watched)
	}
	t.ok("the end", sumIs(t.s, keys, accounts*each))
}

func sumIs(s keystore.Store, keys []keystore.Key, want uint64) error {
	records, err := s.Load(ctx, keys...)
	if err != nil {
		return err
	}
	var sum uint64
	for _, r := range records {
		sum += number(r)
	}
	if sum != want {
		return fmt.Errorf("the sum is %d, want %d", sum, want)
	}
	return nil
}

// Close may come at any time, also twice at once. Calls that are under way
// end, those that come later are told, and what was said to be made is.
func closeWhileBusy(t *tester) {
	var made [workers]uint64 // the last version that each was told
	var errs [workers]error
	var isClosed atomic.Bool
	var began, ended sync.WaitGroup
	began.Add(workers)
	for w := range workers {
		ended.Go(func() {
			once := sync.OnceFunc(began.Done)
			defer once()
			for late := false; errs[w] == nil && !late; once() {
				late = isClosed.Load()
				errs[w] = busy(t.s, key("busy", fmt.Sprint(w), ""), &made[w])
			}
		})
	}
	began.Wait()
	var closing [2]error
	t.together("Close", 2, func(w int) error { closing[w] = t.s.Close(); return nil })
	isClosed.Store(true)
	ended.Wait()
	t.ok("Close of two at once", errors.Join(closing[:]...))
	for _, err := range errs {
		if !errors.Is(err, keystore.ErrCommitUnknown) {
			t.is("a call while the store is closed", err, keystore.ErrClosed)
		}
	}
	if t.h.Reopen == nil {
		return
	}
	t.reopen()
	for w, err := range errs {
		if !errors.Is(err, keystore.ErrCommitUnknown) {
			equal(t, "version after Close", t.load(key("busy", fmt.Sprint(w), ""))[0].Version, made[w])
		}
	}
}

// busy calls all methods but Close.
func busy(s keystore.Store, k keystore.Key, version *uint64) error {
	v, err := s.Commit(ctx, put(k, *version, "value"))
	if err != nil {
		return err
	}
	*version = v
	if _, err = s.Load(ctx, k); err != nil {
		return err
	}
	for _, err := range s.List(ctx, k.Scope, k.Kind, "") {
		if err != nil {
			return err
		}
	}
	_, err = s.Generation(ctx)
	return err
}

// A store leaves no goroutine when it is closed.
func nothingIsLeftRunning(t *tester) {
	const stores = 3
	before := settled()
	for range stores {
		t.commit(put(key("k", "o", "n"), 0, "v"))
		for _, err := range t.s.List(ctx, "", "", "") {
			t.ok("List", err)
			break
		}
		t.renew()
	}
	t.ok("Close", t.s.Close())
	after := settled()
	for range 100 { // what ends by itself may take its time
		if after <= before {
			return
		}
		after = settled()
	}
	t.Fatalf("%d goroutines run after %d stores were closed, %d before", after, stores+1, before)
}

// settled returns how many goroutines run, once they do not get fewer.
func settled() int {
	for n := runtime.NumGoroutine(); ; {
		time.Sleep(20 * time.Millisecond)
		now := runtime.NumGoroutine()
		if now >= n {
			return now
		}
		n = now
	}
}
