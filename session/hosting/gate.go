package hosting

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	kindHosting = "hosting" // Owner is the user
	kindConsent = "consent" // Owner is the user, Name says to what and when
)

// Options are an app's wishes beyond what always holds. The zero value, like nil,
// asks for consent once where there is no manifest, and for each widening that
// leaves a key, or what is stored, in foreign hands.
type Options struct {
	// Providers are the keys of providers that the app knows, by domain. Any other
	// one is shown as unverified.
	Providers map[string]keys.IdentityKey
	// AllowUnattested asks for no consent where there never was a manifest.
	AllowUnattested bool
	// Strict asks for consent to every widening, whoever has the keys.
	Strict bool
}

// A Gate is the session.Gate over the manifests of accounts: session.Options.Gate
// of each Device of one account. It keeps a record of each account, in the store
// of the Device and in the commits of its operations. NewGate makes one; the zero
// value is none. It is safe for concurrent use.
//
// A record that is damaged, or of a newer version of this package, stays as it is:
// nothing is sent to that account, which is session.ErrCorrupt or
// keystore.ErrNewerFormat, and what it sends is received with a Label of which
// nothing is known. Device.Forget deletes one that is damaged. Of the own account, it
// is so with all sends, and Publish mends it.
type Gate struct {
	account string
	policy  policy
	memory  memory
	named   atomic.Pointer[[2]keystore.Key] // what Keys returned last, of one user
}

var _ session.Gate = (*Gate)(nil)

// NewGate returns a Gate for the account of a user, the Address.User of its
// devices.
func NewGate(account string, o *Options) *Gate {
	if o == nil {
		o = new(Options)
	}
	if name, err := userName(account); err == nil {
		account = name
	}
	return &Gate{account: account,
		policy: policy{unattested: o.AllowUnattested, strict: o.Strict, providers: maps.Clone(o.Providers)}}
}

// userName returns the one spelling of a user's name.
func userName(user string) (string, error) {
	a, err := session.Address{User: user, Device: 1}.Canonical()
	return a.User, err
}

func hostingKey(user string) keystore.Key { return keystore.Key{Kind: kindHosting, Owner: user} }

// Keys names the record of each user, and that of the own account. The result is not
// to be written to.
func (g *Gate) Keys(users []string) []keystore.Key {
	if len(users) == 1 && users[0] != g.account {
		named := g.named.Load()
		if named == nil || named[0].Owner != users[0] {
			named = &[2]keystore.Key{hostingKey(users[0]), hostingKey(g.account)}
			g.named.Store(named)
		}
		return named[:]
	}
	out := make([]keystore.Key, 0, len(users)+1)
	for _, user := range users {
		if user != g.account {
			out = append(out, hostingKey(user))
		}
	}
	return append(out, hostingKey(g.account))
}

// How long the directory is not asked again for a manifest.
const (
	askUnknown = 24 * time.Hour // of an account that had none
	askMissing = time.Minute    // where one is wanted before anything is sent
	askExpired = time.Hour      // where one will be
	// renewal is how long before its end a manifest is to be followed by the next.
	renewal = 3 * 24 * time.Hour
)

// Wants reports whether the Directory may know more of a user: for 24 hours it is
// not asked again of one who has no manifest, for an hour where that runs out in 3
// days or waits for consent, and for a minute where nothing can be sent without a
// newer one.
func (g *Gate) Wants(now time.Time, records []keystore.Record, user string) bool {
	k, err := g.read(records, user)
	if err != nil || user == g.account && k.current == nil {
		return false
	}
	return k.wants(user == g.account, now)
}

// wants is Wants of an account, or the own one.
func (h *profile) wants(own bool, now time.Time) bool {
	wait := askUnknown
	switch r := h.record.at(now); {
	case own:
	case r.epoch == 0 && r.newest() == nil:
	case r.state == conflict && r.pending == nil, r.state == expired, !r.arrived(r.newest()):
		wait = askMissing
	case (r.state == current || r.state == narrower) && now.Before(r.current.NotAfter.Add(-renewal)):
		return false
	default:
		wait = askExpired
	}
	since := now.Sub(h.asked)
	return h.asked.IsZero() || since < 0 || since >= wait
}

// shownFor is how long a manifest goes along with messages to an account that has
// not said that it has it.
const shownFor = 7 * 24 * time.Hour

// Claim says which manifest the own account has, and which one of the account that
// the message is for has arrived. The manifest itself goes along for 7 days from
// when it began to hold, or until that account has said that it has it.
func (g *Gate) Claim(now time.Time, records []keystore.Record, to string) (c session.Claim) {
	own, err := g.read(records, g.account)
	if err != nil {
		return c
	}
	if own.current != nil {
		c.Epoch, c.Hash = own.current.Epoch, own.hash
	}
	if to == "" || to == g.account {
		return c
	}
	peer, err := g.read(records, to)
	if err != nil {
		return c
	}
	if m := peer.newest(); m != nil {
		c.SeenEpoch, c.SeenHash = m.Epoch, peer.hash
	}
	if own.current != nil && peer.told < c.Epoch && now.Before(own.current.NotBefore.Add(shownFor)) && own.current.valid(now) {
		c.Manifest = slices.Clone(own.signed)
	}
	return c
}

// Send returns nil when a message may be encrypted for a device, and otherwise
// why not. Errors:
//
//	ConsentRequiredError           the user is to be asked
//	ErrLabelMismatch               the manifest does not list the key for the device,
//	                               or statements contradict each other
//	ErrLabelStale                  the newest manifest has not arrived
//	ErrManifestExpired             what the user was asked about is out of date
//	ErrControllerChangedForKey     another device of the own account, of which the own
//	                               manifest says that somebody else has its key, and
//	                               that it is another one
//	session.ErrCorrupt             of the record
func (g *Gate) Send(now time.Time, records []keystore.Record, to session.Address, identity keys.IdentityKey) error {
	own, err := g.read(records, g.account)
	if err != nil {
		return err
	}
	if to.User != g.account {
		k, err := g.read(records, to.User)
		if err != nil {
			return err
		}
		if k.allows(to.Device, identity, now) {
			return nil
		}
		return k.may(to.User, to.Device, identity, now, &g.policy)
	}
	if own.current == nil {
		return nil
	}
	if e := own.current.endpoint(to.Device); e != nil && e.Controller.Hosted() && (identity != e.Identity || identity == own.current.Key) {
		return ErrControllerChangedForKey
	}
	return nil
}

// allows is may where there is nothing to say: nearly always.
func (r *record) allows(device uint32, identity keys.IdentityKey, now time.Time) bool {
	return (r.state == current || r.state == narrower) && r.current.valid(now) && r.current.lists(device, identity)
}

// of refuses a Device of another account.
func (g *Gate) of(d *session.Device) error {
	if d.Address().User != g.account {
		return fmt.Errorf("%w: device of another account", ErrLabelMismatch)
	}
	return nil
}
