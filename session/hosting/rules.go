package hosting

import (
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A State is what an account's manifests come to. It is one of the names that
// Label.State lists.
type State string

const (
	unattested State = "UNATTESTED" // no manifest was ever seen
	current    State = "CURRENT"
	pending    State = "PENDING"  // a newer one asks for consent, or has not arrived
	narrower   State = "NARROWER" // as CURRENT; the newest says less than the one before
	expired    State = "EXPIRED"
	conflict   State = "CONFLICT" // statements contradict each other
	declined   State = "DECLINED" // the user said no
)

// consentTime is how long a consent to a manifest that is out of date is good.
const consentTime = 30 * 24 * time.Hour

// A policy is what an app wants, beyond what always holds. The zero value asks
// for consent once where there is no manifest, and for each widening that leaves
// a key, or what is stored, in foreign hands.
type policy struct {
	unattested bool                        // no consent where there never was a manifest
	strict     bool                        // consent for every widening, whoever has the keys
	providers  map[string]keys.IdentityKey // that the app knows, by domain
}

// asks reports whether a change needs consent.
func (p *policy) asks(d *Diff, to *Manifest) bool {
	return d.KeyChanged || d.IsWider() && (p.strict || to.outside())
}

// A record is what is kept of an account. It is a value: a rule returns the next
// one, and leaves its receiver and the manifests alone. The zero value is that of
// an account of which no manifest was seen.
type record struct {
	state       State
	current     *Manifest // agreed to, or in no need of it
	pending     *Manifest // newer, waiting for consent
	conflicting *Manifest // what state CONFLICT is about, where it is a manifest; that of a stranger is nowhere else
	epoch       uint64    // the highest seen, in manifests and messages
	claimed     [32]byte  // its hash by a message; zero: none did before the manifest arrived
	disputed    uint64    // the highest epoch of which there were two statements, or one that cannot be; 0 outside CONFLICT
	since       time.Time // of the state
	consented   time.Time // to go on without a manifest that is in force; zero: never
	former      formers   // keys of manifests that are not held any more
}

// A notice is what a rule has to tell.
type notice struct {
	was, state State
	diff       *Diff     // from the manifest agreed to, to the new one
	gap        bool      // manifests in between were not seen
	evidence   *Evidence // that the account contradicted itself
	err        error     // what was refused, or why the state is CONFLICT
}

// enter returns r in a state.
func (r record) enter(s State, now time.Time) record {
	if r.state != s {
		r.state, r.since = s, now
	}
	return r
}

// at returns r at a time: between CURRENT and EXPIRED time alone decides.
func (r record) at(now time.Time) record {
	switch {
	case r.state == "":
		r.state = unattested
	case (r.state == current || r.state == narrower) && !r.current.valid(now):
		r = r.enter(expired, now)
	case r.state == expired && r.current.valid(now):
		r = r.enter(current, now)
	}
	return r
}

// newest is the newest manifest that is held and not contested, or nil.
func (r *record) newest() *Manifest {
	if r.pending != nil {
		return r.pending
	}
	return r.current
}

// held returns the manifests that there are.
func (r *record) held() []*Manifest {
	var out []*Manifest
	for _, m := range []*Manifest{r.current, r.pending, r.conflicting} {
		if m != nil {
			out = append(out, m)
		}
	}
	return out
}

// foreign reports whether another key signed m than what is held of the account:
// anybody can make one.
func (r *record) foreign(m *Manifest) bool {
	last := r.newest()
	return last != nil && m.Key != last.Key
}

// own returns those of the manifests held that are no stranger's.
func (r *record) own() []*Manifest { return slices.DeleteFunc(r.held(), r.foreign) }

// arrived reports whether m, nil for none, is the newest manifest known of.
func (r *record) arrived(m *Manifest) bool {
	return m != nil && (m.Epoch > r.epoch || m.Epoch == r.epoch && (r.claimed == [32]byte{} || r.claimed == m.Hash()))
}

// see takes in a manifest of an account, nil where none was shown: from the
// directory, a bundle or a message, which makes no difference. What cannot be
// believed changes nothing, and is the notice's error:
//
//	ErrLabelStripped             none, of an account that had one or spoke of one
//	ErrLabelMismatch             of another account
//	that of Verify
//	ErrLabelStale                older than the newest known of
//
// and these come with state CONFLICT:
//
//	ErrLabelStale                another of the same epoch
//	ErrLabelMismatch             of another account key; not after the one before; not
//	                             the one that a message spoke of
//	ErrControllerChangedForKey
func (r record) see(account string, m *Manifest, now time.Time, p *policy) (record, notice) {
	r, n, unseen := r.look(account, m, now)
	if !unseen {
		return r, n
	}
	if n.err = m.Verify(now); n.err != nil {
		return r, n
	}
	return r.take(m, now, p)
}

// look is see up to what m is worth in itself. With unseen that is to be found out,
// and r is as at the time.
func (r record) look(account string, m *Manifest, now time.Time) (next record, n notice, unseen bool) {
	r = r.at(now)
	n = notice{was: r.state, state: r.state}
	switch {
	case m == nil && r.epoch > 0:
		n.err = ErrLabelStripped
		return r, n, false
	case m == nil:
		return r, n, false
	case m.Account != account:
		n.err = ErrLabelMismatch
		return r, n, false
	}
	for _, h := range r.held() {
		if h.Epoch == m.Epoch && h.Hash() == m.Hash() {
			if m.Epoch < r.epoch {
				n.err = ErrLabelStale
			}
			return r, n, false // seen before, and verified then
		}
	}
	return r, n, true
}

// take takes in a manifest that is good in itself.
func (r record) take(m *Manifest, now time.Time, p *policy) (record, notice) {
	next, n := r.judge(m, now, p)
	n.was, n.state = r.state, next.state
	return next, n
}

// judge is take, of which it leaves the states in the notice out.
func (r record) judge(m *Manifest, now time.Time, p *policy) (record, notice) {
	if r.foreign(m) {
		return r.dispute(m, now)
	}
	if evidence, fork := r.forkedBy(m); fork {
		return r.contest(m, now), notice{evidence: evidence, err: ErrLabelStale}
	}
	if m.Epoch < r.epoch {
		return r, notice{err: ErrLabelStale}
	}
	if m.Epoch == r.epoch && r.claimed != [32]byte{} && r.claimed != m.Hash() {
		return r.contest(m, now), notice{err: ErrLabelMismatch}
	}
	last := r.newest()
	n := notice{gap: last != nil && m.Epoch > last.Epoch+1}
	if n.evidence, n.err = r.contradicts(m); n.err != nil {
		return r.contest(m, now), n
	}
	return r.follow(m, now, p, n)
}

// dispute takes in a manifest that another account key signed. It stops
// everything, and the user may agree to it. But whoever made it, it counts
// neither for nor against what the account signs itself: not its epoch, however
// high, nor its place, where the account contradicted itself.
func (r record) dispute(m *Manifest, now time.Time) (record, notice) {
	n := notice{err: ErrLabelMismatch}
	if _, fork := r.forkedBy(m); fork {
		n.err = ErrLabelStale
	} else if m.Epoch < r.epoch {
		return r, notice{err: ErrLabelStale}
	} else if !r.keepsControllers(m) {
		n.err = ErrControllerChangedForKey
	}
	switch c := r.conflicting; {
	case c == nil, r.foreign(c) && (c.Key != m.Key || c.Epoch < m.Epoch):
		r.conflicting = m
	case c.Key == m.Key: // a replay of the stranger's
		n.err = ErrLabelStale
	}
	return r.enter(conflict, now), n
}

// forkedBy reports whether m is another manifest of the epoch of one held, and
// returns the evidence where both are by one account key.
func (r *record) forkedBy(m *Manifest) (evidence *Evidence, fork bool) {
	for _, h := range r.own() {
		if h.Epoch == m.Epoch {
			fork = true
			if h.Key == m.Key {
				return newEvidence(h, m), true
			}
		}
	}
	return nil, fork
}

// contradicts returns why m, newer than what is held, cannot follow on it, and
// the evidence where the account contradicts itself.
func (r *record) contradicts(m *Manifest) (*Evidence, error) {
	last := r.newest()
	switch {
	case !r.keepsControllers(m):
		return nil, ErrControllerChangedForKey
	case last == nil || r.state == conflict: // which ends with consent to anything newer
		return nil, nil
	case m.Epoch == last.Epoch+1 && m.Previous != last.Hash():
		return newEvidence(last, m), ErrLabelMismatch
	}
	return nil, nil
}

// keepsControllers reports whether no key of m had another controller before.
func (r *record) keepsControllers(m *Manifest) bool {
	return !r.former.had(m) && !slices.ContainsFunc(r.own(), func(h *Manifest) bool { return m.keepsControllers(h) != nil })
}

// contest enters CONFLICT about m, which the account signed. Of several, one that
// is hosted is kept.
func (r record) contest(m *Manifest, now time.Time) record {
	if c := r.conflicting; c == nil || r.foreign(c) {
		r.conflicting = m
	} else if c.hosted() && !m.hosted() {
		r.former = r.former.with(m)
	} else {
		r.former, r.conflicting = r.former.with(c), m
	}
	if m.Epoch >= r.epoch {
		r.epoch, r.claimed = m.Epoch, [32]byte{}
	}
	r.disputed = max(r.disputed, m.Epoch)
	return r.enter(conflict, now)
}

// follow takes in m, the newest.
func (r record) follow(m *Manifest, now time.Time, p *policy, n notice) (record, notice) {
	d := diff(p.providers, r.current, m)
	n.diff = &d
	r.epoch, r.claimed = m.Epoch, [32]byte{}
	switch {
	case r.state == conflict || r.state == declined: // until the user agrees
		return r.waits(m), n
	case p.asks(&d, m):
		return r.waits(m).enter(pending, now), n
	}
	state := current
	if r.current != nil && d.IsNarrower() {
		state = narrower
	}
	return r.settles(m).enter(state, now), n
}

// waits returns r with m for the user to agree to.
func (r record) waits(m *Manifest) record {
	r.former, r.pending = r.former.with(r.pending), m
	return r
}

// settles returns r with m as what counts, and nothing besides.
func (r record) settles(m *Manifest) record {
	r.former = r.former.with(r.own()...)
	r.current, r.pending, r.conflicting, r.consented = m, nil, nil, time.Time{}
	r.epoch, r.claimed, r.disputed = m.Epoch, [32]byte{}, 0
	return r
}

// claims takes in what a message says of its sender's manifest: its epoch and
// hash. One that is older was in flight, and epoch 0 is none. What is not held
// yet is waited for, PENDING; what contradicts what is held is ErrLabelMismatch
// and CONFLICT, without a manifest until that is shown.
func (r record) claims(epoch uint64, hash [32]byte, now time.Time) (record, notice) {
	r = r.at(now)
	n := notice{was: r.state, state: r.state}
	if epoch == 0 {
		return r, n
	}
	next := r
	switch {
	case r.denies(epoch, hash):
		next, n.err = r.enter(conflict, now), ErrLabelMismatch
		if next.disputed = max(r.disputed, epoch); epoch == r.epoch {
			next.claimed = hash
		}
	case epoch > r.epoch:
		next.epoch, next.claimed = epoch, hash
		if r.state != conflict && r.state != declined {
			next = next.enter(pending, now)
		}
		n.err = ErrLabelStale
	}
	n.state = next.state
	return next, n
}

// denies reports whether what is held says otherwise. In CONFLICT one that fits is
// enough.
func (r *record) denies(epoch uint64, hash [32]byte) bool {
	known := false
	for _, h := range r.held() {
		if h.Epoch != epoch {
			continue
		}
		if h.Hash() == hash {
			return false
		}
		known = known || !r.foreign(h)
	}
	return known || epoch == r.epoch && r.claimed != [32]byte{} && r.claimed != hash
}

// may returns nil when a message may be encrypted for a device of an account that
// has the given identity key, zero where that is not known. The error is
// ErrLabelMismatch for a key that the manifest does not list for the device, and
// in state CONFLICT; ErrLabelStale while a manifest has not arrived; or
// a ConsentRequiredError.
func (r record) may(account string, device uint32, identity keys.IdentityKey, now time.Time, p *policy) error {
	r = r.at(now)
	switch {
	case r.state == current, r.state == narrower, r.state == expired && r.agreed(now):
		if !r.current.lists(device, identity) {
			return errUnlisted
		}
		return nil
	case r.state == unattested && (p.unattested || !r.consented.IsZero()):
		return nil
	}
	return r.question(account, now, p)
}

// agreed reports whether the user agreed to a manifest that is out of date, not
// too long ago.
func (r *record) agreed(now time.Time) bool {
	return !r.consented.IsZero() && !now.Before(r.consented.Add(-skew)) && !now.After(r.consented.Add(consentTime))
}

// label is what is shown at a time. Where it is not settled who has the keys,
// it has everybody who may.
func (r record) label(now time.Time, p *policy) Label {
	r = r.at(now)
	shown := r.held()
	l := labelOf(p.providers, shown...)
	l.State = r.state
	l.Unknown = len(shown) == 0 || r.state == expired || r.state == conflict || !r.arrived(r.newest()) || !r.newest().valid(now)
	return l
}
