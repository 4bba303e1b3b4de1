package session_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// relied is the one Commit of each operation: which kinds of records it puts
// (+), deletes (-), or expects to be as they were (=), all that it went by
// (design, Section 5). Beside a record that is new under a user there is "peer".
var relied = map[string]string{
	"Create":                          "+self",
	"Publish":                         "+kem +nextid +prekey",
	"MarkPublished":                   "+kem +lastresort +prekey +signed",
	"Upkeep":                          "+event +nextid +prekey",
	"Upkeep for the first time":       "+kem +lastresort +nextid +prekey +signed +upkeep",
	"Upkeep on another day":           "+event +lastresort +mark +nextid +prekey +signed +upkeep -body -mark -staged",
	"Upkeep at the end of their time": "+event +lastresort +mark +nextid +prekey +signed +upkeep -basekey -body -lastresort -mark -signed -staged",
	"Bundle":                          "+kem +nextid +prekey",
	"Begin":                           "+identity +session =peer",
	"Begin again":                     "+archive +session =identity =peer",
	"Encrypt":                         "+session =identity =peer",
	"Encrypt first":                   "+session =identity =peer",
	"Decrypt first":                   "+identity +session +staged -kem -prekey =peer =signed",
	"Decrypt first, accepted before":  "+session +staged -kem -prekey =identity =peer =signed",
	"Decrypt first, last resort":      "+basekey +identity +session +staged =lastresort =peer =signed",
	"Decrypt first, other key":        "+archive +identity +session +staged -kem -prekey =peer =signed",
	"Decrypt renewal":                 "+archive +session +staged -kem -prekey =identity =peer =signed",
	"Decrypt second":                  "+session +staged =identity =peer",
	"Decrypt":                         "+session +staged =identity =peer",
	"Decrypt archived":                "+archive +session +staged -archive =identity =peer",
	"AcceptIdentity":                  "+archive +identity +session -archive =peer",
	"AcceptIdentity in advance":       "+identity =peer",
	"Archive":                         "+archive +session =peer",
	"ExportSession":                   "=archive =session",
	"ImportSession":                   "+archive +session =identity =peer",
	"ImportSession of one":            "+session =identity =peer",
	"Begin anew":                      "+session =identity =peer",
	"Decrypt large":                   "+body +session +staged =identity =peer",
	"Acknowledge":                     "+mark -staged",
	"Acknowledge large":               "+mark -body -staged",
	"AcknowledgeEvents":               "-event",
	"Update":                          "+draft +event +session +staged =identity =peer",
	"Update of a feature":             "+body +staged =draft =identity =peer",
	"Decrypt at a gate":               "+seen +session +staged =identity =paid =peer",
	"Encrypt at a gate":               "+session =identity =paid =peer =seen",
	"Send and Encrypt at a gate":      "+session =agreed =identity =peer =sent =shown",
	"Refresh at a gate":               "+event +peer +shown =agreed =shown",
	"Begin at a gate":                 "+event +identity +session +shown =agreed =peer =shown",
	"Link at a gate":                  "+link =peer =shown",
	"Block":                           "+peer",
	"Block no more":                   "+peer",
	"Link":                            "+link =peer",
	"Decrypt Content":                 "+identity +session +staged -kem -prekey =peer =signed",
	"Encrypt Content":                 "+session =identity =peer",
	"Verify":                          "+identity",
	"Rename":                          "+archive +body +event +identity +peer +retry +senderkey +sent +session +staged -archive -body -event -identity -peer -retry -senderkey -session -staged =identity =retry =session",
	"Rename a name":                   "+peer -peer =identity =retry =session",
	"Forget":                          "+sent -archive -body -event -identity -peer -retry -senderkey -sent -session -staged =identity =retry =session",
	"Begin with an own device":        "+identity +session =peer",
	"Decrypt first, own, other key":   "+archive +identity +session +staged -kem -prekey =peer =signed",
	"RequestRetry":                    "+retry =peer",
	"Resend and Encrypt anew":         "+archive +retry +sent +session =identity =peer",
	"Resend and Encrypt":              "+retry +sent +session =identity =peer",
	"Send and Encrypt":                "+session =identity =peer =sent",
	"Send and Encrypt for all alike":  "+senderkey =identity =peer =sent =session",
	"Reconcile what all got alike":    "+archive +event +peer +session -sent",
	"Send and Encrypt first":          "+identity +peer +sent +session",
	"Send and Encrypt anew":           "+archive +peer +session =identity =peer =sent",
	"Reconcile and Encrypt anew":      "+archive +sent +session =identity =peer",
	"Reconcile and leave out":         "+archive +event +peer +session -sent",
	"Accept":                          "+peer -archive -sent -session",
	"Refresh":                         "+event +peer =session",
	"MarkRead":                        "+staged",
	"MarkRead large":                  "+staged",
	"Acknowledge what was read":       "+mark -body -staged",
	"Decrypt an own device's":         "+identity +session +staged -kem -prekey =peer =signed",
	"Upkeep of what disappeared":      "+event +mark +nextid +prekey -body -staged",
	"Upkeep with the clock set back":  "+event +nextid +prekey +staged",
	"CheckGeneration":                 "+restore",
	"AfterRestore":                    "+archive +draft +lastresort +nextid +session +signed -kem -prekey -restore -senderkey =peer",
}

func TestCommitsExpectWhatTheyReliedOn(t *testing.T) {
	signs := map[keystore.Op]string{keystore.Put: "+", keystore.Delete: "-", keystore.Check: "="}
	for _, op := range everyOperation() {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			tr := try(t, s, run)
			require.NoError(t, tr.do())
			var got []string
			for _, changes := range tr.watch.commits {
				for _, c := range changes {
					got = append(got, signs[c.Op]+c.Key.Kind)
				}
			}
			slices.Sort(got)
			require.Equal(t, relied[op.name], strings.Join(slices.Compact(got), " "))
			require.LessOrEqual(t, len(tr.watch.commits), 1)
		})
	}
}

// Whatever another process does to a record between Load and Commit, the
// operation runs again, and goes by what is there then: here a key is accepted
// while a message on a session under the key before is on its way.
func TestAcceptedMeanwhile(t *testing.T) {
	p := friends(t)
	other := p.reinstalled(t)
	other.begin(t, p.bob)
	p.bob.reads(t, other, other.send(t, p.bob, "new"), "new")
	old := p.alice.current(t, p.bob)
	p.alice.begin(t, p.bob)
	p.bob.reads(t, p.alice, p.alice.send(t, p.bob, "newer"), "newer") // the old one is archived
	m := says(t, old, "late")
	bob, watch := p.bob.spied(t)
	done := false
	watch.fail = func(call string, _ int) error {
		if call != "commit" || done {
			return nil
		}
		done = true
		return p.bob.AcceptIdentity(ctx, aliceAddress, other.Identity())
	}
	r, err := bob.Decrypt(ctx, aliceAddress, m, nil)
	require.NoError(t, err)
	require.True(t, done)
	require.False(t, r.Accepted)
	require.Equal(t, other.Identity().Bytes(), p.bob.state(t, p.alice).RemoteIdentity)
	_, err = bob.Encrypt(ctx, aliceAddress, nil)
	require.NoError(t, err)

	// The same while an answer is on its way out, with a key that nothing is
	// known of: no ciphertext leaves.
	done = false
	watch.fail = func(call string, _ int) error {
		if call != "commit" || done {
			return nil
		}
		done = true
		k := p.bob.key("identity", aliceAddress.User, decimal(aliceAddress.Device))
		p.bob.write(t, k, seenAnother(t, p.bob.load(t, k).Value))
		return nil
	}
	_, err = bob.Encrypt(ctx, aliceAddress, nil)
	refusedAs[*session.UntrustedIdentityError](t, err)
}

// seenAnother is a record "identity" after a handshake of another key.
func seenAnother(t *testing.T, value []byte) []byte {
	id, err := wire.ParseIdentity(value[1:])
	require.NoError(t, err)
	id.Seen = keys.GenerateIdentityKeyPair().Public().Bytes()
	return wire.AppendIdentity(value[:1], &id)
}
