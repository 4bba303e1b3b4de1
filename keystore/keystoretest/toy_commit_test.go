package keystoretest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

func (s *toy) Commit(ctx context.Context, changes ...keystore.Change) (version uint64, err error) {
	if err := keystore.Validate(changes); err != nil && s.flaw != "takes any change" {
		if s.flaw == "tells a key in an error" {
			err = fmt.Errorf("%w: %q", err, changes[0].Key)
		}
		return 0, err
	}
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	if s.flaw != "leaves its lock to a panic" {
		defer s.disk.mu.Unlock()
	} else {
		defer func() {
			if recover() == nil {
				s.disk.mu.Unlock()
			}
		}()
	}
	if err := s.conflict(changes); err != nil {
		return 0, err
	}
	if s.flaw == "checks, and then writes" {
		s.disk.let()
	}
	if err := s.beneath(); err != nil {
		if s.flaw == "takes a version for what fails" {
			s.disk.newest++
		}
		return 0, err
	}
	if s.flaw == "answers of the past" {
		s.old = maps.Clone(s.disk.records)
	}
	version = s.put(changes)
	if err := s.beneath(); err != nil { // it may be on the disk, or not
		if s.flaw == "says it failed when it did not" {
			return 0, err
		}
		return 0, fmt.Errorf("toy: %w: %w", keystore.ErrCommitUnknown, err)
	}
	if s.flaw == "looks at its context too late" {
		time.Sleep(time.Millisecond)
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return version, nil
}

// conflict compares expectations.
func (s *toy) conflict(changes []keystore.Change) error {
	var lost []keystore.Key
	for _, c := range changes {
		if s.expects(&c) != c.Expect {
			lost = append(lost, c.Key)
		}
	}
	if lost == nil {
		return nil
	}
	switch s.flaw {
	case "names the first conflict":
		lost = lost[:1]
	case "names conflicts backwards":
		slices.Reverse(lost)
	case "names all keys":
		lost = nil
		for _, c := range changes {
			lost = append(lost, c.Key)
		}
	case "names no conflict":
		lost = nil
	case "has an error of its own for conflicts":
		return errors.New("toy: conflict")
	case "does not know of conflicts":
		return fmt.Errorf("%w: %w", keystore.ErrCommitUnknown, &keystore.ConflictError{Keys: lost})
	case "takes a version for a conflict":
		s.disk.newest++
	case "makes what comes before a conflict":
		s.put(changes[:slices.IndexFunc(changes, func(c keystore.Change) bool { return c.Key == lost[0] })])
	case "makes what has no conflict":
		s.put(slices.DeleteFunc(slices.Clone(changes), func(c keystore.Change) bool { return slices.Contains(lost, c.Key) }))
	}
	return &keystore.ConflictError{Keys: lost}
}

// expects is the version that c has to expect.
func (s *toy) expects(c *keystore.Change) uint64 {
	r := s.out(c.Key, s.disk.records[s.stored(c.Key)])
	switch {
	case s.flaw == "does not look at Checks" && c.Op == keystore.Check,
		s.flaw == "does not look what it deletes" && c.Op == keystore.Delete,
		s.flaw == "puts blindly" && c.Op == keystore.Put && c.Expect != 0,
		s.flaw == "puts anything in place of nothing" && c.Op == keystore.Put && r.Version == 0,
		s.flaw == "overwrites what should be absent" && c.Expect == 0,
		s.flaw == "expects at least" && c.Expect > 0 && r.Version > 0 && c.Expect >= r.Version:
		return c.Expect
	}
	return r.Version
}

// put makes changes, and returns their version.
func (s *toy) put(changes []keystore.Change) (version uint64) {
	d := s.disk
	for i, c := range changes {
		if c.Op != keystore.Check && version == 0 || s.flaw == "a version for each change" || s.flaw == "a version for Checks" {
			version = s.next(c.Key)
			d.newest = max(d.newest, version)
		}
		if i == 1 && s.flaw == "half of it on the disk" {
			if s.beneath() != nil {
				return 0
			}
		}
		k := s.stored(c.Key)
		switch c.Op {
		case keystore.Put:
			d.records[k] = keystore.Record{Key: c.Key, Value: s.in(c.Value), Version: version}
		case keystore.Delete:
			delete(d.records, k)
		case keystore.Check:
			if r, ok := d.records[k]; ok && s.flaw == "a new version for what is checked" {
				r.Version = version
				d.records[k] = r
			}
		}
	}
	if s.flaw == "tells the version before" {
		return max(version, 1) - 1
	}
	return version
}

// next is the version of a Commit.
func (s *toy) next(k keystore.Key) (version uint64) {
	switch s.flaw {
	case "the next version of its records":
		return reopened("counts anew from its records", s.disk).newest + 1
	case "a counter for each scope", "a counter for each record":
		for _, r := range s.disk.records {
			if r.Key == k || s.flaw == "a counter for each scope" && r.Key.Scope == k.Scope {
				version = max(version, r.Version)
			}
		}
		return version + 1
	case "no version for a Delete":
		return s.disk.newest
	case "another counter for each that opens it":
		s.uses++
		return uint64(s.uses)
	}
	return s.disk.newest + 1
}

// in is what is stored of a value.
func (s *toy) in(value []byte) []byte {
	switch {
	case s.flaw == "keeps the caller's value":
		return value
	case s.flaw == "cuts values at 1 MiB":
		value = value[:min(1<<20, len(value))]
	case s.flaw == "cuts values at 64 MiB":
		value = value[:min(64<<20, len(value))]
	case s.flaw == "pads values":
		value = append(slices.Clone(value), make([]byte, -len(value)&7)...)
	case s.flaw == "ends values at a zero":
		if i := slices.Index(value, 0); i >= 0 {
			value = value[:i]
		}
	}
	return slices.Clone(value)
}
