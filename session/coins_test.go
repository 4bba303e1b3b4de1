package session_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// What operations draw, in bytes.
const (
	curveKey   = 32 // a ratchet key, base key, identity key or prekey
	signature  = 64
	kemKey     = 64
	kemSecret  = 32
	regID      = 4
	eventID    = 16
	braidOwner = 64 // the key pair of an epoch of the post-quantum ratchet
)

// lastingKeys are a signed prekey and a last-resort one.
var lastingKeys = []int{curveKey, signature, kemKey, signature}

// coins are the draws of each operation. All else is computed from what is
// there.
var coins = map[string][]int{
	"Create":  {curveKey, regID},
	"Publish": slices.Concat(slices.Repeat([]int{curveKey}, 3), slices.Repeat([]int{kemKey, signature}, 3)),
	"Bundle":  {curveKey, kemKey, signature},
	"Upkeep":  {curveKey, curveKey, eventID},
	"Upkeep for the first time": slices.Concat(slices.Repeat([]int{curveKey}, 3),
		slices.Repeat([]int{kemKey, signature}, 3), lastingKeys),
	"Upkeep on another day":           slices.Concat([]int{curveKey, curveKey, eventID}, lastingKeys),
	"Upkeep at the end of their time": slices.Concat([]int{curveKey, curveKey, eventID}, lastingKeys),
	// base key, secret, first ratchet key
	"Begin":                        {curveKey, kemSecret, curveKey},
	"Begin at a gate":              {curveKey, kemSecret, curveKey, eventID},
	"Refresh at a gate":            {eventID},
	"Begin again":                  {curveKey, kemSecret, curveKey},
	"Begin anew":                   {curveKey, kemSecret, curveKey},
	"Encrypt first":                {braidOwner},
	"Resend and Encrypt anew":      {curveKey, kemSecret, curveKey, braidOwner},
	"Resend and Encrypt":           {braidOwner},
	"Send and Encrypt first":       {curveKey, kemSecret, curveKey, braidOwner},
	"Send and Encrypt anew":        {curveKey, kemSecret, curveKey, braidOwner},
	"Reconcile and Encrypt anew":   {curveKey, kemSecret, curveKey, braidOwner},
	"Reconcile and leave out":      {eventID},
	"Reconcile what all got alike": {eventID},
	"Refresh":                      {eventID, eventID},
	"Begin with an own device":     {curveKey, kemSecret, curveKey},
	// each is a DH step
	"Decrypt first":                  {curveKey},
	"Decrypt first, accepted before": {curveKey},
	"Decrypt first, last resort":     {curveKey},
	"Decrypt first, other key":       {curveKey},
	"Decrypt first, own, other key":  {curveKey},
	"Decrypt renewal":                {curveKey},
	"Decrypt large":                  {curveKey},
	"Decrypt at a gate":              {curveKey},
	"Update":                         {curveKey, eventID},
	"Decrypt":                        {curveKey},
	"Decrypt archived":               {curveKey},
	"Decrypt Content":                {curveKey},
	"Decrypt an own device's":        {curveKey},
	"Upkeep of what disappeared":     {curveKey, curveKey, eventID},
	"Upkeep with the clock set back": {curveKey, curveKey, eventID},
	"AfterRestore":                   lastingKeys,
}

func TestRNG_01_Coins(t *testing.T) {
	for _, op := range everyOperation() {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			require.Equal(t, coins[op.name], testutil.Coins(t, func() []byte {
				tr := try(t, s, run)
				require.NoError(t, run(ctx, tr.Device, tr.watch))
				digest := tr.digest(t)
				return digest[:]
			}))
		})
	}
}

// Two machines that go on from one snapshot, as clones do, share nothing that
// is drawn after it.
func TestRNG_03_Clones(t *testing.T) {
	p := friends(t)
	m, b := p.alice.send(t, p.bob, "text"), bundleOf(t, p.alice)
	drawn := map[string]bool{}
	add := func(keys ...[]byte) {
		for _, k := range keys {
			require.False(t, drawn[string(k)])
			drawn[string(k)] = true
		}
	}
	for range 2 {
		bob := p.bob.reopen(t)
		bob.reads(t, p.alice, m, "text") // a DH step
		s := bob.state(t, p.alice)
		add(s.RootKey, s.Sender.PrivateKey, s.Sender.Key)
		require.NoError(t, bob.Begin(ctx, aliceAddress, b))
		s = bob.state(t, p.alice)
		add(s.BaseKey, s.RootKey, s.Sender.PrivateKey, s.Sender.Key, s.PendingKEM.Ciphertext)
		add(bob.send(t, p.alice, "").Bytes)
		pub, err := bob.Publish(ctx)
		require.NoError(t, err)
		require.Len(t, pub.PreKeys, 100)
		for i := range pub.PreKeys {
			add(pub.PreKeys[i].Key.Bytes())
		}
		for i := range pub.KEMPreKeys {
			add(pub.KEMPreKeys[i].Key.Bytes(), pub.KEMPreKeys[i].Signature)
		}
		add(pub.LastResort.Key.Bytes(), pub.LastResort.Signature)
	}
	require.Greater(t, len(drawn), 600)
}
