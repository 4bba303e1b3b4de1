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
//	go run ./session/examples/chat web
//	go run ./session/examples/chat serve
//	go run ./session/examples/chat -as ani -store ~/ani.store
//	go run ./session/examples/chat -as ani -device 2 -store ~/ani-2.store
//	go run ./session/examples/chat -as budi -store ~/budi.store
//	go run ./session/examples/chat -as toko -store ~/toko.store -business
//	go run ./session/examples/chat -as toko -store ~/awan.store -device 2 -provider "PT Awan" -domain awan.example
//
// The first is for browsers: it builds the program of a page, in which gembok runs, and
// serves it and a relay on this machine. The others are for terminals.
//
// To read it, begin at person/outbox.go: package person is the app, without its screen,
// package relay the server, and package post what passes between them. Here are the
// screen, terminal.go, and what is typed, commands.go; transport.go is the way to the
// relay, serve.go the relay alone, official.go the official library as a Device; demo.go,
// scenes.go, hostscenes.go, actor.go, parcel.go and script.go are the play. Of the
// browser's are web.go, package web, which serves it, package indexeddb, a store, and
// page, the page itself and its program.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

var errUsage = errors.New("usage")

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
	switch {
	case len(args) > 0 && args[0] == "serve":
		return runServe(ctx, os.Stdout, args[1:])
	case len(args) > 0 && args[0] == "web":
		return runWeb(ctx, os.Stdout, args[1:])
	}
	var o options
	f := flag.NewFlagSet("chat [serve | web]", flag.ContinueOnError)
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
	me := session.Address{User: post.UserOf(o.as), Device: uint32(o.device)}
	if !post.ValidName(o.as) || o.device > post.MaxDevice || !post.ValidAddress(me) {
		return post.ErrName
	}
	way, err := newTransport(o.relay)
	if err != nil {
		return err
	}
	defer way.close()
	view := &terminal{out: out, live: isTerminal(out)}
	var s person.Screen = view
	if o.json {
		s = &jsonLines{out: out}
	}
	s = hinting{s, o.lang}
	t := &talk{screen: s, lang: o.lang, crash: new(atomic.Bool)}
	p, done, err := o.open(ctx, me, person.NewClient(way), s, t.died)
	if err != nil {
		return err
	}
	defer done()
	t.p = p
	return t.chat(ctx, in, view.ask)
}

// chat runs the person beside what is typed.
func (t *talk) chat(ctx context.Context, in io.Reader, ask func(prompt string)) error {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- t.p.Run(running)
	}()
	t.run(running, readLines(running, in), ask)
	ask("")
	stop()
	if err := <-ended; err != nil {
		return err
	}
	last, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if left, _ := t.p.Flush(last); left > 0 {
		t.say("messages that wait for the next start: %d", left)
	}
	return nil
}

// died ends the process as a crash does, once that was asked for.
func (t *talk) died(from, mail string) {
	if !t.crash.Load() {
		return
	}
	t.screen.Show(person.Event{Kind: diedEvent, Peer: from, Mail: mail})
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until it has
}

// open returns the person, and what closes the store or the library.
func (o *options) open(ctx context.Context, me session.Address, relay *person.Client, s person.Screen, died func(from, mail string)) (*person.Person, func(), error) {
	chosen := &person.Options{Lang: o.lang, Unsealed: o.unsealed, Decrypted: died}
	if o.peer == "official" {
		d, err := newOfficial(me, relay)
		if err != nil {
			return nil, nil, err
		}
		return person.New(me, d, keystore.NewMemory(), relay, s, chosen), d.close, nil
	}
	if o.store == "" {
		return nil, nil, errors.New("-as wants a file for -store")
	}
	store, err := openStore(o.store)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.store, err)
	}
	p, err := person.Open(ctx, store, me, o.role(), relay, s, chosen)
	if err != nil {
		_ = store.Close()
		return nil, nil, fmt.Errorf("%s: %w", o.store, err)
	}
	return p, func() { _ = store.Close() }, nil
}

// role is the role that the flags ask for.
func (o *options) role() person.Role {
	switch {
	case o.provider != "":
		return person.Hosted(o.provider, o.domain)
	case o.business:
		return person.Business()
	}
	return person.Role{}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
