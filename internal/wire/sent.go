package wire

import "slices"

// A Sent is the body of the record "sent": a copy of a message for those who
// could not read it. Its name is when it was sent, in milliseconds since 1970.
type Sent struct {
	Secret
	Content    []byte      // 1: what was encrypted for the recipients, before padding
	Expires    uint64      // 2: milliseconds since 1970; 0: when copies do
	SyncTo     string      // 3: user or group that the account's own devices are told
	Recipients []Recipient // 4
}

// A Recipient is a device that a message was encrypted for.
type Recipient struct {
	User    string // 1
	Device  uint32 // 2
	Hint    []byte // 3, HintSize bytes: of the ratchet and the identity key it was encrypted under
	Resends uint32 // 4: how often it was encrypted again
}

// ParseSent reads a Sent of at most MaxDeviceRecord bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseSent(b []byte) (Sent, error) {
	var s Sent
	r, f := bounded(b, MaxDeviceRecord), field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &s.Content)
		case 2:
			r.uint64(&f, &s.Expires)
		case 3:
			r.string(&f, &s.SyncTo)
		case 4:
			to, err := parseRecipient(r.message(&f))
			r.nested(err)
			s.Recipients = append(s.Recipients, to)
		}
	}
	return orZero(s, r.err)
}

func parseRecipient(b []byte) (Recipient, error) {
	var to Recipient
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &to.User)
		case 2:
			r.uint32(&f, &to.Device)
		case 3:
			r.bytes(&f, &to.Hint)
		case 4:
			r.uint32(&f, &to.Resends)
		}
	}
	if len(to.Hint) != HintSize {
		r.fail("hint of a recipient")
	}
	return orZero(to, r.err)
}

// AppendSent appends the encoding of s.
func AppendSent(dst []byte, s *Sent) []byte {
	size := sizeBytes(1, len(s.Content)) + sizeUint(2, s.Expires) + sizeBytes(3, len(s.SyncTo))
	for i := range s.Recipients {
		size += sizeMustBytes(4, s.Recipients[i].size())
	}
	dst = slices.Grow(dst, size)
	dst = appendBytes(dst, 1, s.Content)
	dst = appendUint(dst, 2, s.Expires)
	dst = appendString(dst, 3, s.SyncTo)
	for i := range s.Recipients {
		to := &s.Recipients[i]
		dst = mustLen(dst, 4, to.size())
		dst = appendString(dst, 1, to.User)
		dst = appendUint(dst, 2, uint64(to.Device))
		dst = appendBytes(dst, 3, to.Hint)
		dst = appendUint(dst, 4, uint64(to.Resends))
	}
	return dst
}

func (to *Recipient) size() int {
	return sizeBytes(1, len(to.User)) + sizeUint(2, uint64(to.Device)) + sizeBytes(3, len(to.Hint)) +
		sizeUint(4, uint64(to.Resends))
}
