package hosting

import (
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Rules is a record under a policy, and what the rules make of it.
type Rules struct {
	r record
	p policy
}

// NewRules are those of an account of which nothing is known.
func NewRules(unattested, strict bool, providers map[string]keys.IdentityKey) *Rules {
	return &Rules{p: policy{unattested, strict, providers}}
}

// Told is a notice of the rules.
type Told struct {
	Was, State State
	Diff       *Diff
	Gap        bool
	Evidence   *Evidence
	Err        error
}

func exported(n notice) Told { return Told{n.was, n.state, n.diff, n.gap, n.evidence, n.err} }

// See is see.
func (r *Rules) See(account string, m *Manifest, now time.Time) (n Told) {
	next, told := r.r.see(account, m, now, &r.p)
	r.r = next
	return exported(told)
}

// SeeVerified is See of a manifest of whose signatures it is known what Authentic
// returns: the histories have each verified once.
func (r *Rules) SeeVerified(account string, m *Manifest, now time.Time, authentic error) Told {
	next, told, unseen := r.r.look(account, m, now)
	if unseen {
		if told.err = m.plausible(now); told.err == nil {
			told.err = authentic
		}
		if told.err == nil {
			next, told = next.take(m, now, &r.p)
		}
	}
	r.r = next
	return exported(told)
}

// Authentic is authentic.
func (m *Manifest) Authentic() error { return m.authentic() }

// Claims is claims.
func (r *Rules) Claims(epoch uint64, hash [32]byte, now time.Time) Told {
	next, told := r.r.claims(epoch, hash, now)
	r.r = next
	return exported(told)
}

// Decide is decide.
func (r *Rules) Decide(account string, token [32]byte, yes bool, now time.Time) error {
	next, err := r.r.decide(account, token, yes, now)
	r.r = next
	return err
}

// May is may.
func (r *Rules) May(account string, device uint32, identity keys.IdentityKey, now time.Time) error {
	return r.r.may(account, device, identity, now, &r.p)
}

// Label is label.
func (r *Rules) Label(now time.Time) Label { return r.r.label(now, &r.p) }

// State is that at a time, and since when.
func (r *Rules) State(now time.Time) (State, time.Time) {
	at := r.r.at(now)
	return at.state, at.since
}

// Stored returns the stored form.
func (r *Rules) Stored() []byte { return r.r.bytes() }

// Restore reads a stored form.
func (r *Rules) Restore(b []byte) (err error) {
	r.r, err = parseRecord(b)
	return err
}

// The pure functions.
var (
	Token      = token
	DiffOf     = diff
	LabelOf    = labelOf
	CheckName  = checkName
	OwnSeen    = ownSeen
	OwnShown   = ownShown
	SeenSame   = seenSame
	SeenBehind = seenBehind
	SeenAhead  = seenAhead
	SeenOther  = seenOther
)

// Statement is what an endpoint signs.
func Statement(e *Endpoint, account string, key keys.IdentityKey) []byte {
	return e.statement(account, key)
}

// Signed is what the account signs.
func Signed(m *Manifest) []byte { return m.signed() }

// Wrapped has other bytes for what is signed, and the signatures of m.
func Wrapped(m *Manifest, signed []byte) []byte {
	s := &wire.SignedManifest{Manifest: signed, Signature: m.Signature}
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		s.Signatures = append(s.Signatures, wire.ManifestEndpointSigs{Endpoint: e.Signature, Provider: e.ProviderSignature})
	}
	return wire.AppendSignedManifest(nil, s)
}

// Trusts reports whether an account key is the one that counts.
func (r *Rules) Trusts(key keys.IdentityKey) bool { m := r.r.newest(); return m != nil && m.Key == key }
