package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
	"github.com/gembok-e2ee/gembok/session/examples/chat/relay"
)

// A play is the demo on its way: the relay, the people, and the counts.
type play struct {
	ctx    context.Context
	dir    string      // of the stores
	peer   string      // what Budi is
	lang   string      // of the labels, and of the scenes that are about them
	about  atomic.Bool // they are on
	url    string      // of the relay
	relay  *relay.Relay
	posted chan []relay.Delivery // what the relay took in, and holds back until deliver

	pair     []string                  // who talk with each other
	devices  map[string][]string       // of each person, by their labels
	members  []string                  // of the group, once there is one
	expelled string                    // who was
	actors   map[string]*actor         // devices that are alive, by label
	aside    map[*actor][]person.Event // what they showed before it was looked for
	unread   map[string][]*parcel      // in the mailboxes of those that are not
	held     []*parcel                 // late

	stale   []byte // what the business said of its keys before it moved
	waiting line   // what somebody wrote that was not sent, and its number
	waited  int

	sent, copies, read, twice, refused int
	logged, named                      int // messages in the relay's log, and those whose sender is there, too
	wrong                              []string

	printing sync.Mutex
	out      io.Writer
}

// demo plays those lines on out, and the scenes about who holds the keys.
func demo(ctx context.Context, out io.Writer, peer, lang string, lines []line) error {
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
	p.lang = lang
	served := make(chan error, 1)
	go func() { served <- relay.Host(ctx, l, p.relay.Handler()) }()
	defer func() {
		stop()
		<-served
	}()
	if err := p.perform(lines); err != nil {
		p.fail("%v", err)
	}
	if err := p.end(); err != nil {
		p.fail("%v", err)
	}
	return p.close()
}

func newPlay(ctx context.Context, out io.Writer, dir, peer, url string) *play {
	p := &play{
		ctx: ctx, out: out, dir: dir, peer: peer, url: url, posted: make(chan []relay.Delivery, 10), pair: []string{"Ani", "Budi"},
		devices: map[string][]string{"Ani": {"Ani"}, "Budi": {"Budi"}},
		actors:  map[string]*actor{}, unread: map[string][]*parcel{}, aside: map[*actor][]person.Event{},
	}
	p.relay = relay.New(p.log)
	p.relay.Deliver = func(mail []relay.Delivery) error {
		select {
		case p.posted <- mail:
		case <-ctx.Done():
		}
		return nil
	}
	return p
}

func (p *play) perform(lines []line) error {
	p.print("A relay is at %s. It sees whose mailbox a message is for, sizes and ciphertext.", p.url)
	for _, name := range []string{"Ani", "Budi"} {
		if err := p.start(name); err != nil {
			return err
		}
	}
	for _, l := range lines {
		if l.fate == gathers && p.peer == "official" {
			break // the official library's process is in none here
		}
		if err := p.act(l); err != nil {
			return err
		}
	}
	for len(p.held) > 0 {
		if err := p.pass(); err != nil {
			return err
		}
	}
	if p.peer == "official" {
		return nil
	}
	return p.hosting()
}

// start starts a device's process. What it received before and did not save it
// shows first, then what the relay kept.
func (p *play) start(label string) error {
	a, err := p.spawn(label)
	if err != nil {
		return err
	}
	mail := p.unread[label]
	delete(p.unread, label)
	for _, m := range mail {
		if m.staged {
			if err := p.hear(a, m, m.kind()); err != nil {
				return err
			}
		}
	}
	if _, err := p.expect(a, person.ReadyEvent); err != nil {
		return err
	}
	for _, m := range mail {
		kind := m.kind()
		if m.staged {
			kind = person.AgainEvent
		}
		if err := p.hear(a, m, kind); err != nil {
			return err
		}
	}
	return a.types("/to " + p.other(label))
}

func (p *play) spawn(label string) (*actor, error) {
	kind := "gembok"
	if label == "Budi" {
		kind = p.peer
	}
	store := filepath.Join(p.dir, strings.ReplaceAll(label, "/", "-"))
	flags := append([]string{"-relay", p.url, "-store", store, "-peer", kind, "-lang", p.lang}, roles[label]...)
	a, err := startActor(p.ctx, label, flags...)
	if err != nil {
		return nil, err
	}
	p.actors[label] = a
	if p.unread[label] == nil {
		p.print(p.word("\n%s (%s) is process %d."), label, kind, a.cmd.Process.Pid)
	} else {
		p.print("\n%s starts again, as process %d.", label, a.cmd.Process.Pid)
	}
	return a, nil
}

// act is one line of the script.
func (p *play) act(l line) error {
	if p.actors[l.from] == nil {
		if err := p.start(l.from); err != nil {
			return err
		}
	}
	switch l.fate {
	case links:
		return p.link(l.from)
	case removes:
		return p.remove(l.from)
	case compares:
		return p.compare(l.from)
	case pictures:
		return p.picture(l)
	case gathers:
		return p.gather(l)
	case expels:
		return p.expel(l)
	}
	if p.members != nil {
		return p.say(l, "/g "+family+" "+l.text)
	}
	return p.say(l, l.text)
}

// say lets a person type something that sends a line, and the relay do with it what
// the script says.
func (p *play) say(l line, typed string) error {
	if err := p.utter(l, typed); err != nil {
		return err
	}
	return p.carry(l, p.sent)
}

// utter lets a person type something that is to send a line.
func (p *play) utter(l line, typed string) error {
	p.sent++
	verb := p.word("writes")
	if l.fate == gathers || l.fate == expels {
		verb = "says who is in the group"
	}
	p.print("\n%2d  %s %s: %s", p.sent, l.from, verb, printable(l.text))
	return p.actors[l.from].types(typed)
}

// carry is what the relay does with a line, of that number, once its writer sends it.
func (p *play) carry(l line, number int) error {
	if _, err := p.expect(p.actors[l.from], person.SentEvent); err != nil {
		return err
	}
	mail, err := p.take()
	if err != nil {
		return err
	}
	for len(p.posted) > 0 { // copies for the writer's own
		mail = append(mail, <-p.posted...)
	}
	var main *parcel
	for _, m := range p.parcels(l, number, mail) {
		if main == nil && owner(m.from) != owner(m.to) {
			main = m
		} else {
			err = errors.Join(err, p.deliver(m, m.kind()))
		}
	}
	if main == nil {
		return fmt.Errorf("number %d is for nobody", number)
	}
	return errors.Join(err, p.happen(main, l.fate), p.pass())
}

// parcels are the copies of a line, which are for all devices of both people but
// the one that wrote it.
func (p *play) parcels(l line, number int, mail []relay.Delivery) (out []*parcel) {
	m := parcel{number: number, from: l.from, text: l.text, told: l.fate == gathers || l.fate == expels}
	readers := slices.Concat(p.devices[p.pair[0]], p.devices[p.pair[1]])
	if p.members != nil {
		m.group, readers = family, slices.Clone(p.members)
	}
	readers = slices.DeleteFunc(readers, func(d string) bool { return d == l.from })
	p.copies += len(readers)
	for _, d := range mail {
		m := m // for this device
		m.to, m.envelope = post.Label(d.To), d.Envelope
		if !slices.Contains(readers, m.to) {
			p.fail("number %d goes to %s", m.number, m.to)
		}
		out = append(out, &m)
	}
	return out
}

// take returns what the relay took in.
func (p *play) take() ([]relay.Delivery, error) {
	select {
	case mail := <-p.posted:
		return mail, nil
	case <-time.After(patience):
		return nil, errors.New("the relay gets nothing")
	}
}

// happen is what becomes of a message at the relay.
func (p *play) happen(m *parcel, f fate) error {
	switch f {
	case late:
		m.wait = 3 // the one that it passes by now counts
		p.held = append(p.held, m)
		p.print("    … and is late with it")
		return nil
	case twice:
		p.print("    … and delivers it twice")
		return errors.Join(p.deliver(m, person.ReadEvent), p.deliver(m.again(), person.AgainEvent))
	case forged:
		p.print("    … and delivers another in its place first")
		return errors.Join(p.deliver(m.forge(), person.RefusedEvent), p.deliver(m, person.ReadEvent))
	case dies:
		return p.kill(m)
	case leaks:
		return p.leak(m)
	case loses:
		return p.lose(m)
	}
	return p.deliver(m, m.kind())
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
		err = errors.Join(err, p.deliver(m, m.kind()))
	}
	return err
}

// deliver puts a message into its mailbox; if someone is there to read it, the
// next that they show must be of that kind.
func (p *play) deliver(m *parcel, kind string) error {
	if err := p.put(m); err != nil {
		return err
	}
	if a := p.actors[m.to]; a != nil {
		return p.hear(a, m, kind)
	}
	p.unread[m.to] = append(p.unread[m.to], m)
	p.print("    … and keeps it: %s is not there", m.to)
	return nil
}

func (p *play) put(m *parcel) error {
	to, number, _ := strings.Cut(m.to, "/")
	device, _ := strconv.ParseUint(cmp.Or(number, "1"), 10, 32)
	return p.relay.Put([]relay.Delivery{{To: session.Address{User: post.UserOf(to), Device: uint32(device)}, Envelope: m.envelope}})
}

// kill delivers a message to someone whose process dies after Decrypt and
// before saving.
func (p *play) kill(m *parcel) error {
	a := p.actors[m.to]
	if err := a.types("/crash"); err != nil {
		return err
	}
	if _, err := p.expect(a, person.NoticeEvent); err != nil {
		return err
	}
	if err := p.put(m); err != nil {
		return err
	}
	if _, err := p.expect(a, diedEvent); err != nil {
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
	e, err := p.expect(a, kind)
	if err != nil {
		return err
	}
	p.count(m, e)
	return nil
}

func (p *play) count(m *parcel, e person.Event) {
	peer := owner(m.from)
	if m.kind() == person.SyncEvent {
		peer = p.other(m.from)
	}
	switch {
	case e.Kind == person.AskedEvent && !m.forged:
		p.print("    %s cannot read that, and asks %s for it again: %s", m.to, m.from, printable(e.Text))
	case e.Kind == person.RefusedEvent || e.Kind == person.AskedEvent:
		p.refused++
		p.print("    %s refuses that: %s", m.to, printable(e.Text))
	case e.Kind == person.AgainEvent && !m.read:
		p.fail("number %d was refused as read before, and never read", m.number)
	case e.Kind == person.AgainEvent:
		p.print("    %s has number %d already", m.to, m.number)
	case m.read:
		p.twice++
		p.fail("number %d was read twice", m.number)
	case e.Text != m.text || e.Peer != peer || e.Group != m.group || e.Outsider:
		p.fail("number %d was read wrongly", m.number)
	default:
		m.read = true
		p.read++
		verb := map[string]string{person.ReadEvent: "reads: ", person.SyncEvent: "shows, too: ", person.GroupEvent: "is told who is in the group: "}[e.Kind]
		p.print("    %s %s %s", m.to, p.word(verb), printable(e.Text))
	}
}

// log prints a line of the relay's log, and looks for who sent something in it.
func (p *play) log(what string) {
	p.print("    the relay sees: %s", what)
	if sender, _, sent := strings.Cut(what, " to "); sent && strings.Contains(what, ", type ") {
		p.printing.Lock()
		defer p.printing.Unlock()
		if p.logged++; sender != "somebody" {
			p.named++
		}
	}
}

// end ends the processes. None has shown more than it was asked for.
func (p *play) end() (err error) {
	for _, a := range p.actors {
		rest, ended := a.quit()
		err = errors.Join(err, ended)
		for _, e := range rest {
			p.fail("%s shows %q (%s) at the end", a.label, e.Kind, printable(e.Text))
		}
	}
	return err
}

// close prints the last line and says whether all went right.
func (p *play) close() error {
	lost := p.copies - p.read
	if lost > 0 {
		p.fail("%d copies were sent and not read", lost)
	}
	p.printing.Lock()
	logged, named := p.logged, p.named
	p.printing.Unlock()
	if named > 0 {
		p.fail("the relay's log shows who sent %d messages", named)
	}
	p.print("\nthe relay's log shows %d messages, and of %d who sent them", logged, named)
	p.print("\nsent %d in %d copies · read %d · lost %d · twice %d · refused %d", p.sent, p.copies, p.read, lost, p.twice, p.refused)
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
