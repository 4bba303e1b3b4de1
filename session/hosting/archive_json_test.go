package hosting_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// archivedTexts is a record of each type.
func archivedTexts(t testing.TB) []hosting.ArchiveRecord {
	at := time.UnixMilli(1_700_000_000_123)
	key := accountKey.Public().Bytes()
	return []hosting.ArchiveRecord{
		{Type: "identity", Name: "ani.1", Time: at, Data: wire.AppendIdentity(nil, &wire.Identity{Accepted: key, AcceptedAt: 1_700_000_000_000, Verified: true})},
		{Type: "device", Name: "ani", Data: wire.AppendPeer(nil, &wire.Peer{Devices: []wire.PeerDevice{{ID: 1, RegistrationID: 9}, {ID: 2, StaleSince: 1}}, Blocked: true})},
		{Type: "group", Name: "arisan", Data: wire.AppendGroup(nil, &wire.Group{Members: []string{"ani", "budi"}, ID: []byte("arisan_keluarga!"), Exclude: []wire.GroupDevice{{User: "ani", Device: 2}, {User: "budi"}}})},
		{Type: "label", Name: toko, Time: at, Data: archivedLabel(t)},
		{Type: "consent", Name: toko + ".00ff", Time: at, Data: archivedConsent(2)},
		{Type: "app", Name: "pesan/1", Data: []byte("Besok?")},
		{Type: "zodiac", Name: "\u202Ekebalik", Data: []byte{0xFF}},
	}
}

// Whoever downloaded his data can read it.
func TestArchiveJSON(t *testing.T) {
	key := hex.EncodeToString(accountKey.Public().Bytes())
	hash := follow(t, nil, hosted(1, awan())).Hash()
	ab, none := strings.Repeat("ab", 32), strings.Repeat("00", 32)
	want := []string{
		`{"type":"identity","name":"ani.1","time":"2023-11-14T22:13:20.123Z","value":{"accepted_key":"` + key + `","accepted_at":"2023-11-14T22:13:20.000Z","compared_by_user":true}}`,
		`{"type":"device","name":"ani","value":{"devices":[{"device":1,"registration_id":9},{"device":2,"gone_since":"1970-01-01T00:00:00.001Z"}],"blocked":true}}`,
		`{"type":"group","name":"arisan","value":{"id":"61726973-616e-5f6b-656c-756172676121","members":["ani","budi"],"without":[{"user":"ani","device":2},{"user":"budi"}]}}`,
		`{"type":"label","name":"toko","time":"2023-11-14T22:13:20.123Z","value":{"state":"CURRENT","since":"2023-11-14T22:13:20.123Z","newest_epoch":1,"manifest":` +
			`{"account":"toko","kind":"BUSINESS","epoch":1,"hash":"` + hex.EncodeToString(hash[:]) + `","not_before":"2023-11-14T22:13:20Z","not_after":"2023-12-14T22:13:20Z","account_key":"` + key + `",` +
			`"endpoints":[{"device":1,"identity_key":"` + hex.EncodeToString(deviceKey(1).Public().Bytes()) + `","controller":"PROVIDER","provider":{"name":"PT Awan","domain":"awan.example","key":"` +
			hex.EncodeToString(awanKey.Public().Bytes()) + `"},"storage":"provider","readers":["staff"],"uses":["service"],"not_after":"2024-09-09T22:13:20Z"}]}}}`,
		`{"type":"consent","name":"toko.00ff","time":"2023-11-14T22:13:20.123Z","value":{"account":"toko","from_manifest":"` + none + `","to_manifest":"` + ab + `","at":"2023-11-14T22:13:20.456Z","by":"user","decision":"no"}}`,
		`{"type":"app","name":"pesan/1","data":"QmVzb2s/"}`,
		`{"type":"zodiac","name":"\u202ekebalik","data":"/w=="}`,
	}
	for i, r := range archivedTexts(t) {
		before := bytes.Clone(r.Data)
		got, err := r.JSON()
		require.NoError(t, err, r.Type)
		require.Equal(t, want[i], string(got))
		require.Equal(t, before, r.Data)
		var name struct{ Name string }
		require.NoError(t, json.Unmarshal(got, &name))
		require.Equal(t, r.Name, name.Name)
	}
	// What cannot be seen is escaped, in one half or two.
	r := hosting.ArchiveRecord{Type: "app", Name: "a\u200Bb\U000E0041c\u0085d\x7Fe\U0001F600é\x00"}
	got, err := r.JSON()
	require.NoError(t, err)
	require.Equal(t, `{"type":"app","name":"a\u200bb\udb40\udc41c\u0085d\u007fe`+"\U0001F600é"+`\u0000"}`, string(got))
}

// All that Device writes has its text, and what comes of an account is no key.
func TestArchiveJSONOfDevice(t *testing.T) {
	w := archiveWorld(t)
	records, err := readArchive(bytes.NewReader(exportDevice(t, w.Own[0], true)), recovery, nil)
	require.NoError(t, err)
	secret := w.Own[0].IdentityKeyPair().PrivateBytes()
	types := map[string]bool{}
	for i := range records {
		fuzzArchiveText(t, &records[i])
		b, err := records[i].JSON()
		require.NoError(t, err)
		testutil.NoTrace(t, string(b), secret)
		types[records[i].Type] = true
		if records[i].Type == "account" {
			require.Contains(t, string(b), `{"user":"budi@warung.example","device":1,"identity_key":"`+hex.EncodeToString(w.Own[0].Identity().Bytes()))
		}
	}
	require.Len(t, types, 6)
}

// Data that is not what its type says has no text, and an error that shows nothing.
func TestArchiveJSONMalformed(t *testing.T) {
	for _, r := range archivedTexts(t)[:5] {
		for n := range r.Data {
			cut, flipped := r, r
			cut.Data, flipped.Data = r.Data[:n], bytes.Clone(r.Data)
			flipped.Data[n] ^= 0xFF
			fuzzArchiveText(t, &cut)
			fuzzArchiveText(t, &flipped)
		}
		r.Data = []byte{0xFF}
		_, err := r.JSON()
		require.ErrorIs(t, err, session.ErrMalformed)
	}
	for _, kind := range []string{"account", "label", "consent", "group"} {
		_, err := (&hosting.ArchiveRecord{Type: kind}).JSON()
		require.ErrorIs(t, err, session.ErrMalformed, kind)
	}
	_, err := (&hosting.ArchiveRecord{Type: "label", Data: make([]byte, 1<<20)}).JSON()
	require.ErrorIs(t, err, session.ErrTooLarge)
}

// fuzzArchiveText requires of the text of a record that it is one line of JSON in
// which all can be seen, or an error of a class.
func fuzzArchiveText(t testing.TB, r *hosting.ArchiveRecord) {
	t.Helper()
	b, err := r.JSON()
	if err != nil {
		require.True(t, errors.Is(err, session.ErrMalformed) || errors.Is(err, session.ErrTooLarge), "%v", err)
		require.Nil(t, b)
		return
	}
	require.True(t, json.Valid(b), "%q", b)
	for _, c := range string(b) {
		require.True(t, unicode.IsGraphic(c), "%q", c)
	}
	if r.Type == "account" {
		a, err := r.Account()
		require.NoError(t, err)
		testutil.NoTrace(t, string(b), a.Identity.PrivateBytes())
	}
}

// An archive of an account with a gate has its label and its ledger, with their
// times; what they say is what the gate says, and is the same in an archive of the
// archive.
func TestArchiveOfGate(t *testing.T) {
	w, b, k := met(t)
	first := k.publishes(t, w, follow(t, nil, own(1, hosting.OwnerServer)))
	k.says(t, b, "kami sendiri")
	w.passes(time.Minute)
	k.publishes(t, w, follow(t, first, own(1, hosting.OwnerServer), hosted(2, awan())))
	k.says(t, b, "pindah")
	w.passes(time.Minute)
	asked := b.wants(t, toko)
	require.NoError(t, b.gate.Consent(ctx, b.Device, toko, asked.Token, hosting.No))
	w.passes(time.Minute)
	b.agrees(t, toko)

	records, err := readArchive(bytes.NewReader(exportDevice(t, b.Device, false)), recovery, nil)
	require.NoError(t, err)
	ledger := map[string]int{}
	for c, err := range b.gate.Consents(ctx, b.Device) {
		require.NoError(t, err)
		ledger[fmt.Sprintf(`"account":"%s","from_manifest":"%x","to_manifest":"%x","at":"%s","by":"user","decision":"%s"`, c.Account, c.From, c.To,
			c.At.Format("2006-01-02T15:04:05.000Z"), map[hosting.Answer]string{hosting.Yes: "yes", hosting.No: "no"}[c.Answer])]++
	}
	require.Len(t, ledger, 3)
	labels := 0
	for _, r := range records {
		text, err := r.JSON()
		require.NoError(t, err)
		switch r.Type {
		case "consent":
			_, value, _ := strings.Cut(string(text), `"value":{`)
			ledger[strings.TrimSuffix(value, "}}")]--
			require.Contains(t, value, `"at":"`+r.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
		case "label":
			labels++
			require.Equal(t, toko, r.Name)
			require.True(t, w.now.Equal(r.Time))
			require.Contains(t, string(text), `"state":"`+string(b.label(t, toko).State)+`"`)
			require.Contains(t, string(text), `"name":"PT Awan"`)
		}
	}
	require.Equal(t, 1, labels)
	for line, n := range ledger {
		require.Zero(t, n, line)
	}
	again, err := readArchive(bytes.NewReader(writeArchive(t, recovery, nil, records...)), recovery, nil)
	require.NoError(t, err)
	require.Equal(t, records, again)
}

func FuzzArchiveText(f *testing.F) {
	for _, r := range archivedTexts(f) {
		f.Add(r.Type, r.Name, int64(r.Time.UnixMilli()), r.Data)
	}
	f.Add("account", "budi.1", int64(1), []byte{})
	f.Fuzz(func(t *testing.T, kind, name string, at int64, data []byte) {
		before := bytes.Clone(data)
		fuzzArchiveText(t, &hosting.ArchiveRecord{Type: kind, Name: name, Time: time.UnixMilli(at), Data: data})
		require.True(t, bytes.Equal(before, data))
	})
}
