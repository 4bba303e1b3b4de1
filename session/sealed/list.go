package sealed

import (
	"fmt"
	"slices"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Recipient is a user and those of his devices that have an identity key. The
// zero value is refused.
type Recipient struct {
	User     string // a service id
	Devices  []Device
	Identity keys.IdentityKey
}

// A Device is one of a user's, with the registration id by which a server can
// tell whether it was set up anew.
type Device struct {
	ID             uint32 // 1 to 127
	RegistrationID uint32 // 14 bits
}

// A RecipientError reports a recipient for whom nothing can be sealed. Err is
// session.ErrRegistrationID for an id of more than 14 bits;
// session.ErrNoSession for a user without devices or identity key;
// ErrMalformed for a user who is no service id, is excluded or has two identity
// keys, and for a device that cannot be or is there twice;
// keys.ErrZeroAgreement for an identity key that is none. The
// address has no device where it is about the user.
type RecipientError struct {
	Address session.Address
	Err     error
}

func (e *RecipientError) Error() string { return "sealed: recipient: " + e.Err.Error() }

// Unwrap returns Err.
func (e *RecipientError) Unwrap() error { return e.Err }

// maxRegistrationID is the largest that is written.
const maxRegistrationID = 1<<14 - 1

// A list is the recipients of a sent form, each once.
type list struct {
	entries  []entry
	excluded []wire.ServiceID
	at       map[wire.ServiceID]int // of an entry; -1: excluded
}

type entry struct {
	id       wire.ServiceID
	devices  []Device
	identity keys.IdentityKey
}

// newList reads recipients. The error is a RecipientError.
func newList(to []Recipient, excluded []string) (*list, error) {
	l := &list{
		entries:  make([]entry, 0, len(to)),
		excluded: make([]wire.ServiceID, 0, len(excluded)),
		at:       make(map[wire.ServiceID]int, len(to)+len(excluded)),
	}
	for _, user := range excluded {
		if err := l.exclude(user); err != nil {
			return nil, &RecipientError{Address: session.Address{User: user}, Err: err}
		}
	}
	for i := range to {
		if device, err := l.add(&to[i]); err != nil {
			return nil, &RecipientError{Address: session.Address{User: to[i].User, Device: device}, Err: err}
		}
	}
	return l, nil
}

func (l *list) exclude(user string) error {
	id, err := wire.ParseServiceID(user)
	if err != nil {
		return err
	}
	if _, twice := l.at[id]; twice {
		return nil
	}
	l.at[id] = -1
	l.excluded = append(l.excluded, id)
	return nil
}

// add adds a recipient, or the devices of one that is there. With an error comes
// the device that it is about, or 0.
func (l *list) add(r *Recipient) (device uint32, err error) {
	id, err := wire.ParseServiceID(r.User)
	switch {
	case err != nil:
		return 0, err
	case len(r.Devices) == 0 || r.Identity.IsZero():
		return 0, session.ErrNoSession
	}
	i, again := l.at[id]
	if !again {
		l.at[id] = len(l.entries)
		l.entries = append(l.entries, entry{id: id, devices: r.Devices, identity: r.Identity})
		return checkDevices(r.Devices)
	}
	if i < 0 {
		return 0, fmt.Errorf("%w: user both in and out", session.ErrMalformed)
	}
	e := &l.entries[i]
	if e.identity != r.Identity {
		return 0, fmt.Errorf("%w: user with two identity keys", session.ErrMalformed)
	}
	e.devices = slices.Concat(e.devices, r.Devices)
	return checkDevices(e.devices)
}

// checkDevices returns the first device that cannot be written, and why.
func checkDevices(devices []Device) (device uint32, err error) {
	var seen [128]bool
	for _, d := range devices {
		switch {
		case d.ID < 1 || d.ID > 127:
			return d.ID, fmt.Errorf("%w: device %d", session.ErrMalformed, d.ID)
		case seen[d.ID]:
			return d.ID, fmt.Errorf("%w: device %d twice", session.ErrMalformed, d.ID)
		case d.RegistrationID > maxRegistrationID:
			return d.ID, session.ErrRegistrationID
		}
		seen[d.ID] = true
	}
	return 0, nil
}

// size is the length of what append appends.
func (l *list) size() int {
	n := 18 * len(l.excluded)
	for i := range l.entries {
		n += 17 + 3*len(l.entries[i].devices) + wire.SealedKeySize
	}
	return n
}

// append appends the entries, made being the keys of each recipient.
func (l *list) append(dst []byte, made []v2Key) []byte {
	for i := range l.entries {
		e := &l.entries[i]
		dst = wire.AppendSealedUser(dst, e.id)
		for j, d := range e.devices {
			dst = wire.AppendSealedDevice(dst, d.ID, d.RegistrationID, j+1 < len(e.devices))
		}
		dst = append(dst, made[i][:]...)
	}
	for _, id := range l.excluded {
		dst = wire.AppendSealedExcluded(dst, id)
	}
	return dst
}

// checkSent returns ErrTooLarge for a sent form that is not read, given its
// length but for the first few bytes.
func checkSent(size int) error {
	if size > wire.MaxSealedSent-8 {
		return fmt.Errorf("%w: sent form of %d bytes", session.ErrTooLarge, size)
	}
	return nil
}
