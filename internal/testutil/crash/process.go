package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// placeVariable tells a process that it is to be the one that is killed, and
// where its store is.
const placeVariable = "GEMBOK_CRASH_PLACE"

// A line is what a process writes: of a Commit, or of a command.
type line struct {
	Note  *note  `json:",omitempty"`
	Reply *reply `json:",omitempty"`
}

// Child is called first by every program that calls [Run], and by the TestMain
// of such tests. In the process that is to be killed it does not return; open
// opens the store there as [Options.Open] does.
func Child(open func(place string) (keystore.Store, error)) {
	place, is := os.LookupEnv(placeVariable)
	if !is {
		return
	}
	if err := serve(open, place); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(open func(place string) (keystore.Store, error), place string) error {
	store, err := open(place)
	if err != nil {
		return err
	}
	say := json.NewEncoder(os.Stdout)
	a := &actor{store: &teller{Store: store, kill: killSelf}}
	a.store.tell = func(n note) { _ = say.Encode(line{Note: &n}) }
	if err := say.Encode(line{Reply: &reply{}}); err != nil { // it is ready
		return err
	}
	for lines := json.NewDecoder(os.Stdin); ; {
		var c command
		switch err := lines.Decode(&c); {
		case errors.Is(err, io.EOF):
			return store.Close()
		case err != nil:
			return err
		}
		if err := say.Encode(line{Reply: a.obey(&c)}); err != nil {
			return err
		}
	}
}

// killSelf ends the process as a crash would.
func killSelf() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// errKilled reports that a process ended before it replied.
var errKilled = errors.New("crash: killed")

// A process is another one with the Device.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr bytes.Buffer
	timer  *time.Timer
	doomed atomic.Bool // it is, or may be, killed
}

// startProcess starts this program once more, and waits until it has opened
// the store. It is killed after some time, unless that is 0.
func startProcess(place string, kill time.Duration) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), placeVariable+"="+place)
	p.cmd.Stderr = &p.stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(bufio.NewReaderSize(out, 1<<16))
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if kill > 0 {
		p.timer = time.AfterFunc(kill, p.kill)
	}
	_, err = p.reply(nil)
	return p, err
}

func (p *process) kill() {
	p.doomed.Store(true)
	_ = p.cmd.Process.Kill()
}

// do has the process carry out a command. Hear is told of its Commits.
func (p *process) do(c *command, hear func(note)) (*reply, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	if c.Kill != nil {
		p.doomed.Store(true)
	}
	_, _ = p.in.Write(append(b, '\n')) // if it has ended, so has its output
	return p.reply(hear)
}

func (p *process) reply(hear func(note)) (*reply, error) {
	for {
		var l line
		switch err := p.out.Decode(&l); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // what is not whole was not said
			return nil, p.ended()
		case err != nil:
			p.kill()
			return nil, errors.Join(err, p.ended())
		case l.Note != nil:
			hear(*l.Note)
		default:
			return l.Reply, nil
		}
	}
}

// ended waits for the end of the process.
func (p *process) ended() error {
	_ = p.in.Close()
	err := p.cmd.Wait()
	if p.timer != nil {
		p.timer.Stop()
	}
	if !p.doomed.Load() || p.stderr.Len() > 0 {
		return fmt.Errorf("crash: the process ended by itself: %w: %s", err, p.stderr.Bytes())
	}
	return errKilled
}

// close ends the process as its end comes every day.
func (p *process) close() error {
	_ = p.in.Close()
	if _, err := p.reply(nil); err != nil && p.doomed.Load() {
		return nil
	}
	if state := p.cmd.ProcessState; state == nil || !state.Success() {
		return fmt.Errorf("crash: %v: %s", state, p.stderr.Bytes())
	}
	return nil
}
