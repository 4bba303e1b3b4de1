package hosting_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

const (
	toko = "toko" // the account of most tests
	day  = 24 * time.Hour
	skew = 5 * time.Minute
)

// start is when manifests begin to hold.
var start = time.Unix(1_700_000_000, 0).UTC()

func pair(b byte) *keys.IdentityKeyPair {
	p, err := keys.NewIdentityKeyPair(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		panic(err)
	}
	return p
}

// The keys: of the account, of its endpoints by device, and of providers.
var (
	accountKey = pair(1)
	awanKey    = pair(100)
	bumiKey    = pair(101)
)

func deviceKey(device uint32) *keys.IdentityKeyPair { return pair(byte(10 + device)) }

func awan() *hosting.Provider {
	return &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: awanKey.Public()}
}

func bumi() *hosting.Provider {
	return &hosting.Provider{Name: "Bumi", Domain: "bumi.example", Key: bumiKey.Public()}
}

// own is an endpoint that nobody else hosts.
func own(device uint32, c hosting.Controller) hosting.Endpoint {
	return hosting.Endpoint{Device: device, Identity: deviceKey(device).Public(), Controller: c, Storage: hosting.StorageNone, NotAfter: start.Add(300 * day)}
}

// hosted is an endpoint at a provider.
func hosted(device uint32, p *hosting.Provider) hosting.Endpoint {
	e := own(device, hosting.HostedByProvider)
	e.Provider, e.Storage = p, hosting.StorageProvider
	e.Readers, e.Uses = hosting.Readers{Staff: true}, hosting.Uses{Service: true}
	return e
}

// after is a manifest that follows on another one, nil for none.
func after(last *hosting.Manifest, es ...hosting.Endpoint) *hosting.Manifest {
	m := &hosting.Manifest{Account: toko, Kind: hosting.KindBusiness, Epoch: 1, NotBefore: start, NotAfter: start.Add(30 * day), Endpoints: es}
	if last != nil {
		m.Epoch, m.Previous = last.Epoch+1, last.Hash()
	}
	return m
}

// accept makes the signatures of the endpoints.
func accept(t testing.TB, m *hosting.Manifest, account *keys.IdentityKeyPair) {
	t.Helper()
	for i := range m.Endpoints {
		e := &m.Endpoints[i]
		for d := range uint32(40) {
			if deviceKey(d).Public() == e.Identity {
				require.NoError(t, e.Accept(m.Account, account.Public(), deviceKey(d)))
			}
		}
		for _, p := range []*keys.IdentityKeyPair{awanKey, bumiKey} {
			if e.Provider != nil && e.Provider.Key == p.Public() {
				require.NoError(t, e.Operate(m.Account, account.Public(), p))
			}
		}
	}
}

// signed signs a manifest with a key of the account, and returns it as it is read.
func signed(t testing.TB, m *hosting.Manifest, account *keys.IdentityKeyPair) *hosting.Manifest {
	t.Helper()
	accept(t, m, account)
	b, err := m.Sign(account)
	require.NoError(t, err)
	got, err := hosting.Parse(b)
	require.NoError(t, err)
	return got
}

// follow is after, signed.
func follow(t testing.TB, last *hosting.Manifest, es ...hosting.Endpoint) *hosting.Manifest {
	t.Helper()
	return signed(t, after(last, es...), accountKey)
}

// changed returns the bytes of a manifest, changed before it is encoded and not
// signed anew.
func changed(m *hosting.Manifest, change func(*hosting.Manifest)) []byte {
	out := *m
	out.Endpoints = append([]hosting.Endpoint(nil), m.Endpoints...)
	change(&out)
	return out.Bytes()
}

func verifyBytes(b []byte, now time.Time) error {
	m, err := hosting.Parse(b)
	if err != nil {
		return err
	}
	return m.Verify(now)
}

// known are the providers that the app knows.
func known() map[string]keys.IdentityKey {
	return map[string]keys.IdentityKey{"awan.example": awanKey.Public(), "bumi.example": bumiKey.Public()}
}

func rules() *hosting.Rules { return hosting.NewRules(false, false, known()) }

// asked requires that consent is needed, and returns what for.
func asked(t testing.TB, r *hosting.Rules, now time.Time) *hosting.ConsentRequiredError {
	t.Helper()
	var e *hosting.ConsentRequiredError
	require.ErrorAs(t, r.May(toko, 1, keys.IdentityKey{}, now), &e)
	require.Equal(t, hosting.Token(toko, e.From, e.To), e.Token)
	require.Equal(t, toko, e.Account)
	return e
}

// agree says yes to what is asked.
func agree(t testing.TB, r *hosting.Rules, now time.Time) {
	t.Helper()
	require.NoError(t, r.Decide(toko, asked(t, r, now).Token, true, now))
}

func inState(t testing.TB, r *hosting.Rules, now time.Time, want hosting.State) {
	t.Helper()
	got, _ := r.State(now)
	require.Equal(t, want, got)
	require.Equal(t, want, r.Label(now).State)
	again := rules()
	require.NoError(t, again.Restore(r.Stored()))
	require.Equal(t, r.Label(now), again.Label(now))
	require.Equal(t, r.Stored(), again.Stored())
}

// unchanged requires that something leaves the record alone.
func unchanged(t testing.TB, r *hosting.Rules, do func()) {
	t.Helper()
	before := r.Stored()
	do()
	require.Equal(t, before, r.Stored())
}
