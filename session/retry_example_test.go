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
	ani := relay.register("ani", 1)
	relay.register("budi", 1)
	sending, err := ani.Send(ctx, []string{"budi"}, &session.Content{Body: []byte("Halo, Budi!")}, nil)
	if err != nil {
		log.Fatal(err)
	}

	budi := relay.register("budi", 1) // in a new store: what the message needs is lost
	lost := sending.Results[0].Message
	_, err = budi.Decrypt(ctx, ani.Address(), lost, nil)
	fmt.Println("worth asking for:", session.ReasonOf(err) != 0)
	request, err := budi.RequestRetry(ctx, ani.Address(), lost, sending.SentAt, err)
	if err != nil {
		log.Fatal(err)
	}

	answer, err := ani.Resend(ctx, budi.Address(), request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Results[0].Err) // it is not the Budi that Ani knew
	err = ani.AcceptIdentity(ctx, budi.Address(), budi.Identity())
	if err != nil {
		log.Fatal(err)
	}
	answer, err = ani.Resend(ctx, budi.Address(), request)
	if err != nil {
		log.Fatal(err)
	}
	received, err := budi.Decrypt(ctx, ani.Address(), answer.Results[0].Message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", received.Content.Body)
	// Output:
	// worth asking for: true
	// session: identity key has changed and is not accepted
	// Halo, Budi!
}
