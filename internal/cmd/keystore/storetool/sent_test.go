package storetool_test

import (
	"strings"
	"testing"

	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/keystore"
)

// sentHarms are those of what is kept of messages that were sent, or asked for
// again.
var sentHarms = []harm{
	{"sent", "", "name", rename("-", "0"), "sent" + badKey + "1"},
	{"sent", "", "owner", rename("u", "1700000000000"), "sent" + badKey + "1"},
	{"sent", "", "bytes", edit(func([]byte) []byte { return []byte{0xff} }), "sent" + badBytes + "1"},
	{"sent", "", "hint", sent(func(s *wire.Sent) { s.Recipients[0].Hint = nil }), "sent" + badBytes + "1"},
	{"sent", "", "no recipient", sent(func(s *wire.Sent) { s.Recipients = nil }), "sent" + badFields + "1"},
	{"sent", "", "recipient twice", sent(func(s *wire.Sent) { s.Recipients = append(s.Recipients, s.Recipients[0]) }), "sent" + badFields + "1"},
	{"sent", "", "no device", sent(func(s *wire.Sent) { s.Recipients[0].Device = 128 }), "sent" + badFields + "1"},
	{"sent", "", "no user", sent(func(s *wire.Sent) { s.Recipients[0].User = "" }), "sent" + badFields + "1"},
	{"sent", "", "too large", sent(func(s *wire.Sent) { s.Content = make([]byte, 64<<10+1) }), "sent" + badFields + "1"},
	{"sent", "", "name for a copy", sent(func(s *wire.Sent) { s.SyncTo = strings.Repeat("x", 1025) }), "sent" + badFields + "1"},
	{"retry", "", "name", rename(rich.Peers[1].User, "0"), "retry" + badKey + "1"},
	{"retry", "", "bytes", edit(func([]byte) []byte { return []byte{0xff} }), "retry" + badBytes + "1"},
	{"retry", "", "no count", retry(func(r *wire.Retry) { r.Requests[0].Count = 0 }), "retry" + badFields + "1"},
	{"retry", "", "no message", retry(func(r *wire.Retry) { r.Requests[0].SentAt = 0 }), "retry" + badFields + "1"},
	{"retry", "", "message twice", retry(func(r *wire.Retry) { r.Requests = append(r.Requests, r.Requests[0]) }), "retry" + badFields + "1"},
	{"retry", "", "answer to no message", answered(func(a *wire.RetryAnswer) { a.SentAt = 0 }), "retry" + badFields + "1"},
	{"retry", "", "type of an answer", answered(func(a *wire.RetryAnswer) { a.Type = 8 }), "retry" + badFields + "1"},
	{"retry", "", "no answer", answered(func(a *wire.RetryAnswer) { a.Message = nil }), "retry" + badFields + "1"},
	{"retry", "", "hint of an answer", answered(func(a *wire.RetryAnswer) { a.Hint = nil }), "retry" + badBytes + "1"},
	{"retry", "", "too many", retry(func(r *wire.Retry) {
		for i := range uint64(100) {
			r.Requests = append(r.Requests, wire.RetryRequest{SentAt: 1 + i, Count: 1})
		}
	}), "retry" + badFields + "1"},
}

func sent(f func(*wire.Sent)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		s := must(wire.ParseSent(body))
		f(&s)
		return wire.AppendSent(nil, &s)
	})
}

func retry(f func(*wire.Retry)) func(testing.TB, keystore.Store, []keystore.Record) {
	return edit(func(body []byte) []byte {
		r := must(wire.ParseRetry(body))
		f(&r)
		return wire.AppendRetry(nil, &r)
	})
}

// answered is a harm of an answer that is on record.
func answered(f func(*wire.RetryAnswer)) func(testing.TB, keystore.Store, []keystore.Record) {
	return retry(func(r *wire.Retry) {
		a := wire.RetryAnswer{SentAt: 1, Hint: make([]byte, wire.HintSize), Type: uint32(wire.TypePreKey), Message: []byte{1}}
		f(&a)
		r.Answers = append(r.Answers, a)
	})
}
