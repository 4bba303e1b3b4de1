package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A play is the demo on its way: the relay, the people, and the counts.
type play struct {
	ctx    context.Context
	dir    string // of the stores
	peer   string // what Budi is
	url    string // of the relay
	relay  *relay
	posted chan envelope // what the relay took in, and holds back until deliver

	actors map[string]*actor    // those who are alive
	unread map[string][]*parcel // in the mailboxes of those who are not
	held   []*parcel            // late

	sent, read, refused int
	wrong               []string

	printing sync.Mutex
	out      io.Writer
}

// A parcel is a message on its way.
type parcel struct {
	number   int
	from, to string
	text     string // what must be read; the relay does not see it
	envelope envelope
	wait     int // messages to let pass first
	staged   bool
	read     bool
}

// demo plays the whole script on out.
func demo(ctx context.Context, out io.Writer, peer string) error {
	dir, err := os.MkdirTemp("", "gembok-chat-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	p := newPlay(ctx, out, dir, peer, "http://"+l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- host(ctx, l, p.relay.handler()) }()
	defer func() {
		stop()
		<-served
	}()
	if err := p.perform(); err != nil {
		p.fail("%v", err)
	}
	if err := p.end(); err != nil {
		p.fail("%v", err)
	}
	return p.close()
}

func newPlay(ctx context.Context, out io.Writer, dir, peer, url string) *play {
	p := &play{
		ctx: ctx, out: out, dir: dir, peer: peer, url: url, posted: make(chan envelope, 1),
		actors: map[string]*actor{}, unread: map[string][]*parcel{},
	}
	p.relay = newRelay(func(what string) { p.print("    the relay sees: %s", what) })
	p.relay.deliver = func(_ string, e envelope) error {
		select {
		case p.posted <- e:
		case <-ctx.Done():
		}
		return nil
	}
	return p
}

func (p *play) perform() error {
	p.print("A relay is at %s. It sees names, sizes and ciphertext.", p.url)
	for _, name := range []string{"Ani", "Budi"} {
		if err := p.start(name); err != nil {
			return err
		}
	}
	for _, l := range script {
		if err := p.say(l); err != nil {
			return err
		}
	}
	for len(p.held) > 0 {
		if err := p.pass(); err != nil {
			return err
		}
	}
	return nil
}

// start starts a person's process. What it received before and did not save it
// shows first, then what the relay kept.
func (p *play) start(name string) error {
	flags := []string{"-relay", p.url, "-store", filepath.Join(p.dir, name)}
	kind := "gembok"
	if name == "Budi" {
		kind = p.peer
	}
	a, err := startActor(p.ctx, name, append(flags, "-peer", kind)...)
	if err != nil {
		return err
	}
	p.actors[name] = a
	mail := p.unread[name]
	if mail == nil {
		p.print("\n%s (%s) is process %d.", name, kind, a.cmd.Process.Pid)
	} else {
		p.print("\n%s starts again, as process %d.", name, a.cmd.Process.Pid)
	}
	delete(p.unread, name)
	for _, m := range mail {
		if m.staged {
			if err := p.hear(a, m, readEvent); err != nil {
				return err
			}
		}
	}
	if _, err := a.expect(readyEvent); err != nil {
		return err
	}
	for _, m := range mail {
		kind := readEvent
		if m.staged {
			kind = againEvent
		}
		if err := p.hear(a, m, kind); err != nil {
			return err
		}
	}
	return a.types("/to " + other(name))
}

// say lets a person write a line, and the relay do with it what the script says.
func (p *play) say(l line) error {
	if p.actors[l.from] == nil {
		if err := p.start(l.from); err != nil {
			return err
		}
	}
	p.sent++
	m := &parcel{number: p.sent, from: l.from, to: other(l.from), text: l.text}
	p.print("\n%2d  %s writes: %s", m.number, l.from, printable(l.text))
	if err := p.actors[l.from].types(l.text); err != nil {
		return err
	}
	if _, err := p.actors[l.from].expect(sentEvent); err != nil {
		return err
	}
	m.envelope = <-p.posted
	return p.happen(m, l.fate)
}

// happen is what becomes of a message at the relay.
func (p *play) happen(m *parcel, f fate) (err error) {
	switch f {
	case late:
		m.wait = 2
		p.held = append(p.held, m)
		p.print("    … and is late with it")
		return nil
	case twice:
		p.print("    … and delivers it twice")
		err = errors.Join(p.deliver(m, readEvent), p.deliver(m.again(), againEvent))
	case forged:
		p.print("    … and delivers another in its place first")
		err = errors.Join(p.deliver(m.forge(), refusedEvent), p.deliver(m, readEvent))
	case dies:
		err = p.kill(m)
	default:
		err = p.deliver(m, readEvent)
	}
	return errors.Join(err, p.pass())
}

// pass lets the late messages come nearer.
func (p *play) pass() (err error) {
	var still, arrived []*parcel
	for _, m := range p.held {
		if m.wait--; m.wait > 0 {
			still = append(still, m)
		} else {
			arrived = append(arrived, m)
		}
	}
	p.held = still
	for _, m := range arrived {
		p.print("    number %d arrives, late", m.number)
		err = errors.Join(err, p.deliver(m, readEvent))
	}
	return err
}

// deliver puts a message into its mailbox; if someone is there to read it, the
// next that they show must be of that kind.
func (p *play) deliver(m *parcel, kind string) error {
	if err := p.relay.mail.put(m.to, m.envelope); err != nil {
		return err
	}
	if a := p.actors[m.to]; a != nil {
		return p.hear(a, m, kind)
	}
	p.unread[m.to] = append(p.unread[m.to], m)
	p.print("    … and keeps it: %s is not there", m.to)
	return nil
}

// kill delivers a message to someone whose process dies after Decrypt and
// before saving.
func (p *play) kill(m *parcel) error {
	a := p.actors[m.to]
	if err := a.types("/crash"); err != nil {
		return err
	}
	if _, err := a.expect(noticeEvent); err != nil {
		return err
	}
	if err := p.relay.mail.put(m.to, m.envelope); err != nil {
		return err
	}
	if _, err := a.expect(diedEvent); err != nil {
		return err
	}
	delete(p.actors, m.to)
	m.staged = true
	p.unread[m.to] = append(p.unread[m.to], m)
	p.print("    %s's process decrypts it, and is killed before it is saved", m.to)
	return a.gone()
}

// hear counts what a process shows of a message.
func (p *play) hear(a *actor, m *parcel, kind string) error {
	e, err := a.expect(kind)
	if err != nil {
		return err
	}
	p.count(m, e)
	return nil
}

func (p *play) count(m *parcel, e event) {
	switch {
	case e.Kind == refusedEvent:
		p.refused++
		p.print("    %s refuses that: %s", m.to, printable(e.Text))
	case e.Kind == againEvent && !m.read:
		p.fail("number %d was refused as read before, and never read", m.number)
	case e.Kind == againEvent:
		p.print("    %s has number %d already", m.to, m.number)
	case m.read:
		p.fail("number %d was read twice", m.number)
	case e.Text != m.text || e.Peer != m.from:
		p.fail("number %d was read wrongly", m.number)
	default:
		m.read = true
		p.read++
		p.print("    %s reads:  %s", m.to, printable(e.Text))
	}
}

// end ends the processes.
func (p *play) end() (err error) {
	for _, a := range p.actors {
		err = errors.Join(err, a.quit())
	}
	return err
}

// close prints the last line and says whether all went right.
func (p *play) close() error {
	lost := p.sent - p.read
	if lost > 0 {
		p.fail("%d messages were sent and not read", lost)
	}
	p.print("\nsent %d · read %d · lost %d · refused %d", p.sent, p.read, lost, p.refused)
	if len(p.wrong) > 0 {
		return errors.New(strings.Join(p.wrong, "; "))
	}
	return nil
}

func (p *play) fail(format string, args ...any) {
	p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	p.print("    WRONG: %s", p.wrong[len(p.wrong)-1])
}

func (p *play) print(format string, args ...any) {
	p.printing.Lock()
	defer p.printing.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// again puts the message into another envelope.
func (m *parcel) again() *parcel {
	m.envelope.ID += "-2"
	return m
}

// forge is another message in the same envelope but one bit: of the MAC.
func (m *parcel) forge() *parcel {
	f := *m
	f.envelope.ID += "-forged"
	f.envelope.Bytes = bytes.Clone(m.envelope.Bytes)
	f.envelope.Bytes[len(f.envelope.Bytes)-1] ^= 1
	return &f
}

func other(name string) string {
	if name == "Ani" {
		return "Budi"
	}
	return "Ani"
}
