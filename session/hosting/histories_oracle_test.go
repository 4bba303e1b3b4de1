package hosting_test

import (
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An oracle is hosting.md, "State for each peer account", and spec/gembok.md,
// Section 4, word by word, with the policy that is the default. It knows
// statements by who made them. It is a value.
type oracle struct {
	force   *statement // agreed to, or in no need of it
	waiting *statement // newer: to be agreed to
	top     uint64     // the highest epoch known of
	said    [32]byte   // its hash by a message, while no such manifest is there
	dispute bool       // CONFLICT,
	over    uint64     // which what is above this epoch can end
	no      bool       // DECLINED
	leave   time.Time  // of the yes to go on without a manifest in force

	contested []*statement // what the account said that CONFLICT is about
	once      []*statement // all that the account ever said, for the keys in it
	stranger  *statement   // what another account key said: the last of it
}

// held are the statements it compares others with.
func (o *oracle) held() []*statement {
	var out []*statement
	for _, s := range append([]*statement{o.force, o.waiting, o.contest()}, o.stranger) {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

// contest is what CONFLICT is about, of the account's: the last, but one that is
// hosted before those that are not.
func (o *oracle) contest() (out *statement) {
	for _, s := range o.contested {
		if out == nil || s.facts.hosted() || !out.facts.hosted() {
			out = s
		}
	}
	return out
}

func (o *oracle) newest() *statement {
	if o.waiting != nil {
		return o.waiting
	}
	return o.force
}

// conflict is CONFLICT about an epoch.
func (o *oracle) conflict(epoch uint64) {
	o.dispute, o.over = true, max(o.over, epoch)
}

// believes reports whether a statement is the account's, and its time is now.
func (s *statement) believed(now time.Time) bool {
	return s != nil && s.Account == toko && !s.forged && !s.shared && s.inTime(now)
}

// shown is a statement that the server, or a message, shows.
func (o *oracle) shown(s *statement, now time.Time) {
	if !s.believed(now) {
		return
	}
	fork := false
	for _, h := range o.held() {
		if h.hash == s.hash {
			return
		}
		fork = fork || h.Epoch == s.Epoch && !o.foreign(h)
	}
	last := o.newest()
	switch {
	case o.foreign(s): // until accepted like an identity change
		if fork || s.Epoch >= o.top {
			o.dispute = true
			if x := o.stranger; x == nil || x.Key != s.Key || x.Epoch < s.Epoch {
				o.stranger = s
			}
		}
	case fork: // same epoch with two hashes
		o.contests(s)
	case s.Epoch < o.top: // a replay
	case s.Epoch == o.top && o.said != [32]byte{} && o.said != s.hash: // the peer's in-band hash differs
		o.contests(s)
	case o.moves(s):
		o.contests(s)
	case last != nil && !o.dispute && s.Epoch == last.Epoch+1 && s.Previous != last.hash:
		o.contests(s)
	default:
		o.next(s)
	}
}

// foreign reports whether another account key signed s: anybody can have made it.
func (o *oracle) foreign(s *statement) bool {
	known := o.newest()
	return known != nil && known.Key != s.Key
}

// moves reports whether a key is with another holder than the account said before.
func (o *oracle) moves(s *statement) bool {
	for _, h := range o.once {
		if slices.ContainsFunc(s.ends, func(a end) bool { return slices.ContainsFunc(h.ends, a.moved) }) {
			return true
		}
	}
	return false
}

// contests is CONFLICT about a statement of the account's.
func (o *oracle) contests(s *statement) {
	o.contested = append(o.contested[:len(o.contested):len(o.contested)], s)
	o.once = append(o.once[:len(o.once):len(o.once)], s)
	o.conflict(s.Epoch)
	if s.Epoch >= o.top {
		o.top, o.said = s.Epoch, [32]byte{}
	}
}

// next is the newest statement, which contradicts nothing.
func (o *oracle) next(s *statement) {
	o.top, o.said = s.Epoch, [32]byte{}
	if c := o.contest(); c != nil && o.newest() == nil && c.Key != s.Key { // nobody's key was known
		o.stranger, o.contested, o.once = c, nil, nil
	}
	o.once = append(o.once[:len(o.once):len(o.once)], s)
	switch {
	case o.dispute, o.no:
		o.waiting = s
	case (s.facts.hosted() || s.facts&atForeign != 0) && (o.force == nil || s.facts.wider(o.force.facts)):
		o.waiting = s
	default:
		o.force, o.waiting, o.leave = s, nil, time.Time{}
	}
}

// heard is what a message says of its sender's manifest.
func (o *oracle) heard(epoch uint64, hash [32]byte) {
	same, other := false, false
	for _, h := range o.held() {
		same = same || h.Epoch == epoch && h.hash == hash
		other = other || h.Epoch == epoch && h.hash != hash && !o.foreign(h)
	}
	switch {
	case epoch == 0:
	case !same && (other || epoch == o.top && o.said != [32]byte{} && o.said != hash):
		o.conflict(epoch)
		if epoch == o.top {
			o.said = hash
		}
	case epoch > o.top:
		o.top, o.said = epoch, hash
	}
}

// awaits reports whether there is a newer statement than s.
func (o *oracle) awaits(s *statement) bool {
	return o.top > 0 && (s == nil || s.Epoch < o.top || s.Epoch == o.top && o.said != [32]byte{} && o.said != s.hash)
}

// offered is the statement that the user can be asked about, nil for none; and false
// if he can be asked nothing.
func (o *oracle) offered(now time.Time) (*statement, bool) {
	s, known := o.waiting, o.newest()
	switch stranger := o.stranger; {
	case o.dispute && o.over > 0:
		if s == nil || s.Epoch <= o.over {
			return nil, false
		}
	case o.dispute:
		if stranger.Epoch > known.Epoch && !o.moves(stranger) && (s == nil || !s.inTime(now)) {
			s = stranger
		}
		if s == nil {
			return nil, false
		}
	case s == nil:
		return nil, !o.awaits(o.force)
	}
	return s, !o.awaits(s)
}

// question is what the user can be asked; false: nothing.
func (o *oracle) question(now time.Time) (from, to [32]byte, ok bool) {
	s, ok := o.offered(now)
	if o.force != nil {
		from, to = o.force.hash, o.force.hash
	}
	if s != nil {
		to = s.hash
	}
	return from, to, ok
}

// answer is a yes or a no to a question, if it is the one there is; whether it
// counts.
func (o *oracle) answer(from, to [32]byte, yes bool, now time.Time) bool {
	s, _ := o.offered(now)
	f, t, ok := o.question(now)
	switch {
	case !ok || f != from || t != to:
		return false
	case !yes && o.dispute:
		return true
	case !yes:
		o.no, o.leave = true, time.Time{}
		return true
	case s != nil && !s.inTime(now):
		return false
	case s != nil:
		*o = oracle{force: s, top: s.Epoch, once: append(o.once[:len(o.once):len(o.once)], s)}
	case o.force == nil || !o.force.inTime(now):
		o.leave = now
	}
	o.no, o.dispute, o.over = false, false, 0
	return true
}

// state is the State, of which CURRENT and NARROWER are one.
func (o *oracle) state(now time.Time) hosting.State {
	switch {
	case o.dispute:
		return "CONFLICT"
	case o.no:
		return "DECLINED"
	case o.waiting != nil, o.awaits(o.force):
		return "PENDING"
	case o.force == nil:
		return "UNATTESTED"
	case !o.force.inTime(now):
		return "EXPIRED"
	}
	return "CURRENT"
}

// may reports whether a message may be encrypted for a key.
func (o *oracle) may(device uint32, key keys.IdentityKey, now time.Time) bool {
	switch o.state(now) {
	case "UNATTESTED":
		return !o.leave.IsZero()
	case "EXPIRED":
		if o.leave.IsZero() || now.Before(o.leave.Add(-skew)) || now.After(o.leave.Add(30*day)) {
			return false
		}
	case "CURRENT":
	default:
		return false
	}
	for _, e := range o.force.ends {
		if e.device == device && e.key.Public() == key {
			return true
		}
	}
	return false
}

// hosted reports whether any statement that is not settled, or is in force, has
// a hosted endpoint. One of another account key is nothing beside two of the
// account's that contradict each other.
func (o *oracle) hosted() bool {
	for _, s := range append(o.held(), o.contested...) {
		if s.facts.hosted() && (o.over == 0 || s != o.stranger) {
			return true
		}
	}
	return false
}
