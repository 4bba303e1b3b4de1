package interop_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A crowdOfReaders is the recipients of a message to many: users with several
// devices, of both kinds.
type crowdOfReaders struct {
	*sealedTown
	r        *rand.Rand
	users    []string // in the order in which they are sealed for
	identity map[string]*keys.IdentityKeyPair
	excluded []string
	id       group.DistributionID
}

func newCrowdOfReaders(t *testing.T, n int) *crowdOfReaders {
	r := random(t)
	c := &crowdOfReaders{sealedTown: newSealedTown(t), r: r, identity: make(map[string]*keys.IdentityKeyPair), id: group.DistributionID(randomBytes(r, 16))}
	for i := range n {
		user := someServiceID(r)
		c.users, c.identity[user] = append(c.users, user), keys.GenerateIdentityKeyPair()
		for device := range uint32(1 + r.IntN(3)) {
			a := session.Address{User: user, Device: 1 + device*(1+r.Uint32N(40))}
			c.move(a, c.identity[user], i%8 != 0 || device > 0)
		}
	}
	for range r.IntN(4) {
		c.excluded = append(c.excluded, someServiceID(r))
	}
	return c
}

// someServiceID is the name of a user, sometimes a PNI.
func someServiceID(r *rand.Rand) string {
	return wire.ServiceID{UUID: [16]byte(randomBytes(r, 16)), PNI: r.IntN(5) == 0}.String()
}

// give gives the sender key of a device to all; devices of gembok take it from a
// session only.
func (c *crowdOfReaders) give(from *citizen) {
	t := c.town.t
	d := from.distribution(c.id)
	for _, user := range c.users {
		for _, a := range c.addresses(user) {
			if to := c.of(a.User, a.Device); to.party != nil {
				require.NoError(t, to.party.ProcessSenderKey(from.remote(), d))
			} else {
				require.NoError(t, to.takesKey(from.keyTo(to, c.id)))
			}
		}
	}
}

// sealOurs is a message to all by gembok, sealTheirs one by the official library.
func (c *crowdOfReaders) sealOurs(from *citizen, text string, group []byte) []byte {
	var to []sealed.Recipient
	for _, user := range c.users {
		r := sealed.Recipient{User: user, Identity: c.identity[user].Public()}
		for _, a := range c.addresses(user) {
			r.Devices = append(r.Devices, sealed.Device{ID: a.Device, RegistrationID: c.of(user, a.Device).regID})
		}
		to = append(to, r)
	}
	sent, err := c.sender(from).SealMany(to, c.excluded, from.groupMessage(c.id, text), sealed.HintResendable, group)
	require.NoError(c.town.t, err)
	return sent
}

func (c *crowdOfReaders) sealTheirs(from *citizen, text string, group []byte) []byte {
	t := c.town.t
	var to []interop.Address
	for _, user := range c.users {
		for _, a := range c.addresses(user) {
			to = append(to, from.sessionWith(a))
		}
	}
	content, err := from.party.WrapGroup(c.id.String(), contentOf(text),
		interop.SealOptions{Certificate: c.certificates[from.address], Hint: 1, Group: (*interop.Hex)(&group)})
	require.NoError(t, err)
	sent, err := from.party.SealMany(to, c.excluded, content)
	require.NoError(t, err)
	return sent
}

// A message to 1, 10 and 100 users with several devices, and some who are to be
// left out, by either library: both split it alike, and every device reads it, each
// user's with both libraries.
func TestInteropSealedMany(t *testing.T) {
	for _, n := range []int{1, 10, cases(100)} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCrowdOfReaders(t, n)
			ours := c.settleIn(session.Address{User: aliceName, Device: 1}, false)
			theirs := c.settleIn(session.Address{User: bobName, Device: 1}, true)
			groupID := randomBytes(c.r, 32)
			c.give(ours)
			c.readBy(ours, c.sealOurs(ours, "by gembok", groupID), "by gembok", groupID)
			c.give(theirs)
			c.readBy(theirs, c.sealTheirs(theirs, "by the official library", groupID), "by the official library", groupID)
		})
	}
}

// readBy requires that both split a sent form alike, and all read in it what they
// should.
func (c *crowdOfReaders) readBy(from *citizen, sent []byte, text string, groupID []byte) {
	t := c.town.t
	delivery, err := c.town.p.Split(sent)
	require.NoError(t, err)
	ours, err := splitOurs(sent)
	require.NoError(t, err)
	require.Equal(t, delivery, ours)
	require.ElementsMatch(t, c.excluded, delivery.Excluded)
	require.Len(t, delivery.Recipients, len(c.users))
	for i, to := range delivery.Recipients {
		require.Equal(t, c.users[i], to.User)
		want := make(map[uint32]uint32)
		for _, a := range c.addresses(to.User) {
			want[a.Device] = c.of(to.User, a.Device).regID
		}
		for _, d := range to.Devices {
			require.Equal(t, want[d.Device], d.RegistrationID)
			delete(want, d.Device)
			got, err := c.open(c.of(to.User, d.Device), to.Bytes, c.expires)
			require.NoError(t, err)
			require.Equal(t, sealedMail{from: from.address, typ: interop.SenderKey, text: text, hint: 1, group: groupID, inner: got.inner}, *got)
		}
		require.Empty(t, slices.Collect(maps.Keys(want)))
		// With the identity key alone gembok opens what official devices get.
		_, err := sealed.NewOpener(c.identity[to.User], c.trust(), nil).Open(to.Bytes, c.expires)
		require.NoError(t, err)
		// What is for one is for nobody else.
		other := c.identity[pick(c.r, c.users...)]
		if !other.Equal(c.identity[to.User]) {
			_, err = sealed.NewOpener(other, c.trust(), nil).Open(to.Bytes, c.expires)
			require.ErrorIs(t, err, session.ErrAuth)
		}
	}
}
