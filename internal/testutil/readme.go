package testutil

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Shown requires that README.md has n pieces of Go in sections, and that their
// lines stand in readme_test.go, where a test runs them; what prints there prints
// to nowhere.
func Shown(t testing.TB, n int, sections ...string) {
	t.Helper()
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range sections {
		_, text, _ := strings.Cut(string(readme), "\n## "+section+"\n")
		text, _, _ = strings.Cut(text, "\n## ")
		for _, block := range strings.Split(text, "```go\n")[1:] {
			n--
			code, _, _ := strings.Cut(block, "```\n")
			for line := range strings.Lines(code) {
				line = strings.Replace(line, "fmt.Println(", "fmt.Fprintln(io.Discard, ", 1)
				if !strings.Contains(squeeze(string(source)), squeeze(line)) {
					t.Errorf("README.md, %s: not in the test: %s", section, line)
				}
			}
		}
	}
	if n != 0 {
		t.Errorf("README.md: %d pieces of code less than there should be", n)
	}
}

// squeeze leaves out how lines are aligned.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }
