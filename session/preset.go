package session

import (
	"fmt"
	"time"
)

// PreKeyPreset returns the policy for a kind of deployment:
//
//	name     one-time  low  rotate   keep     base keys
//	phone    100       20   7 days   30 days  100,000
//	gateway  1,024     512  2 days   30 days  100,000
//	desktop  400       200  7 days   90 days  100,000
//	small    20        5    14 days  30 days  1,000
//
// A phone is what PreKeyPolicy says by itself: on and connected most of the day,
// with a few new contacts in it.
//
// A gateway, or a busy bot, is met by many at once. Half of what it may publish
// is left when it tops up, for the contacts that come meanwhile; and as those
// that find no one-time prekey depend on the lasting ones alone, these are
// replaced sooner. Its prekeys take some 5 MB.
//
// A desktop is opened seldom, and nothing is topped up or replaced until it
// is. So it has many one-time prekeys, and tops up while half of them are left;
// and it keeps what it replaced for longer, because a first message to a prekey
// that was replaced when it was opened last may wait until it is opened next.
//
// A small device has little room, and a slow processor for making KEM keys. Its
// prekeys take some 100 kB, what it remembers against replay as much, and it
// makes new ones seldom; in return more first messages may go without a
// one-time prekey.
//
// Another name is ErrMalformed.
func PreKeyPreset(name string) (PreKeyPolicy, error) {
	const day = 24 * time.Hour
	switch name {
	case "phone":
		return PreKeyPolicy{}.orDefaults(), nil
	case "gateway":
		return PreKeyPolicy{OneTime: 1024, Low: 512, Rotate: 2 * day}.orDefaults(), nil
	case "desktop":
		return PreKeyPolicy{OneTime: 400, Low: 200, Keep: 90 * day}.orDefaults(), nil
	case "small":
		return PreKeyPolicy{OneTime: 20, Low: 5, Rotate: 14 * day, BaseKeys: 1000}.orDefaults(), nil
	}
	return PreKeyPolicy{}, fmt.Errorf("%w: no preset of prekeys of this name", ErrMalformed)
}
