package fingerprint_test

import (
	"bytes"
	"fmt"
	"log"
	"time"

	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// fixedKey stands for the identity key of a session.Device, and for the one
// that it accepted of a peer.
func fixedKey(b byte) keys.IdentityKey {
	pair, err := keys.NewIdentityKeyPair(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		log.Fatal(err)
	}
	return pair.Public()
}

// Ani and Budi compare by reading out, or by scanning.
func Example() {
	ani := fingerprint.Party{ID: fingerprint.StableID("9d0652a3-dcc3-4d11-975f-74d61598733f"), Key: fixedKey(0x33)}
	budi := fingerprint.Party{ID: fingerprint.StableID("796abedb-ca4e-4f18-8803-1fde5b921f9f"), Key: fixedKey(0x44)}

	onAnis, err := fingerprint.New(ani, budi, nil)
	if err != nil {
		log.Fatal(err)
	}
	onBudis, err := fingerprint.New(budi, ani, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(onAnis)
	fmt.Println(onAnis.String() == onBudis.String())

	// Bytes goes into a QR code, which the other app scans.
	fmt.Println(onAnis.Compare(onBudis.Bytes()))

	// Budi has a new phone, and Ani has not seen his new key.
	budi.Key = fixedKey(0x55)
	onBudis, err = fingerprint.New(budi, ani, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(onAnis.Compare(onBudis.Bytes()))
	// Output:
	// 69534 66167 70166 94437 01956 82026 81825 04119 87289 33130 24871 52780
	// true
	// match <nil>
	// theirs differ <nil>
}

// Ani and Toko, a business, compare who is said to hold Toko's keys, too.
func Example_labels() {
	ani := fingerprint.Party{ID: fingerprint.StableID("ani"), Key: fixedKey(0x33)}
	toko := fingerprint.Party{ID: fingerprint.StableID("toko"), Key: fixedKey(0x44)}

	// What Toko published, and what Ani's app holds of it.
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	manifest := hosting.Manifest{
		Account: "toko", Kind: hosting.KindBusiness, Epoch: 1, NotBefore: now, NotAfter: now.AddDate(0, 0, 30), Key: toko.Key,
		Endpoints: []hosting.Endpoint{{Device: 1, Identity: toko.Key, Controller: hosting.OwnerServer, Storage: hosting.StorageNone, NotAfter: now.AddDate(1, 0, 0)}},
	}
	toko.Manifest = manifest.Hash()

	o := &fingerprint.Options{Version: 128}
	onAnis, err := fingerprint.New(ani, toko, o)
	if err != nil {
		log.Fatal(err)
	}
	onTokos, err := fingerprint.New(toko, ani, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(onAnis.Compare(onTokos.Bytes()))

	// A server kept it from Ani.
	toko.Manifest = [32]byte{}
	onAnis, err = fingerprint.New(ani, toko, o)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(onAnis.Compare(onTokos.Bytes()))
	// Output:
	// match <nil>
	// theirs differ <nil>
}
