package session_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// A server knows the devices of its users, and hands out their prekeys. An app's
// is somewhere else, and asked over the network.
type server map[session.Address]*x3dh.Publication

func (s server) Devices(_ context.Context, user string) (out []session.PeerDevice, err error) {
	for a, p := range s {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: p.RegistrationID})
		}
	}
	return out, nil
}

func (s server) Bundle(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
	return s[peer].Take(), nil
}

func (s server) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// register makes a device, and publishes its prekeys.
func (s server) register(user string, device uint32) *session.Device {
	account := session.Account{Address: session.Address{User: user, Device: device}}
	d, err := session.Create(context.Background(), keystore.NewMemory(), account, &session.Options{Directory: s, Content: true})
	if err != nil {
		log.Fatal(err)
	}
	if s[account.Address], err = d.Publish(context.Background()); err != nil {
		log.Fatal(err)
	}
	return d
}

// A message goes to a user, on whatever devices there are. The server takes it
// when it is for all of them, and else says which are missing.
func ExampleDevice_Send() {
	ctx := context.Background()
	relay := server{}
	ani, phone := relay.register("ani", 1), relay.register("budi", 1)

	sending, err := ani.Send(ctx, []string{"budi"}, &session.Content{Body: []byte("Halo, Budi!"), Timer: time.Hour}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("for", sending.Results[0].To, "at first")

	tablet := relay.register("budi", 2) // just now, says the server
	err = ani.Reconcile(ctx, sending, session.Difference{User: "budi", Missing: []uint32{2}})
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range sending.Results {
		if result.Err != nil { // of this device; the others have theirs
			log.Fatal(result.Err)
		}
		d := map[uint32]*session.Device{1: phone, 2: tablet}[result.To.Device]
		received, err := d.Decrypt(ctx, ani.Address(), result.Message, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s read on device %d\n", received.Content.Body, d.Address().Device)
	}
	if err := ani.Accept(ctx, sending); err != nil { // the server has it
		log.Fatal(err)
	}
	// Output:
	// for budi.1 at first
	// Halo, Budi! read on device 1
	// Halo, Budi! read on device 2
}
