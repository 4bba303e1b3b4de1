package session_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// relied are the kinds of the records that the one Commit of an operation
// changes or expects to be as they were: all that it went by (design, Section
// 5). A record that it creates under a user has "peer" beside it.
var relied = map[string][]string{
	"Create":                     {"self"},
	"Publish":                    {"kem", "nextid", "prekey"},
	"MarkPublished":              {"kem", "prekey"},
	"Bundle":                     {"kem", "nextid", "prekey"},
	"Begin":                      {"identity", "peer", "session"},
	"Begin again":                {"archive", "identity", "peer", "session"},
	"Encrypt":                    {"identity", "session"},
	"Encrypt first":              {"identity", "session"},
	"Decrypt first":              {"identity", "kem", "peer", "prekey", "session", "signed"},
	"Decrypt first, last resort": {"basekey", "identity", "lastresort", "peer", "session", "signed"},
	"Decrypt first, other key":   {"archive", "identity", "kem", "peer", "prekey", "session", "signed"},
	"Decrypt renewal":            {"archive", "identity", "kem", "peer", "prekey", "session", "signed"},
	"Decrypt second":             {"identity", "session"},
	"Decrypt":                    {"identity", "session"},
	"Decrypt archived":           {"archive", "identity", "peer", "session"},
	"AcceptIdentity":             {"archive", "identity", "peer", "session"},
	"Archive":                    {"archive", "peer", "session"},
	"ExportSession":              {"archive", "session"},
	"ImportSession":              {"archive", "identity", "peer", "session"},
}

func TestCommitsExpectWhatTheyReliedOn(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			s, run := op.setup(t)
			tr := try(t, s, run)
			require.NoError(t, tr.do())
			want, commits := relied[op.name], tr.watch.commits
			if want == nil {
				require.Empty(t, commits)
				return
			}
			require.Len(t, commits, 1)
			var got []string
			for _, c := range commits[0] {
				got = append(got, c.Key.Kind)
			}
			slices.Sort(got)
			require.Equal(t, want, slices.Compact(got))
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
