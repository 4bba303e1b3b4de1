package person

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// Whoever looks at what passes the relay, what it keeps and what it logs finds not
// a word of what people write, alone, in a group or as a file, and no other key
// opens what is for somebody.
func TestRelayCannotRead(t *testing.T) {
	const secret = "The PIN is 314159."
	r, tap := newTestRelay(t), new(wiretap)
	hears := func(what string) {
		tap.mu.Lock()
		defer tap.mu.Unlock()
		tap.requests = append(tap.requests, what)
	}
	r.sees = hears
	way := tap.to(r)
	ani, budi := newTestPerson(t, ani1, way, keystore.NewMemory()), newTestPerson(t, budi1, way, keystore.NewMemory())
	ani.arrives(t)
	budi.arrives(t)
	letters := 0
	gets := func(kinds ...string) {
		for _, e := range r.Mail(budi1) {
			letters++
			hears(fmt.Sprintf("%+v %s", e, e.Bytes))
			_, err := sealed.NewOpener(keys.GenerateIdentityKeyPair(), &sealed.Trust{}, nil).Open(e.Bytes, e.Taken)
			require.ErrorIs(t, err, session.ErrAuth)
		}
		for i, e := range budi.receives(t, kinds...) {
			require.Contains(t, []string{ReadEvent, GroupEvent}, kinds[i])
			if e.Kind == ReadEvent {
				require.Contains(t, e.Text, "314159")
			}
		}
	}
	ani.sends(t, "budi", secret)
	gets(ReadEvent)
	require.NoError(t, ani.SendFile(t.Context(), "budi", "PIN-314159", []byte(secret), nil))
	ani.sendsAll(t, SentEvent)
	gets(ReadEvent)
	require.NoError(t, ani.Gather(t.Context(), "family", []string{"budi"}))
	ani.sendsAll(t, SentEvent)
	gets(GroupEvent)
	ani.says(t, secret, KeyEvent, SentEvent)
	gets(ReadEvent)
	require.Equal(t, 5, letters)

	seen := strings.Join(tap.requests, "\n")
	require.Contains(t, seen, "somebody to budi")
	require.NotContains(t, seen, "314159")
	require.NotContains(t, seen, "The PIN")
}
