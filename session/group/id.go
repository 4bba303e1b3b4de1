package group

import (
	"encoding/hex"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// A DistributionID names a sender key among those of one device: a UUID, in the
// order of its digits. It stays when the key is changed. The zero value is an id
// like any other.
type DistributionID [16]byte

// String returns the UUID, in lower case.
func (id DistributionID) String() string {
	var buf [36]byte
	return string(id.append(buf[:0]))
}

func (id DistributionID) append(b []byte) []byte {
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return hex.AppendEncode(b, id[10:])
}

// ParseDistributionID reads a UUID of 36 characters, in either case. The error
// is ErrMalformed.
func ParseDistributionID(s string) (DistributionID, error) {
	id, err := wire.ParseServiceID(s)
	if err != nil || len(s) != 36 {
		return DistributionID{}, fmt.Errorf("%w: distribution id of %d bytes", session.ErrMalformed, len(s))
	}
	return id.UUID, nil
}

// IDOf returns which sender key a group message was encrypted with. Nothing of
// it was verified. Errors are those of Groups.Decrypt for bytes that are no
// message.
func IDOf(m *session.Message) (DistributionID, error) {
	in, err := parse(m)
	if err != nil {
		return DistributionID{}, err
	}
	return DistributionID(in.Distribution), nil
}

// parse reads a message of TypeSenderKey.
func parse(m *session.Message) (wire.SenderKeyMessage, error) {
	switch {
	case m == nil:
		return wire.SenderKeyMessage{}, fmt.Errorf("%w: no message", session.ErrMalformed)
	case m.Type != session.TypeSenderKey:
		return wire.SenderKeyMessage{}, fmt.Errorf("%w: message type %d", session.ErrMalformed, m.Type)
	}
	return wire.ParseSenderKeyMessage(m.Bytes)
}
