// Package interop drives the official library, @signalapp/libsignal-client, as
// a peer: a child process that speaks JSON lines over stdin and stdout and calls
// only the package's public API. Tests use it, and the demo's -peer official.
//
// The child is official/peer.mjs. It needs Node 20 or later, and the npm package
// in official/node_modules, which one command brings (or go generate, here):
//
//	npm install --omit-lockfile-registry-resolved --prefix internal/interop/official
//
// Where one of them is missing, tests skip and say so; with GEMBOK_INTEROP=1 they
// fail instead. With -long, random runs on groups, envelopes and codecs are ten
// times as long. The test flag -official DIR names another directory, whose
// node_modules holds another version of the package.
//
// Where the specification is silent, what the official library was seen to do counts:
//
//   - A hint from 2^31 on is written as a negative number, in ten bytes.
//   - A group message of iteration 2^32 − 1 cannot be decrypted, as the chain would
//     have no next key; nothing is stored.
//   - Of a message to many, the one-recipient form is made only where nobody is
//     excluded either.
//
// A Peer is safe for use by several goroutines. The child serves requests one
// after the other, in the order in which they were sent; Send does not wait for
// the answer, so that many can be on their way.
package interop

//go:generate npm install --omit-lockfile-registry-resolved --prefix official

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

var (
	// ErrMissing reports that there is no peer to talk to: Node or the npm
	// package is not there, or does not run here. The text says which.
	ErrMissing = errors.New("interop: no official library")
	// ErrClosed reports a call after Close.
	ErrClosed = errors.New("interop: peer closed")
	// ErrDied reports that the child ended, or wrote what is no answer. The
	// text ends with the last lines that it wrote to stderr.
	ErrDied = errors.New("interop: peer died")
	// ErrTimeout reports that the child was ended because it owed an answer
	// and gave none for two minutes.
	ErrTimeout = errors.New("interop: peer does not answer")
)

// patience is how long the child may take for one answer.
const patience = 2 * time.Minute

// Open starts the official library that is installed in dir/node_modules; ""
// means the directory official beside this file, found from the working
// directory upwards. The error is an ErrMissing when there is nothing to start.
func Open(dir string) (*Peer, error) {
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = filepath.Dir(program)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("interop: %w", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: Node is not installed", ErrMissing)
	}
	return open(exec.Command(node, program, dir), patience)
}

// findProgram looks for the child's program from the working directory upwards.
func findProgram() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	for {
		program := filepath.Join(dir, "internal", "interop", "official", "peer.mjs")
		if _, err := os.Stat(program); err == nil {
			return program, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w: not inside the source tree of gembok", ErrMissing)
		}
		dir = parent
	}
}

// open starts cmd and waits for its first line.
func open(cmd *exec.Cmd, limit time.Duration) (*Peer, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("interop: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("interop: %w", err)
	}
	p := &Peer{
		limit:   limit,
		cmd:     cmd,
		stdin:   stdin,
		waiting: make(map[uint64]*Reply),
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
	cmd.Stderr = &p.stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMissing, err)
	}
	p.mu.Lock()
	p.watch = time.AfterFunc(limit, p.timeout)
	p.mu.Unlock()
	p.done.Add(2)
	lines := bufio.NewReaderSize(stdout, 1<<16)
	hello := make(chan error, 1)
	go p.read(lines, hello)
	go p.write()
	if err := <-hello; err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// greet reads the child's first line.
func (p *Peer) greet(line []byte) error {
	var first struct {
		Ready            bool
		Missing, Version string
	}
	if err := json.Unmarshal(line, &first); err != nil {
		return fmt.Errorf("%w: %s", ErrDied, "its first line is not JSON")
	}
	if !first.Ready {
		return fmt.Errorf("%w: %s", ErrMissing, first.Missing)
	}
	p.version = first.Version
	return nil
}
