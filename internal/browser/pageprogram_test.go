package browser_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

// The tests of the page's program pass in a browser.
func TestPageProgram(t *testing.T) {
	b := browser.Start(t)
	mux := http.NewServeMux()
	mux.Handle("/", tests(t, "page"))
	mux.Handle("/relay/", web.Handler(t.TempDir(), http.HandlerFunc(strangeRelay), new(web.Log)))
	mux.HandleFunc("/relay/none", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
	mux.HandleFunc("/relay/wrong", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(web.StatusHeader, "200 OK")
		fmt.Fprint(w, "[]")
	})
	p := b.Open(t, with(origin(t, mux), "-test.v"))
	p.WaitFor(time.Minute, "'exitCode' in globalThis")
	out := strings.Join(p.Console(), "\n")
	require.Zero(t, browser.Eval[int](p, "exitCode"), out)
	require.Len(t, regexp.MustCompile(`(?m)^--- PASS: Test`).FindAllString(out, -1), 5, out)
}

// strangeRelay answers as the tests of package page want it.
func strangeRelay(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	switch req.URL.Path {
	case "/slow":
		<-req.Context().Done()
	case "/hang-up":
		panic(http.ErrAbortHandler)
	case "/large":
		_, _ = w.Write(make([]byte, 16<<20))
	case "/file":
		w.Header().Set("Content-Length", fmt.Sprint(3<<20))
		_, _ = w.Write(make([]byte, 3<<20))
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "%s %s %d", req.Method, req.URL.EscapedPath(), len(body))
	}
}
