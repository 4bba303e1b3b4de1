package hosting_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/hosting"
)

func TestLBL_09_Display(t *testing.T) {
	for name, bad := range map[string]string{
		"empty": "", "right to left": "Bank\u202Ekna", "isolate": "A\u2066B", "mark": "A\u200F", "zero width": "Ba\u200Bnk", "joiner": "Ba\u200Dnk",
		"byte order": "\uFEFFBank", "control": "Bank\n", "delete": "A\x7F", "soft hyphen": "Ba\u00ADnk", "no-break": "A\u00A0B", "wide space": "A\u3000B",
		"line": "A\u2028B", "filler": "A\u3164B", "grapheme joiner": "A\u034FB", "variation": "A\uFE0F", "braille": "A\u2800B", "tag": "A\U000E0041",
		"private": "A\uE000", "unassigned": "A\u0378", "not NFC": "Cafe\u0301", "compatible order": "A\u0301\u0323", "mark first": "\u0301A", "space first": " A", "space last": "A ",
		"spaces": "A  B", "only signs": "---", "65 runes": strings.Repeat("a", 65), "no UTF-8": "A\xFF",
	} {
		require.ErrorIs(t, hosting.CheckName(bad), hosting.ErrLabelText, name)
		p := awan()
		p.Name = bad
		notSigned(t, p)
	}
	for _, good := range []string{"PT Awan", "Café №1", "ग्राहक", "トヨタ 自動車", "Ωmega & Söhne (3)", strings.Repeat("é", 64), "7"} {
		require.NoError(t, hosting.CheckName(good), good)
	}
	for _, domain := range []string{"", "awan", "awan..id", "-a.id", "a-.id", "A.id", "a_b.id", "a b.id", ".id", strings.Repeat("a", 64) + ".id", strings.Repeat("a.", 127) + "id"} {
		p := awan()
		p.Domain = domain
		notSigned(t, p)
	}
	for name, want := range map[string]bool{
		"PT Awan": false, "\u0420T Awan": true, "\u0440\u0430\u0443": false, "Google\u03BF": true, "トヨタ自動車 Motors": false, "삼성 三星": false, "ㄅㄆ 中": false,
		"Ελλάδα": false, "ひらがな 한국": true, "123": false,
	} {
		p := awan()
		p.Name = name
		require.Equal(t, want, hosting.LabelOf(nil, after(nil, hosted(1, p))).Parties[0].Mixed, name)
	}
}

// notSigned requires that no manifest has an endpoint at p.
func notSigned(t *testing.T, p *hosting.Provider) {
	t.Helper()
	m := after(nil, hosted(1, p))
	accept(t, m, accountKey)
	_, err := m.Sign(accountKey)
	require.Error(t, err, "%+q", *p)
}

// What is wider and what narrower, each by itself.
func TestDiff(t *testing.T) {
	plain := func() hosting.Endpoint { return hosted(1, awan()) }
	with := func(change func(*hosting.Endpoint)) hosting.Endpoint {
		e := plain()
		change(&e)
		return e
	}
	for name, c := range map[string]struct {
		from, to        []hosting.Endpoint
		wider, narrower bool
	}{
		"nothing":        {[]hosting.Endpoint{plain()}, []hosting.Endpoint{plain()}, false, false},
		"reader":         {[]hosting.Endpoint{plain()}, []hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Readers.AI = true })}, true, false},
		"use":            {[]hosting.Endpoint{plain()}, []hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Uses.Training = true })}, true, false},
		"use for use":    {[]hosting.Endpoint{plain()}, []hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Uses = hosting.Uses{OwnMarketing: true} })}, true, false},
		"storage":        {[]hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Storage = hosting.StorageOwner })}, []hosting.Endpoint{plain()}, true, false},
		"owner's":        {[]hosting.Endpoint{own(1, hosting.Person)}, []hosting.Endpoint{withStorage(own(1, hosting.Person))}, false, false},
		"party":          {[]hosting.Endpoint{plain()}, []hosting.Endpoint{plain(), hosted(2, bumi())}, true, false},
		"party, party":   {[]hosting.Endpoint{plain()}, []hosting.Endpoint{hosted(2, bumi())}, true, false},
		"platform":       {[]hosting.Endpoint{plain()}, []hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Controller = hosting.HostedByPlatform })}, true, false},
		"name":           {[]hosting.Endpoint{plain()}, []hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Provider.Name = "Bank" })}, true, false},
		"class":          {[]hosting.Endpoint{own(1, hosting.OwnerDevice)}, []hosting.Endpoint{own(2, hosting.OwnerServer)}, true, false},
		"class between":  {[]hosting.Endpoint{own(1, hosting.Person), plain()}, []hosting.Endpoint{own(1, hosting.Person), own(2, hosting.OwnerServer), plain()}, true, false},
		"class down":     {[]hosting.Endpoint{own(1, hosting.OwnerServer)}, []hosting.Endpoint{own(2, hosting.OwnerDevice)}, false, true},
		"one more phone": {[]hosting.Endpoint{own(1, hosting.Person)}, []hosting.Endpoint{own(1, hosting.Person), own(2, hosting.Person)}, false, false},
		"no host":        {[]hosting.Endpoint{plain(), own(2, hosting.OwnerServer)}, []hosting.Endpoint{own(2, hosting.OwnerServer)}, false, true},
		"no reader":      {[]hosting.Endpoint{with(func(e *hosting.Endpoint) { e.Readers.AI = true })}, []hosting.Endpoint{plain()}, false, true},
	} {
		d := hosting.DiffOf(known(), after(nil, c.from...), after(nil, c.to...))
		require.Equal(t, c.wider, d.IsWider(), name)
		require.Equal(t, c.narrower, d.IsNarrower(), name)
	}
	to := after(nil, own(1, hosting.Person))
	to.Key = pair(99).Public()
	d := hosting.DiffOf(nil, after(nil, own(1, hosting.Person)), to)
	require.True(t, d.KeyChanged && d.IsWider())
	require.False(t, d.IsNarrower())
	first := hosting.DiffOf(nil, nil, to)
	require.True(t, first.IsWider())
	require.False(t, first.KeyChanged)
}

func withStorage(e hosting.Endpoint) hosting.Endpoint {
	e.Storage = hosting.StorageOwner
	return e
}

// Each sentence is there in both languages, and no more of a host than its name
// and domain.
func TestTexts(t *testing.T) {
	all := hosting.Label{
		Controllers: []hosting.Controller{1, 2, 3, 4, 5}, Storage: []hosting.Storage{1, 2, 3},
		Readers: hosting.Readers{Staff: true, Automation: true, AI: true, Subprocessors: true},
		Uses:    hosting.Uses{Service: true, OwnMarketing: true, PlatformAdvertising: true, Training: true},
		Parties: []hosting.Party{{Provider: *awan(), Controller: 4, Mixed: true}, {Provider: *bumi(), Controller: 5, Known: true}},
		State:   "PENDING", Unknown: true,
	}
	id, en := all.Lines("id"), all.Lines("en")
	require.Len(t, en, 1+3+3+1+2+4+4+1)
	require.Len(t, id, len(en))
	for i := range en {
		require.NotEqual(t, id[i], en[i])
		require.NotContains(t, id[i]+en[i], "%!")
	}
	require.Contains(t, en, "The key at the other end is held by PT Awan (awan.example), a third party, which can read this chat.")
	require.Contains(t, id, "Kunci di ujung sana dipegang PT Awan (awan.example), pihak ketiga, yang dapat membaca percakapan ini.")
	seen := map[string]bool{}
	for _, s := range []hosting.State{"UNATTESTED", "PENDING", "NARROWER", "EXPIRED", "CONFLICT", "DECLINED"} {
		l := hosting.Label{State: s}
		for _, lang := range []string{"id", "en"} {
			require.Len(t, l.Lines(lang), 1, s)
			seen[l.Lines(lang)[0]] = true
		}
	}
	require.Len(t, seen, 12)
	current := hosting.Label{State: "CURRENT", Controllers: []hosting.Controller{hosting.Person}}
	require.Equal(t, []string{"The key at the other end is held by that person, on their own device."}, current.Lines("en"))
	for _, line := range append(id, en...) { // it says who has the key, not that all is well
		require.NotContains(t, strings.ToLower(line), "end-to-end")
		require.NotContains(t, strings.ToLower(line), "ujung ke ujung")
	}
}

func TestUnion(t *testing.T) {
	a := hosting.LabelOf(known(), after(nil, hosted(1, bumi())))
	b := hosting.LabelOf(known(), after(nil, hosted(1, awan()), hosted(2, bumi())))
	a.State, b.State = "CURRENT", "EXPIRED"
	u := a.Union(b)
	require.Equal(t, hosting.State("EXPIRED"), u.State)
	require.Len(t, u.Parties, 2)
	require.Equal(t, "awan.example", u.Parties[0].Domain)
	require.Len(t, a.Parties, 1)
	require.Equal(t, u, b.Union(a))
	require.Equal(t, hosting.Controller(0), (&hosting.Label{}).Class())
	order := []hosting.State{"CURRENT", "NARROWER", "EXPIRED", "UNATTESTED", "PENDING", "DECLINED", "CONFLICT"}
	for i, s := range order {
		for j, o := range order {
			require.Equal(t, order[max(i, j)], hosting.Label{State: s}.Union(hosting.Label{State: o}).State)
		}
	}
}
