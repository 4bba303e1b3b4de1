package session_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/session"
)

// Messages that disappear: of two changes of the timer at once the same one holds on
// both sides, and what was read goes when its time is over.
func ExampleTimer() {
	ctx := context.Background()
	relay := server{}
	ani, budi := relay.register("ani", 1), relay.register("budi", 1)

	// Ani wants an hour, and Budi, at the same time, a minute.
	anis := session.Timer{Duration: time.Hour, Version: 1, Sender: "ani"}
	budis := session.Timer{Duration: time.Minute, Version: 1, Sender: "budi"}
	content := &session.Content{Body: []byte("PIN-nya 1234"), Timer: anis.Duration, TimerVersion: anis.Version}
	sending, err := ani.Send(ctx, []string{"budi"}, content, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("gone at Ani's:", anis.Deadline(sending.SentAt).Sub(sending.SentAt), "after it was sent")

	received, err := budi.Decrypt(ctx, ani.Address(), sending.Results[0].Message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("both have:", budis.Merge(received.Timer()).Duration, anis.Merge(budis).Duration)

	if err := budi.MarkRead(ctx, received); err != nil { // it is on Budi's screen
		log.Fatal(err)
	}
	fmt.Println("gone at Budi's:", time.Until(received.Expires).Round(time.Minute), "after he read it")
	// Output:
	// gone at Ani's: 1h0m0s after it was sent
	// both have: 1h0m0s 1h0m0s
	// gone at Budi's: 1h0m0s after he read it
}
