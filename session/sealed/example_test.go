package sealed_test

import (
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A relay certifies its users, so that they can write to each other without its
// knowing who does.
func Example() {
	// The relay: its root is in every app, and signs the key of a server, which
	// signs a certificate a day for whoever has logged in.
	root, server := keys.GenerateSigningKey(), keys.GenerateSigningKey()
	certificate := sealed.IssueServerCertificate(root, 1, server.Public())
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	login := func(user string, identity keys.IdentityKey) *sealed.SenderCertificate {
		c, err := sealed.IssueSenderCertificate(certificate, server, sealed.Claims{
			User: user, Device: 1, Identity: identity, Expires: now.Add(24 * time.Hour),
		})
		if err != nil {
			panic(err)
		}
		return c
	}

	// Ani seals what her session with Budi encrypted.
	ani, budi := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	sender, err := sealed.NewSender(ani, login("ani", ani.Public()), nil)
	if err != nil {
		panic(err)
	}
	encrypted := &session.Message{Type: session.TypeSignal, Bytes: []byte("…")}
	envelope, err := sender.Seal(budi.Public(), encrypted, sealed.HintResendable, nil)
	if err != nil {
		panic(err)
	}

	// Budi's app trusts the root. A Receiver would go on and decrypt.
	trust := &sealed.Trust{Roots: []keys.VerifyKey{root.Public()}}
	opener := sealed.NewOpener(budi, trust, nil)
	m, err := opener.Open(envelope.Bytes, now)
	if err != nil {
		panic(err)
	}
	fmt.Println("from", m.Sender.Claims().User, "type", m.Type)

	_, err = opener.Open(envelope.Bytes, now.Add(25*time.Hour))
	fmt.Println(err)
	// Output:
	// from ani type 2
	// sealed: sender certificate: expired
}

// One upload for all members of a group, which the server splits.
func ExampleSplit() {
	root, server := keys.GenerateSigningKey(), keys.GenerateSigningKey()
	certificate := sealed.IssueServerCertificate(root, 1, server.Public())
	ani, budi, citra := keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair(), keys.GenerateIdentityKeyPair()
	mine, err := sealed.IssueSenderCertificate(certificate, server, sealed.Claims{
		User: "9d0652a3-dcc3-4d11-975f-74d61598733f", Device: 1, Identity: ani.Public(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil {
		panic(err)
	}
	sender, err := sealed.NewSender(ani, mine, nil)
	if err != nil {
		panic(err)
	}
	message := &session.Message{Type: session.TypeSenderKey, Bytes: []byte("…")}
	upload, err := sender.SealMany([]sealed.Recipient{
		{User: "796abedb-ca4e-4f18-8803-1fde5b921f9f", Identity: budi.Public(), Devices: []sealed.Device{{ID: 1, RegistrationID: 7}, {ID: 2, RegistrationID: 8}}},
		{User: "3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7", Identity: citra.Public(), Devices: []sealed.Device{{ID: 1, RegistrationID: 9}}},
	}, nil, message, sealed.HintResendable, []byte("group"))
	if err != nil {
		panic(err)
	}

	// The server compares devices and registration ids with what it knows, and
	// puts the same bytes into the queue of each device of a user.
	split, err := sealed.Split(upload)
	if err != nil {
		panic(err)
	}
	for i := range split.Deliveries {
		d := &split.Deliveries[i]
		fmt.Println(d.User, d.Devices, len(split.Received(d)), "bytes")
	}
	// Output:
	// 796abedb-ca4e-4f18-8803-1fde5b921f9f [{1 7} {2 8}] 376 bytes
	// 3f0f4734-e331-4434-bd4f-6d8f6ea6dcc7 [{1 9}] 376 bytes
}
