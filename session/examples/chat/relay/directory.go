package relay

import (
	"fmt"
	"slices"
	"sync"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Bounds of the relay. Whoever would pass one is told post.ErrFull.
const (
	maxPeople  = 10000
	maxOffered = 100000 // one-time prekeys that one device ever published
)

// A directory says which devices somebody has, and hands out their prekey
// bundles. All it holds is public; what it has to get right is that nobody is
// handed a one-time prekey that another got.
type directory struct {
	mu     sync.Mutex
	people map[string]map[uint32]*shelf // by user and device
}

// A shelf is what one device has published.
type shelf struct {
	stock   *x3dh.Publication // without the one-time prekeys that are gone
	offered map[oneTime]bool  // every one-time prekey that ever was here
	removed bool              // by its owner; nothing is taken from here any more
}

type oneTime struct {
	kem bool
	id  uint32
}

// put takes in what a device published, and reports whether the device is a new
// one. One-time prekeys that were here before are passed over: an upload whose
// answer was lost comes again. Another identity key or registration id is another
// installation, and the old one's prekeys go.
//
// This relay knows nobody, so it cannot tell who may publish under a name. One
// of a real service asks for a login.
func (d *directory) put(a session.Address, p *x3dh.Publication) (isNew bool, err error) {
	if err := p.Verify(); err != nil {
		return false, fmt.Errorf("%w: %w", post.ErrBad, err)
	}
	if p.DeviceID != a.Device {
		return false, fmt.Errorf("%w: of another device", post.ErrBad)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.people[a.User][a.Device]
	isNew = s == nil || !s.stock.IdentityKey.Equal(p.IdentityKey) || s.stock.RegistrationID != p.RegistrationID
	switch {
	case isNew:
		s = &shelf{stock: &x3dh.Publication{}, offered: map[oneTime]bool{}}
	case s.removed:
		return false, post.ErrRemoved
	}
	if len(s.offered)+len(p.PreKeys)+len(p.KEMPreKeys) > maxOffered {
		return false, post.ErrFull
	}
	if d.people[a.User] == nil {
		if len(d.people) >= maxPeople {
			return false, post.ErrFull
		}
		d.people[a.User] = map[uint32]*shelf{}
	}
	s.add(p)
	d.people[a.User][a.Device] = s
	return isNew, nil
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
func (d *directory) take(a session.Address) (*x3dh.Bundle, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.here(a); err != nil {
		return nil, err
	}
	return d.people[a.User][a.Device].stock.Take(), nil
}

// remove takes a device off its owner's list, for good.
func (d *directory) remove(a session.Address) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.here(a); err != nil {
		return err
	}
	d.people[a.User][a.Device].removed = true
	return nil
}

// identity returns the identity key of a device.
func (d *directory) identity(a session.Address) (keys.IdentityKey, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.here(a); err != nil {
		return keys.IdentityKey{}, err
	}
	return d.people[a.User][a.Device].stock.IdentityKey, nil
}

// knows is nil for a device that published here and was not removed.
func (d *directory) knows(a session.Address) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.here(a)
}

func (d *directory) here(a session.Address) error {
	switch s := d.people[a.User][a.Device]; {
	case s == nil:
		return post.ErrUnknown
	case s.removed:
		return post.ErrRemoved
	}
	return nil
}

// list returns someone's devices.
func (d *directory) list(user string) ([]session.PeerDevice, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.people[user] == nil {
		return nil, post.ErrUnknown
	}
	list := []session.PeerDevice{}
	for id, s := range d.people[user] {
		if !s.removed {
			list = append(list, session.PeerDevice{Device: id, RegistrationID: s.stock.RegistrationID})
		}
	}
	slices.SortFunc(list, func(a, b session.PeerDevice) int { return int(a.Device) - int(b.Device) })
	return list, nil
}
