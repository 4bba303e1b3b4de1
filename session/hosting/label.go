package hosting

import (
	"cmp"
	"slices"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Label is what an app shows of a conversation: of one account or, as Union
// says, of several. It is a value; the zero value says that nothing is known.
type Label struct {
	// State is "UNATTESTED", "CURRENT", "PENDING", "NARROWER", "EXPIRED",
	// "CONFLICT" or "DECLINED"; of a group that which stands most in the way.
	State State
	// Unknown says that besides what follows there may be others: somebody never
	// said who has his keys, or that is out of date.
	Unknown     bool
	Controllers []Controller // ascending; the last one is the class
	Parties     []Party      // who hosts, by domain
	Storage     []Storage    // ascending
	Readers     Readers
	Uses        Uses
}

// A Party is who hosts an endpoint, as it is shown. The zero value is nobody.
type Party struct {
	Provider
	Controller Controller
	// Known says that the app knows the key of the domain: that it is the provider.
	Known bool
	// Mixed says that the name mixes scripts, as one that is meant to be taken for
	// another may.
	Mixed bool
}

// Class returns the widest controller, 0 where none is known.
func (l *Label) Class() Controller {
	if len(l.Controllers) == 0 {
		return 0
	}
	return slices.Max(l.Controllers)
}

// Hosted reports whether somebody else than the owner of an account has a key. It
// is false also where that is Unknown.
func (l *Label) Hosted() bool { return l.Class().Hosted() }

// Union returns the label of a conversation with the parties of l and others.
func (l Label) Union(others ...Label) Label {
	for _, o := range others {
		if rank(o.State) > rank(l.State) {
			l.State = o.State
		}
		l.Unknown = l.Unknown || o.Unknown
		l.Controllers = merged(l.Controllers, o.Controllers, cmp.Compare)
		l.Parties = merged(l.Parties, o.Parties, compareParties)
		l.Storage = merged(l.Storage, o.Storage, cmp.Compare)
		l.Readers = readersOf(l.Readers.bits() | o.Readers.bits())
		l.Uses = usesOf(l.Uses.bits() | o.Uses.bits())
	}
	return l
}

// merged returns the union of two sets, in order.
func merged[T comparable](a, b []T, order func(a, b T) int) []T {
	var out []T
	for _, v := range slices.Concat(a, b) {
		i := len(out)
		for i > 0 && order(out[i-1], v) > 0 {
			i--
		}
		if i == 0 || out[i-1] != v {
			out = slices.Insert(out, i, v)
		}
	}
	return out
}

func compareParties(a, b Party) int {
	return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Controller, b.Controller),
		slices.Compare(a.Key.Bytes(), b.Key.Bytes()))
}

// rank orders states by how much they stand in the way.
func rank(s State) int { return slices.Index(byRank, s) }

var byRank = []State{current, narrower, expired, unattested, pending, declined, conflict}

// labelOf returns what manifests say together, without a State; nil ones say
// nothing. Providers are the keys that the app knows, by domain.
func labelOf(providers map[string]keys.IdentityKey, manifests ...*Manifest) Label {
	var l Label
	for _, m := range manifests {
		if m == nil {
			continue
		}
		for i := range m.Endpoints {
			l = l.Union(m.Endpoints[i].label(providers))
		}
	}
	return l
}

func (e *Endpoint) label(providers map[string]keys.IdentityKey) Label {
	l := Label{Controllers: []Controller{e.Controller}, Storage: []Storage{e.Storage}, Readers: e.Readers, Uses: e.Uses}
	if p := e.Provider; p != nil {
		known, ok := providers[p.Domain]
		l.Parties = []Party{{Provider: *p, Controller: e.Controller, Known: ok && known == p.Key, Mixed: mixed(p.Name)}}
	}
	return l
}

// A party is who holds the key of a hosted endpoint: a domain and a key.
type party struct {
	domain string
	key    keys.IdentityKey
}

func (e *Endpoint) party() party {
	if e.Provider == nil {
		return party{}
	}
	return party{e.Provider.Domain, e.Provider.Key}
}
