package storetool

import (
	"unicode/utf8"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

const (
	maxRegistrationID = 16380
	maxCopied         = 64 << 10 // bytes of a message of which a copy is kept
	maxRequests       = 100      // messages that a record "retry" counts the requests for
)

func checkPeer(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || k.Name != "" {
		return bad(badKey)
	}
	p, err := wire.ParsePeer(body)
	if err != nil {
		return bad(badBytes)
	}
	last := uint32(0)
	for _, d := range p.Devices {
		if d.ID <= last || d.ID > 127 || d.RegistrationID > maxRegistrationID {
			return bad(badFields)
		}
		last = d.ID
	}
	return verdict{}
}

func checkSent(k keystore.Key, body []byte) verdict {
	if at, ok := decimal(k.Name, 1<<63-1); !ok || at == 0 || k.Owner != ownOwner {
		return bad(badKey)
	}
	s, err := wire.ParseSent(body)
	switch {
	case err != nil:
		return bad(badBytes)
	case len(s.Content) > maxCopied, len(s.SyncTo) > 1024, !utf8.ValidString(s.SyncTo), !areRecipients(s.Recipients):
		return bad(badFields)
	}
	return verdict{}
}

// areRecipients tells whether there are some, each once.
func areRecipients(to []wire.Recipient) bool {
	type address struct {
		user   string
		device uint32
	}
	seen := map[address]bool{}
	for i := range to {
		a := address{to[i].User, to[i].Device}
		if !isUser(a.user) || a.device < 1 || a.device > 127 || seen[a] {
			return false
		}
		seen[a] = true
	}
	return len(to) > 0
}

func checkRetry(k keystore.Key, body []byte) verdict {
	if !isUser(k.Owner) || !isDevice(k.Name) {
		return bad(badKey)
	}
	t, err := wire.ParseRetry(body)
	if err != nil {
		return bad(badBytes)
	}
	seen := map[uint64]bool{}
	for _, q := range t.Requests {
		if q.SentAt == 0 || q.Count == 0 || seen[q.SentAt] {
			return bad(badFields)
		}
		seen[q.SentAt] = true
	}
	if len(t.Requests) > maxRequests || !areAnswers(t.Answers) {
		return bad(badFields)
	}
	return verdict{}
}

// areAnswers tells whether all are messages of a kind that is encrypted.
func areAnswers(answers []wire.RetryAnswer) bool {
	for i := range answers {
		a := &answers[i]
		ratchet := a.Type == uint32(wire.TypeSignal) || a.Type == uint32(wire.TypePreKey)
		if a.SentAt == 0 || !ratchet || len(a.Message) == 0 {
			return false
		}
	}
	return true
}
