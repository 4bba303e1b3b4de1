package hosting_test

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// "Download your data": an archive for a person to keep.
func ExampleArchiveWriter() {
	ctx := context.Background()
	budi, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "budi", Device: 1}}, nil)
	if err != nil {
		panic(err)
	}

	key := hosting.GenerateArchiveKey() // key.Text() is for Budi to write down, or NewArchiveKey of a passphrase
	var file bytes.Buffer
	w, err := hosting.NewArchiveWriter(&file, key, nil)
	if err != nil {
		panic(err)
	}
	if err := w.Device(ctx, budi); err != nil { // whom he trusts, and in what groups he is
		panic(err)
	}
	for _, r := range []hosting.ArchiveRecord{
		{Type: "app", Name: "message/1", Data: []byte("Besok jam tiga?")},
		{Type: "app", Name: "message/2", Data: []byte("PIN-nya 1234"), Expires: time.Now().Add(-time.Hour)}, // has disappeared
	} {
		if err := w.Write(&r); err != nil {
			panic(err)
		}
	}
	if err := w.Account(budi); err != nil { // only for recovery: whoever reads it can be Budi
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}

	counts, err := hosting.VerifyArchive(bytes.NewReader(file.Bytes()), key, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println("in it:", counts)

	var account session.Account
	for r, err := range hosting.ReadArchive(&file, key, nil) {
		if err != nil {
			panic(err) // and nothing of the archive counts
		}
		switch r.Type {
		case "app":
			fmt.Println(r.Name+":", string(r.Data))
		case "account":
			if account, err = r.Account(); err != nil {
				panic(err)
			}
		default: // whom he trusts and what he agreed to, for him to read
			text, err := r.JSON()
			if err != nil {
				panic(err)
			}
			fmt.Println(string(text))
		}
	}
	again, err := session.Create(ctx, keystore.NewMemory(), account, nil) // in a new and empty store
	if err != nil {
		panic(err)
	}
	fmt.Println("same identity:", again.Identity().Equal(budi.Identity()))

	// Output:
	// in it: map[account:1 app:1]
	// message/1: Besok jam tiga?
	// same identity: true
}
