// Chat is a small app on package session. Run alone, it plays itself:
//
//	go run ./session/examples/chat
//	go run ./session/examples/chat -peer official
//	go run ./session/examples/chat -lang id
//
// A relay is started on this machine, and two people as two processes, each
// with its store in a file. They talk through the relay, which delivers late,
// twice, and once what it forged. All is sealed: the relay knows whose mailbox a
// message is for, and its log, which the play prints, does not show who sent it.
//
//   - One of them is killed after a message was decrypted and before it was saved;
//     started again, it has the message, once.
//   - They compare their safety numbers, by voice and by a code.
//   - One sends a picture, of which the relay sees a size, rounded up.
//   - One takes a second device, which shows what is written on the first. The other
//     loses the sessions, cannot read a message, asks for it again and reads it. The
//     second device is removed, and gets nothing any more.
//   - A third person comes, and there is a group, until one is removed from it, who
//     cannot read what follows, handed a copy or not.
//   - A business comes, with keys on its own server, which everybody who writes to it
//     is shown, and moves to a provider in mid-conversation. The relay leaves that out,
//     and then shows what was so before; both are seen, and nothing is sent. Then it
//     is said who would read it, and what was written waits for a yes.
//   - What two write then disappears, a second after it was read.
//
// The last line counts the messages sent, their copies for devices, and how many of
// these were read, lost, read twice, and refused as forged, or as a copy of what is
// for somebody else; the program exits with 1 if one is lost, or read twice or
// wrongly.
//
// With -peer official the second person is the official library (package
// internal/interop says how to install it), which seals and opens envelopes, too. It
// is in no group here, and there is no third person and no business then. It says
// nothing of who has its keys, so that Ani is asked once whether she writes all the
// same. With -lang id all that is said of who holds the keys is in Indonesian.
//
// The same programs are there to chat with:
//
//	go run ./session/examples/chat serve
//	go run ./session/examples/chat -as ani -store ~/ani.store
//	go run ./session/examples/chat -as ani -device 2 -store ~/ani-2.store
//	go run ./session/examples/chat -as budi -store ~/budi.store
//	go run ./session/examples/chat -as toko -store ~/toko.store -business
//	go run ./session/examples/chat -as toko -store ~/awan.store -device 2 -provider "PT Awan" -domain awan.example
//
// To read it, begin at outbox.go: it has what an app does with a Device to send
// to all devices of somebody. person.go is what it does to receive, and of the
// others each is one thing:
//
//	seal.go     how envelopes are sealed and opened, so that the relay does not learn who writes
//	retry.go    what becomes of a message that cannot be read
//	groups.go   how a group is made, and how a message is encrypted once for all of it
//	safety.go   how two people make sure that nobody is in between
//	files.go    how a file is sent
//	link.go     how a second device is linked
//	label.go    what is shown of who holds the keys at the other end
//	consent.go  what is asked before anything is sent there
//	declare.go  how an account says who holds its keys
//	move.go     how a business moves to a provider; role.go, who is what
//	words.go    what is said of all that, in two languages
//	timer.go    how messages disappear
//	body.go     what is in a message
//	client.go   how a Device asks a server for devices and their keys
//
// relay.go, directory.go, register.go, postoffice.go, mailbox.go, certify.go, blobs.go
// and board.go are that server; demo.go, scenes.go, hostscenes.go, parcel.go and
// script.go the play.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

var (
	errUsage = errors.New("usage")
	errName  = errors.New("a name has letters, digits, - and _, 16 bytes at most; a device is a number from 1 to 127")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch err := run(ctx, os.Args[1:]); {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// The options are the flags.
type options struct {
	as, relay, store, peer, lang string
	provider, domain             string
	device                       uint
	json, unsealed, business     bool
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "serve" {
		f := flag.NewFlagSet("chat serve", flag.ContinueOnError)
		addr := f.String("addr", "127.0.0.1:8080", "where to listen")
		if f.Parse(args[1:]) != nil || f.NArg() > 0 {
			return errUsage
		}
		return serve(ctx, os.Stdout, *addr)
	}
	var o options
	f := flag.NewFlagSet("chat [serve]", flag.ContinueOnError)
	f.StringVar(&o.as, "as", "", "chat as this person")
	f.UintVar(&o.device, "device", 1, "which of the person's devices this is; further ones are linked to the first")
	f.StringVar(&o.relay, "relay", "http://127.0.0.1:8080", "where the relay is")
	f.StringVar(&o.store, "store", "", "file that keeps keys and messages; one is made if there is none")
	f.StringVar(&o.peer, "peer", "gembok", "who the second person is, or with -as this one: gembok or official")
	f.BoolVar(&o.unsealed, "unsealed", false, "tell the relay who writes, to see what it sees then")
	f.StringVar(&o.lang, "lang", "en", "language of what is said about who holds the keys: en or id")
	f.BoolVar(&o.business, "business", false, "this is a business, which has its keys on a server of its own")
	f.StringVar(&o.provider, "provider", "", "this is a device of the business, which a provider of that name operates")
	f.StringVar(&o.domain, "domain", "", "the domain of the provider")
	f.BoolVar(&o.json, "json", false, "show events as lines of JSON")
	if f.Parse(args) != nil || f.NArg() > 0 || o.peer != "gembok" && o.peer != "official" ||
		o.lang != "en" && o.lang != "id" {
		return errUsage
	}
	if o.as == "" {
		return demo(ctx, os.Stdout, o.peer, o.lang, script)
	}
	return chat(ctx, o, os.Stdin, os.Stdout)
}

// chat is one person's process, until the end of its input.
func chat(ctx context.Context, o options, in io.Reader, out *os.File) error {
	me := session.Address{User: userOf(o.as), Device: uint32(o.device)}
	if !validName(o.as) || o.device > maxDevice || !validAddress(me) {
		return errName
	}
	relay, err := newClient(o.relay)
	if err != nil {
		return err
	}
	defer relay.close()
	view := &terminal{out: out, live: isTerminal(out)}
	var s screen = view
	if o.json {
		s = &jsonLines{out: out}
	}
	p, done, err := o.open(ctx, me, relay, s)
	if err != nil {
		return err
	}
	defer done()
	p.open, p.lang = o.unsealed, o.lang
	return p.chat(ctx, in, view.ask)
}

// chat runs p beside what is typed.
func (p *person) chat(ctx context.Context, in io.Reader, ask func(prompt string)) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- p.run(running)
	}()
	(&talk{p: p}).run(running, readLines(running, in), ask)
	ask("")
	stop()
	if err := <-ended; err != nil {
		return err
	}
	last, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if left, _ := p.sendSome(last); left > 0 {
		p.screen.show(event{Kind: noticeEvent, Text: fmt.Sprintf("messages that wait for the next start: %d", left)})
	}
	return nil
}

// open returns the person, and what closes the store or the library.
func (o *options) open(ctx context.Context, me session.Address, relay *client, s screen) (*person, func(), error) {
	if o.peer == "official" {
		d, err := newOfficial(me, relay)
		if err != nil {
			return nil, nil, err
		}
		return newPerson(me, d, nil, keystore.NewMemory(), relay, s), d.close, nil
	}
	if o.store == "" {
		return nil, nil, errors.New("-as wants a file for -store")
	}
	store, err := openStore(o.store)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.store, err)
	}
	p, err := openPerson(ctx, store, me, o.role(), relay, s)
	if err != nil {
		_ = store.Close()
		return nil, nil, fmt.Errorf("%s: %w", o.store, err)
	}
	return p, func() { _ = store.Close() }, nil
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
