package wire

import "slices"

// DistributionIDSize is how long a distribution id is, in bytes.
const DistributionIDSize = 16

// A Group is the body of the record "group": who is in it, and what became of
// the own sender key for it. Its owner is the name of the group.
type Group struct {
	Members []string      // 1: users, ascending
	ID      []byte        // 2, DistributionIDSize bytes
	Chain   uint32        // 3: chain id of the own sender key
	Since   uint64        // 4: when that was made, in milliseconds since 1970; 0: there is none
	Exclude []GroupDevice // 5: ascending by user and device
	Given   []GroupKey    // 6: to whom that was given, ascending by user and device
}

// A GroupDevice names a device; 0 is all devices of the user.
type GroupDevice struct {
	User   string // 1
	Device uint32 // 2
}

// A GroupKey is a device that the sender key was encrypted for.
type GroupKey struct {
	User           string // 1
	Device         uint32 // 2
	RegistrationID uint32 // 3: which it had then
	Identity       []byte // 4: the identity key it was encrypted for, 33 bytes; empty: unknown
	Session        []byte // 5: SHA-256 of the base key of the session it was encrypted on, 32 bytes; empty: unknown
	SentAt         uint64 // 6: of the message it was in, in milliseconds since 1970; 0: it asked for another one since
	Taken          bool   // 7: the server took that, and the device did not ask for another one since
}

// ParseGroup reads a Group of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseGroup(b []byte) (Group, error) {
	var g Group
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			var user string
			r.string(&f, &user)
			g.Members = append(g.Members, user)
		case 2:
			r.bytes(&f, &g.ID)
		case 3:
			r.uint32(&f, &g.Chain)
		case 4:
			r.uint64(&f, &g.Since)
		case 5:
			d, err := parseGroupDevice(r.message(&f))
			r.nested(err)
			g.Exclude = append(g.Exclude, d)
		case 6:
			k, err := parseGroupKey(r.message(&f))
			r.nested(err)
			g.Given = append(g.Given, k)
		}
	}
	if len(g.ID) != DistributionIDSize {
		r.fail("distribution id of a group")
	}
	return orZero(g, r.err)
}

func parseGroupDevice(b []byte) (GroupDevice, error) {
	var d GroupDevice
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &d.User)
		case 2:
			r.uint32(&f, &d.Device)
		}
	}
	return orZero(d, r.err)
}

func parseGroupKey(b []byte) (GroupKey, error) {
	var k GroupKey
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &k.User)
		case 2:
			r.uint32(&f, &k.Device)
		case 3:
			r.uint32(&f, &k.RegistrationID)
		case 4:
			r.bytes(&f, &k.Identity)
		case 5:
			r.bytes(&f, &k.Session)
		case 6:
			r.uint64(&f, &k.SentAt)
		case 7:
			r.bool(&f, &k.Taken)
		}
	}
	return orZero(k, r.err)
}

// AppendGroup appends the encoding of g.
func AppendGroup(dst []byte, g *Group) []byte {
	for _, user := range g.Members {
		dst = mustBytes(dst, 1, []byte(user))
	}
	dst = mustBytes(dst, 2, g.ID)
	dst = appendUint(dst, 3, uint64(g.Chain))
	dst = appendUint(dst, 4, g.Since)
	for i := range g.Exclude {
		d := &g.Exclude[i]
		dst = mustLen(dst, 5, sizeBytes(1, len(d.User))+sizeUint(2, uint64(d.Device)))
		dst = appendString(dst, 1, d.User)
		dst = appendUint(dst, 2, uint64(d.Device))
	}
	size := 0
	for i := range g.Given {
		size += sizeMustBytes(6, g.Given[i].size())
	}
	dst = slices.Grow(dst, size)
	for i := range g.Given {
		dst = g.Given[i].append(dst)
	}
	return dst
}

func (k *GroupKey) append(dst []byte) []byte {
	dst = mustLen(dst, 6, k.size())
	dst = appendString(dst, 1, k.User)
	dst = appendUint(dst, 2, uint64(k.Device))
	dst = appendUint(dst, 3, uint64(k.RegistrationID))
	dst = appendBytes(dst, 4, k.Identity)
	dst = appendBytes(dst, 5, k.Session)
	dst = appendUint(dst, 6, k.SentAt)
	return appendBool(dst, 7, k.Taken)
}

func (k *GroupKey) size() int {
	return sizeBytes(1, len(k.User)) + sizeUint(2, uint64(k.Device)) + sizeUint(3, uint64(k.RegistrationID)) +
		sizeBytes(4, len(k.Identity)) + sizeBytes(5, len(k.Session)) + sizeUint(6, k.SentAt) + sizeBool(7, k.Taken)
}
