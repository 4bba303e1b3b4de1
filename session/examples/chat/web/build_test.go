package web_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

// aPage makes a folder with a module that is a page's program and its files.
func aPage(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module page.example\n\ngo 1.26\n", "main.go": source,
		"index.html": "<!doctype html>", "style.css": "body{}", "notes.txt": "not served",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func TestBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program for another platform")
	}
	page, dir := aPage(t, "//go:build js && wasm\n\npackage main\n\nfunc main() {}\n"), t.TempDir()
	require.NoError(t, web.BuildFrom(t.Context(), page, page, dir))
	var names []string
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{
		"chat.wasm", "chat.wasm.gz", "index.html", "index.html.gz", "style.css", "style.css.gz", "wasm_exec.js", "wasm_exec.js.gz",
	}, names)
	b, err := os.ReadFile(filepath.Join(dir, "chat.wasm"))
	require.NoError(t, err)
	require.Equal(t, "\x00asm", string(b[:4]))
	require.Equal(t, string(b), readGzip(t, filepath.Join(dir, "chat.wasm.gz")))
	plain, compressed, err := web.Sizes(dir)
	require.NoError(t, err)
	require.EqualValues(t, len(b), plain)
	require.Less(t, compressed, plain)
}

func TestBuildFails(t *testing.T) {
	page := aPage(t, "//go:build js && wasm\n\npackage main\n\nfunc main() { nothing() }\n")
	err := web.BuildFrom(t.Context(), page, page, t.TempDir())
	require.ErrorContains(t, err, "go build -trimpath", "what was done")
	require.ErrorContains(t, err, "main.go:5:15: undefined: nothing", "and what it said")

	_, _, err = web.Sizes(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)

	ended, end := context.WithCancel(t.Context())
	end()
	require.ErrorIs(t, web.Build(ended, t.TempDir()), context.Canceled)
}

// Elsewhere than where the module is known, and without the go command, it says so.
func TestBuildNowhere(t *testing.T) {
	t.Chdir(t.TempDir())
	require.ErrorContains(t, web.Build(t.Context(), t.TempDir()), "is this a checkout of gembok? go list -m")
	t.Setenv("PATH", "")
	require.ErrorContains(t, web.Build(t.Context(), t.TempDir()), "executable file not found")
}
