package browser_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
)

var long = flag.Bool("long", false, "run all of keystoretest in the browser, not its short form")

// runner is a page that runs a program: with the arguments and the environment
// that its address has.
const runner = `<!doctype html><html lang="en"><meta charset="utf-8"><title>runner</title><link rel="icon" href="data:,">
<script src="/wasm_exec.js"></script>
<script type="module">
const asked = new URLSearchParams(location.search), go = new Go()
go.argv = ["test", ...asked.getAll("arg")]
go.env = Object.fromEntries(asked.getAll("env").map(e => e.split("=")))
go.exit = code => { globalThis.exitCode = code }
const { instance } = await WebAssembly.instantiateStreaming(fetch("/test.wasm"), go.importObject)
go.run(instance)
</script></html>`

// tests serves the tests of a package of the chat, which it builds.
func tests(t testing.TB, of string) http.Handler {
	t.Helper()
	program := filepath.Join(t.TempDir(), "test.wasm")
	build := exec.Command("go", "test", "-c", "-o", program, "github.com/gembok-e2ee/gembok/session/examples/chat/"+of)
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	support := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js")

	mux := http.NewServeMux()
	mux.HandleFunc("/test.wasm", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, program) })
	mux.HandleFunc("/wasm_exec.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, support) })
	mux.HandleFunc("/blank", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, blank) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, runner) })
	return mux
}

// origin is a new one, which has stored nothing yet.
func origin(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// with is the address of a page that runs the tests so.
func with(origin string, arguments ...string) string {
	return origin + "/?" + url.Values{"arg": arguments}.Encode()
}

// doing is the address of a page that does a job.
func doing(origin, job string) string {
	return origin + "/?" + url.Values{"env": {"GEMBOK_JOB=" + job}}.Encode()
}

// ended waits until the program has ended, and requires that it succeeded.
func ended(t testing.TB, p *browser.Page, limit time.Duration) (lines []string) {
	t.Helper()
	p.WaitFor(limit, "'exitCode' in globalThis")
	require.Zero(t, browser.Eval[int](p, "exitCode"), strings.Join(p.Console(), "\n"))
	p.Clean()
	return p.Console()
}

// says waits until a page writes a line that begins so, and returns it.
func says(t testing.TB, p *browser.Page, what string) (line string) {
	t.Helper()
	await(t, p.Console, func(lines []string) bool { return len(beginning(what, lines)) > 0 })
	lines := beginning(what, p.Console())
	return lines[len(lines)-1]
}

func TestIndexedDB(t *testing.T) {
	b, h := browser.Start(t), tests(t, "indexeddb")
	for _, c := range []struct {
		name string
		test func(t *testing.T, b *browser.Browser, h http.Handler)
	}{
		{"contract", contract},
		{"figures", figures},
		{"second page", secondPage},
		{"unavailable", unavailable},
		{"made by others", madeByOthers},
		{"full", full},
		{"cleared", cleared},
		{"page ends", pageEnds},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, b, h) })
	}
}

// The store keeps the contract within the browser. It has no Crash there: that
// is what pageEnds is about.
func contract(t *testing.T, b *browser.Browser, h http.Handler) {
	arguments := []string{"-test.v"}
	if !*long {
		arguments = append(arguments, "-test.short")
	}
	lines := ended(t, b.Open(t, with(origin(t, h), arguments...)), 15*time.Minute)
	out := strings.Join(lines, "\n")
	ran := regexp.MustCompile(`(?m)^ +--- PASS: TestStore/`).FindAllString(out, -1)
	require.Greater(t, len(ran), 30, out)
	skipped := regexp.MustCompile(`--- SKIP: \S+`).FindAllString(out, -1)
	require.ElementsMatch(t, []string{"--- SKIP: TestStore/crash", "--- SKIP: TestStore/crash_in_a_commit"}, skipped)
	took := regexp.MustCompile(`(?m)^ *--- PASS.*`).FindAllString(out, -1)
	t.Log("in the browser:\n", strings.Join(took, "\n"))
}

// What the store takes is reported, not asserted.
func figures(t *testing.T, b *browser.Browser, h http.Handler) {
	for _, l := range beginning("took", ended(t, b.Open(t, doing(origin(t, h), "measure")), time.Minute)) {
		t.Log(l)
	}
}

// A second page is refused at once; whatever became of the first one, the store
// is free after it. A context apart has a store of its own.
func secondPage(t *testing.T, b *browser.Browser, h http.Handler) {
	at := doing(origin(t, h), "open")
	one := b.Open(t, at)
	says(t, one, "open")
	two := b.Open(t, at)
	require.Contains(t, says(t, two, "refused"), "locked")
	says(t, b.Apart(t).Open(t, at), "open")
	one.Close()
	two.Reload()
	says(t, two, "open")
	two.Clean()
}

// Where there is no database to have, the error says so.
func unavailable(t *testing.T, b *browser.Browser, h http.Handler) {
	at := doing(origin(t, h), "open")
	const open = `IDBFactory.prototype.open = () => { `
	for name, c := range map[string]struct{ before, want string }{
		"no IndexedDB":      {"delete globalThis.indexedDB", "not available"},
		"undefined":         {"Object.defineProperty(globalThis, 'indexedDB', {value: undefined})", "not available"},
		"reading it throws": {"Object.defineProperty(globalThis, 'indexedDB', {get() { throw new DOMException('', 'SecurityError') }})", "not available"},
		"open throws":       {open + "throw new DOMException('', 'SecurityError') }", "not available"},
		"open fails": {open + `
			const r = new EventTarget()
			r.error = new DOMException("", "InvalidStateError")
			setTimeout(() => r.onerror(new Event("error")))
			return r }`, "not available"},
		"no locks":      {"delete Navigator.prototype.locks", "not available"},
		"locks refused": {"LockManager.prototype.request = () => Promise.reject(new DOMException('', 'SecurityError'))", "not available"},
		"full":          {open + "throw new DOMException('', 'QuotaExceededError') }", "full"},
	} {
		p := b.Blank(t)
		p.Before(c.before)
		p.Navigate(at)
		require.Contains(t, says(t, p, "refused"), c.want, name)
		p.Clean()
	}
}

// What others have made under the store's name is refused, each time.
func madeByOthers(t *testing.T, b *browser.Browser, h http.Handler) {
	for name, c := range map[string]struct{ version, make, want string }{
		"newer database": {"2", "", "newer format"},
		"newer format":   {"1", "db.createObjectStore('records'); db.createObjectStore('meta').put(2, 'format')", "newer format"},
		"no format":      {"1", "db.createObjectStore('records'); db.createObjectStore('meta')", "corrupt"},
		"no stores":      {"1", "db.createObjectStore('other')", "corrupt"},
	} {
		at := origin(t, h)
		p := b.Open(t, at+"/blank")
		browser.Eval[any](p, `new Promise((done, fail) => {
			const open = indexedDB.open("job", `+c.version+`)
			open.onupgradeneeded = () => { const db = open.result; `+c.make+` }
			open.onsuccess = () => { open.result.close(); done() }
			open.onerror = () => fail(open.error)
		})`)
		for range 2 {
			p.Navigate(doing(at, "open"))
			require.Contains(t, says(t, p, "refused"), c.want, name)
		}
		p.Clean()
	}
}

// A Commit for which there is no room says so, and changes nothing.
func full(t *testing.T, b *browser.Browser, h http.Handler) {
	at := origin(t, h)
	p := b.Open(t, at+"/blank")
	room := 20e6
	browser.Call(p, storage.OverrideQuotaForOrigin, storage.OverrideQuotaForOriginParams{Origin: at, QuotaSize: &room})
	p.Navigate(doing(at, "fill"))
	ended(t, p, time.Minute)
	t.Log(says(t, p, "after"))
	says(t, p, "deleted")
}

// A person may have the browser clear what a page has stored, while it commits.
func cleared(t *testing.T, b *browser.Browser, h http.Handler) {
	at := origin(t, h)
	p := b.Open(t, doing(at, "clear"))
	says(t, p, "made")
	browser.Call(p, storage.ClearDataForOrigin, storage.ClearDataForOriginParams{Origin: at, StorageTypes: "indexeddb"})
	ended(t, p, time.Minute)
	t.Log(says(t, p, "told"))
	require.Equal(t, "generation 0", says(t, p, "generation"))
}

// However a page ends while it commits, what was said to be made is there, and
// nothing is there in part. It is reloaded, its process ends, or the browser's.
func pageEnds(t *testing.T, _ *browser.Browser, h http.Handler) {
	b, at := browser.Start(t), doing(origin(t, h), "commit")
	p := b.Open(t, at)
	var before []string // what pages have said that are gone
	said := func() []string { return append(slices.Clone(before), p.Console()...) }
	for round := range 12 {
		await(t, said, func(lines []string) bool {
			return len(beginning("found", lines)) == round+1 && strings.HasPrefix(lines[len(lines)-1], "made")
		})
		time.Sleep(rand.N(100 * time.Millisecond))
		switch {
		case round%6 == 5:
			b.Kill(t)
			before = said()
			b = browser.StartIn(t, b.Profile())
			p = b.Open(t, at)
		case round%3 == 2:
			crash(t, p)
			before = said()
			p = b.Open(t, at)
		default:
			p.Reload()
		}
		await(t, said, func(lines []string) bool { return len(beginning("found", lines)) == round+2 })
		lines := said()
		i := slices.Index(lines, beginning("found", lines)[round+1])
		made := beginning("made", lines[:i])
		last, found := number(t, made[len(made)-1]), number(t, lines[i])
		require.GreaterOrEqual(t, found, last) // what a page said last may not have got out
		t.Log(made[len(made)-1], lines[i])
	}
}

// await waits until what pages have said is so, and none has failed.
func await(t testing.TB, said func() []string, is func([]string) bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(said()); time.Sleep(time.Millisecond) {
		require.Empty(t, beginning("failed", said()))
		require.True(t, time.Now().Before(end), "%q", said())
	}
}

// beginning returns the lines that begin so.
func beginning(with string, lines []string) (found []string) {
	for _, l := range lines {
		if strings.HasPrefix(l, with) {
			found = append(found, l)
		}
	}
	return found
}

// crash ends the process of a page.
func crash(t testing.TB, p *browser.Page) {
	t.Helper()
	go func() { _, _ = chromedp.Call(p.Context(), page.Crash, struct{}{}) }() // which has no answer
	require.Eventually(t, func() bool { return strings.Contains(fmt.Sprint(p.Errors()), "crashed") }, 20*time.Second, time.Millisecond)
}

// number is the first one in a line.
func number(t testing.TB, line string) (n int) {
	t.Helper()
	var word string
	_, err := fmt.Sscan(line, &word, &n)
	require.NoError(t, err, line)
	return n
}
