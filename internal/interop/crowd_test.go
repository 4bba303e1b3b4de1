package interop_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A crowd is three users with devices of both kinds, who write, lose, reorder,
// come, go and start anew as it falls out.
type crowd struct {
	*town
	r          *rand.Rand
	identities map[string]*keys.IdentityKeyPair
	waiting    []parcel
	counts     map[string]int
}

// A parcel is a mail, what is in it, and the device that sent it, which may be
// another one when it arrives.
type parcel struct {
	mail
	text, user string
	sender     *citizen
}

var crowdUsers = []string{"ani", "budi", "citra"}

// Whatever arrives is read, at once or after a request for it, unless who sent it
// is gone or knows no more of it. A second request is for answers on the same
// session, where the one that failed had gone on before it was told.
func TestInteropCrowd(t *testing.T) {
	c := &crowd{town: newTown(t, interop.Share(t), true), r: random(t),
		identities: make(map[string]*keys.IdentityKeyPair), counts: make(map[string]int)}
	for i, user := range crowdUsers {
		c.identities[user] = keys.GenerateIdentityKeyPair()
		for device := range uint32(3) {
			c.move(session.Address{User: user, Device: device + 1}, c.identities[user], (int(device)+i)%2 == 0)
		}
	}
	for range cases(600) {
		c.later += 61 * time.Minute // past the limit of resets
		c.step()
	}
	for len(c.waiting) > 0 {
		c.deliverAny()
	}
	for _, what := range []string{"read", "asked 1", "moved", "left"} {
		require.True(t, testing.Short() || c.counts[what] > 0, what)
	}
	t.Logf("%v", c.counts)
}

func (c *crowd) step() {
	switch dice := c.r.IntN(100); {
	case dice < 20:
		c.speak()
	case dice < 94:
		c.deliverAny()
	case dice < 95:
		c.counts["moved"]++
		a := c.anyone().address
		c.move(a, c.identities[a.User], c.r.IntN(2) == 0)
	case dice < 97:
		c.counts["moved"]++
		user := crowdUsers[c.r.IntN(3)]
		c.move(session.Address{User: user, Device: 1 + c.r.Uint32N(4)}, c.identities[user], c.r.IntN(2) == 0)
	case dice < 98:
		a := c.anyone().address
		if len(c.addresses(a.User)) > 1 {
			c.counts["left"]++
			c.leave(a.User, a.Device)
		}
	default:
		if len(c.waiting) > 0 {
			c.counts["dropped"]++
			c.take()
		}
	}
}

func (c *crowd) anyone() *citizen {
	all := c.addresses(crowdUsers[c.r.IntN(3)])
	a := all[c.r.IntN(len(all))]
	return c.of(a.User, a.Device)
}

func (c *crowd) speak() {
	from, user := c.anyone(), crowdUsers[c.r.IntN(3)]
	if user == from.address.User {
		return
	}
	c.counts["said"]++
	text := fmt.Sprint("number ", c.counts["said"])
	for _, m := range from.say(text, user) {
		c.waiting = append(c.waiting, parcel{m, text, user, from})
	}
}

// take takes one of the oldest mails out, so that none falls out of a loss window.
func (c *crowd) take() parcel {
	at := c.r.IntN(min(len(c.waiting), 8))
	p := c.waiting[at]
	c.waiting = slices.Delete(c.waiting, at, at+1)
	return p
}

// deliverAny delivers a mail, and has it asked for when it cannot be read.
func (c *crowd) deliverAny() {
	if len(c.waiting) == 0 {
		return
	}
	p := c.take()
	to := c.of(p.to.User, p.to.Device)
	if to == nil {
		c.counts["gone"]++
		return
	}
	_, err := c.read(p.mail)
	for tries := 1; err != nil; tries++ {
		if c.of(p.from.User, p.from.Device) != p.sender {
			c.counts["lost"]++
			return
		}
		require.LessOrEqual(c.t, tries, 2, "%v", err)
		c.counts[fmt.Sprint("asked ", tries)]++
		p.mail = c.again(p, to, err)
		_, err = c.read(p.mail)
	}
	c.counts["read"]++
}

// again has the recipient of p ask its sender for it.
func (c *crowd) again(p parcel, to *citizen, err error) mail {
	c.t.Helper()
	sender := p.sender
	asked, theirs := interop.Message{}, (*interop.PeerError)(nil)
	if errors.As(err, &theirs) {
		m := to.asks(p.mail)
		asked = interop.Message{Type: int(m.Type), Bytes: m.Bytes}
	} else {
		require.NotZero(c.t, session.ReasonOf(err), "%v", err)
		asked = to.fails(p.mail, session.ReasonOf(err))
	}
	if sender.device != nil {
		return sender.resend(to, &session.Message{Type: session.TypePlaintext, Bytes: asked.Bytes})
	}
	r, err := sender.party.ReadRetry(to.remote(), asked)
	require.NoError(c.t, err)
	if r.Current {
		require.NoError(c.t, sender.party.Archive(to.remote()))
	}
	return sender.mailTo(to.address, r.SentAt, p.text, p.user)
}
