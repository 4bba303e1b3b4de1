package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxLines is how many lines a Log keeps.
const maxLines = 500

// A Log has what a relay sees, for those who watch it. The zero value is empty. It is
// safe for use by several goroutines.
type Log struct {
	mu    sync.Mutex
	lines []string      // the last ones
	count int           // of all there were
	more  chan struct{} // closed when there is another one; nil when nobody waits
}

// Sees takes note of something that a relay sees.
func (l *Log) Sees(what string) {
	what = strings.Join(strings.FieldsFunc(what, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == maxLines {
		l.lines = slices.Delete(l.lines, 0, 1)
	}
	l.lines = append(l.lines, what)
	l.count++
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
}

// after returns the lines that came after the first n ones, as far as they are kept,
// how many there were of all, and what is closed when there are more.
func (l *Log) after(n int) (lines []string, count int, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more == nil {
		l.more = make(chan struct{})
	}
	return slices.Clone(l.lines[max(0, len(l.lines)-(l.count-n)):]), l.count, l.more
}

// ServeHTTP answers with server-sent events, one a line, from the first that is kept,
// until the request ends.
func (l *Log) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		http.Error(w, "only to be read", http.StatusMethodNotAllowed)
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetWriteDeadline(time.Time{}) // this lasts; a server that cannot have it so ends it early
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; {
		lines, count, more := l.after(n)
		for _, line := range lines {
			fmt.Fprintf(w, "data: %s\n\n", line)
		}
		if n = count; out.Flush() != nil {
			return
		}
		select {
		case <-more:
		case <-req.Context().Done():
			return
		}
	}
}
