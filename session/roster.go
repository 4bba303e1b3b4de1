package session

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	// maxDevices is how many devices a user has at most: all there are numbers
	// for.
	maxDevices = 127
	// staleTime is how long a device that is gone is remembered, and its sessions,
	// on which mail may be under way.
	staleTime = archiveTime
	// maxHints bounds of how many users a Device remembers the devices.
	maxHints = 10000
)

// userName returns the one spelling of a user's name.
func userName(user string) (string, error) {
	a, err := Address{User: user, Device: 1}.canonical()
	return a.User, err
}

// compare orders addresses by user and number: the order of locks and results.
func (a Address) compare(b Address) int {
	if c := strings.Compare(a.User, b.User); c != 0 {
		return c
	}
	return int(a.Device) - int(b.Device)
}

// A roster is the record "peer" of a user within an operation.
type roster struct {
	t    *Tx
	user string
	wire.Peer
}

// roster reads the loaded record "peer" of a user.
func (t *Tx) roster(user string) (*roster, error) {
	r := &roster{t: t, user: user}
	var err error
	if r.Peer, err = t.peer(user); err != nil {
		return r, err
	}
	last := uint32(0)
	for _, p := range r.Devices {
		if p.ID <= last || p.ID > maxDevices {
			return r, fmt.Errorf("%w: devices of a user", ErrCorrupt)
		}
		last = p.ID
	}
	return r, nil
}

// write puts the record, if it is not what was loaded, and else makes the
// outcome depend on it.
func (r *roster) write() {
	k := r.t.d.peerKey(Address{User: r.user})
	body := wire.AppendPeer(nil, &r.Peer)
	if was, ok, err := r.t.get(k); err == nil && (ok || len(body) == 0) && string(was) == string(body) {
		r.t.check(k)
		return
	}
	r.t.put(k, body)
}

func (r *roster) address(id uint32) Address { return Address{User: r.user, Device: id} }

// device returns what is known of a device; nil is nothing.
func (r *roster) device(id uint32) *wire.PeerDevice {
	if i, ok := place(r.Devices, id); ok {
		return &r.Devices[i]
	}
	return nil
}

// place returns where a device is in a list by number, or belongs.
func place(devices []wire.PeerDevice, id uint32) (int, bool) {
	return slices.BinarySearchFunc(devices, id, func(p wire.PeerDevice, id uint32) int { return int(p.ID) - int(id) })
}

// current returns the devices that the user has, by number.
func (r *roster) current() []wire.PeerDevice {
	return slices.DeleteFunc(slices.Clone(r.Devices), func(p wire.PeerDevice) bool { return p.StaleSince != 0 })
}

// ids are their numbers.
func (r *roster) ids() []uint32 {
	var out []uint32
	for _, p := range r.Devices {
		if p.StaleSince == 0 {
			out = append(out, p.ID)
		}
	}
	return out
}

// set records that the user has a device, and reports whether it is new or back.
func (r *roster) set(id, registrationID uint32) (added bool) {
	i, ok := place(r.Devices, id)
	if !ok {
		r.Devices = slices.Insert(slices.Clone(r.Devices), i, wire.PeerDevice{ID: id})
	}
	p := &r.Devices[i]
	added = !ok || p.StaleSince != 0
	p.RegistrationID, p.StaleSince = registrationID, 0
	return added
}

// retire marks a device as gone, and reports whether it was one of the user's.
func (r *roster) retire(id uint32, now uint64) bool {
	p := r.device(id)
	if p == nil || p.StaleSince != 0 {
		return false
	}
	p.StaleSince = now
	return true
}

// relist makes the list the devices that the user has.
func (r *roster) relist(list []wire.PeerDevice, now uint64) (added, removed []uint32) {
	for _, id := range r.ids() {
		if !slices.ContainsFunc(list, func(p wire.PeerDevice) bool { return p.ID == id }) {
			r.retire(id, now)
			removed = append(removed, id)
		}
	}
	for _, p := range list {
		if r.set(p.ID, p.RegistrationID) {
			added = append(added, p.ID)
		}
	}
	r.ListedAt = now
	return added, removed
}

// adopt is relist, and all that goes with it: the sessions of devices that are
// gone are archived, and an app that had a list is told what is different.
func (r *roster) adopt(list []wire.PeerDevice) error {
	known := r.ListedAt != 0 || len(r.Devices) > 0 // of these, it was told
	added, removed := r.relist(list, r.t.d.now())
	for _, id := range removed {
		if err := r.close(id); err != nil {
			return err
		}
	}
	if !known {
		return nil
	}
	for _, id := range added {
		if err := r.t.Emit(Event{Kind: DeviceAdded, Address: r.address(id)}); err != nil {
			return err
		}
	}
	for _, id := range removed {
		if err := r.t.Emit(Event{Kind: DeviceRemoved, Address: r.address(id)}); err != nil {
			return err
		}
	}
	return nil
}

// close archives the current session of a device that is gone. One whose record
// is damaged stays: nothing is sent on it.
func (r *roster) close(id uint32) error {
	a := r.address(id)
	if err := r.t.load(r.t.d.sessionKey(a), r.t.d.peerKey(a)); err != nil {
		return err
	}
	b, err := r.t.openBook(a)
	if err != nil || b.Current == nil {
		r.t.check(r.t.d.sessionKey(a))
		return nil
	}
	if err := b.archiveCurrent(r.t.d.now()); err != nil {
		return err
	}
	b.write()
	return nil
}

// peerOf is what an app is told of a roster.
func (r *roster) peer() *Peer {
	out := &Peer{User: r.user, Blocked: r.Blocked}
	for _, p := range r.Devices {
		out.Devices = append(out.Devices, PeerDevice{Device: p.ID, RegistrationID: p.RegistrationID, Stale: moment(p.StaleSince)})
	}
	return out
}

// forgotten reports whether a device was gone for so long that it goes.
func forgotten(p *wire.PeerDevice, now uint64) bool {
	return p.StaleSince != 0 && older(p.StaleSince, now, staleTime)
}

// forget removes the devices that were gone for long, and their sessions. What
// is damaged stays.
func (r *roster) forget() error {
	now := r.t.d.now()
	var stay []wire.PeerDevice
	for _, p := range r.Devices {
		dropped := false
		if forgotten(&p, now) {
			var err error
			if dropped, err = r.drop(r.address(p.ID)); err != nil {
				return err
			}
		}
		if !dropped {
			stay = append(stay, p)
		}
	}
	if len(stay) != len(r.Devices) {
		r.Devices = stay
		r.write()
	}
	return nil
}

// drop removes the sessions with a device, if their record can be read.
func (r *roster) drop(a Address) (dropped bool, err error) {
	t := r.t
	if err := t.load(t.d.sessionKey(a)); err != nil {
		return false, err
	}
	b, err := t.openBook(a)
	if err != nil {
		t.check(t.d.sessionKey(a))
		return false, nil
	}
	if err := b.dropAll(every); err != nil {
		return false, err
	}
	t.del(t.d.sessionKey(a))
	return true, nil
}

// A memory is what a Device remembers from one Send to the next. Of users it is
// the devices, by number: the locks to take, and the records to load. What is
// loaded then counts.
type memory struct {
	mu    sync.Mutex
	users map[string][]uint32
	stamp uint64 // the newest time that was given to a message
}

// hint remembers the devices of users.
func (d *Device) hint(known map[string][]uint32) {
	m := &d.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == nil || len(m.users)+len(known) > maxHints {
		m.users = make(map[string][]uint32, len(known))
	}
	maps.Copy(m.users, known)
}

// unhint forgets the devices of users.
func (d *Device) unhint(users []string) {
	m := &d.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, user := range users {
		delete(m.users, user)
	}
}

// recall returns the devices of a user; ok is false when none are remembered.
func (d *Device) recall(user string) (ids []uint32, ok bool) {
	m := &d.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	ids, ok = m.users[user]
	return ids, ok
}

// hinted are the devices of users that are remembered, in order.
func (d *Device) hinted(users []string) []Address {
	var out []Address
	for _, user := range users {
		ids, _ := d.recall(user)
		for _, id := range ids {
			out = append(out, Address{User: user, Device: id})
		}
	}
	return out
}

// lockAll takes the locks of peer devices, which are in order. None is taken in
// a transaction of the app's, or after an error, which is that of ctx.
func (d *Device) lockAll(ctx context.Context, peers []Address) (unlock func(), err error) {
	if len(peers) == 0 || joined(ctx) {
		return func() {}, nil
	}
	names := make([]string, 0, len(peers))
	unlock = func() {
		for _, name := range names {
			d.locks.unlock(name)
		}
	}
	for _, p := range peers {
		name := p.String()
		if err := d.locks.lock(ctx, name); err != nil {
			unlock()
			return nil, err
		}
		names = append(names, name)
	}
	return unlock, nil
}

func (d *Device) peerKeys(users []string) []keystore.Key {
	out := make([]keystore.Key, len(users))
	for i, user := range users {
		out[i] = d.peerKey(Address{User: user})
	}
	return out
}
