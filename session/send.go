package session

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// SendOptions are the choices of one Send. The zero value, like nil, is the
// defaults.
type SendOptions struct {
	// Exclude names devices that get nothing, now and when a server says that
	// they are missing.
	Exclude []Address
	// NoOwnDevices keeps the message from the account's other devices.
	NoOwnDevices bool
	// Group is what the other devices of the account are told that the message
	// was sent to; "" is the one user.
	Group string
	// Expires is when the copy that is kept for retries goes, if that is before
	// Options.RetryFor is over; zero is not.
	Expires time.Time

	// Shared and Seal are for packages above this one; nil is none.
	//
	// With Shared, the message is encrypted once for all devices of users, as
	// package group does; other devices of the own account get a copy of their
	// own. It is called within the operation, when the Gate was asked about each of
	// these devices, perhaps again on a new Tx, with them and the plaintext,
	// padded, and must not write to either. Of a device, To, RegistrationID,
	// Identity and Session are set, and Err where it gets nothing; device 0 stands
	// for a user. What is returned is the Message of all the others, which may be nil
	// where there are none; an error is that of Send. No session is begun or changed.
	// Records Beside come with the first Load.
	Shared func(t *Tx, devices []Result, plaintext []byte) (*Message, error)
	Beside []keystore.Key
	// Seal is called within the operation, perhaps again, with what is about to be
	// given out, of Reconcile only those Results that are new, and may replace
	// their Messages and set the Envelope. An error is that of the operation, and
	// nothing changed.
	Seal func(*Sending) error
	// Compose and Accepted are, too. Compose is called within the operation of Send
	// and Reconcile, perhaps again on a new Tx, when the Gate was asked and before
	// anything is encrypted, with the devices of which that is to be done, in order:
	// To, RegistrationID, Identity and Session, this zero where one is to begin, and
	// Err where it gets nothing; device 0 stands for a user. It may set fields of the
	// Content, which is nil in Reconcile, but for SentAt, and names devices that are
	// left out, without a Result. An error is that of the operation.
	Compose func(t *Tx, devices []Result, c *Content) (skip []Address, err error)
	// Accepted is called within the operation of Accept; the same of it.
	Accepted func(t *Tx, s *Sending) error
}

// A Sending is a message on its way to all devices of some users: what is to be
// submitted to a server, and what Reconcile needs to go on with it. It is for
// one goroutine at a time, holds the message, and prints as redacted. The zero
// value is none.
type Sending struct {
	wire.Secret

	// SentAt names the message: no other one of this Device has the same, and of
	// another process on its store none of which a copy was kept before. A receiver
	// needs it to ask for the message again.
	SentAt time.Time
	// Results are one for each device, in the order of their addresses.
	Results []Result
	// Envelope, if it is set, is to be submitted once for all Results that have
	// neither Message nor Err; SendOptions.Seal made it.
	Envelope []byte

	from    Address
	sentAt  uint64
	users   []string // in order
	own     bool     // the account's other devices get it, too
	exclude []Address
	content Content
	plain   []byte // what is encrypted of it, before padding
	syncTo  string // user or group that the account's other devices are told; "": nobody knows
	to      string // whom alone the message is for; "": several, or the own account
	expires uint64
	rounds  int // of Reconcile

	shared   func(*Tx, []Result, []byte) (*Message, error) // SendOptions.Shared
	beside   []keystore.Key
	seal     func(*Sending) error                             // SendOptions.Seal
	compose  func(*Tx, []Result, *Content) ([]Address, error) // SendOptions.Compose
	accepted func(*Tx, *Sending) error                        // SendOptions.Accepted

	// within is the transaction of the app's in which it was reconciled, until
	// that is committed.
	within *keystore.Pending
}

// A Result is what became of a message for one device. Device 0 stands for a
// user of whom no device could be found, or is to be sent to.
type Result struct {
	To             Address
	RegistrationID uint32 // to be submitted with the message
	Message        *Message
	// Err is why there is no Message: ErrNoSession, ErrStale, ErrBlocked,
	// ErrCorrupt, ErrExhausted, UntrustedIdentityError, DirectoryError; after
	// Reconcile also ErrMalformed, for an own device that cannot be told to whom
	// the message was sent.
	Err error
	// Identity is whose the device is: the accepted key, for which the message was
	// encrypted; zero where there is none. Session names the session with it: SHA-256
	// of its base key; zero is none.
	Identity keys.IdentityKey
	Session  [32]byte

	hint   [wire.HintSize]byte // of the keys it was encrypted under
	shared bool                // it is the message that all got alike
}

// maxCopied is how large a message is at most of which a copy is kept, in bytes.
const maxCopied = 64 << 10

// Send encrypts a message for all devices of users, and for the other devices
// of the own account, beginning sessions where there are none. It asks the
// Directory for the devices of users whom it does not know, and for the bundles
// of devices without a session, or whose registration id is another one now; and,
// where a gate says that a device is none of its user's, for the devices once more.
// What is to be submitted comes back, device by device, with the registration
// ids that a server can tell from them whether all is current; Reconcile goes on
// from there. A copy is kept for retries. A Gate says of whom the Directory is asked
// for the manifest first.
//
// With Options.Content, c gets SentAt, and the own devices are told to whom it
// was sent: to the one user, or to SendOptions.Group, without which several users
// are ErrMalformed if there are own devices to be told. Without it, c has nothing
// but a Body, which the own devices get, too.
//
// What goes wrong with one device or user stands in its Result, and stops
// nothing else. Errors: ErrMalformed; ErrTooLarge; those of the gate, of all
// devices it refused; those of the store and of ctx. After an error no ciphertext
// leaves, and the state is as before, but for what the Gate made of manifests, and for
// keystore.ErrCommitUnknown, after which counters may have been passed over.
func (d *Device) Send(ctx context.Context, users []string, c *Content, o *SendOptions) (out *Sending, err error) {
	s, err := d.sending(users, c, o)
	if err != nil {
		return nil, err
	}
	m := &mailing{d: d, s: s, users: s.users, begins: true, address: (*mailing).everybody, settle: (*mailing).all}
	if _, named := slices.BinarySearch(s.users, d.address.User); s.own && !named {
		m.users = append(slices.Clone(s.users), d.address.User)
		slices.Sort(m.users)
	}
	m.give = func(t *Tx) {
		made := s.with(m.results)
		made.Envelope = m.envelope
		out = withhold(t, made)
	}
	done := false
	defer func() {
		if !done {
			d.unstamp(s.sentAt)
		}
	}()
	if err := m.run(ctx); err != nil {
		return nil, err
	}
	done = true
	d.trim(ctx)
	return out, nil
}

// sending reads what Send is given.
func (d *Device) sending(users []string, c *Content, o *SendOptions) (*Sending, error) {
	if o == nil {
		o = new(SendOptions)
	}
	s := &Sending{from: d.address, own: !o.NoOwnDevices, syncTo: o.Group, compose: o.Compose, accepted: o.Accepted,
		shared: o.Shared, beside: slices.Clone(o.Beside), seal: o.Seal}
	var err error
	if s.users, err = userNames(users); err != nil {
		return nil, err
	}
	for _, a := range o.Exclude {
		if a, err = a.canonical(); err != nil {
			return nil, err
		}
		s.exclude = append(s.exclude, a)
	}
	slices.SortFunc(s.exclude, Address.compare)
	if len(s.users) == 0 && o.Group == "" || len(o.Group) > maxUser || !utf8.ValidString(o.Group) {
		return nil, fmt.Errorf("%w: to nobody", ErrMalformed)
	}
	if s.plain, err = d.plaintext(c, d.now()); err != nil {
		return nil, err
	}
	if !o.Expires.IsZero() {
		s.expires = uint64(max(1, o.Expires.UnixMilli()))
	}
	if s.tell(d); o.Group == "" && o.Shared == nil {
		s.to = d.recipient(s.syncTo)
	}
	if err := s.tooLarge(d); err != nil {
		return nil, err
	}
	s.content = *c
	s.content.Body = bytes.Clone(c.Body)
	s.sentAt = d.stamp(0)
	s.plain, err = d.plaintext(&s.content, s.sentAt)
	return s, err
}

// tell finds out whom the message is to, for the own devices.
func (s *Sending) tell(d *Device) {
	others := slices.DeleteFunc(slices.Clone(s.users), func(user string) bool { return user == d.address.User })
	switch {
	case s.syncTo != "":
	case len(others) == 1:
		s.syncTo = others[0]
	case len(others) == 0:
		s.syncTo = d.address.User
	}
}

// tooLarge is ErrTooLarge for a message that no device can get.
func (s *Sending) tooLarge(d *Device) error {
	n := len(s.plain)
	if d.opts.Content {
		n += len(s.syncTo) + 256 // the copy's, and the padding
	}
	if n > wire.MaxPlaintext {
		return fmt.Errorf("%w: message of %d bytes", ErrTooLarge, len(s.plain))
	}
	return nil
}

// with returns s with results.
func (s *Sending) with(results []Result) *Sending {
	out := *s
	out.SentAt, out.Results = moment(s.sentAt), results
	return &out
}

// stamp returns a time in milliseconds that this Device gave to no message yet,
// later than the one after which it is asked for.
func (d *Device) stamp(after uint64) uint64 {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	d.memory.stamp = max(d.now(), d.memory.stamp+1, after+1)
	return d.memory.stamp
}

// unstamp takes back the newest time that was given out, if it is this one:
// nothing left under it.
func (d *Device) unstamp(ms uint64) {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	if d.memory.stamp == ms {
		d.memory.stamp--
	}
}

// name gives the message a time that none in the store has.
func (m *mailing) name() error {
	for step := uint64(0); ; step = 2*step + 1 {
		k := m.d.sentKey(m.s.sentAt)
		if err := m.t.load(k); err != nil {
			return err
		}
		if v := m.t.value(k); v == nil || m.unsure && m.copied != nil && bytes.Equal(v, m.copied) { // ours, that nobody knew was committed
			return nil
		}
		m.s.sentAt = m.d.stamp(m.s.sentAt + step)
		var err error
		if m.s.plain, err = m.d.plaintext(&m.s.content, m.s.sentAt); err != nil {
			return err
		}
	}
}

// everybody finds the parcels of a Send.
func (m *mailing) everybody() error {
	if err := m.name(); err != nil {
		return err
	}
	for _, user := range m.users {
		if err := m.user(user); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(m.parcels, func(p *parcel) bool { return p.own(m.d) }) {
		_, err := m.d.synced(nil, m.s.syncTo) // several users, and no group
		return err
	}
	return nil
}

// user finds the parcels of a user. What is wrong with him alone fails him alone.
func (m *mailing) user(user string) error {
	r, err := m.t.roster(user)
	if err == nil && r.Blocked {
		err = ErrBlocked
	}
	if err != nil {
		m.t.check(m.d.peerKey(Address{User: user}))
		m.fail(user, err)
		return nil
	}
	if own := user == m.d.address.User; r.ListedAt == 0 || len(r.ids()) == 0 && !own {
		l, ok := m.lists[user]
		switch {
		case !ok:
			m.unknown = append(m.unknown, user)
			return nil
		case l.err == nil && len(l.devices) == 0 && !own:
			l.err = &DirectoryError{User: user, Err: ErrNoDevice}
		}
		if l.err != nil {
			m.fail(user, l.err)
			return nil
		}
		if err := r.adopt(l.devices); err != nil {
			return err
		}
	} else if l := m.lists[user]; m.relisted[user] && l.err == nil && len(l.devices) > 0 {
		if err := r.adopt(l.devices); err != nil {
			return err
		}
	}
	m.rosters = append(m.rosters, r)
	shared := m.s.shared != nil && user != m.d.address.User
	for _, p := range r.current() {
		if to := r.address(p.ID); m.mayGet(to) {
			m.parcels = append(m.parcels, &parcel{to: to, listed: p.RegistrationID, roster: r, shared: shared})
		}
	}
	return nil
}

func (m *mailing) fail(user string, err error) {
	m.failed = append(m.failed, Result{To: Address{User: user}, Err: err})
}

// all are the results of a Send.
func (m *mailing) all() []Result {
	out := slices.Grow(m.failed, len(m.parcels))
	for _, p := range m.parcels {
		out = append(out, p.result())
	}
	return inOrder(out)
}

// inOrder returns results in the order of their addresses, in which they mostly are.
// What it sorts are pointers: they are moved faster than results, and the code of
// it exists once for pointers to all types.
func inOrder(results []Result) []Result {
	order := make([]*Result, len(results))
	for i := range results {
		order[i] = &results[i]
	}
	byAddress := func(a, b *Result) int { return a.To.compare(b.To) }
	if slices.IsSortedFunc(order, byAddress) {
		return results
	}
	slices.SortFunc(order, byAddress)
	out := make([]Result, 0, len(order))
	for _, r := range order {
		out = append(out, *r)
	}
	return out
}
