package wire

import "slices"

// A Peer is the body of the record "peer": what is known of a user. Times are
// milliseconds since 1970.
type Peer struct {
	Devices  []PeerDevice // 1: ascending by id
	Blocked  bool         // 2
	ListedAt uint64       // 3: when a directory listed the devices; 0: none did
}

// A PeerDevice is one device of a user.
type PeerDevice struct {
	ID             uint32 // 1
	RegistrationID uint32 // 2
	StaleSince     uint64 // 3; 0: not stale
}

// ParsePeer reads a Peer of at most MaxDeviceRecord bytes. Errors
// are ErrTooLarge and ErrMalformed.
func ParsePeer(b []byte) (Peer, error) {
	var p Peer
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			d, err := parsePeerDevice(r.message(&f))
			r.nested(err)
			p.Devices = append(p.Devices, d)
		case 2:
			r.bool(&f, &p.Blocked)
		case 3:
			r.uint64(&f, &p.ListedAt)
		}
	}
	return orZero(p, r.err)
}

func parsePeerDevice(b []byte) (PeerDevice, error) {
	var d PeerDevice
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &d.ID)
		case 2:
			r.uint32(&f, &d.RegistrationID)
		case 3:
			r.uint64(&f, &d.StaleSince)
		}
	}
	return orZero(d, r.err)
}

// AppendPeer appends the encoding of p.
func AppendPeer(dst []byte, p *Peer) []byte {
	size := sizeBool(2, p.Blocked) + sizeUint(3, p.ListedAt)
	for i := range p.Devices {
		size += sizeMustBytes(1, p.Devices[i].size())
	}
	dst = slices.Grow(dst, size)
	for i := range p.Devices {
		d := &p.Devices[i]
		dst = mustLen(dst, 1, d.size())
		dst = appendUint(dst, 1, uint64(d.ID))
		dst = appendUint(dst, 2, uint64(d.RegistrationID))
		dst = appendUint(dst, 3, d.StaleSince)
	}
	dst = appendBool(dst, 2, p.Blocked)
	return appendUint(dst, 3, p.ListedAt)
}

func (d *PeerDevice) size() int {
	return sizeUint(1, uint64(d.ID)) + sizeUint(2, uint64(d.RegistrationID)) + sizeUint(3, d.StaleSince)
}
