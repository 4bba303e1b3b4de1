package browser_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/browser"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
	"github.com/gembok-e2ee/gembok/session/examples/chat/web"
)

// A server serves the page and a relay on loopback. What the relay takes in passes a
// middleman, and what pages ask for passes a line, both of which do as the test says.
type server struct {
	*middleman
	*line
	t     *testing.T
	b     *browser.Browser
	relay *relay.Relay
	addr  string // also while nothing listens
	here  *http.Server

	mu   sync.Mutex
	seen []string // by the relay
}

// newServer serves the page in dir until the test ends, for a browser.
func newServer(t *testing.T, b *browser.Browser, dir string) *server {
	t.Helper()
	s, log := &server{t: t, b: b, addr: "127.0.0.1:0"}, new(web.Log)
	s.relay = relay.New(func(what string) {
		log.Sees(what)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, what)
	})
	s.middleman = &middleman{put: s.relay.Put, holds: map[string]bool{}}
	s.relay.Deliver = s.middleman.deliver
	s.line = &line{next: web.Handler(dir, s.relay.Handler(), log)}
	s.comes()
	t.Cleanup(s.goes)
	return s
}

// comes has the server listen, again where it did before.
func (s *server) comes() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.addr)
	require.NoError(s.t, err)
	s.addr = l.Addr().String()
	s.here = &http.Server{Handler: s.line}
	go func() { _ = s.here.Serve(l) }()
}

// goes has the server end at once: connections that are open are closed, and there are
// no new ones.
func (s *server) goes() { _ = s.here.Close() }

// must requires that something works.
func (s *server) must(err error) {
	s.t.Helper()
	require.NoError(s.t, err)
}

// url is where somebody's account is opened, with pairs of further settings.
func (s *server) url(name, lang string, more ...string) string {
	q := url.Values{"as": {name}, "lang": {lang}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "http://" + s.addr + "/?" + q.Encode()
}

// sees is what the relay has seen so far.
func (s *server) sees() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.seen, "\n")
}

// mailed is how many letters to a device the relay has seen.
func (s *server) mailed(device string) int {
	return strings.Count(s.sees(), "somebody to "+device+", type ")
}

func address(name string) session.Address { return session.Address{User: post.UserOf(name), Device: 1} }

// A middleman stands between what the relay takes in and the mailboxes.
type middleman struct {
	put   func([]relay.Delivery) error
	mu    sync.Mutex
	holds map[string]bool // whose mail
	held  []relay.Delivery
}

func (m *middleman) deliver(mail []relay.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var pass []relay.Delivery
	for _, d := range mail {
		if m.holds[post.NameOf(d.To.User)] {
			m.held = append(m.held, d)
		} else {
			pass = append(pass, d)
		}
	}
	return m.put(pass)
}

// hold holds back what is for somebody from now on, or no more.
func (m *middleman) hold(name string, on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds[name] = on
}

// take returns what is held back once there is so much of it, which is then the test's.
func (m *middleman) take(t *testing.T, n int) (mail []relay.Delivery) {
	t.Helper()
	require.Eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.held) < n {
			return false
		}
		mail, m.held = m.held, nil
		return true
	}, patience, poll, "the relay gets no %d letters", n)
	require.Len(t, mail, n)
	return mail
}

// again is the same letter in another envelope, so that the mailbox takes it twice.
func again(d relay.Delivery) relay.Delivery {
	d.Envelope.ID += "-2"
	return d
}

// forged is another letter in the same envelope but one bit.
func forged(d relay.Delivery) relay.Delivery {
	d.Envelope.ID += "-forged"
	d.Envelope.Bytes = append([]byte(nil), d.Envelope.Bytes...)
	d.Envelope.Bytes[len(d.Envelope.Bytes)-1] ^= 1
	return d
}

// A line is between pages and the server.
type line struct {
	next  http.Handler
	mu    sync.Mutex
	rules []*rule
}

// A rule is what becomes of requests in place of an answer.
type rule struct {
	method, prefix string // "" is any
	left           int    // requests that it is for
	do             func(w http.ResponseWriter, req *http.Request, next http.Handler)
}

// always is more often than anybody asks.
const always = 1 << 30

// meddle has the next n requests treated otherwise, until end is called.
func (l *line) meddle(method, prefix string, n int, do func(http.ResponseWriter, *http.Request, http.Handler)) (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &rule{method, prefix, n, do}
	l.rules = append(l.rules, r)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		r.left = 0
	}
}

func (l *line) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r := l.rule(req); r != nil {
		r.do(w, req, l.next)
		return
	}
	l.next.ServeHTTP(w, req)
}

func (l *line) rule(req *http.Request) *rule {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rules {
		if r.left > 0 && (r.method == "" || r.method == req.Method) && strings.HasPrefix(req.URL.Path, r.prefix) {
			r.left--
			return r
		}
	}
	return nil
}

// losesAnswer has the server do what is asked, and the page get no answer.
func losesAnswer(_ http.ResponseWriter, req *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), req)
	panic(http.ErrAbortHandler)
}

// answers answers everything with the same.
func answers(body string, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, req *http.Request, _ http.Handler) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		_, _ = fmt.Fprint(w, body)
	}
}

// A stall is where a request stands still: before it is served, or before its answer.
type stall struct{ reached, release chan struct{} }

// stalls has the next such request stand still.
func (l *line) stalls(method, prefix string, served bool) stall {
	s := stall{make(chan struct{}), make(chan struct{})}
	l.meddle(method, prefix, 1, func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		if served {
			next.ServeHTTP(httptest.NewRecorder(), req)
		}
		close(s.reached)
		select {
		case <-s.release:
		case <-req.Context().Done(): // the page is gone
			panic(http.ErrAbortHandler)
		}
		if served {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, req)
	})
	return s
}

// wait waits until a request stands there.
func (s stall) wait(t *testing.T) {
	t.Helper()
	select {
	case <-s.reached:
	case <-t.Context().Done():
	case <-after(patience):
		require.FailNow(t, "the page asks for nothing of the kind")
	}
}
