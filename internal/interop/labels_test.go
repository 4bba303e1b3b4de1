package interop_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A labelTown is ani, who has a device of gembok that asks before it sends, and
// toko, whose device is of the official library: that knows nothing of labels.
type labelTown struct {
	*town
	awan
	ani, toko *citizen
	gate      *hosting.Gate
}

func newLabelTown(t *testing.T) *labelTown {
	w := &labelTown{town: newTown(t, interop.Share(t), true), awan: newAwan(), gate: hosting.NewGate("ani", nil)}
	w.gates["ani"] = w.gate
	w.ani = w.move(session.Address{User: "ani", Device: 1}, keys.GenerateIdentityKeyPair(), false)
	w.toko = w.move(session.Address{User: "toko", Device: 1}, keys.GenerateIdentityKeyPair(), true)
	return w
}

// publish has ani state that her key is her own.
func (w *labelTown) publish(last *hosting.Manifest) *hosting.Manifest {
	w.t.Helper()
	m := w.states(w.t, "ani", w.ani.identity, last, 0, w.ani.identity)
	require.NoError(w.t, w.gate.Publish(context.Background(), w.ani.device, m.Bytes()))
	return m
}

// asks requires that nothing is encrypted before somebody agreed, and returns to
// what. It stays so, and once the Directory was asked, nothing changes.
func (w *labelTown) asks(state hosting.State) *hosting.ConsentRequiredError {
	w.t.Helper()
	ctx, refused := context.Background(), &session.Content{Body: []byte("refused")}
	_, err := w.ani.device.Send(ctx, []string{"toko"}, refused, nil)
	first := w.asked(err)
	require.Equal(w.t, state, first.State)
	before := testutil.StoreDigest(w.t, w.ani.store)
	_, err = w.ani.device.Send(ctx, []string{"toko"}, refused, nil)
	require.Equal(w.t, first, w.asked(err))
	_, err = w.ani.device.Encrypt(ctx, w.toko.address, refused.Bytes())
	require.Equal(w.t, first, w.asked(err))
	require.Equal(w.t, before, testutil.StoreDigest(w.t, w.ani.store))
	return first
}

func (w *labelTown) asked(err error) *hosting.ConsentRequiredError {
	w.t.Helper()
	var e *hosting.ConsentRequiredError
	require.ErrorAs(w.t, err, &e)
	return e
}

func (w *labelTown) decides(e *hosting.ConsentRequiredError, a hosting.Answer) {
	w.t.Helper()
	require.NoError(w.t, w.gate.Consent(context.Background(), w.ani.device, e.Account, e.Token, a))
}

// inState requires a state.
func (w *labelTown) inState(state hosting.State) hosting.Label {
	w.t.Helper()
	l, err := w.gate.Label(context.Background(), w.ani.device, "toko")
	require.NoError(w.t, err)
	require.Equal(w.t, state, l.State)
	return l
}

// tells has ani send a text, and returns the Content that the official library
// decrypted.
func (w *labelTown) tells(text string) *wire.Content {
	w.t.Helper()
	letters := w.ani.say(text, "toko")
	require.Len(w.t, letters, 1)
	b, err := w.toko.party.Decrypt(w.ani.remote(), letters[0].msg)
	require.NoError(w.t, err)
	content, err := wire.ParseContent(unpad(w.t, b))
	require.NoError(w.t, err)
	require.Equal(w.t, text, string(content.Body))
	require.Equal(w.t, letters[0].sentAt, content.SentAt)
	return content
}

// hears has the official library encrypt a Content, which ani reads whatever
// her gate says, and returns what the gate noted.
func (w *labelTown) hears(c *wire.Content) *hosting.Receipt {
	w.t.Helper()
	w.clock++
	c.SentAt, c.Body = w.clock, fmt.Appendf(nil, "text %d", w.clock)
	w.toko.sessionWith(w.ani.address)
	r, err := w.ani.receive(w.toko.encryptBytes(w.ani, pad(wire.AppendContent(nil, c))))
	require.NoError(w.t, err)
	require.Equal(w.t, c.Body, r.Content.Body)
	receipt, err := w.gate.Receipt(r)
	require.NoError(w.t, err)
	require.NoError(w.t, w.ani.device.Acknowledge(context.Background(), r))
	return receipt
}

// Of a peer that never said who has its keys, all is read, and the user is asked
// once before anything is sent: then all goes through, both ways.
func TestInteropLabelUnattested(t *testing.T) {
	w := newLabelTown(t)
	for range 3 {
		receipt := w.hears(&wire.Content{})
		require.Equal(t, hosting.State("UNATTESTED"), receipt.Label.State)
		require.True(t, receipt.Label.Unknown)
		require.False(t, receipt.Listed)
		require.Nil(t, receipt.Claimed)
		require.Zero(t, receipt.Epoch)
		e := w.asks("UNATTESTED")
		require.Equal(t, [2][32]byte{}, [2][32]byte{e.From, e.To})
	}
	w.decides(w.asks("UNATTESTED"), hosting.No)
	w.hears(&wire.Content{})
	w.decides(w.asks("DECLINED"), hosting.Yes)
	for i := range 20 {
		content := w.tells(fmt.Sprint("text ", i))
		require.Nil(t, content.Hosting) // ani has nothing to say of hers
		require.Nil(t, content.Manifest)
		w.hears(&wire.Content{Timer: &wire.Timer{Seconds: uint32(i), Version: 1}})
		require.True(t, w.inState("UNATTESTED").Unknown)
	}
	answers := make(map[hosting.Answer]int)
	for c, err := range w.gate.Consents(context.Background(), w.ani.device) {
		require.NoError(t, err)
		require.Equal(t, "toko", c.Account)
		answers[c.Answer]++
	}
	require.Equal(t, map[hosting.Answer]int{hosting.No: 1, hosting.Yes: 1}, answers)
}

// The official library reads messages that have a hosting context and a manifest
// in them as it reads others. As it never says that the manifest was seen, that
// comes along for a week.
func TestInteropLabelContent(t *testing.T) {
	w := newLabelTown(t)
	w.hears(&wire.Content{})
	w.decides(w.asks("UNATTESTED"), hosting.Yes)
	w.tells("without")
	var m *hosting.Manifest
	for epoch := range uint64(3) {
		m = w.publish(m)
		hash := m.Hash()
		for i := range 10 {
			content := w.tells(fmt.Sprintf("text %d of epoch %d", i, epoch))
			require.Equal(t, &wire.HostingContext{Sender: "ani", SenderDevice: 1, Recipient: "toko", Epoch: epoch + 1, Hash: hash[:]}, content.Hosting)
			got, err := hosting.Parse(content.Manifest)
			require.NoError(t, err)
			require.NoError(t, got.Verify(time.Now()))
			require.Equal(t, hash, got.Hash())
			require.Equal(t, w.ani.identity.Public(), got.Key)
			if i%3 == 0 {
				w.hears(&wire.Content{})
			}
		}
	}
	w.later = 8 * 24 * time.Hour
	content := w.tells("a week later")
	require.Equal(t, m.Epoch, content.Hosting.Epoch)
	require.Nil(t, content.Manifest)
}

// An app over the official library that does state who has its keys needs no
// other library for it: what it puts into its messages counts.
func TestInteropLabelStated(t *testing.T) {
	w := newLabelTown(t)
	mine := w.publish(nil)
	second := keys.GenerateIdentityKeyPair()
	itself := w.states(t, "toko", w.toko.identity, nil, 0, w.toko.identity)
	at := w.states(t, "toko", w.toko.identity, itself, 1, w.toko.identity, second)

	shows := func(m *hosting.Manifest, seen uint64) *wire.Content {
		hash, own := m.Hash(), mine.Hash()
		context := &wire.HostingContext{Sender: "toko", SenderDevice: 1, Recipient: "ani", Epoch: m.Epoch, Hash: hash[:]}
		if seen > 0 {
			context.SeenEpoch, context.SeenHash = seen, own[:]
		}
		return &wire.Content{Hosting: context, Manifest: m.Bytes()}
	}
	receipt := w.hears(shows(itself, 0))
	require.True(t, receipt.Listed)
	require.Equal(t, itself.Hash(), receipt.Hash)
	w.inState("CURRENT")
	content := w.tells("no question")
	hash := itself.Hash()
	require.Equal(t, []any{uint64(1), hash[:]}, []any{content.Hosting.SeenEpoch, content.Hosting.SeenHash})
	require.Equal(t, mine.Bytes(), content.Manifest)
	w.hears(shows(itself, 1))
	require.Nil(t, w.tells("which was seen").Manifest)

	w.hears(shows(at, 1))
	e := w.asks("PENDING")
	require.Equal(t, [][32]byte{itself.Hash(), at.Hash()}, [][32]byte{e.From, e.To})
	require.Equal(t, "awan.example", e.Diff.Wider.Parties[0].Domain)
	w.hears(&wire.Content{})
	w.decides(e, hosting.Yes)
	w.tells("agreed")
	l := w.inState("CURRENT")
	require.True(t, l.Hosted())

	// Ids that are not the session's do not count, and the text is read.
	forged := shows(itself, 9)
	forged.Hosting.Recipient, forged.Manifest = "budi", nil
	w.hears(forged)
	w.tells("as before")
}

// Users with devices of both kinds, whose manifests are known on all sides,
// read everything, copies included.
func TestInteropLabelTown(t *testing.T) {
	w, a := newTown(t, interop.Share(t), true), newAwan()
	gates := map[string]*hosting.Gate{"ani": hosting.NewGate("ani", nil), "citra": hosting.NewGate("citra", nil)}
	for user, g := range gates {
		w.gates[user] = g
	}
	w.halves()
	for user, g := range gates {
		id := w.of(user, 1).identity
		m := a.states(t, user, id, nil, 0, id, id, id, id)
		w.manifests[user] = m.Bytes()
		for _, device := range []uint32{1, 3} {
			require.NoError(t, g.Publish(context.Background(), w.of(user, device).device, m.Bytes()))
		}
	}
	for i := range 3 {
		w.everyone(fmt.Sprint("round ", i), "citra")
	}
	l, err := gates["ani"].Label(context.Background(), w.of("ani", 1).device, "citra")
	require.NoError(t, err)
	require.Equal(t, hosting.State("CURRENT"), l.State)
}

// In a group, and in envelopes, the official library reads the same: what is for
// several names no recipient and shows no manifest.
func TestInteropLabelGroup(t *testing.T) {
	ctx, w, gate := context.Background(), newSealedTown(t), hosting.NewGate(aliceName, nil)
	w.gates[aliceName] = gate
	ani, budi := w.settleIn(session.Address{User: aliceName, Device: 1}, false), w.settleIn(session.Address{User: bobName, Device: 1}, true)
	m := newAwan().states(t, aliceName, ani.identity, nil, 0, ani.identity)
	require.NoError(t, gate.Publish(ctx, ani.device, m.Bytes()))
	require.NoError(t, ani.groups.Set(ctx, "g", []string{aliceName, bobName}, nil))
	_, err := ani.groups.Distribute(ctx, "g", nil)
	var e *hosting.ConsentRequiredError
	require.ErrorAs(t, err, &e)
	require.NoError(t, gate.Consent(ctx, ani.device, bobName, e.Token, hosting.Yes))

	seal := &session.SendOptions{Seal: w.sender(ani).SealAll(0, nil)}
	hash, from := m.Hash(), interop.Address{Name: aliceName, Device: 1}
	for i, o := range []*session.SendOptions{nil, seal} {
		if i == 0 {
			key, err := ani.groups.Distribute(ctx, "g", o)
			require.NoError(t, err)
			require.NoError(t, ani.groups.Accept(ctx, key))
			require.NoError(t, budi.takesKey(ani.post(key)[0]))
		}
		s, err := ani.groups.Send(ctx, "g", &session.Content{Body: []byte("to all")}, o)
		require.NoError(t, err)
		var plain []byte
		if s.Envelope == nil {
			plain, err = budi.party.GroupDecrypt(from, s.Results[0].Message.Bytes)
		} else {
			sent, err := w.town.p.Split(s.Envelope)
			require.NoError(t, err)
			_, plain, err = w.plaintextTheirs(budi, sent.Recipients[0].Bytes, time.Now())
			require.NoError(t, err)
		}
		require.NoError(t, err)
		content, err := wire.ParseContent(unpad(t, plain))
		require.NoError(t, err)
		require.Equal(t, "to all", string(content.Body))
		require.Equal(t, &wire.HostingContext{Sender: aliceName, SenderDevice: 1, Epoch: 1, Hash: hash[:]}, content.Hosting)
		require.Nil(t, content.Manifest)
	}
	s, err := ani.device.Send(ctx, []string{bobName}, &session.Content{Body: []byte("to one")}, seal)
	require.NoError(t, err)
	_, plain, err := w.plaintextTheirs(budi, s.Results[0].Message.Bytes, time.Now())
	require.NoError(t, err)
	content, err := wire.ParseContent(unpad(t, plain))
	require.NoError(t, err)
	require.Equal(t, bobName, content.Hosting.Recipient)
	require.Equal(t, m.Bytes(), content.Manifest)
}
