package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// marked are the key bytes that must not be printed.
var marked = bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 8)

// traces are ways to print the middle of marked or of another secret.
func traces(secret []byte) (all []string) {
	s := secret[4:16]
	decimal := strings.Trim(fmt.Sprint(s), "[]")
	all = append(all, string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)),
		fmt.Sprintf("% x", s), strings.Trim(fmt.Sprintf("%#v", s)[6:], "{}"), decimal, strings.ReplaceAll(decimal, " ", ","))
	for i := range 3 {
		all = append(all, base64.StdEncoding.EncodeToString(s[i:9+i]))
	}
	return all
}

// printed returns v as each verb, slog handler and encoding/json print it.
func printed(t *testing.T, v any) map[string]string {
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
	require.NoError(t, err)
	out["json"] = string(b)
	return out
}

type holder[T any] struct {
	Value   T
	Pointer *T
	List    []T
	Map     map[string]*T
	Any     any
}

func TestMEM_03_SecretsPrintRedacted(t *testing.T) {
	private, err := keys.NewPrivateKey(marked)
	require.NoError(t, err)
	pair, err := keys.NewIdentityKeyPair(marked)
	require.NoError(t, err)
	signing, err := keys.NewSigningKey(marked)
	require.NoError(t, err)
	kem := keys.GenerateKEMPrivateKey()

	secrets := map[string]func(t *testing.T){
		"PrivateKey":      func(t *testing.T) { requireRedacted(t, private, marked) },
		"IdentityKeyPair": func(t *testing.T) { requireRedacted(t, pair, marked) },
		"SigningKey":      func(t *testing.T) { requireRedacted(t, signing, marked) },
		"KEMPrivateKey":   func(t *testing.T) { requireRedacted(t, kem, kem.Bytes()) },
	}
	public := []string{"PublicKey", "IdentityKey", "VerifyKey", "KEMPublicKey"}
	for name, test := range secrets {
		t.Run(name, test)
	}
	require.ElementsMatch(t, exportedTypes(t), append(public, slices.Collect(mapKeys(secrets))...))
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func requireRedacted[T any](t *testing.T, p *T, secret []byte) {
	require.False(t, reflect.TypeFor[T]().Comparable())
	for _, v := range []any{*p, p} {
		for how, text := range printed(t, v) {
			switch how {
			case "%T":
			case "json":
				require.Equal(t, `"redacted"`, text)
			default:
				require.Contains(t, text, "redacted", how)
			}
		}
	}
	for _, v := range []any{*p, p, &p, []T{*p}, []*T{p}, map[string]T{"k": *p},
		holder[T]{*p, p, []T{*p}, map[string]*T{"k": p}, *p}, &holder[T]{Value: *p}} {
		for how, text := range printed(t, v) {
			for _, trace := range traces(secret) {
				require.NotContains(t, text, trace, how)
			}
		}
	}
}

// exportedTypes reads the names of exported types from the sources.
func exportedTypes(t *testing.T) (names []string) {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				names = append(names, spec.Name.Name)
			}
			return true
		})
	}
	return names
}

// A test of the test: the traces find bytes in each way of printing.
func TestTracesFindBytes(t *testing.T) {
	found := func(text string) bool {
		return slices.ContainsFunc(traces(marked), func(s string) bool { return strings.Contains(text, s) })
	}
	type open struct{ b [32]byte }
	v := open{[32]byte(marked)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%d", "%s"} {
		require.True(t, found(fmt.Sprintf(verb, v)), verb)
	}
	b, err := json.Marshal(marked)
	require.NoError(t, err)
	require.True(t, found(string(b)))
}

func TestMEM_02_ErrorsHaveNoKeyBytes(t *testing.T) {
	for _, b := range [][]byte{marked, append([]byte{5}, marked[:31]...), append([]byte{6}, marked...)} {
		for _, err := range []error{
			second(keys.ParsePublicKey(b)), second(keys.ParseVerifyKey(b)), second(keys.ParseKEMPublicKey(b)),
			second(keys.ParseKEMPrivateKey(b)), second(keys.NewPrivateKey(append(b, 1, 2))),
		} {
			require.ErrorIs(t, err, keys.ErrKey)
			require.Less(t, len(err.Error())-len(errors.Unwrap(err).Error()), 60)
			for _, trace := range traces(marked) {
				require.NotContains(t, err.Error(), trace)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }
