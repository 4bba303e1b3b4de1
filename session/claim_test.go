package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
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

// Of what is for one user, other devices of the own account hear what it said of
// the own manifest, and not of his; what is for several, a group or the own
// account says nothing of theirs. So it is again when it is asked for again.
func TestClaimOfSend(t *testing.T) {
	from := at(ani, 1)
	one := contextOf(from, budi, "mine", "his")
	own := contextOf(from, "", "mine", "")
	for name, c := range map[string]struct {
		users  []string
		o      *session.SendOptions
		others *wire.HostingContext // what other users' devices get
		signed string
	}{
		"one user":          {[]string{budi}, nil, one, "mine"},
		"and the own one":   {[]string{budi, ani}, nil, one, "mine"},
		"several":           {[]string{budi, cici}, &session.SendOptions{Group: "team"}, own, ""},
		"a group of one":    {[]string{budi}, &session.SendOptions{Group: "team"}, own, ""},
		"all alike":         {[]string{budi}, new(chorus).options(), own, ""},
		"the own account":   {[]string{ani}, nil, nil, ""},
		"several, no group": {[]string{budi, cici}, &session.SendOptions{NoOwnDevices: true}, own, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, s, _ := heralded(t, nil, from, at(ani, 2), at(budi, 1), at(cici, 1))
			s.shows(t, ani, "mine")
			s.shows(t, budi, "his")
			s.shows(t, cici, "hers")
			send := func() *session.Sending {
				out, err := s.Send(ctx, c.users, &session.Content{Body: []byte("text")}, c.o)
				require.NoError(t, err)
				return out
			}
			check := func(to session.Address, plaintext []byte) {
				got := said(t, plaintext)
				require.Equal(t, "text", string(got.Body))
				require.Equal(t, c.signed, string(got.Manifest))
				if to.User == ani {
					require.Equal(t, own, got.Hosting)
				} else {
					require.Equal(t, c.others, got.Hosting)
				}
			}
			for _, res := range send().Results {
				require.NoError(t, res.Err)
				if res.Message.Type == session.TypeSenderKey {
					padded, err := wire.TrimPadding(res.Message.Bytes[1:])
					require.NoError(t, err)
					check(res.To, padded)
					continue
				}
				got, err := r.sides[res.To].Decrypt(ctx, from, res.Message, nil)
				require.NoError(t, err)
				check(res.To, got.Plaintext)
			}
			out := send()
			s.shows(t, ani, "mine, newer")
			for _, res := range out.Results {
				if res.Message.Type == session.TypeSenderKey {
					continue
				}
				to := r.sides[res.To]
				to.forgetSessions(t)
				again, err := s.Resend(ctx, res.To, r.asks(t, s, out, res.To))
				require.NoError(t, err)
				require.NoError(t, again.Results[0].Err)
				got, err := to.Decrypt(ctx, from, again.Results[0].Message, nil)
				require.NoError(t, err)
				check(res.To, got.Plaintext)
			}
		})
	}
}

// Without Options.Content a plaintext is the app's alone, and the gate is not
// asked what it says.
func TestClaimInRawMode(t *testing.T) {
	r := settled(t, session.Options{}, at(ani, 1), at(ani, 2), at(budi, 1))
	from := r.of(ani, 1)
	h := from.hears(t)
	from.shows(t, ani, "mine")
	from.shows(t, budi, "his")
	r.delivers(t, from, r.sends(t, from, "text", budi), "text", at(ani, 2), at(budi, 1))
	r.of(budi, 1).reads(t, from, from.send(t, r.of(budi, 1), "more"), "more")
	require.Zero(t, h.calls["Claim budi"]+h.calls["Claim "])
	require.NotZero(t, h.calls["Send budi"])
}

// What a message says counts when it is too large, and no device gets it then.
func TestClaimCounts(t *testing.T) {
	r := settled(t, session.Options{Content: true}, at(ani, 1), at(budi, 1))
	from := r.of(ani, 1)
	g := &turnstile{claim: session.Claim{Manifest: make([]byte, wire.MaxPlaintext-250)}}
	d := r.reopen(t, from, func(o *session.Options) { o.Gate = g })
	before := testutil.StoreDigest(t, from.store)
	_, err := d.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")}, nil)
	refused(t, err, session.ErrTooLarge)
	g.claim.Manifest = make([]byte, wire.MaxPlaintext)
	_, err = d.Encrypt(ctx, at(budi, 1), text("text"))
	refused(t, err, session.ErrTooLarge)
	require.Equal(t, before, testutil.StoreDigest(t, from.store))
}

// When what a message is to say changes while it is on its way into the store,
// it says what is so then: nothing that was encrypted before leaves.
func TestClaimChangesMeanwhile(t *testing.T) {
	for name, run := range map[string]func(d *session.Device) (*session.Message, error){
		"Send": func(d *session.Device) (*session.Message, error) {
			s, err := d.Send(ctx, []string{budi}, &session.Content{Body: []byte("text")}, nil)
			if err != nil {
				return nil, err
			}
			return s.Results[0].Message, nil
		},
		"Encrypt": func(d *session.Device) (*session.Message, error) { return d.Encrypt(ctx, at(budi, 1), text("text")) },
		"Tx.Encrypt": func(d *session.Device) (m *session.Message, err error) {
			err = d.Update(ctx, []session.Address{at(budi, 1)}, func(tx *session.Tx) error {
				m, err = tx.Encrypt(at(budi, 1), text("text"))
				return err
			})
			return m, err
		},
	} {
		for _, c := range []struct{ meanwhile, want string }{{"newer", "newer"}, {"mine", "mine"}} {
			t.Run(name+", "+c.meanwhile, func(t *testing.T) {
				r, from, _ := heralded(t, nil, at(ani, 1), at(budi, 1))
				from.shows(t, ani, "mine")
				from.shows(t, budi, "his")
				peer := r.of(budi, 1)
				dev, watch := from.spied(t)
				commits := 0
				watch.fail = func(call string, _ int) error {
					if call == "commit" {
						if commits++; commits == 1 {
							from.shows(t, ani, c.meanwhile)
						}
					}
					return nil
				}
				m, err := run(dev.Device)
				require.NoError(t, err)
				require.Equal(t, 2, commits)
				got, err := peer.Decrypt(ctx, at(ani, 1), m, nil)
				require.NoError(t, err)
				require.Equal(t, contextOf(at(ani, 1), budi, c.want, "his"), said(t, got.Plaintext).Hosting)
				require.Equal(t, c.want, string(said(t, got.Plaintext).Manifest))
				next, err := run(dev.Device)
				require.NoError(t, err)
				require.NoError(t, peer.decrypt(from, next))
				require.Equal(t, inner(t, m).Counter+1, inner(t, next).Counter, "each has its own counter")
			})
		}
	}
}
