package group

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// maxAgain is how often a message begins again because who is in its group
// changed meanwhile.
const maxAgain = 16

// A WaitingError reports that a message was not sent to a group, since devices of
// its members lack the sender key: nothing changed. Distribute gives it to them;
// whom it cannot reach the app may exclude.
type WaitingError struct {
	// Devices are those that lack it, in order. Device 0 stands for a user of whom
	// no device could be found, or is to be sent to.
	Devices []session.Address
	// Errs says, for each of them, why it cannot be reached: what stands in the
	// Result of a Sending. Nil is that it can.
	Errs []error
}

func (e *WaitingError) Error() string {
	return fmt.Sprintf("group: %d devices lack the sender key", len(e.Devices))
}

// Unwrap returns the Errs that are not nil.
func (e *WaitingError) Unwrap() []error {
	return slices.DeleteFunc(slices.Clone(e.Errs), func(err error) bool { return err == nil })
}

// Send encrypts a message once for all devices of all members, as Device.Send does
// device by device, if every one of them has the sender key: the same Message stands
// in all their Results, and these say who can read it. The account's other devices
// get copies of their own, with the name of the group as SyncTo; of SendOptions,
// Group, Shared, Compose and Accepted are replaced. Besides those that Set excludes, SendOptions.Exclude does, for this
// message; device 0 is all of a user's.
//
// Errors: WaitingError, in which case Distribute is to be called, and Send again;
// ErrNoGroup; ErrMalformed without session.Options.Content, and for a Distribution; those of
// Device.Send.
// After an error all is as it says there.
func (g *Groups) Send(ctx context.Context, name string, c *session.Content, o *session.SendOptions) (*session.Sending, error) {
	if c != nil && len(c.Distribution) > 0 {
		return nil, errForOne
	}
	return g.mail(ctx, name, c, o, func(m *mail) { m.opts.Shared = m.shared })
}

// A mail is one message to a group.
type mail struct {
	g     *Groups
	name  string
	id    DistributionID
	was   *wire.Group // the group when its users were named
	users []string
	opts  session.SendOptions

	chain  uint32 // that is given out
	sentAt uint64 // in a message of this time, in milliseconds since 1970
}

// errMoved ends an operation on a group that is not what it was any more.
var errMoved = errors.New("group: internal error: group changed")

// mail sends content to a group, as prepare has it done, again while others change
// who is in it.
func (g *Groups) mail(ctx context.Context, name string, c *session.Content, o *session.SendOptions, prepare func(*mail)) (*session.Sending, error) {
	if err := groupName(name); err != nil {
		return nil, err
	}
	if !g.d.ContentMode() {
		return nil, errRaw
	}
	release, err := g.hold(ctx, lockName(name))
	if err != nil {
		return nil, err
	}
	defer release()
	for range maxAgain {
		m, err := g.addressed(ctx, name, o)
		if err != nil {
			return nil, err
		}
		prepare(m)
		s, err := m.send(ctx, c)
		if !errors.Is(err, errMoved) {
			return s, err
		}
	}
	return nil, &keystore.ConflictError{Keys: []keystore.Key{groupKey(name)}}
}

// addressed names the users that a message to a group goes to.
func (g *Groups) addressed(ctx context.Context, name string, o *session.SendOptions) (*mail, error) {
	m := &mail{g: g, name: name}
	if o != nil {
		m.opts = *o
	}
	m.opts.Shared, m.opts.Compose, m.opts.Accepted = nil, nil, nil
	var err error
	if m.was, err = g.read(ctx, name); err != nil {
		return nil, err
	}
	m.id, m.opts.Group = DistributionID(m.was.ID), name
	exclude, err := devices(m.opts.Exclude)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{g.d.Address().User: true}
	m.opts.Exclude = nil
	for _, d := range append(exclude, m.was.Exclude...) {
		if left[d.User] = left[d.User] || d.Device == 0; d.Device != 0 {
			m.opts.Exclude = append(m.opts.Exclude, session.Address{User: d.User, Device: d.Device})
		}
	}
	m.opts.Beside = append(slices.Clone(m.opts.Beside), groupKey(name), senderKey(g.d.Address(), m.id))
	m.users = slices.DeleteFunc(slices.Clone(m.was.Members), func(user string) bool { return left[user] })
	return m, nil
}

// send sends content, while nobody else in the process uses the sender key.
func (m *mail) send(ctx context.Context, c *session.Content) (*session.Sending, error) {
	if err := m.g.ids.lock(ctx, m.id); err != nil {
		return nil, err
	}
	defer m.g.ids.unlock(ctx, m.id)
	return m.g.d.Send(ctx, m.users, c, &m.opts)
}

// load reads the record of the group within an operation, which is to be what its
// users were named by.
func (m *mail) load(t *session.Tx) (*wire.Group, error) {
	r, err := loadGroup(t, m.name)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(r.Members, m.was.Members) || !slices.Equal(r.Exclude, m.was.Exclude) || !slices.Equal(r.ID, m.was.ID) {
		return nil, errMoved
	}
	return r, nil
}

// due reports whether the key is to be changed before the next message.
func (m *mail) due(t *session.Tx, r *wire.Group, devices []session.Result) (bool, error) {
	var k key
	var err error
	k.chain, k.iteration, k.ok, err = m.g.current(t, m.id)
	if err != nil && !errors.Is(err, session.ErrCorrupt) { // one that is damaged is none
		return false, err
	}
	l := limits{age: uint64(max(1, m.g.opts.MaxAge.Milliseconds())), messages: m.g.opts.MaxMessages}
	return due(r, k, devices, clock(t), l), nil
}

// shared encrypts a message within the operation that sends it, unless somebody
// lacks the key.
func (m *mail) shared(t *session.Tx, devices []session.Result, padded []byte) (*session.Message, error) {
	r, err := m.load(t)
	if err != nil {
		return nil, err
	}
	change, err := m.due(t, r, devices)
	if err != nil {
		return nil, err
	}
	waiting := new(WaitingError)
	for i := range devices {
		if d := &devices[i]; change || d.Err != nil || lacks(r, d) {
			waiting.Devices, waiting.Errs = append(waiting.Devices, d.To), append(waiting.Errs, d.Err)
		}
	}
	if len(waiting.Devices) > 0 {
		return nil, waiting
	}
	if err := t.Check(groupKey(m.name)); err != nil {
		return nil, err
	}
	return m.g.encrypt(t, m.id, padded)
}

// clock is the clock of the Device, in milliseconds since 1970.
func clock(t *session.Tx) uint64 { return uint64(max(1, t.Now().UnixMilli())) }
