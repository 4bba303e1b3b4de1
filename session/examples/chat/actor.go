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
	"slices"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// patience is how long an actor may take for one event.
const patience = 30 * time.Second

// An actor is a person's process: this program once more, with -as and -json.
type actor struct {
	label  string // the name, and which device if not the first
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	events chan person.Event // closed when the process ends
}

func startActor(ctx context.Context, label string, flags ...string) (*actor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	name, device, _ := strings.Cut(label, "/")
	flags = append([]string{"-as", name, "-device", cmp.Or(device, "1"), "-json"}, flags...)
	a := &actor{label: label, cmd: exec.CommandContext(ctx, exe, flags...), events: make(chan person.Event, 100)}
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
	lines.Buffer(nil, 8*person.MaxText)
	for lines.Scan() {
		var e person.Event
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
func (a *actor) next() (person.Event, error) {
	select {
	case e, ok := <-a.events:
		if !ok {
			return person.Event{}, fmt.Errorf("%s's process has ended", a.label)
		}
		return e, nil
	case <-time.After(patience):
		return person.Event{}, fmt.Errorf("%s's process says nothing for %v", a.label, patience)
	}
}

// expect returns what the process shows next, if it is of that kind.
func (a *actor) expect(kind string) (person.Event, error) {
	e, err := a.next()
	return e, a.check(e, kind, err)
}

func (a *actor) check(e person.Event, kind string, err error) error {
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
func (a *actor) quit() (rest []person.Event, err error) {
	_ = a.stdin.Close()
	stuck := time.AfterFunc(patience, func() { _ = a.cmd.Process.Kill() })
	defer stuck.Stop()
	for e := range a.events {
		rest = append(rest, e)
	}
	return rest, a.cmd.Wait()
}

// expect returns what a process shows next of those kinds. News, labels and keys
// it shows on the way, and what it says of messages that wait is kept for later.
func (p *play) expect(a *actor, kinds ...string) (person.Event, error) {
	for i, e := range p.aside[a] {
		if slices.Contains(kinds, e.Kind) {
			p.aside[a] = slices.Delete(p.aside[a], i, i+1)
			return e, nil
		}
	}
	for {
		e, err := a.next()
		if err != nil || slices.Contains(kinds, e.Kind) {
			return e, err
		}
		switch {
		case e.Kind == person.NewsEvent:
			p.print(p.word("    %s is told: %s"), a.label, printable(e.Peer+" "+e.Text))
		case e.Kind == person.LabelEvent, e.Kind == person.HostingEvent, e.Kind == person.TimerEvent:
			p.shows(a, e)
		case e.Kind == person.KeyEvent:
			err = p.passKey(a)
		case p.peer == "official" && (e.Kind == person.AsksEvent || e.Kind == person.NoticeEvent):
			err = p.consents(a, e)
		case p.about.Load() && (e.Kind == person.AsksEvent || e.Kind == person.HeldEvent || e.Kind == person.GoneEvent):
			p.aside[a] = append(p.aside[a], e)
		default:
			return e, a.check(e, strings.Join(kinds, " or "), nil)
		}
		if err != nil {
			return e, err
		}
	}
}

// consents lets somebody write to the official library, of whose keys nothing is
// known.
func (p *play) consents(a *actor, e person.Event) error {
	p.shows(a, e)
	if e.Kind == person.NoticeEvent {
		return nil
	}
	return a.types("/consent yes")
}

// shows prints what a process shows, as it is.
func (p *play) shows(a *actor, e person.Event) {
	p.print("    %s %s %s", a.label, p.word("sees: "), strings.ReplaceAll(below(printable(e.Text), e.Lines), "\n", "\n      "))
}
