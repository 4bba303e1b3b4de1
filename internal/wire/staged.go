package wire

import "slices"

// A Staged is the body of the record "staged": a received message that the
// app has not acknowledged. Its owner is the sending user. Times are
// milliseconds since 1970.
type Staged struct {
	Secret
	Device          uint32  // 1: of the sender
	Identity        []byte  // 2, 33 bytes: of the sender
	Accepted        bool    // 3: Identity was the accepted key
	NoOneTimePreKey bool    // 4: the message began a session without a one-time prekey
	Plaintext       []byte  // 5; empty when Apart
	Apart           bool    // 6: the plaintext is the record "body"
	Note            []byte  // 7: of the gate
	Events          []Event // 8
	ReceivedAt      uint64  // 9
	Expires         uint64  // 10; 0: never
	Timer           uint32  // 11: seconds from Began on after which it disappears; 0: it does not
	Began           uint64  // 12: when it was read, or sent by the own account; 0: not yet
}

// ParseStaged reads a Staged of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseStaged(b []byte) (Staged, error) {
	var s Staged
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &s.Device)
		case 2:
			r.bytes(&f, &s.Identity)
		case 3:
			r.bool(&f, &s.Accepted)
		case 4:
			r.bool(&f, &s.NoOneTimePreKey)
		case 5:
			r.bytes(&f, &s.Plaintext)
		case 6:
			r.bool(&f, &s.Apart)
		case 7:
			r.bytes(&f, &s.Note)
		case 8:
			e, err := ParseEvent(r.message(&f))
			r.nested(err)
			s.Events = append(s.Events, e)
		case 9:
			r.uint64(&f, &s.ReceivedAt)
		case 10:
			r.uint64(&f, &s.Expires)
		case 11:
			r.uint32(&f, &s.Timer)
		case 12:
			r.uint64(&f, &s.Began)
		}
	}
	return orZero(s, r.err)
}

// AppendStaged appends the encoding of s.
func AppendStaged(dst []byte, s *Staged) []byte {
	size := sizeUint(1, uint64(s.Device)) + sizeBytes(2, len(s.Identity)) + sizeBool(3, s.Accepted) +
		sizeBool(4, s.NoOneTimePreKey) + sizeBytes(5, len(s.Plaintext)) + sizeBool(6, s.Apart) +
		sizeBytes(7, len(s.Note)) + sizeUint(9, s.ReceivedAt) + sizeUint(10, s.Expires) +
		sizeUint(11, uint64(s.Timer)) + sizeUint(12, s.Began)
	for i := range s.Events {
		size += sizeMustBytes(8, s.Events[i].size())
	}
	dst = slices.Grow(dst, size)
	dst = appendUint(dst, 1, uint64(s.Device))
	dst = appendBytes(dst, 2, s.Identity)
	dst = appendBool(dst, 3, s.Accepted)
	dst = appendBool(dst, 4, s.NoOneTimePreKey)
	dst = appendBytes(dst, 5, s.Plaintext)
	dst = appendBool(dst, 6, s.Apart)
	dst = appendBytes(dst, 7, s.Note)
	for i := range s.Events {
		dst = mustLen(dst, 8, s.Events[i].size())
		dst = AppendEvent(dst, &s.Events[i])
	}
	dst = appendUint(dst, 9, s.ReceivedAt)
	dst = appendUint(dst, 10, s.Expires)
	dst = appendUint(dst, 11, uint64(s.Timer))
	return appendUint(dst, 12, s.Began)
}

// An Event is the body of the record "event", and a part of a Staged.
type Event struct {
	Kind     uint32 // 1
	User     string // 2
	Device   uint32 // 3
	Accepted []byte // 4, 33 bytes: identity key
	Seen     []byte // 5, 33 bytes: identity key
	At       uint64 // 6: milliseconds since 1970
	Note     []byte // 7: of the gate
}

// ParseEvent reads an Event of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseEvent(b []byte) (Event, error) {
	var e Event
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &e.Kind)
		case 2:
			r.string(&f, &e.User)
		case 3:
			r.uint32(&f, &e.Device)
		case 4:
			r.bytes(&f, &e.Accepted)
		case 5:
			r.bytes(&f, &e.Seen)
		case 6:
			r.uint64(&f, &e.At)
		case 7:
			r.bytes(&f, &e.Note)
		}
	}
	return orZero(e, r.err)
}

// AppendEvent appends the encoding of e.
func AppendEvent(dst []byte, e *Event) []byte {
	dst = slices.Grow(dst, e.size())
	dst = appendUint(dst, 1, uint64(e.Kind))
	dst = appendString(dst, 2, e.User)
	dst = appendUint(dst, 3, uint64(e.Device))
	dst = appendBytes(dst, 4, e.Accepted)
	dst = appendBytes(dst, 5, e.Seen)
	dst = appendUint(dst, 6, e.At)
	return appendBytes(dst, 7, e.Note)
}

func (e *Event) size() int {
	return sizeUint(1, uint64(e.Kind)) + sizeBytes(2, len(e.User)) + sizeUint(3, uint64(e.Device)) +
		sizeBytes(4, len(e.Accepted)) + sizeBytes(5, len(e.Seen)) + sizeUint(6, e.At) + sizeBytes(7, len(e.Note))
}
