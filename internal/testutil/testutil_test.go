package testutil_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
)

func TestHex(t *testing.T) {
	var v struct{ A, B, C testutil.Hex }
	require.NoError(t, json.Unmarshal([]byte(`{"A":"00ff","B":""}`), &v))
	require.Equal(t, testutil.Hex{0x00, 0xff}, v.A)
	require.Equal(t, testutil.Hex{}, v.B)
	require.Nil(t, v.C)
	out, err := json.Marshal(v.A)
	require.NoError(t, err)
	require.Equal(t, `"00ff"`, string(out))
	require.Error(t, json.Unmarshal([]byte(`{"A":"0"}`), &v))
}

func TestReadJSON(t *testing.T) {
	var v map[string]any
	testutil.ReadJSON(t, "wire/wire-core-vectors.json", &v)
	require.NotEmpty(t, v)
}

func TestScriptRand(t *testing.T) {
	before := rand.Reader
	restore := testutil.ScriptRand(t, []byte("one"), []byte("three"))
	a, b := make([]byte, 3), make([]byte, 5)
	rand.Read(a)
	rand.Read(b)
	require.Equal(t, "one", string(a))
	require.Equal(t, "three", string(b))
	restore()
	require.Equal(t, before, rand.Reader)
	restore()
}

// A recorder stands in for a test that is expected to fail.
type recorder struct {
	testing.TB
	said string
}

func (r *recorder) Helper()                        {}
func (r *recorder) Setenv(string, string)          {}
func (r *recorder) Cleanup(func())                 {}
func (r *recorder) Errorf(format string, _ ...any) { r.said = format }
func (r *recorder) Fatalf(format string, _ ...any) {
	r.said = format
	panic(r)
}

func TestScriptRandComplains(t *testing.T) {
	before := rand.Reader
	for name, c := range map[string]struct {
		reads []int
		want  string
	}{
		"too many": {[]int{4, 1}, "not in the script"},
		"length":   {[]int{3}, "the script has"},
		"too few":  {nil, "were not read"},
	} {
		r := &recorder{TB: t}
		restore := testutil.ScriptRand(r, []byte("four"))
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(r) {
					panic(p)
				}
			}()
			for _, n := range c.reads {
				rand.Read(make([]byte, n))
			}
		}()
		restore()
		require.True(t, strings.Contains(r.said, c.want), "%s: %q", name, r.said)
		require.Equal(t, before, rand.Reader)
	}
}

func TestCoins(t *testing.T) {
	draw := func(n int) []byte {
		b := make([]byte, n)
		rand.Read(b)
		return b
	}
	before := rand.Reader
	require.Empty(t, testutil.Coins(t, func() []byte { return nil }))
	require.Equal(t, []int{16, 1}, testutil.Coins(t, func() []byte { return append(draw(16), draw(1)...) }))
	n := byte(0)
	for want, f := range map[string]func() []byte{
		"another outcome": func() []byte { n++; return []byte{n} },
		"changes nothing": func() []byte { return append(draw(2), draw(9)[0]) },
		"there before": func() (out []byte) {
			for range 257 {
				out = append(out, draw(1)...)
			}
			return out
		},
	} {
		r := &recorder{TB: t}
		require.PanicsWithValue(t, r, func() { testutil.Coins(r, f) })
		require.Contains(t, r.said, want)
		require.Equal(t, before, rand.Reader)
	}
}

func TestStoreDigest(t *testing.T) {
	ctx := context.Background()
	k := keystore.Key{Scope: "s", Kind: "k", Owner: "o", Name: "n"}
	build := func(changes ...keystore.Change) [32]byte {
		s := keystore.NewMemory()
		for _, c := range changes {
			_, err := s.Commit(ctx, c)
			require.NoError(t, err)
		}
		d := testutil.StoreDigest(t, s)
		require.Equal(t, d, testutil.StoreDigest(t, s))
		return d
	}
	other := k
	other.Owner, other.Name = "on", ""
	put := func(k keystore.Key, expect uint64, value string) keystore.Change {
		return keystore.Change{Op: keystore.Put, Key: k, Expect: expect, Value: []byte(value)}
	}
	digests := map[[32]byte]bool{}
	states := [][]keystore.Change{
		{}, {put(k, 0, "v")}, {put(k, 0, "w")}, {put(other, 0, "v")}, {put(k, 0, "v"), put(other, 0, "v")},
		{put(other, 0, "v"), put(k, 0, "v")}, {put(k, 0, "v"), put(k, 1, "v")},
		{put(k, 0, "v"), {Op: keystore.Delete, Key: k, Expect: 1}},
	}
	for _, changes := range states {
		digests[build(changes...)] = true
	}
	require.Len(t, digests, len(states))
	require.Equal(t, build(states[1]...), build(states[1]...))
}
