// Chat lets two people talk, message by message, and shows what each reads and
// what a relay between them sees. Some messages come late, twice or never.
//
//	go run ./session/examples/chat
//	go run ./session/examples/chat -peer official
//
// With -peer official the second person is the official library, as a child
// process (package internal/interop says how to install it). The last line
// counts the messages sent, read, lost on the way and refused as duplicates.
// The program exits with 1 if a message that arrived was not read, or was read
// twice.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/gembok-e2ee/gembok/session"
)

func main() {
	peer := flag.String("peer", "gembok", "who the second person is: gembok or official")
	flag.Parse()
	if flag.NArg() > 0 || *peer != "gembok" && *peer != "official" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(context.Background(), os.Stdout, *peer); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// Addresses are service ids, so that messages are bound to them.
var (
	aniAddress  = session.Address{User: "1f5b1c2e-6f0a-4d3e-9a57-0c8f8b6f2a11", Device: 1}
	budiAddress = session.Address{User: "8d2f9a44-3c1b-4b7e-8f60-5e21d7c9b3f2", Device: 1}
)

// run plays the whole script on out.
func run(ctx context.Context, out io.Writer, peer string) error {
	ani, err := newGembok(ctx, "Ani", aniAddress)
	if err != nil {
		return err
	}
	budi, done, err := newPeer(ctx, peer)
	if err != nil {
		return err
	}
	defer done()

	bundle, err := budi.bundle(ctx)
	if err != nil {
		return err
	}
	if err := ani.begin(ctx, budi.who(), bundle); err != nil {
		return err
	}
	fmt.Fprintf(out, "Ani has Budi's prekey bundle: %d bytes, signatures verified.\n\n", len(bundle.Bytes()))

	c := &chat{ctx: ctx, out: out, people: map[string]person{"Ani": ani, "Budi": budi}}
	for _, l := range script {
		if err := c.say(l); err != nil {
			return err
		}
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.close()
}
