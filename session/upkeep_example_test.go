package session_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
)

// An app runs upkeep at the start, and whenever Due.At is reached or a session
// began; it uploads what comes of it, and says so.
func ExampleDevice_Upkeep() {
	ctx := context.Background()
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	budi, err := session.Create(ctx, keystore.NewMemory(), session.Account{Address: session.Address{User: "budi", Device: 1}},
		&session.Options{Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	for range 3 {
		publication, err := budi.Upkeep(ctx)
		if err != nil {
			panic(err)
		}
		if publication != nil {
			fmt.Println(now.Format(time.DateTime), "upload", len(publication.PreKeys), "one-time prekeys")
			if err := budi.MarkPublished(ctx, publication); err != nil { // once the directory has them
				panic(err)
			}
		}
		due, err := budi.Due(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Println("next", due.At.UTC().Format(time.DateTime))
		now = now.Add(7 * 24 * time.Hour)
	}
	// Output:
	// 2026-01-05 09:00:00 upload 100 one-time prekeys
	// next 2026-01-06 00:00:00
	// 2026-01-12 09:00:00 upload 0 one-time prekeys
	// next 2026-01-13 00:00:00
	// 2026-01-19 09:00:00 upload 0 one-time prekeys
	// next 2026-01-20 00:00:00
}
