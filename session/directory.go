package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A Directory is what an app's server knows of users: how the app connects it.
// A Device asks it and believes it nothing that it need not: a bundle must
// verify, and be for the device that was asked for.
//
// Its methods return when ctx ends, and may be called from several goroutines,
// of which none outlives the operation that asks. They are called without any
// lock. An error of theirs, or a panic, is a DirectoryError about this user or
// device, and no other one's.
type Directory interface {
	// Devices returns the devices of a user, this Device among them when the
	// user is its own; of a user without any, none.
	Devices(ctx context.Context, user string) ([]PeerDevice, error)
	// Bundle returns the bundle of a device, its one-time prekeys for this
	// caller only.
	Bundle(ctx context.Context, peer Address) (*x3dh.Bundle, error)
	// Manifest returns the signed hosting manifest of a user; nil is none.
	Manifest(ctx context.Context, user string) ([]byte, error)
}

// A PeerDevice is one device of a user, from 1 to 127. The zero value is none.
type PeerDevice struct {
	Device uint32
	// RegistrationID is from 1 to 16380; another one than before says that the
	// device was set up anew.
	RegistrationID uint32
	// Stale is since when the device is gone. In what Device.Peer returns the
	// zero time is a current device; a Directory leaves it zero.
	Stale time.Time
}

// A DirectoryError reports that the Directory did not say what was needed, or
// what cannot be: ErrMalformed and ErrRegistrationID are some of what it may
// wrap. Of this user or device nothing changed.
type DirectoryError struct {
	User   string
	Device uint32 // 0: the list of the user's devices, or the manifest
	Err    error
}

func (e *DirectoryError) Error() string {
	if e.Device == 0 {
		return "session: no list of devices, or manifest, from the directory"
	}
	return "session: no bundle from the directory"
}

// Unwrap returns what was wrong.
func (e *DirectoryError) Unwrap() error { return e.Err }

var (
	errNoDirectory = errors.New("session: no directory")
	errPanicked    = errors.New("session: directory panicked")
)

// A Peer is what is known of a user. The zero value is nobody.
type Peer struct {
	User    string
	Blocked bool         // nothing is sent to the user
	Devices []PeerDevice // by number
}

// Peer returns what is known of a user: nothing but the name when that is
// nothing. The Directory is not asked.
//
// Errors: ErrMalformed for a name, ErrCorrupt, keystore.ErrNewerFormat.
func (d *Device) Peer(ctx context.Context, user string) (*Peer, error) {
	user, err := userName(user)
	if err != nil {
		return nil, err
	}
	t := d.begin(ctx)
	t.always = true
	if err := t.load(d.peerKey(Address{User: user})); err != nil {
		return nil, err
	}
	r, err := t.roster(user)
	if err != nil {
		return nil, err
	}
	return r.peer(), nil
}

// Refresh asks the Directory anew for the devices of users: what is to be done
// when a server says that they changed. Send asks once for each user. With what
// is different come the events DeviceAdded and DeviceRemoved, and the sessions
// with devices that are gone are archived. A Gate sees their manifests, in the
// same commit.
//
// Errors: ErrMalformed for a name; one that joins a DirectoryError for each user
// of whom there was no list, which changes nothing for him, or no answer about the
// manifest, what the Gate says of one that it does not believe, and ErrCorrupt and
// keystore.ErrNewerFormat for records; the others of the users are refreshed.
// After an error of the store or of ctx nobody is.
func (d *Device) Refresh(ctx context.Context, users ...string) error {
	users, err := userNames(users)
	if err != nil || len(users) == 0 {
		return err
	}
	r := &refreshing{users: users, inquiry: inquiry{d: d}}
	if r.lists, err = d.lists(ctx, users); err != nil {
		return err
	}
	if err := r.ask(ctx); err != nil {
		return err
	}
	unlock, err := d.lockAll(ctx, d.hinted(users))
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.rerun(d.begin(ctx), r.run); err != nil {
		return err
	}
	d.hint(r.known)
	for _, user := range users {
		r.failed = append(r.failed, r.doubts[user])
	}
	return errors.Join(r.failed...)
}

// A refreshing is one Refresh: what the Directory said, and what came of it.
type refreshing struct {
	inquiry
	users  []string
	lists  map[string]listing
	shown  []showing
	known  map[string][]uint32
	failed []error
}

// ask asks for the manifests, if there is a gate that is to see them.
func (r *refreshing) ask(ctx context.Context) (err error) {
	if r.d.opts.Gate != nil && r.d.opts.Directory != nil {
		r.shown, err = r.inquiry.ask(ctx, r.users)
	}
	return err
}

// run takes over what the Directory said.
func (r *refreshing) run(t *Tx) error {
	r.known, r.failed = make(map[string][]uint32), nil
	if err := t.load(r.d.withGateKeys(r.d.peerKeys(r.users), r.users)...); err != nil {
		return err
	}
	for _, s := range r.shown {
		doubt, err := t.see(s)
		if unread := errors.Is(err, ErrCorrupt) || errors.Is(err, keystore.ErrNewerFormat); err != nil && !unread {
			return err
		}
		r.failed = append(r.failed, doubt, err)
	}
	for _, user := range r.users {
		if err := r.adopt(t, user); err != nil {
			return err
		}
	}
	return nil
}

// adopt takes over the devices of a user.
func (r *refreshing) adopt(t *Tx, user string) error {
	peer, err := t.roster(user)
	if l := r.lists[user]; err == nil && l.err != nil {
		err = l.err
	}
	if err != nil {
		t.check(r.d.peerKey(Address{User: user}))
		r.failed = append(r.failed, err)
		return nil
	}
	if err := peer.adopt(r.lists[user].devices); err != nil {
		return err
	}
	peer.write()
	r.known[user] = peer.ids()
	return nil
}

// userNames returns the one spelling of each name, in order, none twice.
func userNames(users []string) ([]string, error) {
	out := make([]string, 0, len(users))
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

// A listing is what the Directory said of a user's devices, in order, or why
// not.
type listing struct {
	devices []wire.PeerDevice
	err     error
}

// lists asks the Directory for the devices of users. The error is that of ctx.
func (d *Device) lists(ctx context.Context, users []string) (map[string]listing, error) {
	found := make([][]PeerDevice, len(users))
	errs := d.consult(ctx, len(users), func(dir Directory, i int) (err error) {
		found[i], err = dir.Devices(ctx, users[i])
		return err
	})
	out := make(map[string]listing, len(users))
	for i, user := range users {
		var l listing
		if l.err = errs[i]; l.err == nil {
			l.devices, l.err = checkList(found[i])
		}
		if l.err != nil {
			l = listing{err: &DirectoryError{User: user, Err: l.err}}
		}
		out[user] = l
	}
	return out, ctx.Err()
}

// checkList reads a list of a user's devices, which may be in any order.
func checkList(list []PeerDevice) ([]wire.PeerDevice, error) {
	if len(list) > maxDevices {
		return nil, fmt.Errorf("%w: %d devices", ErrMalformed, len(list))
	}
	out := make([]wire.PeerDevice, 0, len(list))
	for _, p := range list {
		i, twice := place(out, p.Device)
		switch {
		case p.Device < 1 || p.Device > maxDevices:
			return nil, fmt.Errorf("%w: device %d", ErrMalformed, p.Device)
		case p.RegistrationID < 1 || p.RegistrationID > maxRegistrationID:
			return nil, fmt.Errorf("%w: %d", ErrRegistrationID, p.RegistrationID)
		case twice:
			return nil, fmt.Errorf("%w: device %d twice", ErrMalformed, p.Device)
		}
		out = slices.Insert(out, i, wire.PeerDevice{ID: p.Device, RegistrationID: p.RegistrationID})
	}
	return out, nil
}

// An offer is the bundle that the Directory gave for a device, or why not.
type offer struct {
	bundle *x3dh.Bundle
	err    error
}

// offers asks the Directory for the bundles of devices. The error is that of
// ctx, or of the store.
func (d *Device) offers(ctx context.Context, peers []Address) (map[Address]offer, error) {
	found := make([]*x3dh.Bundle, len(peers))
	errs := d.consult(ctx, len(peers), func(dir Directory, i int) error {
		b, err := dir.Bundle(ctx, peers[i])
		if b != nil { // which the Directory may have another use for
			copied := *b
			found[i] = &copied
		}
		return err
	})
	out := make(map[Address]offer, len(peers))
	for i, peer := range peers {
		err := errs[i]
		if err == nil {
			err = checkBundle(found[i], peer)
		}
		if err == nil {
			reflects, storeErr := d.begin(ctx).reflects(found[i])
			if storeErr != nil {
				return nil, storeErr
			}
			if reflects {
				err = errReflects
			}
		}
		if err != nil {
			out[peer] = offer{err: &DirectoryError{User: peer.User, Device: peer.Device, Err: err}}
			continue
		}
		out[peer] = offer{bundle: found[i]}
	}
	return out, ctx.Err()
}

// checkBundle sees that a bundle is for the device that was asked for. Its
// signatures are verified when a session begins.
func checkBundle(b *x3dh.Bundle, peer Address) error {
	switch {
	case b == nil || b.DeviceID != peer.Device || b.IdentityKey.IsZero():
		return fmt.Errorf("%w: no bundle of device %d", ErrMalformed, peer.Device)
	case b.RegistrationID < 1 || b.RegistrationID > maxRegistrationID:
		return fmt.Errorf("%w: %d", ErrRegistrationID, b.RegistrationID)
	}
	return nil
}

// errReflects reports a bundle of this device's own prekeys.
var errReflects = fmt.Errorf("%w: bundle of this device", ErrMalformed)

// reflects reports whether a bundle, which the directory says is another
// device's, is made of this one's prekeys: what is sent on that, this device
// reads, and whoever carries messages could let it come from anybody that is
// under the same identity key, such as another device of the account.
func (t *Tx) reflects(b *x3dh.Bundle) (bool, error) {
	if !b.IdentityKey.Equal(t.d.Identity()) {
		return false, nil
	}
	k := t.d.idKey(kindSigned, b.SignedPreKey.ID)
	if err := t.load(k); err != nil {
		return false, err
	}
	rec, err := t.signedRecord(k) // one that is damaged reads nothing
	return err == nil && rec != nil && string(rec.Public) == string(b.SignedPreKey.Key.Bytes()), nil
}

// maxAsked is how many questions a Directory has to answer at once.
const maxAsked = 8

// consult asks n questions. Each is answered in a goroutine of its own, which
// may end as it likes, and all have ended when this returns.
func (d *Device) consult(ctx context.Context, n int, ask func(dir Directory, i int) error) []error {
	errs := make([]error, n)
	turns := make(chan struct{}, maxAsked)
	var all sync.WaitGroup
	for i := range n {
		if errs[i] = errNoDirectory; d.opts.Directory == nil {
			continue
		}
		turns <- struct{}{}
		if errs[i] = ctx.Err(); errs[i] != nil {
			<-turns
			continue
		}
		errs[i] = errPanicked // or gone
		all.Go(func() {
			defer func() {
				recover()
				<-turns
			}()
			errs[i] = ask(d.opts.Directory, i)
		})
	}
	all.Wait()
	return errs
}
