package ratchet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// faults are what can be wrong with a message, in the order in which it must be
// found out.
var faults = []struct {
	name   string
	apply  func(d *ratchet.Draft, budget *ratchet.Budget)
	want   error
	derive uint64 // derivations taken from the budget
}{
	{"version", func(d *ratchet.Draft, _ *ratchet.Budget) { d.Version = 3 }, ratchet.ErrVersion, 0},
	{"form of the ratchet key", func(d *ratchet.Draft, _ *ratchet.Budget) { d.RatchetKey[0] = 6 }, keys.ErrKey, 0},
	{"window of the chain", func(d *ratchet.Draft, _ *ratchet.Budget) { d.Counter = 25_001 }, ratchet.ErrTooFar, 0},
	{"window of the post-quantum ratchet", func(d *ratchet.Draft, _ *ratchet.Budget) { d.PQRatchet = []byte{1, 9, 1, 0} }, ratchet.ErrAuth, 0},
	{"budget", func(_ *ratchet.Draft, b *ratchet.Budget) { b.Left = 1 }, ratchet.ErrTooExpensive, 0},
	{"agreement", func(d *ratchet.Draft, _ *ratchet.Budget) { copy(d.RatchetKey[1:], testutil.SmallOrderKeys()[0][1:]) }, keys.ErrZeroAgreement, 2},
	{"MAC", func(d *ratchet.Draft, _ *ratchet.Budget) { d.MACed[0] ^= 1 }, ratchet.ErrAuth, 2},
}

// Each message has one fault and all that come after it.
func TestRAT_14_OrderOfChecks(t *testing.T) {
	alice, bob := newTalk(t)
	for i, first := range faults {
		t.Run(first.name, func(t *testing.T) {
			d, budget := draft(t, again(t, alice), "text"), &ratchet.Budget{Left: 50_000}
			for j := len(faults) - 1; j >= i; j-- {
				faults[j].apply(d, budget)
			}
			left := budget.Left
			err := refuse(t, bob, d.Seal(), &ratchet.DecryptOptions{Budget: budget}, first.want)
			for _, other := range faults {
				if other.want != first.want {
					require.NotErrorIs(t, err, other.want)
				}
			}
			require.Equal(t, left-first.derive, budget.Left)
		})
	}
	say(t, alice, bob, "on")
}

// A duplicate is found out before anything is asked of the post-quantum part
// (wire-core, Section 8.4).
func TestRAT_14_DuplicateFirst(t *testing.T) {
	alice, bob := newTalk(t)
	d := draft(t, alice, "text")
	require.Equal(t, "text", read(t, bob, d.Seal()))
	d.PQRatchet = nil
	budget := &ratchet.Budget{Left: 7}
	refuse(t, bob, d.Seal(), &ratchet.DecryptOptions{Budget: budget}, ratchet.ErrDuplicate)
	require.EqualValues(t, 7, budget.Left)
}

// The addresses are looked at when the MAC held, and before the padding is.
func TestRAT_14_AddressesAfterTheMAC(t *testing.T) {
	alice, bob := newTalk(t)
	d := draft(t, alice, "text")
	d.Addresses = make([]byte, 36)
	o := &ratchet.DecryptOptions{Addresses: make([]byte, 36)}
	d.MACed[0] ^= 1
	refuse(t, bob, d.Seal(), o, ratchet.ErrAuth)
	d.MACed[0] ^= 1
	got, err := bob.Decrypt(d.Seal(), o)
	require.NoError(t, err)
	require.Equal(t, "text", string(got))
}
