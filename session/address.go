package session

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// An Address names a device of a user: a service id (a UUID, or "PNI:" and a
// UUID) or any other name, 1 to 1,024 bytes of UTF-8, and a device from 1 to
// 127. Service ids are one whatever the case of their digits. When
// both ends of a conversation are service ids, messages are bound to them
// (wire-core, Section 6.4). The zero value is no address.
type Address struct {
	User   string
	Device uint32
}

// String returns user and device with a dot between them.
func (a Address) String() string { return a.User + "." + strconv.FormatUint(uint64(a.Device), 10) }

// Canonical returns the one spelling of a under which records are kept: a service
// id in lower case, any other name as it is. The error is ErrMalformed for what is
// no address.
func (a Address) Canonical() (Address, error) { return a.canonical() }

// canonical returns the one spelling under which records are kept.
func (a Address) canonical() (Address, error) {
	if a.User == "" || len(a.User) > maxUser || !utf8.ValidString(a.User) {
		return a, fmt.Errorf("%w: user name of %d bytes", ErrMalformed, len(a.User))
	}
	if a.Device < 1 || a.Device > maxDevices {
		return a, fmt.Errorf("%w: device %d", ErrMalformed, a.Device)
	}
	if id, err := wire.ParseServiceID(a.User); err == nil && !id.Is(a.User) {
		a.User = id.String()
	}
	return a, nil
}

// maxUser bounds a user name, in bytes.
const maxUser = 1024

// binding returns the 36 bytes that tie a message to sender and recipient, or
// nil where either is not a service id.
func binding(from, to Address) []byte {
	sender, err := wire.ParseServiceID(from.User)
	if err != nil {
		return nil
	}
	recipient, err := wire.ParseServiceID(to.User)
	if err != nil {
		return nil
	}
	return wire.AppendAddressBinding(make([]byte, 0, 36), sender, from.Device, recipient, to.Device)
}

// isSelf reports whether a peer with this identity key is another device of
// the own account (wire-core, Section 7.5).
func (d *Device) isSelf(peer Address, identity []byte) bool {
	own, err := wire.ParseServiceID(d.address.User)
	if err != nil {
		return false
	}
	theirs, err := wire.ParseServiceID(peer.User)
	return err == nil && own == theirs && string(identity) == string(d.identity.Public().Bytes())
}
