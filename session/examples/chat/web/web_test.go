package web_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a server of a folder, of an echo for a relay, and of a log.
type site struct {
	dir, url string
	log      web.Log
	t        *testing.T
}

func newSite(t *testing.T, relay http.HandlerFunc) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), t: t}
	srv := httptest.NewServer(web.Handler(s.dir, relay, &s.log))
	s.url = srv.URL
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func (s *site) file(name, content string) {
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600))
}

// do makes a request; headers are pairs.
func (s *site) do(method, path, body string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		if req.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			req.Host = headers[i+1]
		}
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res, string(answer)
}

func TestFiles(t *testing.T) {
	s := newSite(t, nil)
	for name, kind := range map[string]string{
		"index.html": "text/html; charset=utf-8", "style.css": "text/css; charset=utf-8",
		"chat.js": "text/javascript; charset=utf-8", "chat.wasm": "application/wasm",
	} {
		s.file(name, "content of "+name)
		res, body := s.do("GET", "/"+name, "")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, kind, res.Header.Get("Content-Type"))
		require.Equal(t, "content of "+name, body)
		require.Equal(t, "Accept-Encoding", res.Header.Get("Vary"))
	}
	_, body := s.do("GET", "/", "")
	require.Equal(t, "content of index.html", body)
	res, body := s.do("HEAD", "/", "")
	require.Empty(t, body)
	require.EqualValues(t, len("content of index.html"), res.ContentLength)

	s.file("secret.txt", "not served")
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "folder.js"), 0o700))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(s.dir, "passwd.js")))
	for _, name := range []string{"/secret.txt", "/folder.js", "/passwd.js", "/nothing.js", "/..%2f..%2fx.js", "/chat.wasm.gz", "/favicon.ico"} {
		res, _ := s.do("GET", name, "", "Accept-Encoding", "gzip")
		require.Equal(t, 404, res.StatusCode, name)
		require.Empty(t, res.Header.Get("Content-Encoding"))
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		res, _ := s.do(method, "/chat.js", "x")
		require.Equal(t, 405, res.StatusCode)
		require.Equal(t, "GET, HEAD", res.Header.Get("Allow"))
	}
}

func TestCompressed(t *testing.T) {
	s := newSite(t, nil)
	s.file("chat.wasm", "plain")
	s.file("chat.wasm.gz", "compressed")
	s.file("style.css", "plain only")
	for accept, want := range map[string]string{
		"gzip": "compressed", "gzip, deflate, br": "compressed", "br, GZIP;q=0.5": "compressed",
		"br": "plain", "gzip;q=0": "plain", "gzip; q=0.00": "plain", "identity": "plain",
	} {
		res, body := s.do("GET", "/chat.wasm", "", "Accept-Encoding", accept)
		require.Equal(t, want, body, accept)
		require.Equal(t, map[bool]string{true: "gzip"}[want == "compressed"], res.Header.Get("Content-Encoding"))
		require.Equal(t, "application/wasm", res.Header.Get("Content-Type"))
		require.EqualValues(t, len(want), res.ContentLength)
	}
	res, body := s.do("GET", "/style.css", "", "Accept-Encoding", "gzip")
	require.Equal(t, "plain only", body)
	require.Empty(t, res.Header.Get("Content-Encoding"))
}

// Every answer says what the page may do.
func TestHeaders(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") })
	s.file("index.html", "x")
	for _, path := range []string{"/", "/nothing", "/relay/keys/ani"} {
		res, _ := s.do("GET", path, "")
		csp := strings.Split(res.Header.Get("Content-Security-Policy"), "; ")
		require.ElementsMatch(t, csp, []string{
			"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "style-src 'self'", "connect-src 'self'",
			"img-src 'self' blob: data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
		})
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", res.Header.Get("Referrer-Policy"))
		require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
		require.Equal(t, "same-origin", res.Header.Get("Cross-Origin-Resource-Policy"))
		require.Equal(t, "same-origin", res.Header.Get("Cross-Origin-Opener-Policy"))
		require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	}
}

func TestRelay(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		switch req.URL.Path {
		case "/nothing":
		case "/twice":
			w.WriteHeader(507)
			w.WriteHeader(200)
		case "/error":
			http.Error(w, "nobody has that name", 404)
		default:
			fmt.Fprintf(w, "%s %s %s", req.Method, req.URL.EscapedPath(), body)
		}
	})
	for path, want := range map[string]string{
		"/nothing": "200 ", "/twice": "507 ", "/error": "404 nobody has that name\n", "/keys/a%2fb": "200 PUT /keys/a%2fb body",
	} {
		res, body := s.do("PUT", "/relay"+path, "body")
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, want, res.Header.Get(web.StatusHeader)+" "+body)
	}
	res, _ := s.do("GET", "/keys/ani", "")
	require.Equal(t, 404, res.StatusCode)
	require.Empty(t, res.Header.Get(web.StatusHeader), "no answer of the relay")
}

// A server on loopback is no other site's to use.
func TestOthersRefused(t *testing.T) {
	asked := 0
	s := newSite(t, func(http.ResponseWriter, *http.Request) { asked++ })
	s.file("index.html", "x")
	for _, host := range []string{"chat.example", "chat.example:80", "192.0.2.1", "127.0.0.1.example", "localhost.example:8080", "notlocalhost", "[2001:db8::1]:80", "", "::"} {
		require.False(t, web.IsLoopback(host), host)
		if host == "" || host == "::" {
			continue
		}
		for _, path := range []string{"/", "/relay/x", "/sees"} {
			res, _ := s.do("GET", path, "", "Host", host)
			require.Equal(t, 421, res.StatusCode)
		}
	}
	port := s.url[strings.LastIndex(s.url, ":"):]
	for _, host := range []string{"127.0.0.1" + port, "localhost" + port, "localhost", "[::1]:80", "[::1]", "127.0.0.2", "ani.localhost:8080"} {
		require.True(t, web.IsLoopback(host))
		res, _ := s.do("GET", "/", "", "Host", host)
		require.Equal(t, 200, res.StatusCode)
		res, _ = s.do("PUT", "/relay/x", "", "Host", host, "Origin", "http://"+host, "Sec-Fetch-Site", "same-origin")
		require.Equal(t, "200", res.Header.Get(web.StatusHeader))
	}
	require.Equal(t, 7, asked)
	for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
		for _, headers := range [][]string{
			{"Origin", "http://evil.example"}, {"Origin", "null"}, {"Origin", "http://127.0.0.1:1"}, {"Origin", "https" + s.url[4:]},
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"},
		} {
			for _, path := range []string{"/relay/x", "/sees"} {
				res, _ := s.do(method, path, "", headers...)
				require.Equal(t, 403, res.StatusCode)
				require.Empty(t, res.Header.Get(web.StatusHeader))
			}
		}
	}
	require.Equal(t, 7, asked)
	res, _ := s.do("GET", "/", "", "Sec-Fetch-Site", "cross-site") // a link to the page
	require.Equal(t, 200, res.StatusCode)
}

// follow reads what the relay sees.
func (s *site) follow() iter.Seq[string] {
	return func(yield func(string) bool) {
		ctx, stop := context.WithCancel(s.t.Context())
		defer stop()
		req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/sees", nil)
		require.NoError(s.t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(s.t, err)
		defer res.Body.Close()
		require.Equal(s.t, "text/event-stream", res.Header.Get("Content-Type"))
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			if line, ok := strings.CutPrefix(in.Text(), "data: "); !ok {
				require.Empty(s.t, in.Text())
			} else if !yield(line) {
				return
			}
		}
	}
}

// watch reads n lines of what the relay sees, which sees something after the first.
func (s *site) watch(n int) (lines []string) {
	s.t.Helper()
	for line := range s.follow() {
		if lines = append(lines, line); len(lines) == 1 {
			s.log.Sees("meanwhile")
		}
		if len(lines) == n {
			break
		}
	}
	return lines
}

func TestSees(t *testing.T) {
	s := newSite(t, nil)
	s.log.Sees("ani publishes prekeys")
	s.log.Sees("one\n\ndata: line\r")
	require.Equal(t, []string{"ani publishes prekeys", "one data: line", "meanwhile"}, s.watch(3))
	require.Equal(t, "ani publishes prekeys", s.watch(1)[0], "from the beginning again")
	for i := range 600 {
		s.log.Sees(fmt.Sprint(i))
	}
	lines := s.watch(501)
	require.Equal(t, "100", lines[0])
	require.Equal(t, []string{"599", "meanwhile"}, lines[499:])
	res, _ := s.do("POST", "/sees", "")
	require.Equal(t, 405, res.StatusCode)
}

// What the relay sees is shown for longer than the server waits for anything else.
func TestSeesLasts(t *testing.T) {
	s := &site{t: t}
	srv := httptest.NewUnstartedServer(web.Handler("", nil, &s.log))
	srv.Config.ReadTimeout, srv.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	srv.Start()
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.log.Sees("one")
	late := time.AfterFunc(300*time.Millisecond, func() { s.log.Sees("late") })
	defer late.Stop()
	for line := range s.follow() {
		if line == "late" {
			return
		}
	}
	require.Fail(t, "ended early")
}

// readGzip reads a compressed file.
func readGzip(t *testing.T, name string) string {
	t.Helper()
	in, err := os.Open(name)
	require.NoError(t, err)
	defer in.Close()
	z, err := gzip.NewReader(in)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(b)
}
