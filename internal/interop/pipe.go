package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// A Peer is one running child. It is safe for use by several goroutines, and
// must be closed. The zero value is of no use.
type Peer struct {
	version string
	limit   time.Duration
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stderr  tail
	watch   *time.Timer
	wake    chan struct{} // something is in queue
	stop    chan struct{} // closed when no more is to be written
	done    sync.WaitGroup

	mu      sync.Mutex
	queue   []byte // lines not yet handed to the child
	last    uint64 // id of the last request
	parties uint64 // how many NewParty made
	waiting map[uint64]*Reply
	failed  error // why every call fails; set once
}

// A Reply is the answer to a request that was sent, once it is there.
type Reply struct {
	ready chan struct{}
	line  []byte
	err   error
}

// A PeerError is an error that the official library, or a store of the child,
// reported. The child lives on, and the party's state is what it was.
type PeerError struct {
	Name      string // of the library's ErrorCode, or of the exception
	Code      int    // the library's ErrorCode; -1 for others
	Message   string
	Operation string
}

func (e *PeerError) Error() string {
	return fmt.Sprintf("interop: official library: %s: %s", e.Name, e.Message)
}

// Version returns the version of the npm package.
func (p *Peer) Version() string { return p.version }

// Since says whether the version is at least major.minor.
func (p *Peer) Since(major, minor int) bool {
	var a, b int
	fmt.Sscanf(p.version, "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

// Call sends one request and waits for its answer. in is a struct or map of the
// operation's fields, or nil; out, if not nil, gets the answer's. An error of
// the official library is a *PeerError.
func (p *Peer) Call(op string, in, out any) error {
	return p.Send(op, in).Wait(out)
}

// Send sends one request and does not wait. Every answer is kept until its
// Reply is dropped.
func (p *Peer) Send(op string, in any) *Reply {
	r := &Reply{ready: make(chan struct{})}
	fields, err := marshal(in)
	if err != nil {
		r.finish(nil, fmt.Errorf("interop: %s: %w", op, err))
		return r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		r.finish(nil, p.failed)
		return r
	}
	p.last++
	p.waiting[p.last] = r
	p.queue = append(p.queue, `{"id":`...)
	p.queue = strconv.AppendUint(p.queue, p.last, 10)
	p.queue = append(p.queue, `,"op":`...)
	p.queue = strconv.AppendQuoteToASCII(p.queue, op)
	p.queue = append(p.queue, fields...)
	p.queue = append(p.queue, '\n')
	if len(p.waiting) == 1 {
		p.watch.Reset(p.limit)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return r
}

// marshal returns the fields of in as the rest of a JSON object, from the comma
// before the first one to the closing brace.
func marshal(in any) ([]byte, error) {
	if in == nil {
		return []byte("}"), nil
	}
	b, err := json.Marshal(in)
	switch {
	case err != nil:
		return nil, err
	case len(b) < 2 || b[0] != '{':
		return nil, fmt.Errorf("a request is an object, not %T", in)
	case len(b) == 2:
		return b[1:], nil
	}
	b[0] = ','
	return b, nil
}

// Wait waits for the answer and decodes its fields into out, if that is not nil.
func (r *Reply) Wait(out any) error {
	<-r.ready
	if r.err != nil {
		return r.err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(r.line, out); err != nil {
		return fmt.Errorf("interop: answer: %w", err)
	}
	return nil
}

func (r *Reply) finish(line []byte, err error) {
	r.line, r.err = line, err
	close(r.ready)
}

// Close ends the child and returns when it, and everything that served it, is
// gone. Requests on their way are answered with ErrClosed. Closing again does
// nothing.
func (p *Peer) Close() error {
	p.fail(ErrClosed)
	p.done.Wait()
	return nil
}

// fail makes err the answer to everything from now on, and has the child ended.
func (p *Peer) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		return
	}
	p.failed = err
	p.watch.Stop()
	for id, r := range p.waiting {
		r.finish(nil, err)
		delete(p.waiting, id)
	}
	close(p.stop)
	p.cmd.Process.Kill()
}

func (p *Peer) timeout() { p.fail(ErrTimeout) }

// write hands the queue to the child until stop. A write that fails is left to
// read, which sees the child end.
func (p *Peer) write() {
	defer p.done.Done()
	defer p.stdin.Close()
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		lines := p.queue
		p.queue = nil
		p.mu.Unlock()
		if _, err := p.stdin.Write(lines); err != nil {
			return
		}
	}
}

// read takes the child's lines until the last, and then its exit status.
func (p *Peer) read(lines *bufio.Reader, hello chan<- error) {
	defer p.done.Done()
	err := p.readLines(lines, hello)
	p.cmd.Process.Kill()
	io.Copy(io.Discard, lines)
	p.cmd.Wait() // before the text of stderr is taken: it is complete then
	p.fail(fmt.Errorf("%w: %v%s", ErrDied, err, p.stderr.String()))
	select {
	case hello <- p.failed: // set once, by now
	default:
	}
}

func (p *Peer) readLines(lines *bufio.Reader, hello chan<- error) error {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	err = p.greet(line)
	p.mu.Lock()
	p.watch.Stop()
	p.mu.Unlock()
	hello <- err
	for err == nil {
		if line, err = lines.ReadBytes('\n'); err == nil {
			err = p.deliver(line)
		}
	}
	return err
}

// deliver gives one line to the Reply that waits for it.
func (p *Peer) deliver(line []byte) error {
	var head struct {
		ID    uint64
		OK    bool
		Error *PeerError
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.waiting[head.ID]
	if r == nil || head.OK == (head.Error != nil) {
		return fmt.Errorf("answer to no request")
	}
	delete(p.waiting, head.ID)
	if p.watch.Stop(); len(p.waiting) > 0 {
		p.watch.Reset(p.limit)
	}
	if head.Error != nil {
		r.finish(nil, head.Error)
	} else {
		r.finish(line, nil)
	}
	return nil
}

// A tail keeps the last 4 KiB that were written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - 4096; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.buf) == 0 {
		return ""
	}
	return "\n" + string(bytes.TrimSpace(t.buf))
}
