package hosting

import (
	"time"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// offered is the manifest that a yes makes the current one, nil for none. In
// CONFLICT it is a newer one than any that was disputed, of the account; or, where
// that contradicted nothing, one of a stranger: the key may have changed, as an
// identity key may.
func (r *record) offered(now time.Time) *Manifest {
	c := r.conflicting
	switch {
	case r.state != conflict:
	case r.disputed > 0 && (r.pending == nil || r.pending.Epoch <= r.disputed):
		return nil
	case r.disputed > 0 || c == nil || !r.foreign(c):
	case c.Epoch > r.newest().Epoch && (r.pending == nil || !r.pending.valid(now)) && r.keepsControllers(c):
		return c
	}
	return r.pending
}

// change returns what the user is asked about: from and to hash, and the manifest
// of the latter, if it is another one. There is nothing to ask while a manifest is
// awaited, or CONFLICT has no newer one: ok is false then.
func (r *record) change(now time.Time) (from, to [32]byte, m *Manifest, ok bool) {
	m = r.offered(now)
	switch {
	case m == nil && (r.state == conflict || r.epoch > 0 && !r.arrived(r.current)), m != nil && !r.arrived(m):
		return from, to, nil, false
	case m != nil:
		return hashOf(r.current), hashOf(m), m, true
	}
	return hashOf(r.current), hashOf(r.current), nil, true
}

// question is why nothing may be sent: the error of may.
func (r *record) question(account string, now time.Time, p *policy) error {
	from, to, m, ok := r.change(now)
	switch {
	case !ok && r.state == conflict:
		return ErrLabelMismatch
	case !ok:
		return ErrLabelStale
	case m != nil && !m.valid(now): // a yes would come too late
		return ErrManifestExpired
	}
	e := &ConsentRequiredError{Account: account, State: r.state, From: from, To: to, Token: token(account, from, to)}
	if m != nil {
		e.Diff = diff(p.providers, r.current, m)
		e.Diff.KeyChanged = e.Diff.KeyChanged || r.foreign(m)
	}
	return e
}

// decide takes in what the user said to the question that has a token. Yes to a
// manifest makes it the current one; to none, or one that is out of date, it is
// the leave to go on: for 30 days in the latter case. No is DECLINED, until a
// yes; in state CONFLICT it changes nothing, as nothing is sent there.
//
// With an error nothing changes: ErrLabelStale for a token of anything but the
// question there is now, ErrManifestExpired for a yes to a manifest whose time
// is over.
func (r record) decide(account string, t [32]byte, yes bool, now time.Time) (record, error) {
	r = r.at(now)
	from, to, m, ok := r.change(now)
	switch {
	case !ok || t != token(account, from, to):
		return r, ErrLabelStale
	case !yes && r.state == conflict:
		return r, nil
	case !yes:
		r.consented = time.Time{}
		return r.enter(declined, now), nil
	case m != nil && !m.valid(now):
		return r, ErrManifestExpired
	case m != nil:
		return r.settles(m).enter(current, now), nil
	case r.current == nil:
		r.consented = now
		return r.enter(unattested, now), nil
	case !r.current.valid(now):
		r.consented = now
		return r.enter(expired, now), nil
	}
	return r.enter(current, now), nil
}

// A seen is what a peer's message says of the own manifest, and what that means.
type seen uint8

const (
	seenSame   seen = iota // or nothing was said
	seenBehind             // an older one: it has not arrived yet
	seenAhead              // one that this device does not have: its store may be an old one
	seenOther              // another one of the same epoch: somebody lies, and it may be the peer
)

// ownSeen compares what a peer saw with the own manifest, nil for none. It stops
// nothing: of seenAhead and seenOther the user is told, for that peer alone, and
// what a peer says of a manifest counts only with the manifest: ownShown.
func ownSeen(own *Manifest, epoch uint64, hash [32]byte) seen {
	have := uint64(0)
	if own != nil {
		have = own.Epoch
	}
	switch {
	case epoch > have:
		return seenAhead
	case epoch == 0, epoch == have && hash == hashOf(own):
		return seenSame
	case epoch < have:
		return seenBehind
	}
	return seenOther
}

// ownShown returns nil when m is a manifest that this account signed, of an epoch
// above that of the own one, nil for none: the store is an old one then. Time is of
// no matter. Errors are ErrLabelStale, ErrLabelMismatch and keys.ErrSignature.
func ownShown(account string, key keys.IdentityKey, own, m *Manifest) error {
	switch {
	case m.Account != account || m.Key != key:
		return ErrLabelMismatch
	case own != nil && m.Epoch <= own.Epoch:
		return ErrLabelStale
	}
	return m.authentic()
}
