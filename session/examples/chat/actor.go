package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// patience is how long an actor may take for one event.
const patience = 30 * time.Second

// An actor is a person's process: this program once more, with -as and -json.
type actor struct {
	label  string // the name, and which device if not the first
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan event // closed when the process ends
}

func startActor(ctx context.Context, label string, flags ...string) (*actor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	name, device, _ := strings.Cut(label, "/")
	flags = append([]string{"-as", name, "-device", cmp.Or(device, "1"), "-json"}, flags...)
	a := &actor{label: label, cmd: exec.CommandContext(ctx, exe, flags...), events: make(chan event, 100)}
	a.cmd.Stderr = os.Stderr
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go a.listen(out)
	return a, nil
}

func (a *actor) listen(out io.Reader) {
	defer close(a.events)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 8*maxText)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			a.events <- e
		}
	}
}

// types gives the process a line of input.
func (a *actor) types(line string) error {
	_, err := io.WriteString(a.stdin, line+"\n")
	return err
}

// next returns what the process shows next.
func (a *actor) next() (event, error) {
	select {
	case e, ok := <-a.events:
		if !ok {
			return event{}, fmt.Errorf("%s's process has ended", a.label)
		}
		return e, nil
	case <-time.After(patience):
		return event{}, fmt.Errorf("%s's process says nothing for %v", a.label, patience)
	}
}

// expect returns what the process shows next, if it is of that kind.
func (a *actor) expect(kind string) (event, error) {
	e, err := a.next()
	return e, a.check(e, kind, err)
}

func (a *actor) check(e event, kind string, err error) error {
	if err == nil && e.Kind != kind {
		err = fmt.Errorf("%s's process shows %q (%s), not %q", a.label, e.Kind, printable(e.Text), kind)
	}
	return err
}

// gone waits for the end of a process that is being killed.
func (a *actor) gone() error {
	var died *exec.ExitError
	if _, err := a.quit(); !errors.As(err, &died) {
		return fmt.Errorf("%s's process ended in order: %v", a.label, err)
	}
	return nil
}

// quit ends the input of the process, waits for its end, and returns what it
// showed that nobody has looked at.
func (a *actor) quit() (rest []event, err error) {
	_ = a.stdin.Close()
	stuck := time.AfterFunc(patience, func() { _ = a.cmd.Process.Kill() })
	defer stuck.Stop()
	for e := range a.events {
		rest = append(rest, e)
	}
	return rest, a.cmd.Wait()
}
