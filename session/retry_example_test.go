package session_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gembok-e2ee/gembok/session"
)

// A message that a device cannot read is asked for again. Its sender still has
// it, begins a new session where that is needed, and sends it there.
func ExampleDevice_Resend() {
	ctx := context.Background()
	relay := server{}
	ani, budi := relay.register("ani", 1), relay.register("budi", 1)
	send := func(text string) *session.Sending {
		s, err := ani.Send(ctx, []string{"budi"}, &session.Content{Body: []byte(text)}, nil)
		if err != nil {
			log.Fatal(err)
		}
		return s
	}
	read := func(m *session.Message) error {
		r, err := budi.Decrypt(ctx, ani.Address(), m, nil)
		if err == nil {
			fmt.Printf("%s\n", r.Content.Body)
		}
		return err
	}
	if err := read(send("Halo, Budi!").Results[0].Message); err != nil {
		log.Fatal(err)
	}
	if err := budi.Forget(ctx, "ani"); err != nil { // and with her the session
		log.Fatal(err)
	}

	sending := send("Are you there?")
	lost := sending.Results[0].Message
	why := read(lost)
	fmt.Println("worth asking for:", session.ReasonOf(why) != 0)
	request, err := budi.RequestRetry(ctx, ani.Address(), lost, sending.SentAt, why)
	if err != nil {
		log.Fatal(err)
	}
	answer, err := ani.Resend(ctx, budi.Address(), request)
	if err != nil {
		log.Fatal(err)
	}
	if err := read(answer.Results[0].Message); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Halo, Budi!
	// worth asking for: true
	// Are you there?
}
