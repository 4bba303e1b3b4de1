package person

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// says is a relay that has one answer to requests for something.
type says struct {
	to     Transport
	what   string
	status int
	answer string
}

func (s says) Do(ctx context.Context, r *Request) (int, []byte, error) {
	if r.Path[0] == s.what {
		return s.status, []byte(s.answer), nil
	}
	return s.to.Do(ctx, r)
}

// Whatever a relay answers, what was written is there, and is sent once it answers as
// it should, unless it rejected that.
func TestRelayNonsense(t *testing.T) {
	all := []int{200, 301, 400, 404, 409, 410, 507, 599}
	if testing.Short() {
		all = []int{200, 400, 409}
	}
	for _, what := range []string{"keys", "sent", "label", "pass"} {
		for _, status := range all {
			for _, answer := range []string{"", "null", "[]", "{}", "[{}]", `[{"device":1}]`, `[{"user":"x"}]`, "<html>", "\xff\x00"} {
				_, ani, budi := twoPeople(t)
				budi.arrives(t)
				good := ani.relay.transport
				ani.relay.transport = says{good, what, status, answer}
				_ = ani.Start(t.Context(), "budi")
				_ = ani.Label(t.Context(), "budi")
				require.NoError(t, ani.Write(t.Context(), "budi", "one"))
				for range 2 {
					_, err := ani.Flush(t.Context())
					require.NoError(t, err)
				}
				_, err := ani.Conversations(t.Context())
				require.NoError(t, err)
				ani.relay.transport = good
				require.NoError(t, ani.Label(t.Context(), "budi"))
				c := ani.with(t, "budi")
				if c.Asks != nil {
					require.NoError(t, ani.Answer(t.Context(), "budi", c.Question, true))
				}
				_, err = ani.Flush(t.Context())
				require.NoError(t, err)
				require.Contains(t, ani.history(t, "budi"), "one", "%s %d %q", what, status, answer)
			}
		}
	}
}

// Whoever is not in a group does not say how long its messages last.
func TestTimerOfOutsider(t *testing.T) {
	_, ani, budi, _ := threePeople(t)
	require.NoError(t, ani.Expel(t.Context(), "family", "budi"))
	ani.drained()
	require.NoError(t, budi.Last(t.Context(), testFamily, 5*time.Second))
	require.NoError(t, budi.Write(t.Context(), testFamily, "out"))
	_, err := budi.Flush(t.Context())
	require.NoError(t, err)
	require.NoError(t, ani.receiveSome(t.Context()))
	require.Contains(t, ani.history(t, testFamily), "out")
	require.Zero(t, ani.with(t, testFamily).Timer)
}
