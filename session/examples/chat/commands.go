package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

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
	p      *person.Person
	screen person.Screen
	crash  *atomic.Bool // end after the next message is decrypted
	lang   string
	to     string
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
				t.say("! %v", hinted(err, t.lang))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *talk) prompt() string {
	if t.to == "" {
		return post.Label(t.p.Me()) + "> "
	}
	return post.Label(t.p.Me()) + " to " + t.to + "> "
}

func (t *talk) say(format string, args ...any) {
	t.screen.Show(person.Event{Kind: person.NoticeEvent, Text: fmt.Sprintf(format, args...)})
}

func (t *talk) do(ctx context.Context, line string) error {
	command, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch arg = strings.TrimSpace(arg); {
	case command == "":
	case !strings.HasPrefix(command, "/"):
		return t.write(ctx, t.to, line)
	case command == "/to" && arg == post.NameOf(t.p.Me().User):
		t.say("that is you")
	case command == "/to" && (post.ValidName(arg) || person.ValidGroup(arg)):
		t.to = arg
		return t.p.Greet(ctx, arg)
	case command == "/to":
		return post.ErrName
	case command == "/who":
		return t.who(ctx)
	case command == "/accept" && arg == "":
		return t.p.Accept(ctx, t.to)
	case command == "/accept":
		return t.p.Accept(ctx, arg)
	case command == "/timer" && t.to != "":
		n, err := strconv.ParseUint(arg, 10, 31)
		if err != nil {
			return errors.New("/timer wants a number of seconds; 0 is for good")
		}
		return t.p.Last(ctx, t.to, time.Duration(n)*time.Second)
	case command == "/label" && t.to != "":
		return t.p.Label(ctx, t.to)
	case command == "/consent" && t.to != "" && (arg == "yes" || arg == "no"):
		return t.p.Consent(ctx, t.to, arg == "yes")
	case command == "/number" && post.ValidName(cmp.Or(arg, t.to)):
		return t.p.Number(ctx, cmp.Or(arg, t.to))
	case command == "/verify":
		name, theirs, _ := strings.Cut(arg, " ")
		return t.p.Verify(ctx, name, theirs)
	case command == "/picture" && t.to != "":
		return t.picture(ctx, arg)
	case command == "/save" && t.to != "":
		return t.save(ctx, arg)
	case command == "/link":
		return t.p.Link(ctx, arg)
	case command == "/move":
		return t.p.Move(ctx, arg)
	case command == "/devices":
		return t.devices(ctx)
	case command == "/group":
		name, members, _ := strings.Cut(arg, " ")
		return t.p.Gather(ctx, name, strings.Fields(members))
	case command == "/g":
		name, text, _ := strings.Cut(arg, " ")
		if !person.ValidGroup(name) {
			name = post.NameOf(t.p.Me().User) + "/" + name
		}
		return t.write(ctx, name, text)
	case command == "/remove" && len(strings.Fields(arg)) == 2:
		return t.p.Expel(ctx, strings.Fields(arg)[0], strings.Fields(arg)[1])
	case command == "/remove":
		n, _ := strconv.ParseUint(arg, 10, 32)
		return t.p.Remove(ctx, uint32(n))
	case command == "/lose" && post.ValidName(arg):
		return t.lose(ctx, arg)
	case command == "/history":
		return t.history(ctx)
	case command == "/crash":
		t.crash.Store(true)
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

func (t *talk) write(ctx context.Context, to, text string) error {
	switch {
	case to == "":
		t.say("to whom? /to NAME says it, /help the rest")
		return nil
	case len(text) > person.MaxText:
		t.say("! not sent: over %d bytes", person.MaxText)
		return nil
	}
	return t.p.Write(ctx, to, text)
}

// who shows the identity keys of both.
func (t *talk) who(ctx context.Context) error {
	t.say("%s, you: %s", post.NameOf(t.p.Me().User), person.Digits(t.p.Identity()))
	if t.to == "" {
		return nil
	}
	id, err := t.p.Peer(ctx, t.to)
	if err != nil {
		return err
	}
	if id.Accepted.IsZero() {
		t.say("%s: nothing is known yet", t.to)
	} else {
		t.say("%s: %s%s", t.to, person.Digits(id.Accepted), map[bool]string{true: ", verified"}[id.Verified])
	}
	for a, key := range t.p.ChangedKeys(t.to) {
		t.say("%s, not accepted: %s", post.Label(a), person.Digits(key))
	}
	return nil
}

// devices shows which devices are written to.
func (t *talk) devices(ctx context.Context) error {
	for _, name := range []string{post.NameOf(t.p.Me().User), t.to} {
		list, err := t.p.Devices(ctx, name)
		if err != nil {
			return err
		}
		for _, a := range list {
			t.say("%s", post.Label(a))
		}
		if t.to == "" {
			break
		}
	}
	return nil
}

// lose forgets somebody.
func (t *talk) lose(ctx context.Context, name string) error {
	if err := t.p.Forget(ctx, name); err != nil {
		return err
	}
	t.say("the sessions with %s are forgotten", name)
	return nil
}

func (t *talk) history(ctx context.Context) error {
	all, err := t.p.Messages(ctx)
	for _, x := range all {
		who := x.Peer
		switch {
		case x.Mine:
			who = "to " + x.Peer
		case x.From != "":
			who = x.From + " in " + x.Peer
		}
		text := x.Text
		if x.File != nil {
			text = fileText(x.File)
		}
		t.say("%s  %s: %s", x.At.Local().Format("02 Jan 15:04"), who, text)
	}
	return err
}

// picture sends a file.
func (t *talk) picture(ctx context.Context, path string) error {
	content, err := readFile(path)
	if err != nil {
		return err
	}
	return t.p.SendFile(ctx, t.to, filepath.Base(path), content, nil)
}

// save saves the file that came last.
func (t *talk) save(ctx context.Context, path string) error {
	_, content, err := t.p.LastFile(ctx, t.to, nil)
	if err != nil {
		return err
	}
	if err := saveAs(path, content); err != nil {
		return err
	}
	t.say("saved: %d bytes", len(content))
	return nil
}
