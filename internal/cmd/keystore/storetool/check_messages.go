package storetool

import (
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

func checkStaged(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || !isHex(k.Name, 32) {
		return bad(badKey)
	}
	s, err := wire.ParseStaged(body)
	switch {
	case err != nil:
		return bad(badBytes)
	case !isIdentity(s.Identity), s.ReceivedAt == 0, s.Device < 1, s.Device > 127, s.Apart && len(s.Plaintext) > 0:
		return bad(badFields)
	}
	for i := range s.Events {
		if !isEvent(&s.Events[i]) {
			return bad("an event of it is damaged")
		}
	}
	if !s.Apart {
		return verdict{}
	}
	return with(func(o []other) string {
		return missing(o[0], "its text is missing")
	}, beside(k, "body", k.Owner, k.Name))
}

func checkBody(k keystore.Key, _ []byte) verdict {
	if !isUser(k.Owner) || !isHex(k.Name, 32) {
		return bad(badKey)
	}
	return with(func(o []other) string {
		const alone = "it belongs to no staged message"
		s, _ := wire.ParseStaged(o[0].body)
		if o[0].sound && !s.Apart {
			return alone
		}
		return missing(o[0], alone)
	}, beside(k, "staged", k.Owner, k.Name))
}

func checkMark(k keystore.Key, body []byte) verdict {
	if _, ok := decimal(k.Owner, 1<<32); !ok || !isHex(k.Name, 32) {
		return bad(badKey)
	}
	if len(body) > 0 {
		return bad(badBytes)
	}
	return verdict{}
}

func checkEvent(k keystore.Key, body []byte) verdict {
	if k.Owner == "" || !isHex(k.Name, 16) {
		return bad(badKey)
	}
	e, err := wire.ParseEvent(body)
	switch {
	case err != nil:
		return bad(badBytes)
	case !isEvent(&e), e.At == 0, e.User != k.Owner && !(e.User == "" && k.Owner == ownOwner):
		return bad(badFields)
	}
	return verdict{}
}

func isEvent(e *wire.Event) bool {
	isKey := func(b []byte) bool { return len(b) == 0 || isIdentity(b) }
	return e.Kind != 0 && e.Device <= 127 && isKey(e.Accepted) && isKey(e.Seen)
}
