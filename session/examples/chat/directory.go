package main

import (
	"fmt"
	"sync"

	"github.com/gembok-e2ee/gembok/x3dh"
)

// Bounds of the relay. Whoever would pass one is told errFull.
const (
	maxPeople  = 10000
	maxOffered = 100000 // one-time prekeys that one person ever published
)

// A directory hands out prekey bundles. All it holds is public; what it has to
// get right is that nobody is handed a one-time prekey that another got.
type directory struct {
	mu     sync.Mutex
	people map[string]*shelf
}

// A shelf is what one person's device has published.
type shelf struct {
	stock   *x3dh.Publication // without the one-time prekeys that are gone
	offered map[oneTime]bool  // every one-time prekey that ever was here
}

type oneTime struct {
	kem bool
	id  uint32
}

// put takes in what a device published. One-time prekeys that were here before
// are passed over: an upload whose answer was lost comes again. Another identity
// key is another installation, and the old one's prekeys go.
//
// This relay knows nobody, so it cannot tell who may publish under a name. One
// of a real service asks for a login.
func (d *directory) put(name string, p *x3dh.Publication) error {
	if err := p.Verify(); err != nil {
		return fmt.Errorf("%w: %w", errBad, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.people[name]
	switch {
	case s == nil && len(d.people) >= maxPeople:
		return errFull
	case s == nil || !s.stock.IdentityKey.Equal(p.IdentityKey):
		s = &shelf{stock: &x3dh.Publication{}, offered: map[oneTime]bool{}}
	}
	if len(s.offered)+len(p.PreKeys)+len(p.KEMPreKeys) > maxOffered {
		return errFull
	}
	s.add(p)
	d.people[name] = s
	return nil
}

// add puts the new one-time prekeys behind the old, and replaces the rest.
func (s *shelf) add(p *x3dh.Publication) {
	next := *p
	next.PreKeys, next.KEMPreKeys = s.stock.PreKeys, s.stock.KEMPreKeys
	for _, k := range p.PreKeys {
		if s.isNew(oneTime{false, k.ID}) {
			next.PreKeys = append(next.PreKeys, k)
		}
	}
	for _, k := range p.KEMPreKeys {
		if s.isNew(oneTime{true, k.ID}) {
			next.KEMPreKeys = append(next.KEMPreKeys, k)
		}
	}
	s.stock = &next
}

func (s *shelf) isNew(k oneTime) bool {
	if s.offered[k] {
		return false
	}
	s.offered[k] = true
	return true
}

// take hands out a bundle. Its one-time prekeys leave the shelf with it; when
// there are none left, it has the last-resort one.
func (d *directory) take(name string) (*x3dh.Bundle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.people[name]
	if s == nil {
		return nil, errUnknown
	}
	return s.stock.Take(), nil
}

// knows reports whether someone published under a name.
func (d *directory) knows(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.people[name] != nil
}
