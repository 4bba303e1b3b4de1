package browser_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
)

// serve serves one document at each path, and returns where.
func serve(t testing.TB, document string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = w.Write([]byte(document))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

const blank = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>blank</title><body></body></html>`

// What a page does wrong is seen, so that a test that finds nothing has looked.
func TestRecord(t *testing.T) {
	b, url := browser.Start(t), serve(t, blank)
	good := b.Open(t, url)
	require.Equal(t, "blank", browser.Eval[string](good, "document.title"))
	good.Wait("document.readyState === 'complete'")
	good.Clean()

	for what, script := range map[string]string{
		"console: written 1 2":        "console.error('written', 1, 2)",
		"uncaught: Error: thrown":     "setTimeout(() => { throw new Error('thrown') })",
		"uncaught: Error: rejected":   "void Promise.reject(new Error('rejected'))",
		"network: Failed to load":     "fetch('/missing').then(() => 1)",
		"http://192.0.2.1/":           "fetch('http://192.0.2.1/').catch(() => 1)",
		"http://gembok.example/a?b=c": "fetch('http://gembok.example/a?b=c', {mode: 'no-cors'}).catch(() => 1)",
		"may I?":                      "confirm('may I?')",
	} {
		p := b.Open(t, url)
		_ = browser.Eval[any](p, "(async () => { await ("+script+") })()")
		require.Eventually(t, func() bool {
			return found(what, p.Errors(), p.Requests(), p.Dialogs())
		}, 10e9, 10e6, "%s: not found in %q, %q and %q", what, p.Errors(), p.Requests(), p.Dialogs())
	}
}

func found(what string, lists ...[]string) bool {
	for _, list := range lists {
		for _, s := range list {
			if len(s) >= len(what) && s[:len(what)] == what {
				return true
			}
		}
	}
	return false
}

// Pages of one browser share what they store, those of a context apart do not,
// and a browser that is started again has it.
func TestStorage(t *testing.T) {
	b, url := browser.Start(t), serve(t, blank)
	one, two, other := b.Open(t, url), b.Open(t, url), b.Apart(t).Open(t, url)
	const write = `new Promise((done, fail) => {
		const open = indexedDB.open("d", 1)
		open.onupgradeneeded = () => open.result.createObjectStore("s").put("kept", 1)
		open.onsuccess = () => { open.result.close(); done(true) }
		open.onerror = () => fail(open.error)
	})`
	const names = `indexedDB.databases().then(all => all.map(d => d.name).join())`
	require.True(t, browser.Eval[bool](one, write))
	require.Equal(t, "d", browser.Eval[string](two, names))
	require.Equal(t, "", browser.Eval[string](other, names))
	two.Screenshot("storage")
	picture, err := os.ReadFile("screenshots/storage.png")
	require.NoError(t, err)
	require.Equal(t, "\x89PNG", string(picture[:4]))

	b.Kill(t)
	again := browser.StartIn(t, b.Profile()).Open(t, url)
	require.Equal(t, "d", browser.Eval[string](again, names))
}
