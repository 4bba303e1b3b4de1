package group

import (
	"bytes"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// A key is where the own sender key of a group is: the chain that its record
// has, if it has one.
type key struct {
	chain, iteration uint32
	ok               bool
}

// limits say for how long a sender key is used.
type limits struct {
	age      uint64 // in milliseconds
	messages uint32
}

// due reports whether the own sender key may encrypt no further message: there is
// none, or another one than the group knows of; it is too old, or was used too
// often; or somebody has it, or may have it, who is none of the devices that there
// are now (sealed-groups-fingerprint, Section 5, step 3). A device that was set up
// anew, or has another identity key, is another device. The clock is in milliseconds
// since 1970; where it was set back by more than the age, that is over, too.
func due(g *wire.Group, k key, devices []session.Result, now uint64, l limits) bool {
	if !k.ok || g.Since == 0 || k.chain != g.Chain || k.iteration >= l.messages || max(now, g.Since)-min(now, g.Since) >= l.age {
		return true
	}
	return slices.ContainsFunc(g.Given, func(to wire.GroupKey) bool {
		i, found := slices.BinarySearchFunc(devices, &to, func(d session.Result, to *wire.GroupKey) int {
			return compare(d.To.User, d.To.Device, to.User, to.Device)
		})
		return !found || !same(&to, &devices[i])
	})
}

// same reports whether a device is the one that a key was given to. What is not
// known is no difference.
func same(to *wire.GroupKey, d *session.Result) bool {
	if to.RegistrationID != 0 && d.RegistrationID != 0 && to.RegistrationID != d.RegistrationID {
		return false
	}
	return len(to.Identity) == 0 || d.Identity.IsZero() || bytes.Equal(to.Identity, d.Identity.Bytes())
}

// lacks reports whether a device has to get the key that the group has now, or
// again: it did not, or nobody knows, or its session is another one since, of a
// device that may have lost what it had (Section 5, step 4).
func lacks(g *wire.Group, d *session.Result) bool {
	i, found := given(g, d.To)
	if !found {
		return true
	}
	to := &g.Given[i]
	return !to.Taken || !bytes.Equal(to.Session, d.Session[:])
}

// given finds a device among those that the key was given to.
func given(g *wire.Group, a session.Address) (int, bool) {
	return slices.BinarySearchFunc(g.Given, a, func(to wire.GroupKey, a session.Address) int {
		return compare(to.User, to.Device, a.User, a.Device)
	})
}

// give notes that the key was encrypted for a device, in a message of a time. Where it was for another
// one of that number before, that stays, and makes the next key due.
func give(g *wire.Group, d *session.Result, sentAt uint64) {
	to := wire.GroupKey{User: d.To.User, Device: d.To.Device, RegistrationID: d.RegistrationID, SentAt: sentAt}
	if !d.Identity.IsZero() {
		to.Identity = d.Identity.Bytes()
	}
	i, found := given(g, d.To)
	switch {
	case !found:
		g.Given = slices.Insert(g.Given, i, to)
	case same(&g.Given[i], d):
		g.Given[i] = to
	}
}

// taken notes that the server took what give noted last, if the device did not ask
// for anything since.
func taken(g *wire.Group, d *session.Result, sentAt uint64) {
	if i, found := given(g, d.To); found && g.Given[i].SentAt == sentAt {
		g.Given[i].Session, g.Given[i].Taken = bytes.Clone(d.Session[:]), true
	}
}

// asked notes that a device could not read what was sent at a time, and reports
// whether that is news: it may have lost the key, and lacks it now. What was sent
// before it was given the key says nothing of that, unless the clock was set back.
func asked(g *wire.Group, a session.Address, at, now uint64) bool {
	i, found := given(g, a)
	if !found {
		return false
	}
	to := &g.Given[i]
	if since := at < to.SentAt && to.SentAt <= now+ahead; since || !to.Taken && to.SentAt == 0 {
		return false
	}
	to.Taken, to.SentAt = false, 0
	return true
}

// ahead is how far times of sending run ahead of the clock at most, in
// milliseconds, where many are given out at once.
const ahead = 60_000

// compare orders devices by user and number, as package session does.
func compare(userA string, deviceA uint32, userB string, deviceB uint32) int {
	if c := strings.Compare(userA, userB); c != 0 {
		return c
	}
	return int(deviceA) - int(deviceB)
}
