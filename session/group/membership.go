package group

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

const (
	kindGroup = "group"

	maxName    = 1024 // bytes of the name of a group
	maxMembers = 1000 // of a group
	maxExclude = 1000 // devices and users that get nothing
	maxDevice  = 127
)

// ErrNoGroup reports a group that Set was not called for.
var ErrNoGroup = errors.New("group: no such group")

// A Group is what is known of a group. The zero value is none.
type Group struct {
	Name    string
	ID      DistributionID
	Members []string          // in order
	Exclude []session.Address // in order; device 0 is all of the user's
	// Has are the devices that have the own sender key: with those that Unsure
	// names, they are all that could read the next message under it.
	Has []session.Address
	// Unsure are devices that it was encrypted for, of which nobody knows whether
	// they got it, or have it still.
	Unsure []session.Address
	// Since is when the own sender key was made; zero: there is none.
	Since time.Time
}

// Set says who is in a group from now on, and which devices are to get nothing,
// such as those that cannot be reached: device 0 is all of the user's. Somebody who
// is gone, or excluded, reads nothing that is sent after Set returned: whatever he
// had the key of is given up before. Of the own account the other devices are told
// whatever is sent, whether it is named or not.
//
// It is the app that knows who is in a group, and it must have that from somebody
// who may say so, authenticated: nothing here keeps a server from naming members
// if it is asked for them.
//
// Errors: ErrMalformed for a name of no or more than 1,024 bytes, a member or a
// device that there cannot be, and more than 1,000 of either;
// keystore.ErrNewerFormat; those of the store. After an error nothing changed.
func (g *Groups) Set(ctx context.Context, name string, members []string, exclude []session.Address) error {
	to := wire.Group{ID: make([]byte, wire.DistributionIDSize)}
	var err error
	if err = groupName(name); err != nil {
		return err
	}
	if to.Members, err = userNames(members); err != nil {
		return err
	}
	if to.Exclude, err = devices(exclude); err != nil {
		return err
	}
	rand.Read(to.ID)
	return g.update(ctx, name, func(t *session.Tx) error {
		was, err := loadGroup(t, name)
		switch {
		case err == nil && slices.Equal(was.Members, to.Members) && slices.Equal(was.Exclude, to.Exclude):
			return nil
		case err == nil:
			was.Members, was.Exclude = to.Members, to.Exclude
			return putGroup(t, name, was)
		case errors.Is(err, ErrNoGroup), errors.Is(err, session.ErrCorrupt): // to whom that key was given, nobody knows
			return putGroup(t, name, &to)
		}
		return err
	})
}

// Get returns what is known of a group. Errors: ErrMalformed for a name,
// ErrNoGroup, session.ErrCorrupt, keystore.ErrNewerFormat, those of the store.
func (g *Groups) Get(ctx context.Context, name string) (*Group, error) {
	r, err := g.read(ctx, name)
	if err != nil {
		return nil, err
	}
	out := &Group{Name: name, ID: DistributionID(r.ID), Members: r.Members}
	if r.Since != 0 {
		out.Since = time.UnixMilli(int64(r.Since))
	}
	for _, d := range r.Exclude {
		out.Exclude = append(out.Exclude, session.Address{User: d.User, Device: d.Device})
	}
	for _, to := range r.Given {
		a := session.Address{User: to.User, Device: to.Device}
		if to.Taken {
			out.Has = append(out.Has, a)
		} else {
			out.Unsure = append(out.Unsure, a)
		}
	}
	return out, nil
}

// Forget forgets a group and the own sender key for it. Those of others stay: they
// may be on other devices' way still. A group that is not known is no error.
//
// Errors: ErrMalformed for a name, those of the store. After an error nothing
// changed.
func (g *Groups) Forget(ctx context.Context, name string) error {
	if err := groupName(name); err != nil {
		return err
	}
	return g.update(ctx, name, func(t *session.Tx) error {
		r, err := loadGroup(t, name)
		switch {
		case errors.Is(err, ErrNoGroup):
			return nil
		case err == nil:
			if err := t.Delete(senderKey(g.d.Address(), DistributionID(r.ID))); err != nil {
				return err
			}
		case !errors.Is(err, session.ErrCorrupt):
			return err
		}
		return t.Delete(groupKey(name))
	})
}

// update runs f as one operation on the record of a group.
func (g *Groups) update(ctx context.Context, name string, f func(*session.Tx) error) error {
	release, err := g.hold(ctx, lockName(name))
	if err != nil {
		return err
	}
	defer release()
	return g.d.Update(ctx, nil, f)
}

// read returns the record of a group.
func (g *Groups) read(ctx context.Context, name string) (r *wire.Group, err error) {
	if err := groupName(name); err != nil {
		return nil, err
	}
	err = g.d.Update(ctx, nil, func(t *session.Tx) (err error) {
		r, err = loadGroup(t, name)
		return err
	})
	return r, err
}

func groupKey(name string) keystore.Key { return keystore.Key{Kind: kindGroup, Owner: name} }

func lockName(name string) string { return "group " + name }

// loadGroup reads the record of a group within an operation. Errors are ErrNoGroup,
// session.ErrCorrupt, keystore.ErrNewerFormat and those of the store.
func loadGroup(t *session.Tx, name string) (*wire.Group, error) {
	body, ok, err := t.Get(groupKey(name))
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, ErrNoGroup
	}
	r, err := wire.ParseGroup(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", session.ErrCorrupt, err)
	}
	return &r, nil
}

func putGroup(t *session.Tx, name string, r *wire.Group) error {
	return t.Put(groupKey(name), wire.AppendGroup(nil, r))
}

func groupName(name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: name of %d bytes for a group", session.ErrMalformed, len(name))
	}
	return nil
}

// userName returns the one spelling of a user's name.
func userName(user string) (string, error) {
	a, err := session.Address{User: user, Device: 1}.Canonical()
	return a.User, err
}

// userNames returns the one spelling of each name, in order, none twice.
func userNames(users []string) ([]string, error) {
	if len(users) > maxMembers {
		return nil, fmt.Errorf("%w: %d members", session.ErrMalformed, len(users))
	}
	var out []string
	for _, user := range users {
		user, err := userName(user)
		if err != nil {
			return nil, err
		}
		out = append(out, user)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// devices returns the one spelling of each address, in order, none twice. Device 0
// is all of a user.
func devices(list []session.Address) ([]wire.GroupDevice, error) {
	if len(list) > maxExclude {
		return nil, fmt.Errorf("%w: %d devices excluded", session.ErrMalformed, len(list))
	}
	var out []wire.GroupDevice
	for _, a := range list {
		user, err := userName(a.User)
		if err != nil {
			return nil, err
		}
		if a.Device > maxDevice {
			return nil, fmt.Errorf("%w: device %d", session.ErrMalformed, a.Device)
		}
		out = append(out, wire.GroupDevice{User: user, Device: a.Device})
	}
	slices.SortFunc(out, func(a, b wire.GroupDevice) int { return compare(a.User, a.Device, b.User, b.Device) })
	return slices.Compact(out), nil
}
