package keystore_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

const secret = "Secr3t-Value-Of-A-Record"

// printed is everything that fmt, slog and encoding/json make of v. Two verbs
// are missing, %p of what is no pointer and %w outside Errorf: they are faults
// that go vet finds, and fmt asks no method then.
func printed(t *testing.T, v any) string {
	var b strings.Builder
	for _, verb := range "vTtbcdoOqxXUeEfFgGs" {
		fmt.Fprintf(&b, "%"+string(verb)+" %+"+string(verb)+" %#"+string(verb)+"\n", v, v, v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
	j, err := json.Marshal(v)
	require.NoError(t, err)
	b.Write(j)
	return b.String()
}

func TestMEM_03_NothingPrintsValues(t *testing.T) {
	s := keystore.NewMemory()
	k := testutil.Key("k", "o", "n")
	c := testutil.Put(k, 0, secret)
	testutil.Commit(t, s, c)
	r := testutil.Load(t, s, k)
	require.Equal(t, secret, string(r.Value))
	var store keystore.Store = s
	for _, v := range []any{
		r, &r, []keystore.Record{r}, struct{ R keystore.Record }{r}, map[string]*keystore.Record{"r": &r},
		c, &c, []keystore.Change{c}, struct{ C *keystore.Change }{&c},
		s, store, struct{ S keystore.Store }{s}, []keystore.Store{s},
	} {
		out := printed(t, v)
		require.NotContains(t, out, secret, "%T", v)
		require.NotContains(t, strings.ToLower(out), hex.EncodeToString([]byte(secret)), "%T", v)
		require.NotContains(t, out, decimal([]byte(secret)), "%T", v)
		require.NotContains(t, out, base64Of(secret), "%T", v)
	}
	require.Contains(t, printed(t, r), "redacted")
}

func decimal(b []byte) string { return strings.Trim(fmt.Sprint(b[:6]), "[]") }

func base64Of(s string) string {
	j, _ := json.Marshal([]byte(s))
	return string(bytes.Trim(j, `"`))[:16]
}

func TestMEM_03_NothingPrintsKeys(t *testing.T) {
	u := keystore.Unlock{Key: (*[32]byte)([]byte("a key of thirty-two random bytes"))}
	testutil.RequireRedacted(t, &u, u.Key[:])
	p := phrase("a passphrase that nobody else may read")
	testutil.RequireRedacted(t, &p, []byte(p.Passphrase))

	inner := newLasting()
	s := openEncrypted(t, inner, u, blind)
	dataKey, blinding := s.Secrets()
	var store keystore.Store = s
	for _, v := range []any{s, &s, store, struct{ S keystore.Store }{s}, []*keystore.Encrypted{s}} {
		for _, out := range testutil.Printed(t, v) {
			testutil.NoTrace(t, out, u.Key[:], dataKey, blinding)
		}
	}
	require.Equal(t, "redacted", fmt.Sprint(s))
}

// The text of an error tells no address and no value.
func TestMEM_02_ErrorTexts(t *testing.T) {
	s := keystore.NewMemory()
	k := keystore.Key{Scope: "+4915112345678", Kind: "session", Owner: "alice@example", Name: "device-7"}
	noKind := k
	noKind.Kind = ""
	for _, changes := range [][]keystore.Change{
		{testutil.Put(k, 9, secret)}, {testutil.Put(k, 0, secret), testutil.Put(k, 0, secret)}, {testutil.Put(noKind, 0, secret)}, {{Op: 9, Key: k, Value: []byte(secret)}},
	} {
		_, err := s.Commit(ctx, changes...)
		require.Error(t, err)
		for _, leak := range []string{k.Scope, k.Owner, k.Name, secret} {
			require.NotContains(t, err.Error(), leak)
		}
	}
}
