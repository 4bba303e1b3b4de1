package hosting_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// An office is a server with one user, a shop whose only device a provider has. An
// app's Directory asks its server.
type office struct {
	device   *session.Device
	manifest []byte
}

func (o *office) Devices(_ context.Context, user string) ([]session.PeerDevice, error) {
	if user != "toko" {
		return nil, nil
	}
	return []session.PeerDevice{{Device: 1, RegistrationID: o.device.RegistrationID()}}, nil
}

func (o *office) Bundle(ctx context.Context, _ session.Address) (*x3dh.Bundle, error) {
	return o.device.Bundle(ctx)
}

func (o *office) Manifest(_ context.Context, user string) ([]byte, error) {
	if user != "toko" {
		return nil, nil
	}
	return o.manifest, nil
}

// opens has the shop say who has its key.
func (o *office) opens(ctx context.Context, provider *keys.IdentityKeyPair) error {
	gate := hosting.NewGate("toko", nil)
	var err error
	o.device, err = session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "toko", Device: 1}},
		&session.Options{Gate: gate, Content: true, Directory: o})
	if err != nil {
		return err
	}
	account, now := o.device.IdentityKeyPair(), time.Now().Truncate(time.Second)
	e := hosting.Endpoint{Device: 1, Identity: account.Public(), Controller: hosting.HostedByProvider, Storage: hosting.StorageProvider,
		Provider: &hosting.Provider{Name: "PT Awan", Domain: "awan.example", Key: provider.Public()},
		Readers:  hosting.Readers{Staff: true}, Uses: hosting.Uses{Service: true}, NotAfter: now.AddDate(1, 0, 0)}
	m := &hosting.Manifest{Account: "toko", Kind: hosting.KindBusiness, Epoch: 1, NotBefore: now, NotAfter: now.AddDate(0, 0, 30), Endpoints: []hosting.Endpoint{e}}
	if err := errors.Join(m.Endpoints[0].Accept("toko", account.Public(), account), m.Endpoints[0].Operate("toko", account.Public(), provider)); err != nil {
		return err
	}
	if o.manifest, err = m.Sign(account); err != nil {
		return err
	}
	return gate.Publish(ctx, o.device, o.manifest)
}

// Nothing is sent to a key in foreign hands before the user has agreed to it.
func ExampleGate() {
	ctx := context.Background()
	provider, server := keys.GenerateIdentityKeyPair(), new(office)
	if err := server.opens(ctx, provider); err != nil {
		log.Fatal(err)
	}

	gate := hosting.NewGate("ani", &hosting.Options{Providers: map[string]keys.IdentityKey{"awan.example": provider.Public()}})
	ani, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "ani", Device: 1}},
		&session.Options{Gate: gate, Content: true, Directory: server})
	if err != nil {
		log.Fatal(err)
	}
	content := &session.Content{Body: []byte("Are you open today?")}
	_, err = ani.Send(ctx, []string{"toko"}, content, nil)
	var ask *hosting.ConsentRequiredError
	if !errors.As(err, &ask) {
		log.Fatal("sent unasked: ", err)
	}
	fmt.Println("not sent:")
	label, err := gate.Label(ctx, ani, ask.Account)
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range label.Lines("en") {
		fmt.Println(" ", line)
	}
	// Ani is asked, and says yes.
	if err := gate.Consent(ctx, ani, ask.Account, ask.Token, hosting.Yes); err != nil {
		log.Fatal(err)
	}
	sending, err := ani.Send(ctx, []string{"toko"}, content, nil)
	if err != nil {
		log.Fatal(err)
	}
	received, err := server.device.Decrypt(ctx, ani.Address(), sending.Results[0].Message, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent:", string(received.Content.Body))
	// Output:
	// not sent:
	//   More parties may read this chat, or use what is in it. Nothing is sent before you agree.
	//   The key at the other end is held by PT Awan (awan.example), a third party, which can read this chat.
	//   Messages are stored by the provider.
	//   Read by staff.
	//   Used for the service.
	// sent: Are you open today?
}
