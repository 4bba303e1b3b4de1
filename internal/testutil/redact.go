package testutil

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
)

// Traces returns the ways in which the bytes 4 to 15 of a secret may show in a
// text: raw, hexadecimal, decimal and base64 ones.
func Traces(secret []byte) []string {
	s := secret[4:16]
	decimal := strings.Trim(fmt.Sprint(s), "[]")
	all := []string{
		string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)), fmt.Sprintf("% x", s),
		strings.Trim(fmt.Sprintf("%#v", s)[6:], "{}"), decimal, strings.ReplaceAll(decimal, " ", ","),
	}
	for i := range 3 {
		all = append(all, base64.StdEncoding.EncodeToString(s[i:9+i]))
	}
	return all
}

// Printed returns v as each verb of fmt, the handlers of slog and
// encoding/json print it.
func Printed(t testing.TB, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "% x", "%s", "%q", "%d", "%o", "%b", "%c", "%U", "%T"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	out["Sprint"] = fmt.Sprint(v)
	out["Errorf"] = fmt.Errorf("at %v", v).Error()
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "k", v)
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "k", v)
	out["slog text"], out["slog json"] = text.String(), js.String()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out["json"] = string(b)
	return out
}

// NoTrace fails the test if text has a trace of one of the secrets.
func NoTrace(t testing.TB, text string, secrets ...[]byte) {
	t.Helper()
	for i, secret := range secrets {
		if slices.ContainsFunc(Traces(secret), func(s string) bool { return strings.Contains(text, s) }) {
			t.Errorf("testutil: a trace of secret %d in %q", i, text)
		}
	}
}

// RequireRedacted fails the test unless *p, alone, behind pointers and within
// other values, prints as "redacted" and without a trace of the secrets, each of
// at least 16 bytes.
func RequireRedacted[T any](t testing.TB, p *T, secrets ...[]byte) {
	t.Helper()
	type holder struct {
		Value T
		List  []*T
		Any   any
	}
	for _, v := range []any{*p, p, &p, []T{*p}, map[string]*T{"k": p}, holder{*p, []*T{p}, *p}, &holder{Any: p}} {
		for how, text := range Printed(t, v) {
			NoTrace(t, text, secrets...)
			_, pointers := v.(**T)
			if how != "%T" && !pointers && !strings.Contains(text, "redacted") {
				t.Errorf("testutil: %T under %s is %q", v, how, text)
			}
		}
	}
}

// ExportedTypes returns the exported types of the package in the working
// directory, from its sources.
func ExportedTypes(t testing.TB) (names []string) {
	t.Helper()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}
