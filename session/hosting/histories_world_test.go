package hosting_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What a manifest says, as a set: classes, parties, storage with a provider,
// readers and uses.
type facts uint32

const (
	classes   facts = 0x1F // bit c−1 is Controller c
	parties   facts = 0xF << 5
	atForeign facts = 1 << 9
	readers   facts = 0xF << 10
	uses      facts = 0xF << 14
)

// wider is hosting.md, State for each peer account: a new party, a new reader,
// a new use, provider storage, or a controller of a higher class.
func (to facts) wider(from facts) bool {
	if from == 0 || to&^from&^classes != 0 {
		return true
	}
	lowest := from & classes & -(from & classes)
	return to&^from&classes > lowest
}

// covers reports whether a yes to f is one to everything and every class in other.
func (f facts) covers(other facts) bool {
	return other&^f&^classes == 0 && bits.Len32(uint32(other&classes)) <= bits.Len32(uint32(f&classes))
}

func (f facts) hosted() bool { return f&0b11000 != 0 }

// A place is where a key is kept: a holder, and the name it is shown under.
type place struct {
	controller hosting.Controller
	holder     int // whose keys they are
	party      facts
	provider   *hosting.Provider
}

var rayaKey = pair(102)

// places are all there are; the last one is the first provider under another name.
var places = []place{
	{hosting.Person, 0, 0, nil},
	{hosting.OwnerDevice, 1, 0, nil},
	{hosting.OwnerServer, 2, 0, nil},
	{hosting.HostedByProvider, 3, 1 << 5, awan()},
	{hosting.HostedByProvider, 4, 1 << 6, bumi()},
	{hosting.HostedByPlatform, 5, 1 << 7, &hosting.Provider{Name: "Raya", Domain: "raya.example", Key: rayaKey.Public()}},
	{hosting.HostedByProvider, 3, 1 << 8, &hosting.Provider{Name: "Awan Baru", Domain: "awan.example", Key: awanKey.Public()}},
}

var providerKeys = map[keys.IdentityKey]*keys.IdentityKeyPair{awanKey.Public(): awanKey, bumiKey.Public(): bumiKey, rayaKey.Public(): rayaKey}

// placeKey is the key of a device at a holder. It never moves, if the account is
// honest.
var placeKey = sync.OnceValue(func() (out [6][4]*keys.IdentityKeyPair) {
	for h := range out {
		for d := range out[h] {
			out[h][d] = pair(byte(120 + 10*h + d))
		}
	}
	return out
})

// An end is an endpoint.
type end struct {
	device       uint32 // 1 to 3
	place        int
	key          *keys.IdentityKeyPair
	readers, use uint8
	storage      hosting.Storage
}

func (e end) facts() facts {
	p := &places[e.place]
	f := facts(1)<<(p.controller-1) | p.party | facts(e.readers)<<10 | facts(e.use)<<14
	if e.storage == hosting.StorageProvider {
		f |= atForeign
	}
	return f
}

func (e end) endpoint() hosting.Endpoint {
	return hosting.Endpoint{
		Device: e.device, Identity: e.key.Public(), Controller: places[e.place].controller, Provider: places[e.place].provider, Storage: e.storage,
		Readers:  hosting.Readers{Staff: e.readers&1 != 0, Automation: e.readers&2 != 0, AI: e.readers&4 != 0, Subprocessors: e.readers&8 != 0},
		Uses:     hosting.Uses{Service: e.use&1 != 0, OwnMarketing: e.use&2 != 0, PlatformAdvertising: e.use&4 != 0, Training: e.use&8 != 0},
		NotAfter: start.Add(390 * day),
	}
}

// moved reports whether one key is with two holders.
func (e end) moved(from end) bool {
	return e.key == from.key && places[e.place].holder != places[from.place].holder
}

// A statement is a manifest, and what is known of it because it was made here.
type statement struct {
	*hosting.Manifest
	hash      [32]byte
	ends      []end
	facts     facts
	forged    bool  // by nobody who has the keys
	shared    bool  // one key is with two holders
	authentic error // what comes of its signatures, verified once
}

func (s *statement) inTime(now time.Time) bool {
	return !now.Before(s.NotBefore.Add(-skew)) && !now.After(s.NotAfter.Add(skew))
}

// A world is what there is to be shown of one business: honest, of a chain and of
// chains beside it, and made up.
type world struct {
	t    testing.TB
	draw *rand.Rand
	all  []*statement
	own  []*statement // what the business says: each epoch, in order
	last *statement   // what ends every dispute
}

var worldKeys = struct{ account, stranger *keys.IdentityKeyPair }{accountKey, pair(99)}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, draw: rand.New(rand.NewPCG(seed, 9))}
	var s *statement
	for range 8 {
		s = w.follow(s)
		w.own = append(w.own, s)
	}
	for range 5 { // another one beside it, and on from there
		if at := w.draw.IntN(len(w.own)); at == 0 {
			w.follow(w.follow(nil))
		} else {
			w.follow(w.follow(w.own[at-1]))
		}
	}
	for range 4 {
		before := pick(w.draw, w.own[2:])
		w.make(w.after(before, w.moves(before)), worldKeys.account, nil)
		strange := w.make(w.after(before, w.ends(before)), worldKeys.stranger, nil)
		w.make(w.after(strange, w.ends(strange)), worldKeys.stranger, nil)
		unlinked := w.after(before, w.ends(before))
		unlinked.Previous[0] ^= 1
		w.make(unlinked, worldKeys.account, nil)
	}
	other := w.after(nil, w.ends(nil))
	other.Account = "warung"
	w.make(other, worldKeys.stranger, nil)
	for range 6 {
		w.forge(pick(w.draw, w.all), pick(w.draw, w.all))
	}
	w.last = w.ending()
	return w
}

func pick[T any](draw *rand.Rand, from []T) T { return from[draw.IntN(len(from))] }

// follow makes the next statement of an honest account.
func (w *world) follow(before *statement) *statement {
	return w.make(w.after(before, w.ends(before)), worldKeys.account, nil)
}

// ending is a statement of an epoch above all, that holds long after.
func (w *world) ending() *statement {
	d := w.after(w.own[len(w.own)-1], w.ends(nil))
	d.Epoch, d.NotBefore, d.NotAfter = 1000, start.Add(300*day), start.Add(330*day)
	s := w.make(d, worldKeys.account, nil)
	w.all = w.all[:len(w.all)-1]
	return s
}

// A draft is a manifest that is not signed.
type draft struct {
	hosting.Manifest
	ends []end
}

// after is a draft of the next epoch, or one or two later, that holds for some days from a
// day on that is later each time.
func (w *world) after(before *statement, ends []end) draft {
	d := draft{hosting.Manifest{Account: toko, Kind: hosting.KindBusiness, Epoch: 1}, ends}
	if before != nil {
		d.Epoch, d.Previous = before.Epoch+1, before.hash
		if w.draw.IntN(6) == 0 {
			d.Epoch += 1 + w.draw.Uint64N(2)
		}
	}
	d.NotBefore = start.Add(time.Duration(d.Epoch-1) * time.Duration(w.draw.IntN(6)) * day)
	d.NotAfter = d.NotBefore.Add(day * [...]time.Duration{2, 10, 30, 30}[w.draw.IntN(4)])
	return d
}

// ends are those of a statement with some changes, at least one at random for nil.
func (w *world) ends(before *statement) []end {
	var out []end
	if before != nil {
		out = slices.Clone(before.ends)
		if w.draw.IntN(4) == 0 {
			return out // a renewal
		}
	}
	for range 1 + w.draw.IntN(2) {
		device := uint32(1 + w.draw.IntN(3))
		out = slices.DeleteFunc(out, func(e end) bool { return e.device == device })
		if len(out) == 0 || w.draw.IntN(4) != 0 {
			out = append(out, w.end(device))
		}
	}
	slices.SortFunc(out, func(a, b end) int { return int(a.device) - int(b.device) })
	return out
}

func (w *world) end(device uint32) end {
	p := w.draw.IntN(len(places))
	e := end{device: device, place: p, key: placeKey()[places[p].holder][device], storage: hosting.StorageNone}
	if w.draw.IntN(2) == 0 {
		e.readers, e.use = 1<<w.draw.IntN(4), 1<<w.draw.IntN(4)
	}
	if w.draw.IntN(3) == 0 {
		e.storage = hosting.Storage(1 + w.draw.IntN(3))
	}
	return e
}

// moves are the ends of a statement, of which one has a key that was ever said to be
// with another holder.
func (w *world) moves(before *statement) []end {
	was := pick(w.draw, pick(w.draw, w.own).ends)
	out := slices.Clone(before.ends)
	e := &out[w.draw.IntN(len(out))]
	for *e = w.end(e.device); !e.moved(was); {
		*e = w.end(e.device)
		e.key = was.key
	}
	return out
}

// make signs a draft as the account, its endpoints and providers do. Endpoint 0
// has a signature by another key if one is given.
func (w *world) make(d draft, account, by *keys.IdentityKeyPair) *statement {
	for _, e := range d.ends {
		made := e.endpoint()
		require.NoError(w.t, made.Accept(d.Account, account.Public(), e.key))
		if p := made.Provider; p != nil {
			require.NoError(w.t, made.Operate(d.Account, account.Public(), providerKeys[p.Key]))
		}
		d.Endpoints = append(d.Endpoints, made)
	}
	if by != nil {
		d.Endpoints[0].Signature = by.Sign("gembok/hosting/1/endpoint", hosting.Statement(&d.Endpoints[0], d.Account, account.Public()))
	}
	d.Key = account.Public()
	d.Signature = account.Sign("gembok/hosting/1/account", hosting.Signed(&d.Manifest))
	return w.add(d.Bytes(), d.ends, by != nil)
}

// add takes up a signed manifest, and verifies it.
func (w *world) add(b []byte, ends []end, forged bool) *statement {
	m, err := hosting.Parse(b)
	require.NoError(w.t, err)
	for _, s := range w.all {
		if s.hash == m.Hash() {
			return s
		}
	}
	s := &statement{Manifest: m, hash: m.Hash(), ends: ends, forged: forged, authentic: m.Authentic()}
	require.Equal(w.t, forged, s.authentic != nil)
	for _, e := range ends {
		s.facts |= e.facts()
		s.shared = s.shared || slices.ContainsFunc(ends, e.moved)
	}
	w.all = append(w.all, s)
	return s
}

// forge makes up a statement from others, as a server or another account can, or
// an account that does not have the key.
func (w *world) forge(from, other *statement) {
	if w.draw.IntN(3) == 0 {
		d := w.after(from, w.ends(from))
		w.make(d, worldKeys.account, worldKeys.stranger)
		return
	}
	lie := forgeries[w.draw.IntN(len(forgeries))]
	b := changed(from.Manifest, func(m *hosting.Manifest) { lie(m, other.Manifest) })
	if m, err := hosting.Parse(b); err == nil && m.Hash() != from.hash {
		w.add(b, from.ends, true)
	}
}

var forgeries = []func(m, other *hosting.Manifest){
	func(m, _ *hosting.Manifest) { m.Epoch++ },
	func(m, _ *hosting.Manifest) { m.NotAfter = m.NotAfter.Add(-time.Hour) },
	func(m, _ *hosting.Manifest) { m.Account = toko; m.NotBefore = m.NotBefore.Add(time.Minute) },
	func(m, _ *hosting.Manifest) { m.Endpoints = m.Endpoints[:1] },
	func(m, other *hosting.Manifest) { m.Endpoints = other.Endpoints },
	func(m, other *hosting.Manifest) { m.Endpoints = append(m.Endpoints, other.Endpoints...) },
	func(m, _ *hosting.Manifest) {
		m.Endpoints[0].Controller, m.Endpoints[0].Provider, m.Endpoints[0].ProviderSignature = hosting.OwnerServer, nil, nil
	},
	func(m, _ *hosting.Manifest) {
		m.Endpoints[0].Readers, m.Endpoints[0].Uses = hosting.Readers{}, hosting.Uses{}
	},
}

func (s *statement) String() string {
	if s == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %d %x (%05x, after %x, key %x, forged %t)", s.Account, s.Epoch, s.hash[:2], uint32(s.facts), s.Previous[:2], s.Key.Bytes()[1:3], s.forged)
}
