package keystore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// secretNames are what the files of encryption call keys, passphrases and what is
// sealed.
var secretNames = []string{"Passphrase", "aead", "body", "key", "lock", "plain", "secret"}

// comparers are functions that compare byte for byte, and stop at the first
// that differs.
var comparers = []string{"Equal", "Compare", "DeepEqual", "EqualFold", "HasPrefix", "HasSuffix", "Index", "Contains"}

// comparisons returns the places where a file compares a secret otherwise than
// to find that there is none.
func comparisons(t *testing.T, name string, src any) (places []string) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, 0)
	require.NoError(t, err)
	found := func(n ast.Node) { places = append(places, fset.Position(n.Pos()).String()) }
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if n.Op == token.EQL || n.Op == token.NEQ {
				if (isSecret(n.X) || isSecret(n.Y)) && !isNothing(n.X) && !isNothing(n.Y) {
					found(n)
				}
			}
		case *ast.SwitchStmt:
			if isSecret(n.Tag) {
				found(n)
			}
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && slices.Contains(comparers, sel.Sel.Name) && slices.ContainsFunc(n.Args, isSecret) {
				found(n)
			}
		}
		return true
	})
	return places
}

// isSecret tells whether an expression is a secret by its name, or a part or a
// conversion of one.
func isSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return slices.Contains(secretNames, e.Name)
	case *ast.SelectorExpr:
		if id, ok := e.X.(*ast.Ident); e.Sel.Name == "Key" { // an Unlock's; a Record's is a name
			return ok && id.Name == "u"
		}
		return slices.Contains(secretNames, e.Sel.Name)
	case *ast.IndexExpr:
		return isSecret(e.X)
	case *ast.SliceExpr:
		return isSecret(e.X)
	case *ast.StarExpr:
		return isSecret(e.X)
	case *ast.UnaryExpr:
		return isSecret(e.X)
	case *ast.ParenExpr:
		return isSecret(e.X)
	case *ast.CallExpr: // string(x), not len(x)
		id, ok := e.Fun.(*ast.Ident)
		return len(e.Args) == 1 && isSecret(e.Args[0]) && !(ok && (id.Name == "len" || id.Name == "cap"))
	}
	return false
}

// isNothing tells whether e is nil or "".
func isNothing(e ast.Expr) bool {
	if lit, ok := e.(*ast.BasicLit); ok {
		return lit.Value == `""`
	}
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
}

// Secrets are compared by nobody but the cipher, whose tags are compared in
// constant time.
func TestTIM_01_NoComparisonOfSecrets(t *testing.T) {
	for _, name := range []string{"encrypted.go", "encrypted_record.go", "header.go", "rekey.go"} {
		require.Empty(t, comparisons(t, name, nil))
	}
	for _, bad := range []string{
		"h.lock == other", "other != h.lock", "u.Passphrase == p", "*u.Key == [32]byte{}", "string(h.secret[:]) == x", "h.keys[0].key == k",
		"bytes.Equal(h.lock[:], x)", "slices.Equal(x, body)", "subtle.Contains(plain, x)", "key[3] == x", "(&h.lock) == x",
	} {
		require.Len(t, comparisons(t, "x.go", "package x\nvar _ = "+bad), 1, bad)
	}
	require.Len(t, comparisons(t, "x.go", "package x\nfunc f() { switch h.lock { case x: } }"), 1)
	for _, fine := range []string{"u.Key == nil", `u.Passphrase == ""`, "len(body) == 3", "h.number == 7", "subtle.ConstantTimeCompare(key, x)"} {
		require.Empty(t, comparisons(t, "x.go", "package x\nvar _ = "+fine), fine)
	}
}
