package hosting_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestManifest(t *testing.T) {
	e := hosted(2, awan())
	e.Region = "Jakarta"
	e.Readers, e.Uses = hosting.Readers{Staff: true, AI: true}, hosting.Uses{OwnMarketing: true, Training: true}
	first := follow(t, nil, own(1, hosting.OwnerServer), e)
	require.NoError(t, first.Verify(start))
	require.Equal(t, accountKey.Public(), first.Key)
	require.True(t, first.Endpoints[1].Readers.AI)
	again, err := hosting.Parse(first.Bytes())
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, first.Hash(), again.Hash())

	second := follow(t, first, own(1, hosting.OwnerServer))
	require.NoError(t, second.Verify(start))
	require.Equal(t, first.Hash(), second.Previous)
	require.NotEqual(t, first.Hash(), second.Hash())
}

// Sizes stay near those of a prototype: 434 bytes for one endpoint, 1,559 for ten.
func TestManifestSize(t *testing.T) {
	one := follow(t, nil, hosted(1, awan()))
	require.Less(t, len(one.Bytes()), 460)
	require.Less(t, len(ownManifest(t, 10).Bytes()), 1600)
}

func ownManifest(t testing.TB, n uint32) *hosting.Manifest {
	var es []hosting.Endpoint
	for i := range n {
		es = append(es, own(1+i, hosting.OwnerServer))
	}
	return follow(t, nil, es...)
}

// What no manifest may be is refused when it is signed, and changes nothing.
func TestSignRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hosting.Manifest)
		want   error
	}{
		"no account":       {func(m *hosting.Manifest) { m.Account = "" }, session.ErrMalformed},
		"long account":     {func(m *hosting.Manifest) { m.Account = strings.Repeat("a", 65) }, session.ErrMalformed},
		"no UTF-8":         {func(m *hosting.Manifest) { m.Account = "\xFF" }, session.ErrMalformed},
		"kind 0":           {func(m *hosting.Manifest) { m.Kind = 0 }, session.ErrMalformed},
		"kind 4":           {func(m *hosting.Manifest) { m.Kind = 4 }, session.ErrMalformed},
		"epoch 0":          {func(m *hosting.Manifest) { m.Epoch = 0 }, session.ErrMalformed},
		"no start":         {func(m *hosting.Manifest) { m.NotBefore = time.Time{} }, session.ErrMalformed},
		"31 days":          {func(m *hosting.Manifest) { m.NotAfter = start.Add(30*day + time.Second) }, session.ErrMalformed},
		"end first":        {func(m *hosting.Manifest) { m.NotAfter = start.Add(-time.Second) }, session.ErrMalformed},
		"year 10000":       {func(m *hosting.Manifest) { m.Endpoints[0].NotAfter = time.Unix(253_402_300_800, 0) }, session.ErrMalformed},
		"401 days":         {func(m *hosting.Manifest) { m.Endpoints[0].NotAfter = start.Add(401 * day) }, session.ErrMalformed},
		"endpoint ends":    {func(m *hosting.Manifest) { m.Endpoints[0].NotAfter = start.Add(29 * day) }, session.ErrMalformed},
		"no endpoint":      {func(m *hosting.Manifest) { m.Endpoints = nil }, session.ErrMalformed},
		"order":            {func(m *hosting.Manifest) { slices.Reverse(m.Endpoints) }, session.ErrMalformed},
		"twice":            {func(m *hosting.Manifest) { m.Endpoints[1].Device = 1 }, session.ErrMalformed},
		"device 128":       {func(m *hosting.Manifest) { m.Endpoints[1].Device = 128 }, session.ErrMalformed},
		"controller 0":     {func(m *hosting.Manifest) { m.Endpoints[0].Controller = 0 }, session.ErrMalformed},
		"controller 6":     {func(m *hosting.Manifest) { m.Endpoints[0].Controller = 6 }, session.ErrMalformed},
		"storage 0":        {func(m *hosting.Manifest) { m.Endpoints[0].Storage = 0 }, session.ErrMalformed},
		"storage 4":        {func(m *hosting.Manifest) { m.Endpoints[0].Storage = 4 }, session.ErrMalformed},
		"no identity":      {func(m *hosting.Manifest) { m.Endpoints[0].Identity = keys.IdentityKey{} }, session.ErrMalformed},
		"no provider":      {func(m *hosting.Manifest) { m.Endpoints[1].Provider = nil }, session.ErrMalformed},
		"provider of own":  {func(m *hosting.Manifest) { m.Endpoints[0].Provider = awan() }, session.ErrMalformed},
		"no provider key":  {func(m *hosting.Manifest) { m.Endpoints[1].Provider = &hosting.Provider{Name: "A", Domain: "a.b"} }, session.ErrMalformed},
		"other statement":  {func(m *hosting.Manifest) { m.Endpoints[1].Readers.AI = true }, keys.ErrSignature},
		"no signature":     {func(m *hosting.Manifest) { m.Endpoints[1].Signature = nil }, session.ErrMalformed},
		"bad name":         {func(m *hosting.Manifest) { m.Endpoints[1].Provider.Name = "A\u202E" }, hosting.ErrLabelText},
		"bad region":       {func(m *hosting.Manifest) { m.Endpoints[1].Region = "A\u202E" }, hosting.ErrLabelText},
		"one key, two":     {func(m *hosting.Manifest) { m.Endpoints[1].Identity = m.Endpoints[0].Identity }, hosting.ErrSharedKeyAcrossControllers},
		"too many to read": {func(m *hosting.Manifest) { m.Endpoints[1].Region = strings.Repeat("a", 8<<10) }, session.ErrTooLarge},
	} {
		m := after(nil, own(1, hosting.OwnerServer), hosted(2, awan()))
		accept(t, m, accountKey)
		c.change(m)
		before := fmt.Sprint(m)
		b, err := m.Sign(accountKey)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, b, name)
		require.Equal(t, before, fmt.Sprint(m), name)
	}
}

func TestEndpointCount(t *testing.T) {
	require.NoError(t, ownManifest(t, 29).Verify(start))
	m := after(nil)
	for i := range uint32(33) {
		e := own(1+i, hosting.Person)
		e.Identity = accountKey.Public()
		require.NoError(t, e.Accept(toko, accountKey.Public(), accountKey))
		m.Endpoints = append(m.Endpoints, e)
	}
	_, err := m.Sign(accountKey)
	require.ErrorIs(t, err, session.ErrMalformed)
	m.Endpoints = m.Endpoints[:32]
	_, err = m.Sign(accountKey)
	require.NoError(t, err)
}

// Only who has the key can accept for it.
func TestAcceptByOthers(t *testing.T) {
	e := hosted(1, awan())
	require.ErrorIs(t, e.Accept(toko, accountKey.Public(), accountKey), hosting.ErrLabelMismatch)
	require.ErrorIs(t, e.Operate(toko, accountKey.Public(), bumiKey), hosting.ErrLabelMismatch)
	e = own(1, hosting.Person)
	require.ErrorIs(t, e.Operate(toko, accountKey.Public(), awanKey), hosting.ErrLabelMismatch)
	require.Nil(t, e.Signature)
}

func TestLBL_01_Forgery(t *testing.T) {
	m := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	r := rules()
	r.See(toko, m, start)
	next := follow(t, m, own(1, hosting.OwnerServer))
	for name, key := range map[string]*keys.IdentityKeyPair{"server": pair(99), "device": deviceKey(1), "provider": awanKey} {
		bad, err := hosting.Parse(changed(next, func(n *hosting.Manifest) {
			forged := *n
			accept(t, &forged, key)
			_, err := forged.Sign(key)
			require.NoError(t, err)
			n.Signature = forged.Signature
		}))
		require.NoError(t, err, name)
		require.ErrorIs(t, bad.Verify(start), keys.ErrSignature, name)
		unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, bad, start).Err, keys.ErrSignature, name) })
	}
	b := m.Bytes()
	step := 1
	if testing.Short() {
		step = 5
	}
	for i := 0; i < len(b); i += step { // every byte counts
		b[i] ^= 1
		require.Error(t, verifyBytes(b, start), "%d", i)
		b[i] ^= 1
	}
	require.NoError(t, verifyBytes(b, start))
}

// What an endpoint or provider signed for one device or account is nothing for
// another.
func TestLBL_04_Transplant(t *testing.T) {
	m := follow(t, nil, own(1, hosting.OwnerServer), own(2, hosting.OwnerServer), hosted(3, awan()))
	other := after(nil, hosted(3, awan()))
	other.Account = "warung"
	warung := signed(t, other, accountKey)
	for name, change := range map[string]func(*hosting.Manifest){
		"device": func(n *hosting.Manifest) { n.Endpoints[1].Signature = m.Endpoints[0].Signature },
		"role":   func(n *hosting.Manifest) { n.Endpoints[2].ProviderSignature = m.Endpoints[2].Signature },
		"back":   func(n *hosting.Manifest) { n.Endpoints[2].Signature = m.Endpoints[2].ProviderSignature },
		"account": func(n *hosting.Manifest) {
			n.Endpoints[2].Signature, n.Endpoints[2].ProviderSignature = warung.Endpoints[0].Signature, warung.Endpoints[0].ProviderSignature
		},
		"provider": func(n *hosting.Manifest) { n.Endpoints[2].ProviderSignature = warung.Endpoints[0].ProviderSignature },
		"of both":  func(n *hosting.Manifest) { n.Endpoints[0].Signature = n.Signature },
	} {
		require.ErrorIs(t, verifyBytes(changed(m, change), start), keys.ErrSignature, name)
	}
	r := rules()
	unchanged(t, r, func() { require.ErrorIs(t, r.See(toko, warung, start).Err, hosting.ErrLabelMismatch) })

	// The label of one device says nothing of another, nor of another key.
	r.See(toko, m, start)
	agree(t, r, start)
	require.NoError(t, r.May(toko, 1, deviceKey(1).Public(), start))
	require.NoError(t, r.May(toko, 1, keys.IdentityKey{}, start))
	require.ErrorIs(t, r.May(toko, 1, deviceKey(2).Public(), start), hosting.ErrLabelMismatch)
	require.ErrorIs(t, r.May(toko, 3, pair(77).Public(), start), hosting.ErrLabelMismatch)
	require.ErrorIs(t, r.May(toko, 4, keys.IdentityKey{}, start), hosting.ErrLabelMismatch)
}

func TestLBL_05_Clock(t *testing.T) {
	m := follow(t, nil, own(1, hosting.Person))
	for _, c := range []struct {
		at   time.Time
		want error
	}{
		{start.Add(-skew - time.Second), hosting.ErrManifestExpired}, {start.Add(-skew), nil}, {start.Add(-skew + time.Second), nil},
		{start.Add(30*day + skew - time.Second), nil}, {start.Add(30*day + skew), nil}, {start.Add(30*day + skew + time.Second), hosting.ErrManifestExpired},
	} {
		require.ErrorIs(t, m.Verify(c.at), c.want, "%v", c.at)
	}
	r := rules()
	r.See(toko, m, start)
	inState(t, r, start, "CURRENT")
	for _, at := range []time.Time{start.Add(30*day + skew + time.Second), start.Add(-skew - time.Second)} {
		inState(t, r, at, "EXPIRED")
		l := r.Label(at)
		require.True(t, l.Unknown) // never "private"
		require.ErrorIs(t, r.May(toko, 1, deviceKey(1).Public(), at), hosting.ErrManifestExpired)
	}
	inState(t, r, start.Add(30*day+skew), "CURRENT") // the clock was wrong, and is right again
}

// A signature of a manifest is no other signature, and no other is one.
func TestLBL_07_CrossProtocol(t *testing.T) {
	m := follow(t, nil, own(1, hosting.OwnerServer))
	public, other := accountKey.Public(), deviceKey(1).Public()
	for _, sig := range [][]byte{m.Signature, m.Endpoints[0].Signature} {
		require.ErrorIs(t, public.VerifyPreKey(other.PublicKey(), sig), keys.ErrSignature)
		require.ErrorIs(t, public.VerifyAlternate(other, sig), keys.ErrSignature)
		require.ErrorIs(t, other.VerifyPreKey(public.PublicKey(), sig), keys.ErrSignature)
		require.ErrorIs(t, other.VerifyAlternate(public, sig), keys.ErrSignature)
	}
	for _, sig := range [][]byte{accountKey.SignPreKey(other.PublicKey()), accountKey.SignAlternate(other), accountKey.Sign("gembok/hosting/1/endpoint", []byte("m"))} {
		require.ErrorIs(t, verifyBytes(changed(m, func(n *hosting.Manifest) { n.Signature = sig }), start), keys.ErrSignature)
	}
	// The labels are those of the specification.
	e := m.Endpoints[0]
	require.NoError(t, other.Verify("gembok/hosting/1/endpoint", hosting.Statement(&e, toko, public), e.Signature))
	require.NoError(t, public.Verify("gembok/hosting/1/account", hosting.Signed(m), m.Signature))
	h := follow(t, nil, hosted(1, awan())).Endpoints[0]
	require.NoError(t, awanKey.Public().Verify("gembok/hosting/1/provider", hosting.Statement(&h, toko, public), h.ProviderSignature))
}

func TestLBL_08_Parser(t *testing.T) {
	m := follow(t, nil, own(1, hosting.OwnerServer), hosted(2, awan()))
	b := m.Bytes()
	for i := range b {
		_, err := hosting.Parse(b[:i])
		require.ErrorIs(t, err, session.ErrMalformed, "%d", i)
	}
	_, err := hosting.Parse(make([]byte, 8<<10+1))
	require.ErrorIs(t, err, session.ErrTooLarge)
	// Each field once more, and one that is unknown: 16, a varint.
	inner := hosting.Signed(m)
	for name, more := range map[string][]byte{"unknown": {0x80, 0x01, 0x01}, "again": {0x08, 0x01}, "default": {0x18, 0x00}} {
		_, err := hosting.Parse(hosting.Wrapped(m, append(slices.Clone(inner), more...)))
		require.ErrorIs(t, err, session.ErrMalformed, name)
	}
	got, err := hosting.Parse(append(slices.Clone(b), 0x80, 0x01, 0x01)) // outside of what is signed
	require.NoError(t, err)
	require.Equal(t, b, got.Bytes())
	other := follow(t, nil, own(1, hosting.Person), own(2, hosting.Person)).Bytes()
	for _, twice := range [][]byte{append(slices.Clone(b), other...), append(slices.Clone(other), b...), append(slices.Clone(b), 0x0A, 0), append([]byte{0x1A, 0}, b...)} {
		_, err = hosting.Parse(twice)
		require.ErrorIs(t, err, session.ErrMalformed)
	}
	// Keys of small order, or not in range, sign nothing.
	for _, u := range []string{"\x00", "\x01"} {
		bad := []byte("\x05" + u + strings.Repeat("\x00", 31))
		k, err := keys.ParseIdentityKey(bad)
		require.NoError(t, err)
		_, err = hosting.Parse(changed(m, func(n *hosting.Manifest) { n.Key = k }))
		require.ErrorIs(t, err, session.ErrMalformed)
	}
}

func TestSharedKey(t *testing.T) {
	for name, c := range map[string]struct {
		a, b hosting.Endpoint
		want error
	}{
		"one party":     {own(1, hosting.Person), own(2, hosting.Person), nil},
		"one provider":  {hosted(1, awan()), hosted(2, awan()), nil},
		"own and other": {own(1, hosting.OwnerServer), hosted(2, awan()), hosting.ErrSharedKeyAcrossControllers},
		"two of own":    {own(1, hosting.OwnerDevice), own(2, hosting.OwnerServer), hosting.ErrSharedKeyAcrossControllers},
		"two providers": {hosted(1, awan()), hosted(2, bumi()), hosting.ErrSharedKeyAcrossControllers},
	} {
		c.b.Identity = c.a.Identity
		m := after(nil, c.a, c.b)
		accept(t, m, accountKey)
		_, err := m.Sign(accountKey)
		require.ErrorIs(t, err, c.want, name)
	}
}
