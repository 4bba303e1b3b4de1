package group_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var (
	budiKey = keys.GenerateIdentityKeyPair().Public()
	ciciKey = keys.GenerateIdentityKeyPair().Public()
)

// A case is a group in which all is well: budi has two devices, cici one.
type ruled struct {
	g         wire.Group
	devices   []session.Result
	chain     uint32
	iteration uint32
	ok        bool
	now       uint64
}

func allWell() *ruled {
	c := &ruled{chain: 7, iteration: 99, ok: true, now: 1_000_999, g: wire.Group{ID: make([]byte, 16), Chain: 7, Since: 1_000_000}}
	c.devices = []session.Result{
		{To: at("budi", 1), RegistrationID: 11, Identity: budiKey, Session: [32]byte{1}},
		{To: at("budi", 2), RegistrationID: 12, Identity: budiKey, Session: [32]byte{2}},
		{To: at("cici", 1), RegistrationID: 13, Identity: ciciKey, Session: [32]byte{3}},
	}
	for i := range slices.Backward(c.devices) { // in no good order
		group.Give(&c.g, &c.devices[i], 500)
		group.Taken(&c.g, &c.devices[i], 500)
	}
	return c
}

func (c *ruled) due() bool {
	return group.Due(&c.g, c.chain, c.iteration, c.ok, c.devices, c.now, 1000, 100)
}

func (c *ruled) lacking() (out []session.Address) {
	for i := range c.devices {
		if group.Lacks(&c.g, &c.devices[i]) {
			out = append(out, c.devices[i].To)
		}
	}
	return out
}

// TestGRP_06_WhenAnotherKeyIsDue has one thing change at a time where all is
// well.
func TestGRP_06_WhenAnotherKeyIsDue(t *testing.T) {
	require.False(t, allWell().due())
	require.Empty(t, allWell().lacking())
	for name, c := range map[string]struct {
		change func(*ruled)
		due    bool
	}{
		"no key":                      {func(c *ruled) { c.ok = false }, true},
		"no key before":               {func(c *ruled) { c.g.Since = 0 }, true},
		"no key, and an early clock":  {func(c *ruled) { c.g.Since, c.now = 0, 500 }, true},
		"another chain":               {func(c *ruled) { c.chain = 8 }, true},
		"one message before the last": {func(c *ruled) { c.iteration = 99 }, false},
		"too many messages":           {func(c *ruled) { c.iteration = 100 }, true},
		"a moment before its time":    {func(c *ruled) { c.now = 1_000_999 }, false},
		"too old":                     {func(c *ruled) { c.now = 1_001_000 }, true},
		"a clock set back a bit":      {func(c *ruled) { c.now = 999_001 }, false},
		"a clock set back":            {func(c *ruled) { c.now = 999_000 }, true},
		"a device gone":               {func(c *ruled) { c.devices = slices.Delete(c.devices, 1, 2) }, true},
		"the last device gone":        {func(c *ruled) { c.devices = c.devices[:2] }, true},
		"all devices gone":            {func(c *ruled) { c.devices = nil }, true},
		"a user blocked": {func(c *ruled) {
			c.devices[2] = session.Result{To: at("cici", 0), Err: session.ErrBlocked}
		}, true},
		"a device set up anew":        {func(c *ruled) { c.devices[0].RegistrationID++ }, true},
		"an unknown registration":     {func(c *ruled) { c.devices[0].RegistrationID = 0 }, false},
		"another identity":            {func(c *ruled) { c.devices[2].Identity = budiKey }, true},
		"an unknown identity":         {func(c *ruled) { c.devices[2].Identity = keys.IdentityKey{} }, false},
		"an identity in question":     {func(c *ruled) { c.devices[2].Err = &session.UntrustedIdentityError{} }, false},
		"another session":             {func(c *ruled) { c.devices[0].Session[5]++ }, false},
		"one device more":             {func(c *ruled) { c.devices = append(c.devices, session.Result{To: at("dewi", 1)}) }, false},
		"one that may have it, gone":  {func(c *ruled) { c.g.Given[1].Taken = false; c.devices = slices.Delete(c.devices, 1, 2) }, true},
		"one that may have it":        {func(c *ruled) { c.g.Given[1].Taken = false }, false},
		"nobody has it, nobody there": {func(c *ruled) { c.g.Given, c.devices = nil, nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := allWell()
			c.change(r)
			require.Equal(t, c.due, r.due())
		})
	}
}

// Who has to get the key again is told from what is known of his session.
func TestWhoLacksTheKey(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*ruled)
		lacks  []session.Address
	}{
		"another session": {func(c *ruled) { c.devices[0].Session[5]++ }, []session.Address{at("budi", 1)}},
		"no session":      {func(c *ruled) { c.devices[2].Session = [32]byte{} }, []session.Address{at("cici", 1)}},
		"one device more": {func(c *ruled) {
			c.devices = append(c.devices, session.Result{To: at("dewi", 1), Session: [32]byte{9}})
		}, []session.Address{at("dewi", 1)}},
		"it was not taken": {func(c *ruled) { group.Give(&c.g, &c.devices[1], 500) }, []session.Address{at("budi", 2)}},
		"it asked":         {func(c *ruled) { require.True(t, group.Asked(&c.g, at("budi", 2), 500, 0)) }, []session.Address{at("budi", 2)}},
		"it asked twice": {func(c *ruled) {
			require.True(t, group.Asked(&c.g, at("budi", 2), 500, 0))
			require.False(t, group.Asked(&c.g, at("budi", 2), 500, 0))
		}, []session.Address{at("budi", 2)}},
		"somebody else asked": {func(c *ruled) { require.False(t, group.Asked(&c.g, at("dewi", 2), 500, 0)) }, nil},
		"it was taken again": {func(c *ruled) {
			group.Give(&c.g, &c.devices[1], 500)
			c.devices[1].Session[9]++
			group.Taken(&c.g, &c.devices[1], 500)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := allWell()
			c.change(r)
			require.Equal(t, c.lacks, r.lacking())
			require.False(t, r.due())
		})
	}
}

// A device that was set up anew does not take the place of the one that has the
// key: nobody forgets that.
func TestGRP_06_GivenToTwo(t *testing.T) {
	r := allWell()
	r.devices[1].RegistrationID++
	group.Give(&r.g, &r.devices[1], 500)
	group.Taken(&r.g, &r.devices[1], 500)
	require.True(t, r.due())
	r = allWell()
	r.devices[1].Identity = ciciKey
	group.Give(&r.g, &r.devices[1], 500)
	group.Taken(&r.g, &r.devices[1], 500)
	require.True(t, r.due())
}
