package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/keystore"
)

// maxRounds is how often a Sending is reconciled at most.
const maxRounds = 5

// A Difference is what a server that got a Sending says of its devices of one
// user. No device may be named twice.
type Difference struct {
	User    string
	Missing []uint32 // devices of the user without a message
	Stale   []uint32 // devices that were set up anew: their session is gone
	Extra   []uint32 // those that are no devices of the user
}

// ErrUnsettled reports that a server said too often that a Sending is not for
// the right devices, or that what all of them got alike is to be encrypted anew.
var ErrUnsettled = errors.New("session: server does not agree on the devices")

// Reconcile does what a server says that a Sending lacks, and changes its
// Results: devices that are missing, or were set up anew, get a message on a
// session that is begun with them; those that are none of the user's any more are
// left out, and their sessions archived. Nothing is encrypted for any other
// device, or again for one that has a message and is only said to be missing;
// excluded ones stay so. The events DeviceAdded and DeviceRemoved tell of it. In
// a transaction of the app's the Results change when that is committed.
//
// What all devices got alike (SendOptions.Shared) must not leave once one of them is
// gone or was set up anew: whoever has that one now could read it. All is done and
// committed then as ever, so that the next Send is for the right devices; but of s
// these Results have ErrUnsettled in place of the message, the Envelope is gone, and
// ErrUnsettled is returned: the message is to be sent again, as another one. So it is,
// of all Results and with its copy, when the message has disappeared meanwhile, by its
// Timer: nothing more of it leaves.
//
// Errors: ErrMalformed for no Sending of this Device, and for a difference that is
// about a user who is not in the Sending, or names a device that there cannot be,
// this one, or one twice;
// ErrUnsettled after 5 times; keystore.ErrInvalid in a transaction of the app's in
// which it was reconciled before; otherwise those of Send. After an error the Sending
// and the state are as before, but as said above and in Send.
func (d *Device) Reconcile(ctx context.Context, s *Sending, said ...Difference) error {
	r, err := d.reconciling(s, said)
	if err == nil {
		err = s.settled(ctx)
	}
	if err != nil {
		return err
	}
	m := &mailing{d: d, s: s, users: r.users, named: r.named, address: r.address, settle: r.settle}
	m.give = func(t *Tx) {
		r.done = func() {
			s.Results, s.rounds, s.within = m.results, s.rounds+1, nil
			if r.anew {
				s.Envelope = nil
			}
		}
		if within := keystore.PendingIn(t.ctx); within != nil {
			t.held, r.done = append(t.held, r.done), func() { s.within = within }
		}
	}
	if err := m.run(ctx); err != nil {
		return err
	}
	if r.done(); r.anew {
		return errAnew
	}
	return nil
}

// settled refuses to go on with a Sending in a transaction that changes it when
// it is committed.
func (s *Sending) settled(ctx context.Context) error {
	if within := keystore.PendingIn(ctx); within != nil && within == s.within {
		return fmt.Errorf("%w: sending reconciled in this transaction", keystore.ErrInvalid)
	}
	return nil
}

// A reconciling is one Reconcile.
type reconciling struct {
	s     *Sending
	said  []Difference
	users []string
	named []Address
	gone  map[Address]bool
	anew  bool // the message for all devices alike must not leave
	over  bool // the message has disappeared, and none of it must
	done  func()
}

// reconciling reads what a server said.
func (d *Device) reconciling(s *Sending, said []Difference) (*reconciling, error) {
	if s == nil || s.sentAt == 0 || s.from != d.address {
		return nil, fmt.Errorf("%w: no sending of this device", ErrMalformed)
	}
	if s.rounds >= maxRounds {
		return nil, ErrUnsettled
	}
	r := &reconciling{s: s, gone: make(map[Address]bool), named: []Address{}, over: s.over(d.now())}
	r.anew = r.over
	for _, diff := range said {
		user, err := userName(diff.User)
		if err != nil {
			return nil, err
		}
		if !s.isTo(d, user) || slices.Contains(r.users, user) {
			return nil, fmt.Errorf("%w: difference about another user", ErrMalformed)
		}
		diff.User = user
		if err := r.add(d, diff); err != nil {
			return nil, err
		}
	}
	slices.Sort(r.users)
	slices.SortFunc(r.named, Address.compare)
	return r, nil
}

// add takes what was said of a user.
func (r *reconciling) add(d *Device, diff Difference) error {
	var seen [maxDevices + 1]bool
	for _, ids := range [][]uint32{diff.Missing, diff.Stale, diff.Extra} {
		for _, id := range ids {
			a := Address{User: diff.User, Device: id}
			if id < 1 || id > maxDevices || seen[id] || a == d.address {
				return fmt.Errorf("%w: difference about device %d", ErrMalformed, id)
			}
			seen[id] = true
			r.named = append(r.named, a)
		}
	}
	for _, id := range diff.Extra {
		r.gone[Address{User: diff.User, Device: id}] = true
	}
	for _, id := range slices.Concat(diff.Extra, diff.Stale) {
		was := r.s.result(Address{User: diff.User, Device: id})
		r.anew = r.anew || r.s.reaches(was) && was.shared
	}
	r.users, r.said = append(r.users, diff.User), append(r.said, diff)
	return nil
}

// isTo reports whether the message is for devices of a user, under the name that
// he had then.
func (s *Sending) isTo(d *Device, user string) bool {
	_, named := slices.BinarySearch(s.users, user)
	return named || s.own && user == d.address.User
}

// result returns what became of the message for a device; nil is nothing.
func (s *Sending) result(to Address) *Result {
	i, ok := slices.BinarySearchFunc(s.Results, to, func(r Result, to Address) int { return r.To.compare(to) })
	if !ok {
		return nil
	}
	return &s.Results[i]
}

// address finds the parcels, and retires the devices that are gone.
func (r *reconciling) address(m *mailing) error {
	for i := range r.said {
		diff := &r.said[i]
		peer, err := m.t.roster(diff.User)
		if err != nil {
			return err
		}
		for _, id := range diff.Extra {
			if err := r.retire(peer, id); err != nil {
				return err
			}
		}
		m.rosters = append(m.rosters, peer)
		for _, id := range diff.Missing {
			if was := r.s.result(peer.address(id)); !r.s.reaches(was) {
				r.want(m, peer, id, false)
			}
		}
		for _, id := range diff.Stale {
			r.want(m, peer, id, true)
		}
	}
	slices.SortFunc(m.parcels, func(a, b *parcel) int { return a.to.compare(b.to) })
	return nil
}

// retire marks a device as gone, archives its session, and tells of it.
func (r *reconciling) retire(peer *roster, id uint32) error {
	if !peer.retire(id, peer.t.d.now()) {
		return nil
	}
	if err := peer.close(id); err != nil {
		return err
	}
	return peer.t.Emit(Event{Kind: DeviceRemoved, Address: peer.address(id)})
}

// want makes a parcel for a device; renew says that its session is of no use.
func (r *reconciling) want(m *mailing, peer *roster, id uint32, renew bool) {
	p := &parcel{to: peer.address(id), renew: renew, roster: peer}
	if !m.mayGet(p.to) {
		return
	}
	if known := peer.device(id); known != nil && known.StaleSince == 0 {
		p.listed = known.RegistrationID
	}
	if was := r.s.result(p.to); renew && r.s.reaches(was) {
		p.listed = was.RegistrationID
	}
	if peer.Blocked {
		p.err = ErrBlocked
	}
	m.parcels = append(m.parcels, p)
}

// settle is the outcome: what became of the parcels, and of the devices that
// were not named what there was.
func (r *reconciling) settle(m *mailing) []Result {
	fresh := make(map[Address]bool, len(m.parcels))
	reached := make(map[string]bool)
	out := make([]Result, 0, len(r.s.Results)+len(m.parcels))
	for _, p := range m.parcels {
		fresh[p.to], reached[p.to.User] = true, true
		out = append(out, p.result())
	}
	for _, was := range r.s.Results {
		if !fresh[was.To] && !r.gone[was.To] && !(was.To.Device == 0 && reached[was.To.User]) {
			out = append(out, was)
		}
	}
	for i := range out {
		if was := &out[i]; r.over || r.anew && !fresh[was.To] {
			was.withdraw(r.over)
		}
	}
	return inOrder(out)
}

// Accept records that a server took a Sending: devices without a message are
// not in the copy that is kept for retries. Devices of its users that are gone
// for 30 days are forgotten, and the sessions with them; what is known of their
// identity keys stays.
//
// Errors: ErrMalformed for no Sending of this Device; keystore.ErrInvalid in a
// transaction of the app's in which it was reconciled; those of the store, after
// which everything is as before.
func (d *Device) Accept(ctx context.Context, s *Sending) error {
	if s == nil || s.sentAt == 0 || s.from != d.address {
		return fmt.Errorf("%w: no sending of this device", ErrMalformed)
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	users := s.users
	if _, named := slices.BinarySearch(users, d.address.User); s.own && !named {
		users = append(slices.Clone(users), d.address.User)
	}
	return d.run(ctx, "", func(t *Tx) error {
		if err := t.load(append(d.peerKeys(users), d.sentKey(s.sentAt))...); err != nil {
			return err
		}
		t.trimCopy(s)
		if s.accepted != nil {
			if err := s.accepted(t, s); err != nil {
				return err
			}
		}
		for _, user := range users {
			r, err := t.roster(user)
			if err != nil { // nobody's devices are known
				t.check(d.peerKey(Address{User: user}))
				continue
			}
			if err := r.forget(); err != nil {
				return err
			}
		}
		return nil
	})
}
