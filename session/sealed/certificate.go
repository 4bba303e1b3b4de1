package sealed

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A ServerCertificate gives a key the right to sign sender certificates. It does
// not change, and may be used from several goroutines; the zero value is none.
type ServerCertificate struct {
	raw, body, signature []byte
	id                   uint32
	key                  keys.VerifyKey
}

// ParseServerCertificate reads a certificate. Its signature is not checked:
// Trust does that. Errors are ErrMalformed, ErrTooLarge and keys.ErrKey.
func ParseServerCertificate(b []byte) (*ServerCertificate, error) {
	b = append([]byte(nil), b...)
	outer, err := wire.ParseCertificate(b)
	if err != nil {
		return nil, err
	}
	inner, err := wire.ParseServerCertificate(outer.Body)
	if err != nil {
		return nil, err
	}
	key, err := keys.ParseVerifyKey(inner.Key)
	if err != nil {
		return nil, err
	}
	return &ServerCertificate{raw: b, body: outer.Body, signature: outer.Signature, id: inner.ID, key: key}, nil
}

// IssueServerCertificate signs a server's key with that of a trust root. Of the
// zero key it makes a certificate that cannot be read.
func IssueServerCertificate(root *keys.SigningKey, id uint32, key keys.VerifyKey) *ServerCertificate {
	body := wire.AppendServerCertificate(nil, &wire.ServerCertificate{ID: id, Key: key.Bytes()})
	c := &ServerCertificate{body: body, signature: root.Sign(body), id: id, key: key}
	c.raw = wire.AppendCertificate(nil, &wire.Certificate{Body: c.body, Signature: c.signature})
	return c
}

// Bytes returns the certificate as it was read or issued.
func (c *ServerCertificate) Bytes() []byte { return append([]byte(nil), c.raw...) }

// ID returns the number that sender certificates may name it by.
func (c *ServerCertificate) ID() uint32 { return c.id }

// A SenderCertificate says who a sender is. It does not change, and may be used
// from several goroutines; the zero value is none.
type SenderCertificate struct {
	raw, body, signature []byte
	claims               Claims
	expires              uint64             // milliseconds since 1970
	server               *ServerCertificate // nil: by reference
	serverID             uint32             // of either
}

// Claims are what a sender certificate says. The zero value is refused.
type Claims struct {
	// User is the user's name: any string. Peers that know of nothing but
	// service ids expect one.
	User string
	// E164 is the user's phone number; "" is none.
	E164     string
	Device   uint32 // 1 to 127
	Identity keys.IdentityKey
	// Expires is the last moment, in milliseconds, at which it is good. One that
	// was read may lie further ahead than a time.Time can say; then it is the
	// latest of those.
	Expires time.Time
	// Compact says how IssueSenderCertificate writes it: the user, a UUID then,
	// as bytes, and the server's certificate by its number. It is false in what
	// was read.
	Compact bool
}

// ParseSenderCertificate reads a certificate, and with it that of the server if
// it has one inside. No signature is checked: Trust does that. Errors are
// ErrMalformed, ErrTooLarge and keys.ErrKey.
func ParseSenderCertificate(b []byte) (*SenderCertificate, error) {
	b = append([]byte(nil), b...)
	outer, err := wire.ParseCertificate(b)
	if err != nil {
		return nil, err
	}
	inner, err := wire.ParseSenderCertificate(outer.Body)
	if err != nil {
		return nil, err
	}
	c := &SenderCertificate{raw: b, body: outer.Body, signature: outer.Signature, expires: inner.Expires, serverID: inner.ServerID}
	if c.claims.Identity, err = keys.ParseIdentityKey(inner.Identity); err != nil {
		return nil, err
	}
	if inner.Server != nil {
		if c.server, err = ParseServerCertificate(inner.Server); err != nil {
			return nil, err
		}
		c.serverID = c.server.id
	}
	c.claims.User, c.claims.E164, c.claims.Device = inner.User, inner.E164, inner.Device
	if inner.UUID != nil {
		c.claims.User = wire.ServiceID{UUID: [16]byte(inner.UUID)}.String()
	}
	c.claims.Expires = time.UnixMilli(int64(min(inner.Expires, math.MaxInt64)))
	return c, nil
}

// IssueSenderCertificate certifies a sender, with the key that server is about.
// It is ErrMalformed for another key, and for claims that cannot be written: a
// device outside 1 to 127, no user or no UTF-8, no identity key, a time before
// 1970 or beyond 63 bits of milliseconds; for a compact one also a user who is no
// UUID.
func IssueSenderCertificate(server *ServerCertificate, key *keys.SigningKey, claims Claims) (*SenderCertificate, error) {
	body, err := claims.body(server)
	if err != nil {
		return nil, err
	}
	if !key.Public().Equal(server.key) {
		return nil, fmt.Errorf("%w: key of another server certificate", session.ErrMalformed)
	}
	return ParseSenderCertificate(wire.AppendCertificate(nil, &wire.Certificate{Body: body, Signature: key.Sign(body)}))
}

func (c *Claims) body(server *ServerCertificate) ([]byte, error) {
	ms, sayable := milliseconds(c.Expires)
	switch {
	case c.User == "" || !utf8.ValidString(c.User+c.E164) || len(c.User)+len(c.E164) > maxNames:
		return nil, fmt.Errorf("%w: name in a certificate", session.ErrMalformed)
	case !sayable:
		return nil, fmt.Errorf("%w: expiry of a certificate", session.ErrMalformed)
	case c.Identity.IsZero():
		return nil, fmt.Errorf("%w: no identity key in a certificate", session.ErrMalformed)
	case c.Device < 1 || c.Device > 127:
		return nil, fmt.Errorf("%w: device %d", session.ErrMalformed, c.Device)
	}
	w := &wire.SenderCertificate{HasE164: c.E164 != "", E164: c.E164, Device: c.Device, Expires: ms, Identity: c.Identity.Bytes()}
	if !c.Compact {
		w.User, w.Server = c.User, server.raw
		return wire.AppendSenderCertificate(nil, w), nil
	}
	id, err := wire.ParseServiceID(c.User)
	if err != nil || id.PNI {
		return nil, fmt.Errorf("%w: user of a compact certificate", session.ErrMalformed)
	}
	w.UUID, w.ServerID = id.UUID[:], server.id
	return wire.AppendSenderCertificate(nil, w), nil
}

// milliseconds returns a time in milliseconds since 1970, or false where those
// are negative or beyond 63 bits: time.Time.UnixMilli means nothing there.
func milliseconds(t time.Time) (ms uint64, ok bool) {
	s := t.Unix()
	if s < 0 || s > math.MaxInt64/1000 {
		return 0, false
	}
	return uint64(s)*1000 + uint64(t.Nanosecond()/1e6), true
}

// maxNames bounds the names that are certified, in bytes.
const maxNames = 2048

// Bytes returns the certificate as it was read or issued.
func (c *SenderCertificate) Bytes() []byte { return append([]byte(nil), c.raw...) }

// Claims returns what the certificate says. It is true if a Trust verified it.
func (c *SenderCertificate) Claims() Claims { return c.claims }
