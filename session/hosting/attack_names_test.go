package hosting_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Names that can be taken for another, or for other text.
func TestLBL_09_NamesThatPass(t *testing.T) {
	for _, name := range []string{
		"PT \u0301Awan", "PT-\u0336Awan", "A\u0300\u0301\u0302\u0303\u0304wan", "Awan\uFFFC", "Awan\uFFFD", "A\u20DDwan", "1\u20E3 Awan",
	} {
		require.ErrorIs(t, hosting.CheckName(name), hosting.ErrLabelText, "%+q", name)
	}
	for _, name := range []string{"Nguyễn", "ที่นี่", "दिल्ली", "Ångström", "شَرِكَة", "PT Telkom Indonesia (Persero) Tbk", "བསྒྲུབས"} {
		require.NoError(t, hosting.CheckName(name), name)
	}
	for _, name := range []string{"ＰＴ Ａｗａｎ", "𝐏𝐓 𝐀𝐰𝐚𝐧", "PT 𝐀wan", "Ⓐwan", "PT Awan №"} {
		require.True(t, labelled(t, name).Mixed, name)
	}
	for _, name := range []string{"PT Awan", "Nguyễn", "東京クラウド", "Облако"} {
		require.False(t, labelled(t, name).Mixed, name)
	}
}

func labelled(t *testing.T, name string) hosting.Party {
	t.Helper()
	p := awan()
	p.Name = name
	l := hosting.LabelOf(known(), after(nil, hosted(1, p)))
	return l.Parties[0]
}

// What is written from right to left turns nothing but itself.
func TestLBL_09_Direction(t *testing.T) {
	p := &hosting.Provider{Name: "ענן", Domain: "1.example", Key: awanKey.Public()}
	l := hosting.LabelOf(nil, after(nil, hosted(1, p)))
	for _, line := range l.Lines("en") {
		if i := strings.Index(line, "ענן"); i >= 0 {
			require.Contains(t, line, "\u2068ענן\u2069 (1.example)")
		}
	}
	l = hosting.LabelOf(nil, after(nil, hosted(1, awan())))
	require.NotContains(t, strings.Join(l.Lines("en"), ""), "\u2068")
}

func TestLBL_09_Domains(t *testing.T) {
	for _, domain := range []string{
		"127.0.0.1", "1.2", "awan.example.", "AWAN.example", "аwan.example", "awan", "awan..example", "-a.example", "a b.example", "awan.example:443",
		strings.Repeat("a", 64) + ".example", "awan.123", "awan.example/",
	} {
		p := awan()
		p.Domain = domain
		notSigned(t, p)
	}
}

// The key of a provider is in its hands: it is that of no endpoint in others'.
func TestProviderKeyOfEndpoint(t *testing.T) {
	endpoint := func(c hosting.Controller, p *hosting.Provider) hosting.Endpoint {
		e := own(1, c)
		e.Identity, e.Provider = awanKey.Public(), p
		require.NoError(t, e.Accept(toko, accountKey.Public(), awanKey))
		return e
	}
	shared := after(nil, endpoint(hosting.OwnerServer, nil), hosted(2, awan()))
	acceptRest(t, shared)
	_, err := shared.Sign(accountKey)
	require.ErrorIs(t, err, hosting.ErrSharedKeyAcrossControllers)

	same := endpoint(hosting.HostedByProvider, awan()) // its own, for its own endpoint
	m := after(nil, same)
	require.NoError(t, m.Endpoints[0].Accept(toko, accountKey.Public(), awanKey))
	require.NoError(t, m.Endpoints[0].Operate(toko, accountKey.Public(), awanKey))
	_, err = m.Sign(accountKey)
	require.NoError(t, err)

	h := follow(t, nil, hosted(2, awan())) // from one manifest to the next
	next := after(h, endpoint(hosting.OwnerServer, nil))
	b, err := next.Sign(accountKey)
	require.NoError(t, err)
	got, err := hosting.Parse(b)
	require.NoError(t, err)
	r := rules()
	r.See(toko, h, start)
	agree(t, r, start)
	require.ErrorIs(t, r.See(toko, got, start).Err, hosting.ErrControllerChangedForKey)

	first := follow(t, nil, own(1, hosting.OwnerServer)) // and the other way round
	p := &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: deviceKey(1).Public()}
	next = after(first, hosted(2, p))
	require.NoError(t, next.Endpoints[0].Accept(toko, accountKey.Public(), deviceKey(2)))
	require.NoError(t, next.Endpoints[0].Operate(toko, accountKey.Public(), deviceKey(1)))
	_, err = next.Sign(accountKey)
	require.NoError(t, err)
	r = rules()
	r.See(toko, first, start)
	require.ErrorIs(t, r.See(toko, next, start).Err, hosting.ErrControllerChangedForKey)
}

// acceptRest makes the signatures that are missing.
func acceptRest(t *testing.T, m *hosting.Manifest) {
	t.Helper()
	sig := m.Endpoints[0].Signature
	accept(t, m, accountKey)
	m.Endpoints[0].Signature = sig
}

// Messages that a third party stores are asked about, also where the key is the
// owner's.
func TestStoredOutside(t *testing.T) {
	stored := own(1, hosting.OwnerServer)
	stored.Storage = hosting.StorageProvider
	m1 := follow(t, nil, own(1, hosting.OwnerServer))
	r := rules()
	r.See(toko, m1, start)
	r.See(toko, follow(t, m1, stored), start)
	inState(t, r, start, "PENDING")
	require.Equal(t, []hosting.Storage{hosting.StorageProvider}, asked(t, r, start).Diff.Wider.Storage)
	require.ErrorAs(t, r.May(toko, 1, keys.IdentityKey{}, start), new(*hosting.ConsentRequiredError))
	agree(t, r, start)
	inState(t, r, start, "CURRENT")
}

// A name does not say that the domain beside it is not meant.
func TestLBL_09_OtherDomainInName(t *testing.T) {
	for name, ok := range map[string]bool{
		"PT Aman (aman.example), bukan": false, "aman.example": false, "AMAN.EXAMPLE": false, "www.awan.example": false, "\u0430wan.example": false, "aman\uFF0Eexample": false, "x.aman.id/": false,
		"awan.example": true, "Awan.Example": true, "PT. Awan, Tbk.": true, "U.S. Cloud": true, "PT Awan (Persero) Tbk": true, "Awan 2.15": true, "A. B. C.": true,
	} {
		p := awan()
		p.Name = name
		m := after(nil, hosted(1, p))
		accept(t, m, accountKey)
		if _, err := m.Sign(accountKey); ok {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, hosting.ErrLabelText, name)
		}
	}
}

// What is out of date, or in dispute, is not shown as if it were so: LBL-05.
func TestLBL_05_NothingAssured(t *testing.T) {
	r := rules()
	r.See(toko, follow(t, nil, own(1, hosting.Person), own(2, hosting.OwnerServer), hosted(3, awan())), start)
	agree(t, r, start)
	held := func(at time.Time) (own, host bool) {
		l := r.Label(at)
		for _, lang := range []string{"en", "id"} {
			all := strings.Join(l.Lines(lang), "\n")
			own = own || strings.Contains(all, "own device") || strings.Contains(all, "itself") || strings.Contains(all, "sendiri")
			host = host || strings.Contains(all, "PT Awan (awan.example)")
		}
		return own, host
	}
	own1, host := held(start)
	require.True(t, own1 && host)
	own1, host = held(start.Add(31 * day))
	require.False(t, own1)
	require.True(t, host)
	r.See(toko, follow(t, nil, own(1, hosting.Person)), start)
	inState(t, r, start, "CONFLICT")
	own1, host = held(start)
	require.False(t, own1)
	require.True(t, host)
}
