package sealed

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// An Upload is a sent form as a server reads it. It knows the sent form, which
// the caller leaves unchanged; it does not change itself, and may be used from
// several goroutines.
type Upload struct {
	Deliveries []Delivery // in the order in which users appear
	Excluded   []string   // users, service ids in lower case
	// Shared is the offset in the sent form of what every received form ends
	// with; it goes to the end.
	Shared int

	sent []byte
}

// A Delivery is what goes to the devices of one user, all of them the same.
type Delivery struct {
	User    string // a service id in lower case
	Devices []Device
	// Key is the offset in the sent form of the 48 bytes that are for this user.
	Key int
}

// Split takes a sent form apart, the present one and the one before it, whose
// version bytes are 0x23 and 0x22. A user who is there twice gets the devices of
// both, and the key of the first. Which devices there have to be is for the server
// to say, and whether a device may be there twice.
//
// Errors: ErrVersion, ErrTooLarge, and ErrMalformed, also for a user who is
// excluded and there again in any way.
func Split(sent []byte) (*Upload, error) {
	w, err := wire.ParseSealedUpload(sent)
	if err != nil {
		return nil, err
	}
	u := &Upload{Shared: w.Shared, sent: sent}
	at := map[wire.ServiceID]int{} // of a delivery; -1: excluded
	for e := range w.All() {
		i, again := at[e.User]
		excluded := len(e.Devices) == 0
		switch {
		case again && (excluded || i < 0):
			return nil, fmt.Errorf("%w: excluded recipient twice", session.ErrMalformed)
		case excluded:
			at[e.User] = -1
			u.Excluded = append(u.Excluded, e.User.String())
			continue
		case !again:
			i = len(u.Deliveries)
			at[e.User] = i
			u.Deliveries = append(u.Deliveries, Delivery{User: e.User.String(), Key: e.Key})
		}
		d := &u.Deliveries[i]
		for device, id := range e.Devices.All() {
			d.Devices = append(d.Devices, Device{ID: device, RegistrationID: id})
		}
	}
	return u, nil
}

// Received returns the received form of a delivery of u, which goes to all its
// devices, in new memory. Servers that would rather not copy send the byte 0x22,
// the 48 bytes from d.Key on, and what is there from u.Shared on.
func (u *Upload) Received(d *Delivery) []byte {
	key := (*v2Key)(u.sent[d.Key:])
	return wire.AppendSealedReceived(nil, key, u.sent[u.Shared:])
}
