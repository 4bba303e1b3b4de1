package person

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

var toko1, toko2 = deviceOf("toko", 1), deviceOf("toko", 2)

// aBusiness is one on its own server, and the provider's device that it may move to.
func aBusiness(t *testing.T, r *testRelay) (own, hosted *testPerson) {
	t.Helper()
	own = newTestMember(t, toko1, r, Business())
	own.arrives(t)
	hosted = newTestMember(t, toko2, r, Hosted("PT Awan Teduh", "awanteduh.example"))
	return own, hosted
}

// movesTo lets a business take the offer of a provider's device.
func (p *testPerson) movesTo(t *testing.T, hosted *testPerson) {
	t.Helper()
	hosted.live(t)
	require.NoError(t, p.Move(t.Context(), hosted.next(t, OfferEvent).Text))
	require.Contains(t, p.next(t, NoticeEvent).Text, "PT Awan Teduh (awanteduh.example)")
	hosted.next(t, ReadyEvent)
}

// The provider's device has a key of its own, all three sign, and nobody hears of it
// before.
func TestMove(t *testing.T) {
	r := newTestRelay(t)
	toko, awan := aBusiness(t, r)
	m, _ := r.devicesOf(t, toko1.User)
	require.Equal(t, hosting.KindBusiness, m.Kind)
	require.Equal(t, hosting.OwnerServer, m.Endpoints[0].Controller)
	require.False(t, m.Key.Equal(toko.device.Identity()), "the account has its own key")

	toko.movesTo(t, awan)
	next, devices := r.devicesOf(t, toko1.User)
	require.Equal(t, []uint32{2}, devices)
	require.Equal(t, m.Hash(), next.Previous)
	require.Equal(t, m.Key, next.Key)
	e := next.Endpoints[0]
	require.Equal(t, hosting.HostedByProvider, e.Controller)
	require.True(t, e.Identity.Equal(awan.device.Identity()))
	require.False(t, e.Identity.Equal(toko.device.Identity()), "no key moves")
	require.ErrorIs(t, toko.receiveSome(t.Context()), post.ErrRemoved)
	_, err := awan.accountKey()
	require.Error(t, err, "it does not sign for the account")
}

// What is not an offer for this account, or not signed by all, is not taken.
func TestMoveBadOffer(t *testing.T) {
	r := newTestRelay(t)
	toko, awan := aBusiness(t, r)
	before, _ := r.devicesOf(t, toko1.User)
	good, err := awan.offers(before.Key)
	require.NoError(t, err)
	stranger, err := awan.offers(awan.device.Identity()) // for another account
	require.NoError(t, err)
	codes := []string{"", "no offer", base64.RawURLEncoding.EncodeToString([]byte("{}"))}
	for _, o := range []func(o *offer){
		func(o *offer) { *o = *stranger },
		func(o *offer) { o.Name = "PT Awan Biru" },
		func(o *offer) { o.Domain = "awan biru" },
		func(o *offer) { o.Device = 3 },
		func(o *offer) { o.ProviderSignature = nil },
		func(o *offer) { o.Signature = o.ProviderSignature },
		func(o *offer) { o.Key = o.Identity[1:] },
	} {
		bad := *good
		o(&bad)
		code, err := bad.code()
		require.NoError(t, err)
		codes = append(codes, code)
	}
	for _, code := range codes {
		require.Error(t, toko.Move(t.Context(), code))
	}
	after, _ := r.devicesOf(t, toko1.User)
	require.Equal(t, before.Bytes(), after.Bytes())
	toko.silent(t)
}
