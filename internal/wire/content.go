package wire

import (
	"slices"
)

// MaxContent is the largest Content that is read, in bytes.
const MaxContent = MaxPlaintext

// A Content is the plaintext of a message, before padding (spec/gembok.md,
// Section 3). An empty bytes field is absent.
type Content struct {
	Secret
	Body            []byte
	Hosting         *HostingContext // nil: absent
	Timer           *Timer          // nil: absent
	SentAt          uint64          // milliseconds since 1970
	Manifest        []byte          // signed hosting manifest, opaque here
	Distribution    []byte          // sender-key distribution message
	DecryptionError []byte          // counts only in a PlaintextContent, where it is alone
	Sync            *Sync           // nil: absent
}

// A HostingContext tells under which manifests a message was sent. Its ids
// are compared with those of the session by its user; here only the encoding
// is checked.
type HostingContext struct {
	Sender       string
	SenderDevice uint32
	Recipient    string
	Epoch        uint64
	Hash         []byte // 32 bytes
	SeenEpoch    uint64
	SeenHash     []byte // 32 bytes
}

// A Timer is the disappearing-message timer of a conversation.
type Timer struct {
	Seconds uint32
	Version uint32
}

// A Sync tells the account's own other devices what was sent.
type Sync struct {
	Secret
	Recipient string // user or group
	Content   []byte // the Content that was sent
}

// ParseContent reads a Content of at most MaxContent bytes. Errors are
// ErrTooLarge and ErrMalformed.
func ParseContent(b []byte) (*Content, error) {
	c := new(Content) // on the stack of a caller who does not keep it: this is inlined
	if err := c.read(b); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Content) read(b []byte) error {
	r := bounded(b, MaxContent)
	c.decode(&r)
	return r.err
}

func (c *Content) decode(r *reader) {
	var f field
	for r.next(&f) {
		switch f.num {
		case 1:
			r.bytes(&f, &c.Body)
		case 2:
			if c.Hosting == nil {
				c.Hosting = new(HostingContext)
			}
			r.nested(c.Hosting.decode(r.message(&f)))
		case 3:
			if c.Timer == nil {
				c.Timer = new(Timer)
			}
			r.nested(c.Timer.decode(r.message(&f)))
		case 4:
			r.uint64(&f, &c.SentAt)
		case 5:
			r.bytes(&f, &c.Manifest)
		case 7:
			r.bytes(&f, &c.Distribution)
		case 8:
			r.bytes(&f, &c.DecryptionError)
		case 9:
			if c.Sync == nil {
				c.Sync = new(Sync)
			}
			r.nested(c.Sync.decode(r.message(&f)))
		}
	}
}

func (h *HostingContext) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &h.Sender)
		case 2:
			r.uint32(&f, &h.SenderDevice)
		case 3:
			r.string(&f, &h.Recipient)
		case 4:
			r.uint64(&f, &h.Epoch)
		case 5:
			r.bytes(&f, &h.Hash)
		case 6:
			r.uint64(&f, &h.SeenEpoch)
		case 7:
			r.bytes(&f, &h.SeenHash)
		}
	}
	return r.err
}

func (t *Timer) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.uint32(&f, &t.Seconds)
		case 2:
			r.uint32(&f, &t.Version)
		}
	}
	return r.err
}

func (s *Sync) decode(b []byte) error {
	r, f := reader{buf: b}, field{}
	for r.next(&f) {
		switch f.num {
		case 1:
			r.string(&f, &s.Recipient)
		case 2:
			r.bytes(&f, &s.Content)
		}
	}
	return r.err
}

// AppendContent appends the encoding of c.
func AppendContent(dst []byte, c *Content) []byte {
	dst = slices.Grow(dst, c.size())
	dst = appendBytes(dst, 1, c.Body)
	if c.Hosting != nil {
		dst = c.Hosting.append(dst)
	}
	if c.Timer != nil {
		dst = mustLen(dst, 3, c.Timer.size())
		dst = appendUint(dst, 1, uint64(c.Timer.Seconds))
		dst = appendUint(dst, 2, uint64(c.Timer.Version))
	}
	dst = appendUint(dst, 4, c.SentAt)
	dst = appendBytes(dst, 5, c.Manifest)
	dst = appendBytes(dst, 7, c.Distribution)
	dst = appendBytes(dst, 8, c.DecryptionError)
	if c.Sync != nil {
		dst = mustLen(dst, 9, c.Sync.size())
		dst = appendString(dst, 1, c.Sync.Recipient)
		dst = appendBytes(dst, 2, c.Sync.Content)
	}
	return dst
}

func (c *Content) size() int {
	n := sizeBytes(1, len(c.Body)) + sizeUint(4, c.SentAt) + sizeBytes(5, len(c.Manifest)) +
		sizeBytes(7, len(c.Distribution)) + sizeBytes(8, len(c.DecryptionError))
	if c.Hosting != nil {
		n += sizeMustBytes(2, c.Hosting.size())
	}
	if c.Timer != nil {
		n += sizeMustBytes(3, c.Timer.size())
	}
	if c.Sync != nil {
		n += sizeMustBytes(9, c.Sync.size())
	}
	return n
}

func (h *HostingContext) size() int {
	return sizeBytes(1, len(h.Sender)) + sizeUint(2, uint64(h.SenderDevice)) +
		sizeBytes(3, len(h.Recipient)) + sizeUint(4, h.Epoch) + sizeBytes(5, len(h.Hash)) +
		sizeUint(6, h.SeenEpoch) + sizeBytes(7, len(h.SeenHash))
}

func (h *HostingContext) append(dst []byte) []byte {
	dst = mustLen(dst, 2, h.size())
	dst = appendString(dst, 1, h.Sender)
	dst = appendUint(dst, 2, uint64(h.SenderDevice))
	dst = appendString(dst, 3, h.Recipient)
	dst = appendUint(dst, 4, h.Epoch)
	dst = appendBytes(dst, 5, h.Hash)
	dst = appendUint(dst, 6, h.SeenEpoch)
	return appendBytes(dst, 7, h.SeenHash)
}

func (t *Timer) size() int {
	return sizeUint(1, uint64(t.Seconds)) + sizeUint(2, uint64(t.Version))
}

func (s *Sync) size() int {
	return sizeBytes(1, len(s.Recipient)) + sizeBytes(2, len(s.Content))
}
