package keystoretest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/gembok-e2ee/gembok/keystore"
)

// All calls of many goroutines on few records can be put into one order.
func linearizable(t *tester) { t.linearize(t.s) }

// linearize makes calls on stores that share their records, which are none
// yet, and checks their history.
func (t *tester) linearize(stores ...keystore.Store) {
	t.Helper()
	const callers = 16
	var clock atomic.Int64
	var mu sync.Mutex
	var calls []*call
	each := some(300, 60)
	made := t.generation()
	t.together("calls at once", callers, func(w int) error {
		r := &caller{s: stores[w%len(stores)], clock: &clock, rng: rand.New(rand.NewPCG(1, uint64(w))), known: map[keystore.Key]uint64{}}
		for range each {
			if err := r.call(); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, r.calls...)
		return nil
	})
	t.ok("no order of these calls explains what they answered", newHistory(made, calls).check())
}

// A caller calls a store and remembers what it answered.
type caller struct {
	s     keystore.Store
	clock *atomic.Int64
	rng   *rand.Rand
	calls []*call
	known map[keystore.Key]uint64 // versions, by the last Load or Commit
}

func (r *caller) keys(n int) (keys []keystore.Key) {
	for _, i := range r.rng.Perm(6)[:n] {
		keys = append(keys, key("k", fmt.Sprint(i%2), fmt.Sprint(i)))
	}
	return keys
}

func (r *caller) call() (err error) {
	c := &call{start: r.clock.Add(1)}
	switch n := r.rng.IntN(10); {
	case n < 4:
		err = r.load(c)
	case n < 9:
		err = r.commit(c)
	default:
		c.method = "Generation"
		c.generation, err = r.s.Generation(ctx)
	}
	c.end = r.clock.Add(1)
	r.calls = append(r.calls, c)
	return err
}

func (r *caller) load(c *call) (err error) {
	c.method = "Load"
	if c.loaded, err = r.s.Load(ctx, r.keys(1+r.rng.IntN(6))...); err != nil {
		return err
	}
	for _, record := range c.loaded {
		r.known[record.Key] = record.Version
	}
	return nil
}

// commit expects what was known last: it may be so no more.
func (r *caller) commit(c *call) (err error) {
	c.method = "Commit"
	for _, k := range r.keys(1 + r.rng.IntN(3)) {
		change := put(k, r.known[k], fmt.Sprint(c.start))
		switch r.rng.IntN(5) {
		case 0:
			change = remove(k, r.known[k])
		case 1:
			change = check(k, r.known[k])
		}
		c.changes = append(c.changes, change)
	}
	c.version, err = r.s.Commit(ctx, c.changes...)
	if conflict, ok := errors.AsType[*keystore.ConflictError](err); ok {
		c.conflicts = conflict.Keys
		return nil
	}
	for _, change := range c.changes {
		switch {
		case err != nil:
		case change.Op == keystore.Put:
			r.known[change.Key] = c.version
		case change.Op == keystore.Delete:
			delete(r.known, change.Key)
		}
	}
	return err
}
