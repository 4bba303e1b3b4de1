package keystoretest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/keystore/keystoretest"
)

// A disk is what outlives the toys that are opened on it.
type disk struct {
	mu      sync.Mutex
	records map[keystore.Key]keystore.Record
	newest  uint64
}

func (d *disk) clone() *disk {
	return &disk{records: maps.Clone(d.records), newest: d.newest}
}

// let gives the lock to others for a moment.
func (d *disk) let() {
	d.mu.Unlock()
	time.Sleep(time.Microsecond)
	d.mu.Lock()
}

// A toy is a store that keeps the contract, but for its flaw.
type toy struct {
	flaw   string
	disk   *disk
	hook   func() error
	closed bool

	// What flaws need.
	old  map[keystore.Key]keystore.Record
	seen map[keystore.Key]keystore.Record
	uses int
}

// harness is a disk with a toy on it.
func harness(flaw string) func(testing.TB) keystoretest.Harness {
	return func(testing.TB) keystoretest.Harness {
		d := &disk{records: map[keystore.Key]keystore.Record{}}
		last := &toy{flaw: flaw, disk: d}
		open := func(d *disk) (keystore.Store, error) {
			last = &toy{flaw: flaw, disk: d}
			return last, nil
		}
		return keystoretest.Harness{
			Store:  last,
			Reopen: func() (keystore.Store, error) { return open(reopened(flaw, last.disk)) },
			Crash:  func() (keystore.Store, error) { return open(crashed(flaw, last)) },
			Another: func() (keystore.Store, error) {
				switch flaw {
				case "only one may open it":
					return nil, fmt.Errorf("toy: %w", keystore.ErrLocked)
				case "refuses another by an error of its own":
					return nil, errors.New("toy: no")
				case "another has other records":
					return open(last.disk.clone())
				}
				return open(last.disk)
			},
			Fault: func(hook func() error) { last.hook = hook },
		}
	}
}

// reopened is a disk after its toy was closed.
func reopened(flaw string, d *disk) *disk {
	d = d.clone()
	switch flaw {
	case "reopened with nothing":
		d.records = map[keystore.Key]keystore.Record{}
	case "counts anew from its records":
		d.newest = 0
		for _, r := range d.records {
			d.newest = max(d.newest, r.Version)
		}
	case "loses empty records when closed":
		maps.DeleteFunc(d.records, func(_ keystore.Key, r keystore.Record) bool { return len(r.Value) == 0 })
	}
	return d
}

// crashed is the disk of a toy that was not closed.
func crashed(flaw string, s *toy) *disk {
	d := s.disk.clone()
	switch flaw {
	case "durable only when closed":
		d = &disk{records: map[keystore.Key]keystore.Record{}}
	case "the counter is durable only when closed":
		return reopened("counts anew from its records", d)
	}
	return d
}

// beneath is a point where what lies beneath may fail.
func (s *toy) beneath() error {
	if s.hook == nil {
		return nil
	}
	if err := s.hook(); err != nil {
		if s.flaw == "swallows what lies beneath" {
			return errors.New("toy: failed")
		}
		return fmt.Errorf("toy: %w", err)
	}
	return nil
}

// begin locks, unless there is a reason not to do anything.
func (s *toy) begin(ctx context.Context) error {
	s.disk.mu.Lock()
	err := ctx.Err()
	switch {
	case s.closed && s.flaw != "works when closed":
		err = keystore.ErrClosed
	case s.flaw == "does not look at contexts":
		err = nil
	case err != nil && s.flaw == "has an error of its own for a context's end":
		err = errors.New("toy: cancelled")
	}
	if err != nil {
		s.disk.mu.Unlock()
	}
	return err
}

func (s *toy) Load(ctx context.Context, keys ...keystore.Key) ([]keystore.Record, error) {
	for _, k := range keys {
		if !k.Valid() && s.flaw != "takes any key" {
			return nil, fmt.Errorf("%w: scope %d", keystore.ErrInvalid, len(k.Scope))
		}
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.disk.mu.Unlock()
	if err := s.beneath(); err != nil {
		if s.flaw == "answers nothing where a read fails" {
			return make([]keystore.Record, len(keys)), nil
		}
		return nil, err
	}
	var records []keystore.Record
	for _, k := range s.order(keys) {
		if s.flaw == "loads one by one" {
			s.disk.let()
		}
		records = append(records, s.load(k))
	}
	return records, nil
}

// order is the order of the answers.
func (s *toy) order(keys []keystore.Key) []keystore.Key {
	keys = slices.Clone(keys)
	switch s.flaw {
	case "loads in order of names":
		slices.SortFunc(keys, func(a, b keystore.Key) int { return strings.Compare(a.Name, b.Name) })
	case "loads each key once":
		seen := map[keystore.Key]bool{}
		keys = slices.DeleteFunc(keys, func(k keystore.Key) bool { twice := seen[k]; seen[k] = true; return twice })
	}
	return keys
}

func (s *toy) load(k keystore.Key) keystore.Record {
	r := s.disk.records[s.stored(k)]
	switch s.uses++; {
	case s.flaw == "remembers what it loaded":
		if s.seen == nil {
			s.seen = map[keystore.Key]keystore.Record{}
		}
		if old, ok := s.seen[k]; ok && s.uses%50 != 0 {
			r = old
		}
		s.seen[k] = r
	case s.flaw == "answers of the past" && s.uses%50 == 0:
		r = s.old[k]
	}
	return s.out(k, r)
}

// out is what a caller gets.
func (s *toy) out(k keystore.Key, r keystore.Record) keystore.Record {
	r.Key = k
	if s.flaw != "hands out its own value" {
		r.Value = slices.Clone(r.Value)
	}
	if len(r.Value) == 0 && s.flaw == "empty is missing" {
		r.Version = 0
	}
	return r
}

// stored is the key that k's record is under.
func (s *toy) stored(k keystore.Key) keystore.Key {
	part := func(f func(string) string) keystore.Key {
		return keystore.Key{Scope: f(k.Scope), Kind: f(k.Kind), Owner: f(k.Owner), Name: f(k.Name)}
	}
	switch s.flaw {
	case "folds case":
		return part(strings.ToLower)
	case "trims spaces":
		return part(strings.TrimSpace)
	case "wants UTF-8":
		return part(func(p string) string { return strings.ToValidUTF8(p, "\ufffd") })
	case "ends at U+0000":
		return part(func(p string) string { p, _, _ = strings.Cut(p, "\x00"); return p })
	case "cuts names at 255":
		return part(func(p string) string { return p[:min(255, len(p))] })
	case "joins names by a slash":
		return keystore.Key{Scope: k.Scope, Kind: k.Kind, Owner: k.Owner + "/" + k.Name}
	case "one scope":
		k.Scope = "scope"
	}
	return k
}

func (s *toy) Generation(ctx context.Context) (uint64, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.disk.mu.Unlock()
	if err := s.beneath(); err != nil {
		return 0, err
	}
	if s.flaw == "generation of its records" {
		return reopened("counts anew from its records", s.disk).newest, nil
	}
	return s.disk.newest, nil
}

func (s *toy) Close() error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.closed && s.flaw == "closes once" {
		return keystore.ErrClosed
	}
	if s.flaw == "leaves a goroutine" && !s.closed {
		go func() { <-goroutines }()
	}
	if s.closed = true; s.flaw == "loses the newest when closed" {
		maps.DeleteFunc(s.disk.records, func(_ keystore.Key, r keystore.Record) bool { return r.Version == s.disk.newest })
	}
	return nil
}

// goroutines that a flaw has left wait for this.
var goroutines = make(chan int)

func (s *toy) List(ctx context.Context, scope, kind, owner string) iter.Seq2[keystore.Record, error] {
	used := false
	return func(yield func(keystore.Record, error) bool) {
		if err := s.begin(ctx); err != nil {
			_ = s.flaw == "lists nothing when closed" || yield(keystore.Record{}, err)
			return
		}
		all, err := s.list(scope, kind, owner)
		if s.flaw != "lists under its lock" {
			s.disk.mu.Unlock()
		}
		if err != nil || used && s.flaw == "lists once" {
			_ = err == nil || s.flaw == "lists nothing where a read fails" || yield(keystore.Record{}, err)
			return
		}
		used = true
		if s.yield(ctx, all, yield); s.flaw == "lists under its lock" {
			s.disk.mu.Unlock()
		}
	}
}

// list is what a List yields.
func (s *toy) list(scope, kind, owner string) (all []keystore.Record, err error) {
	ask := func(want, have string) bool {
		if s.flaw == "lists by patterns" && want == "%" {
			return true
		}
		return want == "" || want == have
	}
	for k, r := range s.disk.records {
		if err := s.beneath(); err != nil {
			return nil, err
		}
		if ask(scope, k.Scope) && (ask(kind, k.Kind) || s.flaw == "lists any kind") && (ask(owner, k.Owner) || s.flaw == "lists any owner") {
			out := s.out(k, r)
			if s.flaw == "lists its own values" {
				out.Value = r.Value
			}
			all = append(all, out)
		}
	}
	slices.SortFunc(all, func(a, b keystore.Record) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	switch {
	case len(all) == 0:
	case s.flaw == "lists all but the last":
		all = all[:len(all)-1]
	case s.flaw == "lists some twice":
		all = append(all, all[0])
	case s.flaw == "lists at most 1000":
		all = all[:min(len(all), 1000)]
	}
	return all, nil
}

// yield yields records as they are when their turn comes, and the reason why
// that ended.
func (s *toy) yield(ctx context.Context, all []keystore.Record, yield func(keystore.Record, error) bool) {
	for i, r := range all {
		if s.flaw == "skips where others commit" && i%2 == 1 && s.busy(r.Version) {
			continue
		}
		if s.flaw != "lists under its lock" {
			if err := s.begin(ctx); err != nil {
				_ = s.flaw == "ends a list in silence" || yield(keystore.Record{}, err)
				if s.flaw != "goes on after an error" {
					return
				}
				s.disk.mu.Lock()
			}
			if now := s.disk.records[r.Key]; s.flaw == "lists old values of new versions" {
				r.Version = now.Version
			}
			s.disk.mu.Unlock()
		}
		if r.Version != 0 && !yield(r, nil) {
			return
		}
	}
}

// busy tells whether there were many Commits since a version.
func (s *toy) busy(version uint64) bool {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.newest > version+20
}
