package archtest_test

import (
	"flag"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/archtest"
	"github.com/gembok-e2ee/gembok/internal/testutil"
)

var update = flag.Bool("update", false, "write the list of exported names anew")

// parsed is the module, parsed once for all tests.
var parsed = sync.OnceValues(func() (*archtest.Module, error) {
	return archtest.Load(os.DirFS("../.."))
})

func module(t *testing.T) *archtest.Module {
	t.Helper()
	require.Equal(t, testutil.Root(t), root(t))
	m, err := parsed()
	require.NoError(t, err)
	require.NotEmpty(t, m.Packages)
	return m
}

func root(t *testing.T) string {
	dir, err := os.Getwd()
	require.NoError(t, err)
	return strings.TrimSuffix(dir, string(os.PathSeparator)+"internal"+string(os.PathSeparator)+"archtest")
}

func none(t *testing.T, wrong []string) {
	t.Helper()
	if len(wrong) > 0 {
		t.Errorf("\n%s", strings.Join(wrong, "\n"))
	}
}

func TestArrows(t *testing.T)       { none(t, module(t).Arrows()) }
func TestThirdParty(t *testing.T)   { none(t, module(t).ThirdParty()) }
func TestCapabilities(t *testing.T) { none(t, module(t).Capabilities()) }
func TestLayout(t *testing.T)       { none(t, module(t).Layout()) }
func TestSecrets(t *testing.T)      { none(t, module(t).Secrets()) }
func TestGlobals(t *testing.T)      { none(t, module(t).Globals()) }
func TestBudgets(t *testing.T)      { none(t, module(t).Budgets()) }
func TestDocumented(t *testing.T)   { none(t, module(t).Documented()) }

func TestRNG_02_NobodyElsesCoins(t *testing.T) { none(t, module(t).Coins()) }

func TestRequirements(t *testing.T) {
	wrong, err := module(t).Requirements()
	require.NoError(t, err)
	none(t, wrong)
}

func TestIDs(t *testing.T) {
	wrong, err := module(t).IDs()
	require.NoError(t, err)
	none(t, wrong)
}

func TestReadme(t *testing.T) {
	wrong, err := module(t).Readme()
	require.NoError(t, err)
	none(t, wrong)
}

// The list grows in review only: go test ./internal/archtest -update
func TestExported(t *testing.T) {
	got := strings.Join(module(t).Exported(), "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile("exported.txt", []byte(got), 0o644))
	}
	want, err := os.ReadFile("exported.txt")
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got,
		"the exported names changed: go test ./internal/archtest -update, and say why")
}
