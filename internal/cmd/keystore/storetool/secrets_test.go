package storetool_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

// window is how many bytes of a value are enough to be a trace of it.
const window = 6

var (
	hexRun    = regexp.MustCompile(`[0-9a-fA-F]{12,}`)
	base64Run = regexp.MustCompile(`[A-Za-z0-9+/_-]{8,}`)
)

// traces are the windows of text and of what is hexadecimal or base64 in it.
func traces(text string) map[string]string {
	out := map[string]string{}
	add := func(b []byte, from string) {
		for i := range len(b) - window + 1 {
			out[string(b[i:i+window])] = from
		}
	}
	add([]byte(text), text)
	for _, run := range hexRun.FindAllString(strings.NewReplacer(" ", "", ":", "").Replace(text), -1) {
		for _, at := range []int{0, 1} {
			b, _ := hex.DecodeString(run[at : at+(len(run)-at)&^1])
			add(b, run)
		}
	}
	for _, run := range base64Run.FindAllString(text, -1) {
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		for at := range 4 {
			part := run[min(at, len(run)):]
			b, _ := base64.RawStdEncoding.DecodeString(part[:len(part)&^3])
			add(b, run)
		}
	}
	return out
}

// A secrecy is what no output may show.
type secrecy struct {
	values map[string]bool // windows of values that are in no key
	keys   map[string]bool // windows of scopes, owners and names, and of the hashes and ids in names
}

func newSecrecy(recs []keystore.Record) *secrecy {
	s := &secrecy{map[string]bool{}, map[string]bool{}}
	add := func(set map[string]bool, text string) {
		for i := range len(text) - window + 1 {
			if w := text[i : i+window]; !s.keys[w] {
				set[w] = true
			}
		}
	}
	for _, r := range recs {
		add(s.keys, r.Key.Scope)
		add(s.keys, r.Key.Owner)
		add(s.keys, r.Key.Name)
		hash, _ := hex.DecodeString(strings.ReplaceAll(r.Key.Name[strings.Index(r.Key.Name, ",")+1:], "-", ""))
		add(s.keys, string(hash))
	}
	for _, r := range recs {
		add(s.values, string(r.Value))
	}
	return s
}

// shown returns what text shows, and whence.
func (s *secrecy) shown(text string, addresses bool) (out []string) {
	for w, from := range traces(text) {
		if strings.TrimSpace(w) != w { // a name and the space behind it may stand in values, too
			continue
		}
		if s.values[w] || s.keys[w] && !addresses {
			out = append(out, fmt.Sprintf("%q in %q", w, from))
		}
	}
	return out
}

// No command shows a key, a text or, unless it is told to, an address, however
// damaged the store is.
func TestNothingIsShown(t *testing.T) {
	b, w := newBench(t)
	whole := testutil.Records(t, w.Store)
	s := newSecrecy(whole)
	check := func(args ...string) {
		b.run(t, args...)
		require.Empty(t, s.shown(b.out.String()+b.err.String(), slices.Contains(args, "-addresses")))
	}
	all := func(store string) {
		for _, args := range [][]string{{"inspect"}, {"inspect", "-addresses"}, {"verify"}, {"verify", "-addresses"}} {
			check(append(args, "memory:"+store)...)
		}
		check("move", "memory:"+store, "memory:new "+store)
		check("move", "memory:"+store, "memory:new "+store)
	}
	all("own")
	for i := 0; i < len(harms); i += step() {
		h := harms[i]
		b.stores["harmed"] = filled(t, whole)
		h.do(t, b.stores["harmed"])
		check("verify", "memory:harmed")
		check("verify", "-addresses", "memory:harmed")
	}
	mixed := keystore.NewMemory()
	for _, r := range whole { // under another kind
		k := r.Key
		k.Kind = "self"
		write(t, mixed, k, r.Value)
	}
	b.stores["mixed"] = mixed
	all("mixed")
}

// The test above would find what is shown.
func TestTraces(t *testing.T) {
	v := []byte("\x01\x00secret value\xff\xfe\x80\x7f\x00\x01")
	s := newSecrecy([]keystore.Record{{Key: testutil.Key("k", "owner@example", "n"), Value: v}})
	for _, text := range []string{"its secret is", hex.EncodeToString(v[3:]), strings.ToUpper(hex.EncodeToString(v)),
		"at " + base64.StdEncoding.EncodeToString(v[1:]), base64.RawURLEncoding.EncodeToString(v[8:]), "0" + hex.EncodeToString(v)} {
		require.NotEmpty(t, s.shown(text, true), text)
	}
	require.Empty(t, s.shown("nothing of it, and owner@example", true))
	require.NotEmpty(t, s.shown("nothing of it, and owner@example", false))
}
