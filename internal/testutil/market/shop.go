package market

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	toko = "toko" // the business
	day  = 24 * time.Hour
	skew = 5 * time.Minute
)

// A host is who may have a key of the business.
type host struct {
	controller hosting.Controller
	provider   *hosting.Provider
	key        *keys.IdentityKeyPair
}

func newHosts() []host {
	awan, raya := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	return []host{
		{hosting.OwnerDevice, nil, nil},
		{hosting.OwnerServer, nil, nil},
		{hosting.HostedByProvider, &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: awan.Public()}, awan},
		{hosting.HostedByPlatform, &hosting.Provider{Name: "Raya", Domain: "raya.example", Key: raya.Public()}, raya},
	}
}

// A statement is a manifest of the business, and what it says: who has keys, and that
// a model reads.
type statement struct {
	*hosting.Manifest
	bytes []byte
	hash  [32]byte
	facts []string // in order; none where nobody else has a key
}

func (s *statement) lists(device uint32, key keys.IdentityKey) bool {
	return slices.ContainsFunc(s.Endpoints, func(e hosting.Endpoint) bool { return e.Device == device && e.Identity == key })
}

func (s *statement) inTime(now time.Time) bool {
	return !now.Before(s.NotBefore.Add(-skew)) && !now.After(s.NotAfter.Add(skew))
}

// within reports whether all that s says is in other.
func (s *statement) within(other *statement) bool {
	return !slices.ContainsFunc(s.facts, func(f string) bool { return !slices.Contains(other.facts, f) })
}

func factOf(c hosting.Controller, domain string) string { return string('0'+rune(c)) + " " + domain }

const readByModel = "read by a model"

// A shop is the business.
type shop struct {
	w     *world
	key   *keys.IdentityKeyPair
	hosts []host
	model bool // a model reads what hosts get
	chain []*statement
	fork  *statement // of the last one; nil is none
	all   map[[32]byte]*statement
}

func (s *shop) newest() *statement {
	if len(s.chain) == 0 {
		return nil
	}
	return s.chain[len(s.chain)-1]
}

// devices are those of the business, in order.
func (s *shop) devices() (out []*device) {
	for _, d := range s.w.devices() {
		if d.addr.User == toko {
			out = append(out, d)
		}
	}
	return out
}

// move takes a device to another host, which is another device with another key, or
// closes it.
func (s *shop) move() {
	a := session.Address{User: toko, Device: uint32(1 + s.w.rng.IntN(2))}
	if old := s.w.of[a]; old != nil {
		s.w.drain(old)
		if delete(s.w.of, a); len(s.devices()) > 0 && s.w.rng.IntN(3) == 0 {
			s.publish(s.w.rng.IntN(2) == 0)
			return
		}
	}
	s.open(a)
	s.publish(s.w.rng.IntN(4) == 0)
}

// open sets up a device.
func (s *shop) open(a session.Address) {
	d := s.w.add(a, keys.GenerateIdentityKeyPair())
	d.host = s.w.rng.IntN(len(s.hosts))
	s.w.at[d.Identity()] = s.hosts[d.host].controller
	s.w.count["moved"]++
}

// publish makes the next manifest, which the devices say and the server shows.
func (s *shop) publish(forked bool) {
	for _, d := range s.w.devices() { // what was said under the old one comes first, half of the time
		if s.w.rng.IntN(2) == 0 {
			s.w.drain(d)
		}
	}
	m := s.next(day * [...]time.Duration{3, 15, 30}[s.w.rng.IntN(3)])
	if s.fork = nil; forked && s.w.forks {
		s.model = !s.model
		s.fork = s.next(10 * day)
		s.model = !s.model
		s.w.count["forks"]++
	}
	s.chain = append(s.chain, m)
	for _, d := range s.devices() {
		require.NoError(s.w.t, d.gate.Publish(ctx, d.Device, m.bytes))
	}
	s.w.count["manifests"]++
	s.w.note("manifest %d %x: %s", m.Epoch, m.hash[:2], strings.Join(m.facts, ", "))
}

// next signs a manifest of the devices that there are, which follows on the newest.
func (s *shop) next(holds time.Duration) *statement {
	m := &hosting.Manifest{Account: toko, Kind: hosting.KindBusiness, Epoch: 1, NotBefore: s.w.now.Truncate(time.Second)}
	m.NotAfter = m.NotBefore.Add(holds)
	if last := s.newest(); last != nil {
		m.Epoch, m.Previous = last.Epoch+1, last.hash
	}
	out := &statement{}
	for _, d := range s.devices() {
		h := s.hosts[d.host]
		e := hosting.Endpoint{Device: d.addr.Device, Identity: d.Identity(), Controller: h.controller, Provider: h.provider, Storage: hosting.StorageNone,
			NotAfter: m.NotBefore.Add(100 * day)}
		if h.provider != nil {
			e.Readers.AI = s.model
			out.say(factOf(h.controller, h.provider.Domain))
			if s.model {
				out.say(readByModel)
			}
		}
		require.NoError(s.w.t, e.Accept(toko, s.key.Public(), d.IdentityKeyPair()))
		if h.key != nil {
			require.NoError(s.w.t, e.Operate(toko, s.key.Public(), h.key))
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	var err error
	out.bytes, err = m.Sign(s.key)
	require.NoError(s.w.t, err)
	out.Manifest, out.hash = m, m.Hash()
	s.all[out.hash] = out
	return out
}

func (s *statement) say(fact string) {
	if !slices.Contains(s.facts, fact) {
		s.facts = append(s.facts, fact)
		slices.Sort(s.facts)
	}
}

// A lie is what the server shows in one step in place of the newest manifest.
type lie int

const (
	none lie = iota
	left
	old
	forged
	broken
	other
	numberOfLies
)

var errBroken = errors.New("market: server out of order")

// shows is what the server shows of a user to a device.
func (w *world) shows(d *device, user string, l lie) ([]byte, error) {
	m := w.shop.newest()
	if user != toko || m == nil {
		return nil, nil
	}
	if l != none {
		d.lied = true
	}
	switch l {
	case none, numberOfLies:
	case left:
		return nil, nil
	case old:
		m = w.shop.chain[w.picked%len(w.shop.chain)]
	case forged:
		made := *m.Manifest
		made.Endpoints = slices.Clone(made.Endpoints)
		made.Endpoints[0].Controller, made.Endpoints[0].Provider, made.Endpoints[0].ProviderSignature = hosting.OwnerServer, nil, nil
		made.Epoch++
		return made.Bytes(), nil
	case broken:
		return nil, errBroken
	case other:
		if w.shop.fork != nil {
			m = w.shop.fork
		}
	}
	d.shown = append(d.shown, m)
	return m.bytes, nil
}

// A directory is the server as one device sees it.
type directory struct{ d *device }

func (x directory) Devices(_ context.Context, user string) ([]session.PeerDevice, error) {
	x.d.w.mu.Lock()
	defer x.d.w.mu.Unlock()
	var out []session.PeerDevice
	for _, d := range x.d.w.devices() {
		if d.addr.User == user {
			out = append(out, session.PeerDevice{Device: d.addr.Device, RegistrationID: d.RegistrationID()})
		}
	}
	return out, nil
}

func (x directory) Bundle(_ context.Context, a session.Address) (*x3dh.Bundle, error) {
	w := x.d.w
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.of[a]
	if d == nil {
		return nil, session.ErrNoDevice
	}
	b, err := d.Device.Bundle(ctx)
	if err == nil && w.inBundle != broken {
		b.Manifest, _ = w.shows(x.d, a.User, w.inBundle)
	}
	return b, err
}

func (x directory) Manifest(_ context.Context, user string) ([]byte, error) {
	x.d.w.mu.Lock()
	defer x.d.w.mu.Unlock()
	return x.d.w.shows(x.d, user, x.d.w.alone)
}
