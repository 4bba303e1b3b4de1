package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var errServer = errors.New("fleet: the server is out of order")

// A server knows the devices of all users, hands out bundles, and keeps
// messages for them. It is honest but for the Lie that a line to it is told.
type server struct {
	mu      sync.Mutex
	entries map[session.Address]*entry
	old     map[string][]session.PeerDevice // each user's list as it was before its last change
	ghosts  map[string]*x3dh.Publication    // of a device that the server makes up, by user
}

// An entry is one registered device.
type entry struct {
	h            *handset
	registration uint32
	pub          *x3dh.Publication // what is left to hand out
	uploaded     map[uint32]bool   // ids of one-time prekeys that it was given, of both kinds
	box          []*letter         // on their way to it
	outdated     bool              // the device was put back: what it uploads next is all it has
}

func newServer() *server {
	return &server{entries: map[session.Address]*entry{}, old: map[string][]session.PeerDevice{}, ghosts: map[string]*x3dh.Publication{}}
}

// register puts a device on its user's list, in place of one at its address.
func (s *server) register(h *handset, pub *x3dh.Publication) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := h.at
	s.old[a.User] = s.list(a.User)
	s.entries[a] = &entry{h: h, registration: pub.RegistrationID, uploaded: map[uint32]bool{}}
	s.entries[a].upload(pub)
}

// remove takes a device off its user's list, and what waits for it away.
func (s *server) remove(a session.Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.old[a.User] = s.list(a.User)
	delete(s.entries, a)
}

// upload takes what a device published. One-time prekeys that it was given
// before it does not take again.
func (e *entry) upload(p *x3dh.Publication) {
	next := *p
	next.PreKeys, next.KEMPreKeys = nil, nil
	if e.pub != nil && !e.outdated {
		next.PreKeys, next.KEMPreKeys = e.pub.PreKeys, e.pub.KEMPreKeys
	}
	for i := range p.PreKeys {
		if id := p.PreKeys[i].ID; !e.uploaded[id] {
			e.uploaded[id] = true
			next.PreKeys = append(next.PreKeys, p.PreKeys[i])
		}
	}
	for i := range p.KEMPreKeys {
		if id := p.KEMPreKeys[i].ID | 1<<31; !e.uploaded[id] {
			e.uploaded[id] = true
			next.KEMPreKeys = append(next.KEMPreKeys, p.KEMPreKeys[i])
		}
	}
	e.pub, e.outdated = &next, false
}

// list is the true list of a user's devices, in the order of their ids.
func (s *server) list(user string) (out []session.PeerDevice) {
	for a, e := range s.entries {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: e.registration})
		}
	}
	slices.SortFunc(out, func(a, b session.PeerDevice) int { return int(a.Device) - int(b.Device) })
	return out
}

// A line is one device's connection to the server: its session.Directory. What
// the server said on it is kept: nothing may be encrypted to any other key.
type line struct {
	s   *server
	of  session.Address
	lie lie // until the next one

	mu    sync.Mutex
	told  map[session.Address]bool // devices that a list, or a Difference, named
	gifts map[session.Address][]gift
	lies  map[string]int
	hung  context.CancelFunc // ends the operation, once a call hangs
}

// A gift is a bundle that was handed out as one of a device, of the right form.
type gift struct {
	identity    keys.IdentityKey
	key         []byte // the signed prekey
	signed, kem uint32
	one         uint32
	hasOne      bool
	owner       *handset // whose it really is; nil: nobody's
}

func newLine(s *server, of session.Address) *line {
	return &line{s: s, of: of, told: map[session.Address]bool{}, gifts: map[session.Address][]gift{}, lies: map[string]int{}}
}

// Devices implements session.Directory.
func (l *line) Devices(ctx context.Context, user string) ([]session.PeerDevice, error) {
	if err := l.trouble(ctx, l.lie.aboutList(user)); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	out := l.s.list(user)
	if l.lie.aboutList(user) {
		out = l.s.falseList(&l.lie, user, out)
	}
	l.s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range out {
		l.told[session.Address{User: user, Device: d.Device}] = true
	}
	return out, nil
}

// Bundle implements session.Directory.
func (l *line) Bundle(ctx context.Context, peer session.Address) (*x3dh.Bundle, error) {
	lied := l.lie.aboutBundle(peer)
	if err := l.trouble(ctx, lied); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	b, owner, err := l.s.bundle(peer)
	if lied {
		b, owner, err = l.s.falseBundle(&l.lie, peer, b, owner, err)
	}
	if err != nil || b == nil {
		return b, err
	}
	if b.DeviceID == peer.Device && b.RegistrationID >= 1 && b.RegistrationID <= 16380 && b.Verify() == nil {
		g := gift{identity: b.IdentityKey, signed: b.SignedPreKey.ID, kem: b.KEMPreKey.ID, owner: owner, key: b.SignedPreKey.Key.Bytes()}
		if b.PreKey != nil {
			g.one, g.hasOne = b.PreKey.ID, true
		}
		l.mu.Lock()
		l.gifts[peer] = append(l.gifts[peer], g)
		l.mu.Unlock()
	}
	return b, nil
}

// Manifest implements session.Directory. Nobody has one.
func (l *line) Manifest(ctx context.Context, user string) ([]byte, error) {
	return nil, l.trouble(ctx, l.lie.aboutList(user))
}

// bundle takes a bundle of a device.
func (s *server) bundle(peer session.Address) (*x3dh.Bundle, *handset, error) {
	if e := s.entries[peer]; e != nil {
		return e.pub.Take(), e.h, nil
	}
	if g := s.ghosts[peer.User]; g != nil && peer.Device == ghost {
		return g.Take(), nil, nil
	}
	return nil, nil, errServer
}

// names notes what a Difference named.
func (l *line) names(d session.Difference) {
	for _, id := range d.Missing {
		l.told[session.Address{User: d.User, Device: id}] = true
	}
}

// A parcel is a Sending as it is handed to the server, and whom the app knows
// to be left out.
type parcel struct {
	users   []string // whose lists the server looks at
	results []session.Result
	without map[session.Address]bool
}

// submit takes messages for devices if their list is the current one, and
// else says in what it differs.
func (s *server) submit(l *line, p *parcel) (said []session.Difference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, user := range p.users {
		list := s.list(user)
		if l.lie.kind == judgesByOldList && l.lie.user == user {
			list = s.old[user]
			l.lied(judgesByOldList)
		}
		if d := difference(l.of, user, list, p); len(d.Missing)+len(d.Stale)+len(d.Extra) > 0 {
			said = append(said, d)
		}
	}
	said = falsely(l, p, said)
	for _, d := range said {
		l.names(d)
	}
	return said
}

// difference is what is wrong with the messages for one user's devices.
func difference(of session.Address, user string, list []session.PeerDevice, p *parcel) session.Difference {
	d := session.Difference{User: user}
	for _, want := range list {
		a := session.Address{User: user, Device: want.Device}
		at := slices.IndexFunc(p.results, func(r session.Result) bool { return r.To == a && r.Message != nil })
		switch {
		case a == of || p.without[a]:
		case at < 0:
			d.Missing = append(d.Missing, want.Device)
		case p.results[at].RegistrationID != want.RegistrationID:
			d.Stale = append(d.Stale, want.Device)
		}
	}
	for i := range p.results {
		r := &p.results[i]
		if r.To.User == user && r.Message != nil && !slices.ContainsFunc(list, func(w session.PeerDevice) bool { return w.Device == r.To.Device }) {
			d.Extra = append(d.Extra, r.To.Device)
		}
	}
	return d
}

// post puts a letter into a box, if there is one.
func (s *server) post(l *letter) {
	if e := s.entries[l.to]; e != nil {
		e.box = append(e.box, l)
	}
}

// aWhile is how long a hanging call may wait for its context to end.
const aWhile = 20 * time.Second
