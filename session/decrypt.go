package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What one inbound message may cost (design, Section 7): derivations of the
// current session, of one with an own device, of all archived ones together;
// and how far ahead an archived session may jump under a new ratchet key.
const (
	budgetCurrent  = 50000
	budgetSelf     = 200000
	budgetArchived = 30000
	jumpArchived   = 2000
)

// macStep is how many bytes under the MAC count as one derivation when an
// archived session fails on them; else 64 MiB of garbage would be hashed 41
// times. Messages up to 1 MiB never reach the bound by their size.
const macStep = 2048

// DecryptOptions are the choices of one Decrypt. The zero value, like nil, is
// the defaults.
type DecryptOptions struct {
	// Identity, when set, is the key that the sender must have.
	Identity *keys.IdentityKey
	// Deep lifts the bound on derivations, for a message that was
	// ErrTooExpensive.
	Deep bool
	// Expires is when the message is no longer kept for an app that has not
	// acknowledged it; zero is never, or when its Timer says (MarkRead). Redelivered
	// after that it is ErrDuplicate.
	Expires time.Time
}

// A Received is a decrypted message, of a session or, by Tx.Stage, of a package
// above this one, such as group. It prints as redacted. The zero value is none.
type Received struct {
	wire.Secret

	ID   MessageID
	From Address
	// Identity is the authenticated identity key of the sender.
	Identity keys.IdentityKey
	// Accepted reports whether Identity was the accepted key of From.
	Accepted bool
	// NoOneTimePreKey says that the message began a session without a one-time
	// prekey of this device, as happens when the directory has none left. Until
	// the first answer, whoever gets the signed prekey can read it.
	NoOneTimePreKey bool
	// Redelivered says that this result was given before, and not acknowledged.
	Redelivered bool
	// Plaintext is what was encrypted; with Options.Content the encoded Content,
	// without padding.
	Plaintext []byte
	// Content is what Plaintext says, and points into it; nil without
	// Options.Content. Its Distribution is for package group, whose Decrypt takes it
	// where it counts: in a message of a session, and in no copy. What another device
	// of the own account sent, and had disappeared before it came, has no Body.
	Content    *Content
	Note       []byte // of the gate
	Events     []Event
	ReceivedAt time.Time // when it was decrypted
	// Expires is when it is no longer kept, if the app does not acknowledge it; zero
	// is never. With a Timer (MarkRead) that may be earlier than DecryptOptions say.
	Expires time.Time
}

// Decrypt decrypts a message that came from a peer device. The result is
// stored with what it changed: until Acknowledge, the same message gives the
// same result again, with Redelivered set, and Unacknowledged yields it. After
// that it is ErrDuplicate. When ReasonOf the error is not 0, RequestRetry asks the
// sender for the message again.
//
// Errors: ErrMalformed, ErrVersion, ErrTooLarge and ErrKey for bytes that are
// no message, and for other types: Resend takes a TypePlaintext, package group a
// TypeSenderKey, and package sealed a TypeSealed; ErrMalformed, too, with
// Options.Content for a message that is authentic and has no Content in it, or one
// that says that the own account sent it, and did not come from there;
// ErrNoSession; ErrDuplicate; ErrTooFar; ErrExhausted; ErrTooExpensive;
// PreKeyNotFoundError; BaseKeyReusedError; IdentityMismatchError;
// ErrZeroAgreement; ErrAuth for all that depends on a secret; ErrCorrupt beside it
// when a stored session is damaged; keystore.ErrCommitUnknown. After an error
// everything is as before, and the message may be tried again; after the last one
// it may have been decrypted and is then Redelivered.
func (d *Device) Decrypt(ctx context.Context, from Address, m *Message, o *DecryptOptions) (*Received, error) {
	in, err := d.inbound(from, m, o)
	if err != nil {
		return nil, err
	}
	var out *Received
	err = d.run(ctx, in.from.String(), func(t *Tx) error {
		out, err = in.run(t)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// inbound reads the bytes of a message, before anything is loaded.
func (d *Device) inbound(from Address, m *Message, o *DecryptOptions) (*inbound, error) {
	from, err := from.canonical()
	if err != nil {
		return nil, err
	}
	in := &inbound{d: d, from: from}
	if o != nil {
		in.opts = *o
	}
	if err := in.parse(m); err != nil {
		return nil, err
	}
	in.id = messageID(from, in.raw)
	return in, nil
}

// An inbound is one message on its way through Decrypt.
type inbound struct {
	wire.Secret

	d    *Device
	t    *Tx
	now  uint64
	from Address
	opts DecryptOptions

	id            MessageID
	raw           []byte // the SignalMessage, inner or whole
	msg           wire.SignalMessage
	begins        bool // TypePreKey; else the next three are zero
	outer         wire.PreKeySignalMessage
	theirIdentity keys.IdentityKey
	baseKey       keys.PublicKey

	book   book
	trust  trust
	budget ratchet.Budget // of all archived sessions together
}

// parse reads the bytes.
func (in *inbound) parse(m *Message) (err error) {
	if m == nil {
		return fmt.Errorf("%w: no message", ErrMalformed)
	}
	switch m.Type {
	case TypeSignal:
		in.raw = m.Bytes
		in.msg, err = wire.ParseSignalMessage(m.Bytes)
	case TypePreKey:
		if in.outer, err = wire.ParsePreKeySignalMessage(m.Bytes); err != nil {
			return err
		}
		in.begins, in.raw, in.msg = true, in.outer.MessageBytes, in.outer.Message
		if in.baseKey, err = keys.ParsePublicKey(in.outer.BaseKey); err != nil {
			return fmt.Errorf("base key: %w", err)
		}
		in.theirIdentity, err = keys.ParseIdentityKey(in.outer.IdentityKey)
	default:
		return fmt.Errorf("%w: message type %d", ErrMalformed, m.Type)
	}
	if err != nil {
		return err
	}
	_, err = keys.ParsePublicKey(in.msg.RatchetKey)
	return err
}

// open reads the book and the trust of the sender from the loaded records.
func (in *inbound) open() (err error) {
	if in.book, err = in.t.openBook(in.from); err != nil {
		return err
	}
	in.trust, err = in.t.trust(in.from)
	return err
}

// run decrypts the message and stages it, or finds it staged. Everything that
// is named in the message comes with one Load.
func (in *inbound) run(t *Tx) (*Received, error) {
	in.t, in.now, in.budget.Left = t, in.d.now(), budgetArchived
	staged := t.staging(in.from.User, in.id)
	load := append(t.sessionKeys(in.from), staged)
	if in.begins {
		load = append(load, in.preKeyKeys()...)
	}
	if err := t.loadBeside(in.d.sessionKey(in.from), load...); err != nil {
		return nil, err
	}
	r, err := t.again(staged, in.id)
	if err != nil {
		return nil, err
	}
	if r != nil {
		return r, in.require(r.Identity)
	}
	if r, err = in.decrypt(); err != nil {
		return nil, t.late(in.id, err)
	}
	r.ID, r.From, r.Expires = in.id, in.from, in.opts.Expires
	if err := in.d.strip(r); err != nil {
		return nil, err
	}
	return r, t.stage(r)
}

// late makes the failure of a message that was acknowledged before an
// ErrDuplicate: its session may be gone, and it need not be sent again.
func (t *Tx) late(id MessageID, err error) error {
	if errors.Is(err, ErrDuplicate) {
		return err
	}
	known, loadErr := t.acknowledged(id)
	switch {
	case loadErr != nil: // nobody knows; the message may be tried again
		return loadErr
	case known:
		return ErrDuplicate
	}
	return err
}

// decrypt decrypts the message with what is loaded.
func (in *inbound) decrypt() (*Received, error) {
	if err := in.open(); err != nil {
		return nil, err
	}
	if in.begins {
		return in.preKey()
	}
	return in.signal()
}

// signal decrypts an ordinary message (wire-core, Section 9.6).
func (in *inbound) signal() (*Received, error) {
	if in.book.Current == nil && len(in.book.Archived) == 0 {
		return nil, ErrNoSession
	}
	c, err := in.try()
	if err != nil {
		return nil, err
	}
	return in.deliver(c)
}

// A candidate is a session that a message is tried on; place is its place in
// the archive, −1 for the current one.
type candidate struct {
	s         *ratchet.Session
	place     int
	budget    ratchet.Budget // of its own, in place −1
	plaintext []byte
}

// try tries the sessions that hold the message's ratchet key and, when none
// does, the current one, then the archived ones, newest first. Those are only
// loaded then. A duplicate ends the search. What is too expensive outweighs the
// other failures, as it can be repeated with Deep; else the first one counts.
func (in *inbound) try() (*candidate, error) {
	current, first := in.current()
	h := hint(in.msg.RatchetKey)
	holders, err := in.archived(func(n *wire.ArchivedNote) bool { return hinted(n, h) })
	if err != nil {
		return nil, err
	}
	if current != nil {
		holders = append([]*candidate{current}, holders...)
	}
	holders = slices.DeleteFunc(holders, func(c *candidate) bool { return !c.s.HasReceiver(in.msg.RatchetKey) })
	if len(holders) > 0 {
		return in.attempts(holders, nil)
	}
	if current != nil {
		if first = in.attempt(current); first == nil {
			return current, nil
		}
	}
	archived, err := in.archived(every)
	if err != nil {
		return nil, err
	}
	return in.attempts(archived, first)
}

// current returns the current session; nil, perhaps with the reason, if there
// is none to try.
func (in *inbound) current() (*candidate, error) {
	s, err := in.book.current()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	case s == nil:
		return nil, nil
	}
	return &candidate{s: s, place: -1}, nil
}

// attempts tries one candidate after the other; first is an earlier failure.
func (in *inbound) attempts(cs []*candidate, first error) (*candidate, error) {
	for _, c := range cs {
		err := in.attempt(c)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, ErrDuplicate):
			return nil, err
		case first == nil, errors.Is(err, ErrTooExpensive) && !errors.Is(first, ErrTooExpensive):
			first = err
		}
	}
	if first == nil {
		first = ErrAuth
	}
	return nil, first
}

// archived loads and parses the archived sessions whose notes match, newest
// first, without the expired ones and those that do not decode.
func (in *inbound) archived(match func(*wire.ArchivedNote) bool) ([]*candidate, error) {
	places := in.book.places(func(n *wire.ArchivedNote) bool { return !expired(n, in.now) && match(n) })
	if err := in.book.loadArchive(places); err != nil {
		return nil, err
	}
	var out []*candidate
	for _, i := range places {
		s, err := in.book.archived(i)
		if err != nil {
			return nil, err
		}
		if s != nil {
			out = append(out, &candidate{s: s, place: i})
		}
	}
	return out, nil
}

// attempt decrypts the message on one candidate.
func (in *inbound) attempt(c *candidate) error {
	o := in.limits(c)
	plaintext, err := c.s.Decrypt(in.raw, &o)
	if err != nil && c.place >= 0 {
		in.budget.Left -= min(in.budget.Left, uint64(len(in.raw)/macStep))
	}
	if errors.Is(err, ratchet.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrAuth, corrupt(err))
	}
	c.plaintext = plaintext
	return err
}

// limits are what the message may cost on one candidate, and the addresses
// that it must be bound to.
func (in *inbound) limits(c *candidate) (o ratchet.DecryptOptions) {
	self := false
	if remote, err := c.s.RemoteIdentity(); err == nil {
		self = in.d.isSelf(in.from, remote.Bytes())
	}
	if in.msg.Addresses != nil {
		o.Addresses = binding(in.from, in.d.address)
	}
	if self {
		o.MaxJump = in.d.opts.SelfJump
	}
	switch {
	case c.place >= 0:
		o.MaxNewJump, o.Budget = jumpArchived, &in.budget
	case self:
		c.budget.Left, o.Budget = budgetSelf, &c.budget
	default:
		c.budget.Left, o.Budget = budgetCurrent, &c.budget
	}
	if in.opts.Deep {
		o.Budget = nil
	}
	return o
}

// deliver records what a successful candidate changed.
func (in *inbound) deliver(c *candidate) (*Received, error) {
	remote, err := c.s.RemoteIdentity()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, corrupt(err))
	}
	if err := in.require(remote); err != nil {
		return nil, err
	}
	accepted := in.trust.accepts(remote)
	switch {
	case c.place < 0:
		in.book.renew(c.s)
	case accepted && !in.d.opts.PromoteOnlyNewer && !in.book.Archived[c.place].Restored:
		err = in.book.promote(c.place, c.s, in.now)
	default:
		in.book.keep(c.place, c.s)
	}
	if err != nil {
		return nil, err
	}
	if err := in.book.expire(in.now); err != nil {
		return nil, err
	}
	in.book.write()
	in.trust.rely(remote, in.now)
	return &Received{Identity: remote, Accepted: accepted, Plaintext: c.plaintext}, nil
}

// require holds the sender's key against the one the caller demands.
func (in *inbound) require(key keys.IdentityKey) error {
	if want := in.opts.Identity; want != nil && !want.Equal(key) {
		return &IdentityMismatchError{Address: in.from, Expected: *want, Seen: key}
	}
	return nil
}
