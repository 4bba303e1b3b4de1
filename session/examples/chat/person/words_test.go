package person

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var verb = regexp.MustCompile(`%[a-z]`)

// Each text is there in both languages, which say the same things in the same order.
func TestTexts(t *testing.T) {
	n := 0
	for _, file := range []string{"words.go", "plainwords.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, value := range spec.Values {
				n++
				texts := value.(*ast.CompositeLit).Elts
				require.Len(t, texts, 2, spec.Names[i].Name)
				en, id := literal(t, texts[0]), literal(t, texts[1])
				require.NotEqual(t, en, id)
				require.Equal(t, verb.FindAllString(en, -1), verb.FindAllString(id, -1), en)
			}
			return true
		})
	}
	require.Greater(t, n, 50)
}

func literal(t *testing.T, e ast.Expr) string {
	t.Helper()
	s, err := strconv.Unquote(e.(*ast.BasicLit).Value)
	require.NoError(t, err)
	require.NotEmpty(t, s)
	return s
}
