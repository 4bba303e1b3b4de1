package group

import (
	"context"
	"errors"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// errNobody ends an operation in which nobody lacks the key.
var errNobody = errors.New("group: internal error: nobody lacks the sender key")

// Distribute gives the own sender key of a group to exactly those devices of its
// members that lack it, each in a message of its session: what is to be submitted
// before Send. It returns nil when nobody lacks it. When another key is due, that is
// made first, in the same commit, and everybody lacks it: when somebody who was
// given the old one is gone, excluded or set up anew, by age, by the number of
// messages, and when the own key was lost.
//
// Once the server took it, Accept says so, and these devices have the key; without
// that they are given it again.
//
// Errors are those of Send, but for WaitingError.
func (g *Groups) Distribute(ctx context.Context, name string, o *session.SendOptions) (*session.Sending, error) {
	s, err := g.mail(ctx, name, new(session.Content), o, func(m *mail) {
		m.opts.NoOwnDevices = true
		m.opts.Compose, m.opts.Accepted = m.compose, m.accepted
	})
	if errors.Is(err, errNobody) {
		return nil, nil
	}
	return s, err
}

// compose finds out who is to get the key within the operation that gives it, and
// changes it if that is due.
func (m *mail) compose(t *session.Tx, devices []session.Result, c *session.Content) (skip []session.Address, err error) {
	if c == nil {
		return m.recompose(t, devices)
	}
	r, err := m.load(t)
	if err != nil {
		return nil, err
	}
	change, err := m.due(t, r, devices)
	if err == nil && change {
		err = m.rotate(t, r)
	}
	if err != nil {
		return nil, err
	}
	m.sentAt = uint64(c.SentAt.UnixMilli())
	if skip = m.give(r, devices); len(skip) == len(devices) {
		return nil, errNobody
	}
	m.chain = r.Chain
	if c.Distribution, err = m.g.distribution(t, m.id); err != nil {
		return nil, err
	}
	return skip, putGroup(t, m.name, r)
}

// rotate makes another key, which nobody has.
func (m *mail) rotate(t *session.Tx, r *wire.Group) error {
	if err := m.g.rotate(t, m.id); err != nil {
		return err
	}
	chain, _, _, err := m.g.current(t, m.id)
	r.Chain, r.Since, r.Given = chain, clock(t), nil
	return err
}

// give notes who gets the key, and returns who does not.
func (m *mail) give(r *wire.Group, devices []session.Result) (skip []session.Address) {
	for i := range devices {
		switch d := &devices[i]; {
		case d.Err != nil: // which its Result says
		case lacks(r, d):
			give(r, d, m.sentAt)
		default:
			skip = append(skip, d.To)
		}
	}
	return skip
}

// recompose notes that devices, of which a server said that they are missing or were
// set up anew, get the key, too. They do not when the group has another one now, or
// other members.
func (m *mail) recompose(t *session.Tx, devices []session.Result) (skip []session.Address, err error) {
	r, err := m.load(t)
	switch {
	case errors.Is(err, errMoved), errors.Is(err, ErrNoGroup), err == nil && r.Chain != m.chain:
		return nil, fmt.Errorf("%w: group changed, distribute anew", session.ErrUnsettled)
	case err != nil:
		return nil, err
	}
	for i := range devices {
		if d := &devices[i]; d.Err == nil {
			give(r, d, m.sentAt)
		}
	}
	return nil, putGroup(t, m.name, r)
}

// accepted notes that those who were given the key have it, if it is that one
// still.
func (m *mail) accepted(t *session.Tx, s *session.Sending) error {
	r, err := loadGroup(t, m.name)
	switch {
	case errors.Is(err, ErrNoGroup), err == nil && r.Chain != m.chain:
		return t.Check(groupKey(m.name))
	case err != nil:
		return err
	}
	for i := range s.Results {
		if d := &s.Results[i]; d.Message != nil {
			taken(r, d, m.sentAt)
		}
	}
	return putGroup(t, m.name, r)
}
