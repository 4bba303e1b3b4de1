package web_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	wordLine = regexp.MustCompile(`(?m)^  (?:"([^"]+)"|(\w+)): \[\s*"([^"]+)",\s*"([^"]+)",?\s*\],$`)
	anyWord  = regexp.MustCompile(`(?m)^  [\w".]+: `)
	blank    = regexp.MustCompile(`\{\w+\}`)
	said     = regexp.MustCompile(`\bsay\("([\w.]+)"|data-word(?:-label)?="(\w+)"`)
	named    = regexp.MustCompile(`["\x60]([\w.]+)(?:["\x60]|\$\{)`)
)

// The page has each of its words in both languages, with the same things to fill in,
// and uses all of them and no others.
func TestWords(t *testing.T) {
	page := filepath.Join("..", "page")
	words := readFile(t, filepath.Join(page, "words.js"))
	table, _, found := strings.Cut(words, "\n};")
	require.True(t, found)
	has := map[string]bool{}
	all := wordLine.FindAllStringSubmatch(table, -1)
	require.Len(t, all, len(anyWord.FindAllString(table, -1)), "words in two languages")
	for _, w := range all {
		key := w[1] + w[2]
		require.False(t, has[key], "%s twice", key)
		has[key] = true
		require.Equal(t, blanks(w[3]), blanks(w[4]), key)
	}
	uses, begins := map[string]bool{}, []string{}
	files, err := filepath.Glob(filepath.Join(page, "*.*"))
	require.NoError(t, err)
	for _, file := range files {
		if ext := filepath.Ext(file); ext != ".js" && ext != ".html" || filepath.Base(file) == "words.js" {
			continue
		}
		text := readFile(t, file)
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			require.True(t, has[m[1]+m[2]], "%s: %s has no words", file, m[1]+m[2])
			uses[m[1]+m[2]] = true
		}
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			uses[m[1]] = true
			if strings.HasSuffix(m[0], "{") {
				begins = append(begins, m[1])
			}
		}
	}
	for key := range has {
		used := uses[key] || slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(key, b) }) || uses[strings.TrimSuffix(key, "Text")]
		require.True(t, used, "%s is used nowhere", key)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

func blanks(s string) []string {
	all := blank.FindAllString(s, -1)
	slices.Sort(all)
	return slices.Compact(all)
}
