package session_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// The copy of each message says under which ratchet key each device got it,
// however the session's record grew or shrank meanwhile; who asks for it again
// is answered.
func TestSES_09_CopiesKnowTheRatchetKeys(t *testing.T) {
	r := newRegistry(t, at(ani, 1), at(ani, 2), at(budi, 1), at(budi, 2))
	a, b := r.of(ani, 1), r.of(budi, 1)
	grew := 0
	for i := range 150 {
		before := len(a.load(t, a.key("session", budi, "1")).Value)
		s := r.sends(t, a, fmt.Sprint(i), budi)
		if len(a.load(t, a.key("session", budi, "1")).Value) > before {
			grew++
		}
		rec, err := wire.ParseSent(a.load(t, a.sentKey(s.SentAt)).Value[1:])
		require.NoError(t, err)
		require.Len(t, rec.Recipients, len(s.Results))
		for j, res := range s.Results {
			require.Equal(t, hintOf(inner(t, res.Message).RatchetKey, r.sides[res.To].Identity()), rec.Recipients[j].Hint, "message %d, %v", i, res.To)
		}
		r.delivers(t, a, s, fmt.Sprint(i), addresses(s)...)
		if i%5 < 4 {
			s = r.sends(t, b, "answer", ani)
			r.delivers(t, b, s, "answer", addresses(s)...)
		}
	}
	require.Greater(t, grew, 5)
}
