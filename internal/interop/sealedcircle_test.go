package interop_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
)

// The same, where nobody but who reads it sees who wrote: messages to the group go
// in one envelope to a server, which is split by either library.
func TestInteropSealedCircle(t *testing.T) { newCircle(t, true).talk(cases(200)) }

// options are those of all that a device of gembok sends.
func (c *circle) options(from *citizen) *session.SendOptions {
	if !c.sealed {
		return nil
	}
	return &session.SendOptions{Seal: c.sender(from).SealAll(sealed.HintResendable, []byte(circleGroup))}
}

// posted is what a server makes of a Sending.
func (c *circle) posted(from *citizen, s *session.Sending) []mail {
	if s.Envelope == nil {
		return from.post(s)
	}
	whole := *s
	whole.Results = slices.Clone(s.Results)
	parts := c.split(s.Envelope)
	for i := range whole.Results {
		r := &whole.Results[i]
		require.NoError(c.town.t, r.Err)
		if r.Message == nil {
			r.Message = &session.Message{Type: session.TypeSealed, Bytes: parts[r.To]}
			delete(parts, r.To)
		}
	}
	require.Empty(c.town.t, parts)
	return from.post(&whole)
}

// split splits a sent form, by either library, for devices as they are now.
func (c *circle) split(sent []byte) map[session.Address][]byte {
	t := c.town.t
	delivery, err := splitOurs(sent)
	if c.r.IntN(2) == 0 {
		delivery, err = c.town.p.Split(sent)
	}
	require.NoError(t, err)
	out := make(map[session.Address][]byte)
	for _, to := range delivery.Recipients {
		for _, d := range to.Devices {
			a := session.Address{User: to.User, Device: d.Device}
			require.Equal(t, c.of(a.User, a.Device).regID, d.RegistrationID)
			out[a] = to.Bytes
		}
	}
	return out
}

// groupByHand encrypts for all at once.
func (c *circle) groupByHand(from *citizen, id group.DistributionID, to []session.Address, content []byte) []mail {
	t := c.town.t
	var out []mail
	if !c.sealed {
		m, err := from.party.GroupEncrypt(id.String(), pad(content))
		require.NoError(t, err)
		for _, a := range to {
			out = append(out, mail{from: from.address, to: a, sentAt: c.clock, msg: interop.Message{Type: interop.SenderKey, Bytes: m}})
		}
		return out
	}
	var remotes []interop.Address
	for _, a := range to {
		remotes = append(remotes, from.sessionWith(a))
	}
	wrapped, err := from.party.WrapGroup(id.String(), pad(content), c.sealing(from))
	require.NoError(t, err)
	sent, err := from.party.SealMany(remotes, nil, wrapped)
	require.NoError(t, err)
	for a, envelope := range c.split(sent) {
		out = append(out, c.inEnvelope(from, a, envelope))
	}
	slices.SortFunc(out, func(a, b mail) int { return strings.Compare(a.to.String(), b.to.String()) })
	return out
}

func (c *circle) sealing(from *citizen) interop.SealOptions {
	name := interop.Hex(circleGroup)
	return interop.SealOptions{Certificate: c.certificates[from.address], Hint: 1, Group: &name}
}

func (c *circle) inEnvelope(from *citizen, to session.Address, envelope []byte) mail {
	return mail{from: from.address, to: to, sentAt: c.clock, msg: interop.Message{Type: int(session.TypeSealed), Bytes: envelope}}
}

// keyByHand gives a sender key, and copyByHand tells an own device what was sent.
func (c *circle) keyByHand(from *citizen, to session.Address, distribution []byte) mail {
	if !c.sealed {
		return from.keyMail(to, distribution)
	}
	c.clock++
	return c.oneByHand(from, to, pad(wire.AppendContent(nil, &wire.Content{SentAt: c.clock, Distribution: distribution})))
}

func (c *circle) copyByHand(from *citizen, to session.Address, text string) mail {
	if !c.sealed {
		return from.mailTo(to, c.clock, text, c.name)
	}
	return c.oneByHand(from, to, from.plaintext(to, c.clock, text, c.name))
}

func (c *circle) oneByHand(from *citizen, to session.Address, padded []byte) mail {
	t, remote := c.town.t, from.sessionWith(to)
	wrapped, err := from.party.WrapEncrypt(remote, padded, c.sealing(from))
	require.NoError(t, err)
	envelope, err := from.party.Seal(remote, wrapped)
	require.NoError(t, err)
	return c.inEnvelope(from, to, envelope)
}

// openSealed is open of an envelope, whose sender is known only then.
func (c *circle) openSealed(to *citizen, l posted) (said, error) {
	ctx, t := context.Background(), c.town.t
	if to.party != nil {
		got, plain, err := c.plaintextTheirs(to, l.msg.Bytes, c.expires)
		if err != nil {
			return said{}, err
		}
		require.Equal(t, l.from, got.from)
		require.Equal(t, circleGroup, string(got.group))
		return c.opened(l.mail, plain), nil
	}
	got, err := sealed.NewReceiver(to.device, to.groups, c.trust(), nil).Open(ctx, l.msg.Bytes, c.expires, nil)
	if err != nil {
		return said{}, err
	}
	require.Equal(t, l.from, got.From)
	require.Equal(t, circleGroup, string(got.Group))
	require.EqualValues(t, l.sentAt, got.Content.SentAt.UnixMilli())
	return said{string(got.Content.Body), got.Content.SyncTo}, to.device.Acknowledge(ctx, got.Received)
}
