package interop_test

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// keyMail is a message of the official library with a distribution message in it.
func (c *citizen) keyMail(to session.Address, distribution []byte) mail {
	w := c.town
	w.clock++
	text := pad(wire.AppendContent(nil, &wire.Content{SentAt: w.clock, Distribution: distribution}))
	c.sessionWith(to)
	m, err := c.party.Encrypt(w.of(to.User, to.Device).remote(), text, time.Time{})
	require.NoError(w.t, err)
	return mail{from: c.address, to: to, sentAt: w.clock, msg: m}
}

// takesKey reads such a message; the error is that of the distribution message.
func (c *citizen) takesKey(m mail) error {
	t, from := c.town.t, interop.Address{Name: m.from.User, Device: m.from.Device}
	if c.groups != nil {
		r, err := c.groups.Decrypt(context.Background(), m.from, m.gembok(), nil)
		if err != nil {
			return err
		}
		return c.device.Acknowledge(context.Background(), r)
	}
	b, err := c.party.Decrypt(from, m.msg)
	require.NoError(t, err)
	content, err := wire.ParseContent(unpad(t, b))
	require.NoError(t, err)
	return c.party.ProcessSenderKey(from, content.Distribution)
}

// groupRead decrypts a group message for whichever kind of device it is, and
// returns the text in its Content.
func (c *citizen) groupRead(from session.Address, m []byte) (string, error) {
	var plain []byte
	if c.groups != nil {
		r, err := c.groups.Decrypt(context.Background(), from, &session.Message{Type: session.TypeSenderKey, Bytes: m}, nil)
		if err != nil {
			return "", err
		}
		if err := c.device.Acknowledge(context.Background(), r); err != nil {
			return "", err
		}
		plain = r.Plaintext
	} else {
		b, err := c.party.GroupDecrypt(interop.Address{Name: from.User, Device: from.Device}, m)
		if err != nil {
			return "", err
		}
		plain = unpad(c.town.t, b)
	}
	content, err := wire.ParseContent(plain)
	return string(content.Body), err
}

func contentOf(text string) []byte {
	return pad(wire.AppendContent(nil, &wire.Content{Body: []byte(text), SentAt: 1_700_000_000_000}))
}
