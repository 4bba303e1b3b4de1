package engines_test

import (
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
)

// A cut is when a connection breaks, or falls silent.
type cut int

const (
	cutBefore cut = iota + 1 // before the server gets the request
	cutAfter                 // when the server has answered, and nothing of it has arrived
	cutWithin                // when the first half of the answer has arrived
	silence                  // the server gets the request, and nothing arrives any more
)

// A proxy is between the driver and the server, and breaks the connection at
// one of the requests that pass it.
type proxy struct {
	server   string
	listener net.Listener
	all      sync.WaitGroup

	mu    sync.Mutex
	how   cut
	at    int // at which request from now on, from 0
	seen  int
	links []net.Conn
}

func newProxy(t testing.TB, s *engine.Server) *proxy {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), filepath.Base(s.Socket())))
	require.NoError(t, err)
	p := &proxy{server: s.Socket(), listener: listener}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.sever()
		p.all.Wait()
	})
	return p
}

// arm has a request cut, the first one from now on being 0.
func (p *proxy) arm(how cut, at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.how, p.at, p.seen = how, at, 0
}

// sprung disarms, and tells whether there was that request.
func (p *proxy) sprung() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	sprung := p.seen > p.at
	p.how = 0
	return sprung
}

// request tells what is to become of a request.
func (p *proxy) request() cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.how == 0 {
		return 0
	}
	p.seen++
	if p.seen != p.at+1 {
		return 0
	}
	return p.how
}

// sever breaks all connections.
func (p *proxy) sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.links {
		c.Close()
	}
	p.links = nil
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.links = append(p.links, client, server)
		p.mu.Unlock()
		l := &link{p: p, client: client, server: server}
		p.all.Go(l.requests)
		p.all.Go(l.answers)
	}
}

// A link is one connection.
type link struct {
	p              *proxy
	client, server net.Conn

	mu  sync.Mutex
	how cut // what becomes of the next answer
}

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

func (l *link) requests() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		how := l.p.request()
		if how == cutBefore {
			return
		}
		if how != 0 {
			l.mu.Lock()
			l.how = how
			l.mu.Unlock()
		}
		if _, err := l.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *link) answers() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		how := l.how
		l.mu.Unlock()
		switch how {
		case cutAfter:
			return
		case cutWithin:
			n /= 2
		case silence:
			continue
		}
		if _, err := l.client.Write(buf[:n]); err != nil || how == cutWithin {
			return
		}
	}
}
