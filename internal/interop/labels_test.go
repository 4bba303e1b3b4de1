package interop_test

import (
	"context"
	"fmt"
	"testing"

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
