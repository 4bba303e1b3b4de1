package archtest_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/archtest"
)

// A rule is one check of a module.
type rule = func(*archtest.Module) []string

func requirements(m *archtest.Module) []string {
	wrong, err := m.Requirements()
	if err != nil {
		return []string{err.Error()}
	}
	return wrong
}

// load makes a module of files, each "name: source".
func load(t *testing.T, files map[string]string) *archtest.Module {
	fsys := fstest.MapFS{}
	for name, src := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(src)}
	}
	m, err := archtest.Load(fsys)
	require.NoError(t, err)
	return m
}

const own = "github.com/gembok-e2ee/gembok/"

// Each case is a module with one fault, and what is said about it; or with
// none, and nothing is said.
func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		rule  rule
		files map[string]string
		want  string
	}{
		"arrow": {(*archtest.Module).Arrows, map[string]string{
			"x3dh/x.go": `package x3dh; import "` + own + `internal/kdf"`}, ""},
		"no arrow": {(*archtest.Module).Arrows, map[string]string{
			"x3dh/x.go": `package x3dh; import "` + own + `keystore"`}, "x3dh → keystore is no arrow"},
		"child": {(*archtest.Module).Arrows, map[string]string{
			"session/x.go": `package session; import _ "` + own + `session/group"`}, "session → session/group is no arrow"},
		"test helper": {(*archtest.Module).Arrows, map[string]string{
			"session/x.go": `package session; import . "` + own + `internal/testutil"`}, "is no arrow"},
		"etm to kdf": {(*archtest.Module).Arrows, map[string]string{
			"internal/etm/x.go": `package etm; import "` + own + `internal/kdf"`}, ""},
		"new package": {(*archtest.Module).Arrows, map[string]string{
			"ratchet/fast/x.go": `package fast`}, "ratchet/fast: has no row"},
		"arrow in a test": {(*archtest.Module).Arrows, map[string]string{
			"x3dh/x.go": `package x3dh`, "x3dh/x_test.go": `package x3dh; import "` + own + `session"`}, ""},
		"program": {(*archtest.Module).Arrows, map[string]string{
			"session/examples/chat/x.go": `package main; import "` + own + `ratchet"`}, ""},
		"part of an example": {(*archtest.Module).Arrows, map[string]string{
			"session/examples/chat/part/x.go": `package part; import "` + own + `ratchet"`}, ""},
		"part of an example in a library": {(*archtest.Module).Arrows, map[string]string{
			"session/hosting/x.go": `package hosting; import "` + own + `session/examples/chat/part"`}, "is no arrow"},
		"relay in an app": {(*archtest.Module).Arrows, map[string]string{
			"session/examples/chat/person/x.go": `package person; import "` + own + `session/examples/chat/relay"`}, "is no arrow"},
		"network in an app": {(*archtest.Module).Capabilities, map[string]string{
			"session/examples/chat/person/x.go": `package person; import "net/http"`}, "may not import net/http"},

		"circl in curve": {(*archtest.Module).ThirdParty, map[string]string{
			"internal/curve/x.go": `package curve; import "github.com/cloudflare/circl/dh/x25519"`}, ""},
		"circl's KEM in curve": {(*archtest.Module).ThirdParty, map[string]string{
			"internal/curve/x.go": `package curve; import "github.com/cloudflare/circl/kem/mlkem/mlkem768"`}, "internal/curve may not import"},
		"testify in a library": {(*archtest.Module).ThirdParty, map[string]string{
			"session/x.go": `package session; import "github.com/stretchr/testify/require"`}, "session may not import"},
		"vendor-like name": {(*archtest.Module).ThirdParty, map[string]string{
			"session/x.go": `package session; import "` + strings.TrimSuffix(own, "/") + `-fork/x"`}, "session may not import"},

		"unsafe": {(*archtest.Module).Capabilities, map[string]string{
			"internal/kem/x.go": `package kem; import "unsafe"`}, "may not import unsafe"},
		"cgo": {(*archtest.Module).Capabilities, map[string]string{
			"internal/kem/x.go": `package kem; import "C"`}, "may not import C"},
		"network": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": `package session; import "net/http"`}, "may not import net/http"},
		"process": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": `package session; import "os/exec"`}, "may not import os/exec"},
		"bad randomness": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": `package session; import "math/rand/v2"`}, "may not import math/rand/v2"},
		"clock in a pure step": {(*archtest.Module).Capabilities, map[string]string{
			"ratchet/spqr/x.go": `package spqr; import "time"`}, "may not import time"},
		"clock in a session": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": `package session; import "time"`}, ""},
		"linkname": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": "package session\n\n//go:linkname a b\nfunc a()"}, "session/x.go:3"},
		"goroutine": {(*archtest.Module).Capabilities, map[string]string{
			"x3dh/x.go": `package x3dh; func f() { go f() }`}, "a go statement"},
		"output": {(*archtest.Module).Capabilities, map[string]string{
			"session/x.go": `package session; import "fmt"; func f() { fmt.Println() }`}, "fmt.Println in a library"},
		"program with everything": {(*archtest.Module).Capabilities, map[string]string{
			"session/examples/chat/x.go": `package main; import ("os/exec"; "fmt"); func main() { fmt.Println() }`,
			"internal/interop/x.go":      `package interop; import "os/exec"`}, ""},

		"global": {(*archtest.Module).Globals, map[string]string{
			"session/x.go": `package session; var n [2]int; func f() { n[0]++ }`}, "by way of n"},
		"someone else's global": {(*archtest.Module).Globals, map[string]string{
			"session/x.go": `package session; import "crypto/rand"; func f() { rand.Reader = nil }`}, "by way of rand"},
		"init and locals": {(*archtest.Module).Globals, map[string]string{
			"session/x.go": `package session; var n, m = 1, 2; func init() { n = 2 }; func f() { m := 1; m++; n := &m; *n = 2 }`}, ""},

		"a reader": {(*archtest.Module).Coins, map[string]string{
			"x3dh/x.go": `package x3dh; import "io"; func Generate(r io.Reader) {}`}, "io.Reader in what is exported"},
		"a reader in a method": {(*archtest.Module).Coins, map[string]string{
			"x3dh/x.go": `package x3dh; import "io"; type T int; func (*T) Sign(func() io.Reader) {}`}, "io.Reader in what is exported"},
		"a reader as an option": {(*archtest.Module).Coins, map[string]string{
			"session/x.go": `package session; import "io"; type Options struct { Source io.Reader }`}, "io.Reader in what is exported"},
		"a reader by another name": {(*archtest.Module).Coins, map[string]string{
			"session/x.go": `package session; import "io"; type Source interface { io.Reader }`}, "io.Reader in what is exported"},
		"a reader of files": {(*archtest.Module).Coins, map[string]string{
			"session/attachment/x.go": `package attachment; import "io"; func Open(r io.Reader) {}`}, ""},
		"coins": {(*archtest.Module).Coins, map[string]string{
			"x3dh/keys/x.go": `package keys; func Sign(msg []byte, coins *[64]byte) {}`}, "coins in what is exported"},
		"a seed": {(*archtest.Module).Coins, map[string]string{
			"session/x.go": `package session; type Options struct { KeySeed []byte }`}, "KeySeed in what is exported"},
		"determinism": {(*archtest.Module).Coins, map[string]string{
			"x3dh/keys/x.go": `package keys; func SignDeterministic() {}`}, "SignDeterministic in what is exported"},
		"a build tag": {(*archtest.Module).Coins, map[string]string{
			"internal/kem/x.go": "//go:build !wasm && weak\n\npackage kem"}, "build tag weak"},
		"another way to draw": {(*archtest.Module).Coins, map[string]string{
			"internal/kem/x.go": `package kem; import r "crypto/rand"; var s = r.Reader`}, "rand.Reader"},
		"own coins": {(*archtest.Module).Coins, map[string]string{
			"x3dh/keys/x.go": `package keys; import ("crypto/rand"; "io"); type T struct { seed io.Reader }; func sign(coins []byte) {}
				func (t T) Sign(proceed, errng int) { var coins [1]byte; rand.Read(coins[:]); var r io.Reader; _ = r }`}, ""},

		"copyleft in a nested module": {requirements, map[string]string{
			"go.mod":                "module x\nrequire github.com/cloudflare/circl v1.6.5\n",
			"internal/peers/go.mod": "module y\nrequire (\n\tgo.mau.fi/libsignal v0.2.0 // indirect\n)\n"}, "internal/peers/go.mod: requires go.mau.fi/libsignal"},
		"new requirement": {requirements, map[string]string{
			"go.mod": "module x\nrequire (\n\texample.com/new v1.0.0\n\texample.com/old v1.0.0 // indirect\n)\n"}, "requires example.com/new"},
	} {
		wrong := c.rule(load(t, c.files))
		if c.want == "" {
			require.Empty(t, wrong, name)
			continue
		}
		require.Len(t, wrong, 1, name)
		require.Contains(t, wrong[0], c.want, name)
	}
}

func TestLayoutRules(t *testing.T) {
	files := map[string]string{"go.mod": "module x", ".ci/run": "", "node_modules/a/b.js": ""}
	for _, name := range []string{"LICENSE", "README.md", "go.sum", "testdata/x.json",
		"internal/kdf/kdf.go", "keystore/k.go", "ratchet/r.go", "session/s.go", "x3dh/x.go", "internal/nested/go.mod", "internal/nested/n.s"} {
		files[name] = "package p"
	}
	require.Empty(t, load(t, files).Layout())

	delete(files, "LICENSE")
	files["docs/x.md"] = ""
	files["session/util.go"] = "package p"
	files["session/fast.s"] = ""
	files["session/other.go"] = "package q"
	files["ratchet/main.go"] = "package main"
	files["ratchet/r.go"] = "package main" + strings.Repeat("\n", 501)
	require.Len(t, load(t, files).Layout(), 8)
}

func TestExportedRules(t *testing.T) {
	files := map[string]string{
		"x3dh/x.go": `package x3dh
			// A T.
			type T struct{ F int }
			// M does.
			func (*T) M() {}
			// F does.
			func F[A any]() { type Inner int }
			// Both.
			const (A, b = 1, 2; C = 3)
			func g() {}
			type hidden int
			func (hidden) M() {}`,
		"x3dh/y.go":               "// Package x3dh.\npackage x3dh\n// E1 and E2.\nvar E1, E2 int",
		"x3dh/z_test.go":          "package x3dh; func TestX() {}",
		"internal/kdf/x.go":       "// Package kdf.\npackage kdf; func F() {}",
		"ratchet/internal/b/b.go": "// Package b.\npackage b; func F() {}",
		"session/examples/e/e.go": "// Package e.\npackage e; func F() {}",
	}
	m := load(t, files)
	require.Equal(t, []string{"x3dh A", "x3dh C", "x3dh E1", "x3dh E2", "x3dh F", "x3dh T"}, m.Exported())
	require.Empty(t, m.Documented())
	require.Empty(t, m.Budgets())

	files["x3dh/y.go"] = "package x3dh\nvar E1, E2 int\nfunc (T) N() {}\nfunc (T) Error() string"
	require.Len(t, load(t, files).Documented(), 4) // the package, two variables, one method

	files["x3dh/many.go"] = "package x3dh\nconst (" + "\n" + strings.Repeat("A", 1)
	for i := range 30 {
		files["x3dh/many.go"] += "\nX" + strings.Repeat("X", i) + " = 1"
	}
	files["x3dh/many.go"] = strings.Replace(files["x3dh/many.go"], "\nA\n", "\n", 1) + "\n)"
	require.Len(t, load(t, files).Budgets(), 1)
}

const redacts = `
	func (secret) Format(f fmt.State, _ rune) {}
	func (secret) LogValue() slog.Value { return slog.Value{} }
	func (secret) MarshalJSON() ([]byte, error) { return nil, nil }
`

func TestSecretRules(t *testing.T) {
	const marked = `type secret struct{ _ [0]func() };`
	for name, c := range map[string]struct {
		src  string
		want []string // types that lack a method
	}{
		"none":             {`type T struct{ Public []byte }`, nil},
		"marked":           {`type T struct{ _ [0]func() }`, []string{"T"}},
		"bytes by name":    {`type T struct{ rootKey [32]byte }; type U struct{ Private []byte }; type V struct{ HasPrivate bool }`, []string{"T", "U"}},
		"held":             {marked + `type T struct{ s secret }; type U struct{ m map[int][]*T }; type V struct { u *U }`, []string{"T", "U", "V"}},
		"by an alias":      {marked + `type a = secret; type T struct{ s a }`, []string{"T"}},
		"no struct":        {marked + `type T []secret; type U [2]*secret; type F func(secret)`, []string{"T", "U"}},
		"embedded":         {marked + redacts + `type T struct{ secret; k [32]byte }; type U struct{ t T }`, []string{"U"}},
		"embedded deep":    {marked + redacts + `type T struct{ secret }; type U struct{ T; n int }`, nil},
		"ambiguous":        {marked + redacts + `type other struct{ secret }; type third struct { secret }; type T struct { other; third }`, []string{"T"}},
		"shadowed":         {marked + redacts + `type T struct{ secret; Format int }`, []string{"T"}},
		"sealed interface": {marked + `type state interface{ next() }; type one struct { s secret }; func (one) next() {}; type T struct{ st state }`, []string{"T"}},
		"open interface":   {marked + `type State interface{ Next() }; type one struct { s secret }; func (one) Next() {}; type T struct{ st State }`, nil},
		"recursive":        {marked + `type T struct{ u *U; s secret }; type U struct{ t *T }`, []string{"T", "U"}},
		"pointer method":   {marked + strings.ReplaceAll(redacts, "(secret)", "(*secret)") + `type T struct{ secret }`, []string{"T"}},
		"pointer, locked":  {`type T struct{ mu sync.Mutex; seed []byte };` + strings.ReplaceAll(redacts, "(secret)", "(*T)"), nil},
		"of others":        {`type T struct{ k *ecdh.PrivateKey }`, []string{"T"}},
		"of our own":       {`type T struct{ k keys.PrivateKey; p keys.PublicKey }; type U struct{ p keys.PublicKey }`, []string{"T"}},
		"redacted":         {marked + `type T struct{ s secret };` + strings.ReplaceAll(redacts, "secret", "T"), nil},
	} {
		m := load(t, map[string]string{
			"x3dh/keys/k.go": `package keys; import ("fmt"; "log/slog")
				type PublicKey struct { u [32]byte }; type PrivateKey struct { k [32]byte; _ [0]func() };` + strings.ReplaceAll(redacts, "secret", "PrivateKey"),
			"session/s.go": `package session; import ("crypto/ecdh"; "fmt"; "log/slog"; "sync"; "` + own + `x3dh/keys");` + c.src,
		})
		lacking := map[string]bool{}
		for _, w := range m.Secrets() {
			typ, _, _ := strings.Cut(strings.TrimPrefix(w, "session."), " ")
			lacking[typ] = true
		}
		want := map[string]bool{}
		for _, typ := range c.want {
			want[typ] = true
		}
		require.Equal(t, want, lacking, name)
	}
}

func TestIDRules(t *testing.T) {
	all, err := load(t, map[string]string{}).IDs()
	require.NoError(t, err)
	src := "package x3dh"
	for _, name := range []string{
		"TestKA_01_X", "TestKA_02", "TestBoth_KA_03_KA_04_X", "TestKA_050", "FuzzF01PublicKey", "FuzzF020",
	} {
		src += "\nfunc " + name + "() {}"
	}
	some, err := load(t, map[string]string{"x3dh/x_test.go": src}).IDs()
	require.NoError(t, err)
	require.Len(t, some, len(all)-5)
	require.Contains(t, some, "no test is named after KA_05")
	require.Contains(t, some, "no fuzz target is named after F02")
}

func TestReadmeRules(t *testing.T) {
	files := map[string]string{
		"README.md":                 "`TestA`, `go test ./...`, `go test -run 'A\\|B$' ./x`, `go test\n-run '^$' -bench C/D ./x`, `go test -C in -run F .`\n```go\nTestZ\n```\n",
		"x/x_test.go":               "package x; \nfunc TestA(){}\nfunc ExampleB(){}\nfunc BenchmarkC(){}",
		"in/go.mod":                 "module in",
		"in/node_modules/a_test.go": "func TestG(",
		"in/f_test.go":              "package in; \nfunc FuzzF(){}",
	}
	wrong, err := load(t, files).Readme()
	require.NoError(t, err)
	require.Empty(t, wrong)
	files["README.md"] = "`TestG`, `go test -run 'A|D|TestE' ./x`, `go test -C in -run G ./...`"
	wrong, err = load(t, files).Readme()
	require.NoError(t, err)
	require.Len(t, wrong, 4)
	files["README.md"] = "`go test ./y`"
	_, err = load(t, files).Readme()
	require.Error(t, err)
}

func TestBadSourceIsAnError(t *testing.T) {
	_, err := archtest.Load(fstest.MapFS{"a.go": {Data: []byte("pack")}})
	require.Error(t, err)
}
