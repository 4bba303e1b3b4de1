package session

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// maxTimer is the largest Timer that has an encoding.
const maxTimer = math.MaxUint32 * time.Second

// A Content is what a plaintext is with Options.Content (gembok, Section 3). It
// prints as redacted. The zero value is an empty message.
type Content struct {
	wire.Secret

	Body []byte
	// SentAt is when the sender sent it, in whole milliseconds, by the sender's
	// clock; Send sets it. The zero value is unknown.
	SentAt time.Time
	// Timer is how long after it was read the message is to disappear, in whole
	// seconds up to 2^32−1; 0 is never. TimerVersion counts the changes of the
	// timer in a conversation, so that of two at once the same one holds
	// everywhere: see type Timer, and MarkRead.
	Timer        time.Duration
	TimerVersion uint32
	// SyncTo says that another device of the own account sent this to the user
	// or the group of that name. In what anybody else sent it is empty.
	SyncTo string
	// Distribution is a sender-key distribution message, which package group makes
	// and takes. It counts only in a message of a session: a copy for the own other
	// devices, with SyncTo, has none.
	Distribution []byte
}

// Bytes returns the encoding of c, without padding: what Encrypt takes with
// Options.Content. Of a Timer, what is no whole second is left out, and one
// below 0 or over the largest counts as that.
func (c *Content) Bytes() []byte {
	out := wire.Content{Body: c.Body}
	if !c.SentAt.IsZero() {
		out.SentAt = uint64(max(1, c.SentAt.UnixMilli()))
	}
	if seconds := min(max(c.Timer, 0), maxTimer) / time.Second; seconds != 0 || c.TimerVersion != 0 {
		out.Timer = &wire.Timer{Seconds: uint32(seconds), Version: c.TimerVersion}
	}
	if c.SyncTo == "" {
		out.Distribution = c.Distribution
		return wire.AppendContent(nil, &out)
	}
	return wrapSync(wire.AppendContent(nil, &out), c.SyncTo)
}

// wrapSync wraps an encoded Content for the own other devices.
func wrapSync(content []byte, to string) []byte {
	return wire.AppendContent(nil, &wire.Content{Sync: &wire.Sync{Recipient: to, Content: content}})
}

// plaintext returns what is encrypted of c, sent at a time in milliseconds, for
// those it is sent to: the encoded Content, or in raw mode the Body alone,
// beside which nothing may be set. SentAt is replaced. The error is
// ErrMalformed.
func (d *Device) plaintext(c *Content, sentAt uint64) ([]byte, error) {
	switch {
	case c == nil:
		return nil, fmt.Errorf("%w: no content", ErrMalformed)
	case c.SyncTo != "":
		return nil, fmt.Errorf("%w: content that is a copy", ErrMalformed)
	case !d.opts.Content && (!c.SentAt.IsZero() || c.Timer != 0 || c.TimerVersion != 0 || len(c.Distribution) > 0):
		return nil, fmt.Errorf("%w: more than a body", ErrMalformed)
	case !d.opts.Content:
		return c.Body, nil
	case c.Timer < 0, c.Timer > maxTimer, c.Timer%time.Second != 0:
		return nil, fmt.Errorf("%w: timer", ErrMalformed)
	}
	sent := *c
	sent.SentAt = moment(sentAt)
	return sent.Bytes(), nil
}

// synced returns what the own other devices get in place of a plaintext that
// was sent to a user or group: that it was, and the plaintext without a
// Distribution, and without what its hosting context says of the one who got it;
// in raw mode the same bytes. The error is ErrMalformed for what is no name.
func (d *Device) synced(plaintext []byte, to string) ([]byte, error) {
	switch {
	case !d.opts.Content:
		return plaintext, nil
	case to == "", len(to) > maxUser, !utf8.ValidString(to):
		return nil, fmt.Errorf("%w: name of %d bytes for a copy", ErrMalformed, len(to))
	}
	c, err := wire.ParseContent(plaintext)
	if err != nil {
		return nil, err
	}
	if c.Distribution != nil || c.Hosting != nil {
		c.Distribution, c.Hosting = nil, withoutPeer(c.Hosting)
		plaintext = wire.AppendContent(nil, c)
	}
	return wrapSync(plaintext, to), nil
}

// padded returns a plaintext as it goes into a ratchet message: as it is in raw
// mode, else with padding.
func (d *Device) padded(plaintext []byte) []byte {
	if !d.opts.Content {
		return plaintext
	}
	return wire.AppendPadded(nil, plaintext)
}

// outgoes sees whether a plaintext is one for a peer: with Options.Content an
// encoded Content, and a copy only for an own device.
//
// It returns what is encoded, which points into it.
func (d *Device) outgoes(peer Address, plaintext []byte) (*wire.Content, error) {
	if !d.opts.Content {
		return nil, nil
	}
	c, _, err := parseContent(plaintext)
	if err != nil {
		return nil, err
	}
	if c.Sync != nil && peer.User != d.address.User {
		return nil, fmt.Errorf("%w: copy for another account", ErrMalformed)
	}
	return c, nil
}

// readContent reads a plaintext. One that tells of what another device sent is
// the Content it sent, with SyncTo; that must not tell of another in turn. What
// is in it points into the plaintext. Errors are ErrTooLarge and ErrMalformed.
func readContent(plaintext []byte) (*Content, error) {
	stored, copied, err := parseContent(plaintext)
	if err != nil {
		return nil, err
	}
	to, distribution := "", stored.Distribution
	if copied != nil {
		to, distribution, stored = stored.Sync.Recipient, nil, copied
	}
	c := &Content{Body: stored.Body, SentAt: moment(min(stored.SentAt, math.MaxInt64)), SyncTo: to, Distribution: distribution}
	if t := stored.Timer; t != nil {
		c.Timer, c.TimerVersion = time.Duration(t.Seconds)*time.Second, t.Version
	}
	return c, nil
}

// parseContent parses a plaintext, and what it is a copy of, nil where it is none.
func parseContent(plaintext []byte) (c, copied *wire.Content, err error) {
	if c, err = wire.ParseContent(plaintext); err != nil || c.Sync == nil {
		return c, nil, err
	}
	if c.Sync.Recipient == "" || len(c.Sync.Recipient) > maxUser {
		return nil, nil, fmt.Errorf("%w: copy of a message to nobody", ErrMalformed)
	}
	if copied, err = wire.ParseContent(c.Sync.Content); err != nil {
		return nil, nil, err
	}
	if copied.Sync != nil {
		return nil, nil, fmt.Errorf("%w: copy of a copy", ErrMalformed)
	}
	return c, copied, nil
}

// strip takes the padding off what was decrypted. What it has no place for, in
// an authentic message, is ErrMalformed.
func (d *Device) strip(r *Received) (err error) {
	if d.opts.Content {
		r.Plaintext, err = wire.TrimPadding(r.Plaintext)
	}
	return err
}

// understand reads the Content in r, of which everything else but ID and Note is
// set. What says that the own account sent it must come from another device
// of that, with its identity key: whoever else it comes from sent it himself, or
// made it up, and it is ErrMalformed.
func (d *Device) understand(r *Received) (err error) {
	if !d.opts.Content {
		return nil
	}
	c, err := readContent(r.Plaintext)
	if err != nil {
		return err
	}
	if c.SyncTo != "" && !d.isOwn(r) {
		return fmt.Errorf("%w: copy from another account", ErrMalformed)
	}
	r.Content = c
	return nil
}

// isOwn reports whether another device of the own account sent r, with its
// identity key.
func (d *Device) isOwn(r *Received) bool {
	return r.From.User == d.address.User && r.From.Device != d.address.Device && r.Identity.Equal(d.Identity())
}
