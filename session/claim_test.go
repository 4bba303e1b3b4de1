package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
)

// What Encrypt is given says of hosting what the gate claims, whatever the app
// put there, with one Load as ever.
func TestClaimOfEncrypt(t *testing.T) {
	p := contents(t, aliceAddress, nil)
	h := p.alice.hears(t)
	me, you := aliceAddress.User, bobAddress.User
	encrypt := map[string]func(d *session.Device, plaintext []byte) (*session.Message, error){
		"Encrypt": func(d *session.Device, plaintext []byte) (*session.Message, error) {
			return d.Encrypt(ctx, bobAddress, plaintext)
		},
		"Tx.Encrypt": func(d *session.Device, plaintext []byte) (m *session.Message, err error) {
			err = d.Update(ctx, []session.Address{bobAddress}, func(tx *session.Tx) error {
				m, err = tx.Encrypt(bobAddress, plaintext)
				return err
			})
			return m, err
		},
	}
	for _, c := range []struct {
		own, seen string
		want      *wire.HostingContext
	}{
		{"", "", nil},
		{"", "theirs", contextOf(aliceAddress, you, "", "theirs")},
		{"mine", "theirs", contextOf(aliceAddress, you, "mine", "theirs")},
		{"mine", "", contextOf(aliceAddress, you, "mine", "")},
	} {
		for name, run := range encrypt {
			p.alice.deletes(t, shownKey(me), shownKey(you))
			if c.own != "" {
				p.alice.shows(t, me, c.own)
			}
			if c.seen != "" {
				p.alice.shows(t, you, c.seen)
			}
			clear(h.calls)
			dev, watch := p.alice.spied(t)
			for _, plaintext := range [][]byte{text("hello"), wire.AppendContent(nil, &wire.Content{
				Body: []byte("hello"), Manifest: []byte("of the app's"), Hosting: contextOf(bobAddress, me, "x", "y")})} {
				watch.reset()
				m, err := run(dev.Device, plaintext)
				require.NoError(t, err, name)
				require.Len(t, watch.loads, 1)
				r, err := p.bob.Decrypt(ctx, aliceAddress, m, nil)
				require.NoError(t, err)
				got := said(t, r.Plaintext)
				require.Equal(t, "hello", string(got.Body))
				require.Equal(t, c.want, got.Hosting)
				require.Equal(t, c.own, string(got.Manifest))
			}
			require.Equal(t, map[string]int{"Claim " + you: 2, "Send " + you: 2}, h.calls)
		}
	}
}
