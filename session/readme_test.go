package session_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadme keeps the quick start of the README equal to the Example, and at
// most 30 lines long, and the lines that send to users equal to those of theirs.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	code, _, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	lines := strings.Split(strings.TrimSuffix(code, "\n"), "\n")
	require.LessOrEqual(t, len(lines), 30)
	require.Contains(t, string(example), "\t"+strings.Join(lines, "\n\t")+"\n")
	sends, err := os.ReadFile("send_example_test.go")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(readme), "\n## To users, not to devices\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	for i, code := range strings.Split(section, "```")[1:] {
		if i%2 == 0 {
			for line := range strings.Lines(strings.TrimPrefix(code, "go\n")) {
				require.Contains(t, string(sends), "\t"+line)
			}
		}
	}
	require.True(t, strings.HasPrefix(string(readme), "# gembok\n\n    go run ./session/examples/chat\n    go test ./...\n"))
}
