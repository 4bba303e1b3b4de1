package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/session"
)

// maxText bounds a message, in bytes, so that its envelope passes the relay.
const maxText = 64 << 10

var help = []string{
	"/to NAME        whom the lines that follow go to",
	"/who            identity keys, to compare by voice",
	"/accept [NAME]  accept an identity key that has changed",
	"/label          who holds the keys at the other end, as the relay shows it now",
	"/consent yes|no whether you agree to write to somebody, once you are asked",
	"/group NAME WHO...  make a group, or say anew who is in it; it is called YOU/NAME",
	"/remove NAME WHO    remove somebody from a group of yours",
	"/g NAME TEXT    write to a group; also /to YOU/NAME",
	"/timer SECONDS  how long after it was read what is written from now on disappears",
	"/number [NAME]  the safety number with somebody, as digits and as a code; the same",
	"                on both sides if nobody is in between",
	"/verify NAME X  say so: X is the digits, or the text of the code, of the other side",
	"/picture FILE   send a picture, or another file",
	"/save FILE      save the last file that came, as FILE",
	"/history        what was read and sent",
	"/link CODE      give the account to the new device of yours that shows CODE",
	"/move CODE      let the provider whose device shows CODE have the keys of your business",
	"/devices        your devices, and those of whom you write to",
	"/remove NUMBER  take a device of yours off the list: it gets nothing any more",
	"/lose NAME      forget the sessions with somebody, as a damaged store would",
	"/crash          die like a phone without power, after the next message is",
	"                decrypted and before it is saved; it is there at the next start",
	"/quit           end; what waits to be sent waits for the next start",
}

// readLines yields the lines of in, until its end or that of ctx.
func readLines(ctx context.Context, in io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		r := bufio.NewReader(in)
		for {
			line, err := r.ReadString('\n')
			if line = strings.TrimRight(line, "\r\n"); line != "" || err == nil {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return lines
}

// A talk is what one types: messages to somebody, and commands.
type talk struct {
	p  *person
	to string
}

// run carries out line by line, until /quit or their end. Before each it calls
// ask with a prompt.
func (t *talk) run(ctx context.Context, lines <-chan string, ask func(prompt string)) {
	for {
		ask(t.prompt())
		select {
		case line, ok := <-lines:
			if !ok || line == "/quit" {
				return
			}
			if err := t.do(ctx, line); err != nil {
				t.say("! %v", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *talk) prompt() string {
	if t.to == "" {
		return label(t.p.me) + "> "
	}
	return label(t.p.me) + " to " + t.to + "> "
}

func (t *talk) say(format string, args ...any) {
	t.p.screen.show(event{Kind: noticeEvent, Text: fmt.Sprintf(format, args...)})
}

func (t *talk) do(ctx context.Context, line string) error {
	command, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch arg = strings.TrimSpace(arg); {
	case command == "":
	case !strings.HasPrefix(command, "/"):
		return t.write(ctx, line)
	case command == "/to" && arg == nameOf(t.p.me.User):
		t.say("that is you")
	case command == "/to" && (validName(arg) || validGroup(arg)):
		t.to = arg
		return t.p.greet(ctx, arg)
	case command == "/to":
		return errName
	case command == "/who":
		return t.who(ctx)
	case command == "/accept" && arg == "":
		return t.p.accept(ctx, t.to)
	case command == "/accept":
		return t.p.accept(ctx, arg)
	case command == "/timer" && t.to != "":
		n, err := strconv.ParseUint(arg, 10, 31)
		if err != nil {
			return errors.New("/timer wants a number of seconds; 0 is for good")
		}
		return t.p.last(ctx, t.to, time.Duration(n)*time.Second)
	case command == "/label" && t.to != "":
		return t.p.label(ctx, t.to)
	case command == "/consent" && t.to != "" && (arg == "yes" || arg == "no"):
		return t.p.consent(ctx, t.to, arg == "yes")
	case command == "/number" && validName(cmp.Or(arg, t.to)):
		return t.p.number(ctx, cmp.Or(arg, t.to))
	case command == "/verify":
		name, theirs, _ := strings.Cut(arg, " ")
		return t.p.verify(ctx, name, theirs)
	case command == "/picture" && t.to != "":
		return t.p.sendFile(ctx, t.to, arg)
	case command == "/save" && t.to != "":
		return t.p.saveFile(ctx, t.to, arg)
	case command == "/link":
		return t.p.link(ctx, arg)
	case command == "/move":
		return t.p.move(ctx, arg)
	case command == "/devices":
		return t.devices(ctx)
	case command == "/group":
		name, members, _ := strings.Cut(arg, " ")
		return t.p.gather(ctx, name, strings.Fields(members))
	case command == "/g":
		name, text, _ := strings.Cut(arg, " ")
		if !validGroup(name) {
			name = nameOf(t.p.me.User) + "/" + name
		}
		return (&talk{p: t.p, to: name}).write(ctx, text)
	case command == "/remove" && len(strings.Fields(arg)) == 2:
		return t.p.expel(ctx, strings.Fields(arg)[0], strings.Fields(arg)[1])
	case command == "/remove":
		n, _ := strconv.ParseUint(arg, 10, 32)
		return t.p.remove(ctx, uint32(n))
	case command == "/lose" && validName(arg):
		return t.lose(ctx, arg)
	case command == "/history":
		return t.history(ctx)
	case command == "/crash":
		t.p.crash.Store(true)
		t.say("the next message will be received and not saved")
	case command == "/help":
		for _, h := range help {
			t.say("%s", h)
		}
	default:
		t.say("there is no %s; /help shows what there is", command)
	}
	return nil
}

func (t *talk) write(ctx context.Context, text string) error {
	switch {
	case t.to == "":
		t.say("to whom? /to NAME says it, /help the rest")
		return nil
	case len(text) > maxText:
		t.say("! not sent: over %d bytes", maxText)
		return nil
	}
	return t.p.write(ctx, t.to, text)
}

// who shows the identity keys of both.
func (t *talk) who(ctx context.Context) error {
	t.say("%s, you: %s", nameOf(t.p.me.User), digits(t.p.device.Identity()))
	if t.to == "" {
		return nil
	}
	id, err := t.p.device.PeerIdentity(ctx, session.Address{User: userOf(t.to), Device: 1})
	if err != nil {
		return err
	}
	if id.Accepted.IsZero() {
		t.say("%s: nothing is known yet", t.to)
	} else {
		t.say("%s: %s%s", t.to, digits(id.Accepted), map[bool]string{true: ", verified"}[id.Verified])
	}
	for a, key := range t.p.changedKeys(t.to) {
		t.say("%s, not accepted: %s", label(a), digits(key))
	}
	return nil
}

// devices shows which devices are written to.
func (t *talk) devices(ctx context.Context) error {
	for _, user := range []string{t.p.me.User, userOf(t.to)} {
		list, err := t.p.relay.Devices(ctx, user)
		if err != nil {
			return err
		}
		for _, d := range list {
			t.say("%s", label(session.Address{User: user, Device: d.Device}))
		}
		if t.to == "" {
			break
		}
	}
	return nil
}

// lose forgets somebody.
func (t *talk) lose(ctx context.Context, name string) error {
	if err := t.p.device.Forget(ctx, userOf(name)); err != nil {
		return err
	}
	t.say("the sessions with %s are forgotten", name)
	return nil
}

func (t *talk) history(ctx context.Context) error {
	all, err := t.p.notes.all(ctx, kindHistory)
	for _, x := range all {
		who := x.Peer
		switch {
		case x.Mine:
			who = "to " + x.Peer
		case x.From != "":
			who = x.From + " in " + x.Peer
		}
		t.say("%s  %s: %s", x.At.Local().Format("02 Jan 15:04"), who, x.body().says())
	}
	return err
}
