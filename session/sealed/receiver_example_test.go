package sealed_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A relay hands out prekeys, certifies who its users are, and carries what it
// cannot read: not even from whom it is.
type relay struct {
	published map[session.Address]*x3dh.Publication
	server    *sealed.ServerCertificate
	signing   *keys.SigningKey
	queue     map[session.Address][][]byte
	log       []string
}

func (r *relay) Devices(_ context.Context, user string) (out []session.PeerDevice, err error) {
	for a, p := range r.published {
		if a.User == user {
			out = append(out, session.PeerDevice{Device: a.Device, RegistrationID: p.RegistrationID})
		}
	}
	return out, nil
}

func (r *relay) Bundle(_ context.Context, peer session.Address) (*x3dh.Bundle, error) {
	return r.published[peer].Take(), nil
}

func (r *relay) Manifest(context.Context, string) ([]byte, error) { return nil, nil }

// register makes a device for a user who has logged in, and certifies it.
func (r *relay) register(user string) (*session.Device, *sealed.SenderCertificate) {
	ctx, address := context.Background(), session.Address{User: user, Device: 1}
	d, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: address}, &session.Options{Directory: r, Content: true})
	if err != nil {
		log.Fatal(err)
	}
	if r.published[address], err = d.Publish(ctx); err != nil {
		log.Fatal(err)
	}
	certificate, err := sealed.IssueSenderCertificate(r.server, r.signing, sealed.Claims{
		User: user, Device: address.Device, Identity: d.Identity(), Expires: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		log.Fatal(err)
	}
	return d, certificate
}

// submit takes an envelope, from whoever it is.
func (r *relay) submit(to session.Address, m *session.Message) {
	r.queue[to] = append(r.queue[to], m.Bytes)
	r.log = append(r.log, fmt.Sprintf("somebody wrote to %s", to))
}

// Ani writes to Budi. The relay between them learns that somebody wrote to Budi.
func ExampleReceiver_Open() {
	ctx := context.Background()
	root, signing := keys.GenerateSigningKey(), keys.GenerateSigningKey()
	relay := &relay{
		published: make(map[session.Address]*x3dh.Publication), queue: make(map[session.Address][][]byte),
		server: sealed.IssueServerCertificate(root, 1, signing.Public()), signing: signing,
	}
	trust := &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}} // in every app
	ani, certificate := relay.register("ani")
	budi, _ := relay.register("budi")

	sender, err := sealed.NewSender(ani.IdentityKeyPair(), certificate, nil)
	if err != nil {
		log.Fatal(err)
	}
	sending, err := ani.Send(ctx, []string{"budi"}, &session.Content{Body: []byte("Halo, Budi!")},
		&session.SendOptions{Seal: sender.SealAll(sealed.HintResendable, nil)})
	if err != nil {
		log.Fatal(err)
	}
	for _, result := range sending.Results {
		relay.submit(result.To, result.Message)
	}
	if err := ani.Accept(ctx, sending); err != nil {
		log.Fatal(err)
	}

	receiver := sealed.NewReceiver(budi, nil, trust, nil)
	for _, envelope := range relay.queue[budi.Address()] {
		received, err := receiver.Open(ctx, envelope, time.Now(), nil) // the time at which the relay took it
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", received.From.User, received.Content.Body)
		if err := budi.Acknowledge(ctx, received.Received); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("the relay's log:", relay.log)
	// Output:
	// ani: Halo, Budi!
	// the relay's log: [somebody wrote to budi.1]
}
