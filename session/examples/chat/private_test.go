package main

import (
	"fmt"
	"os"
	"path/filepath"
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
	url := tap.to(t, r)
	ani, budi := newTestPerson(t, ani1, url, keystore.NewMemory()), newTestPerson(t, budi1, url, keystore.NewMemory())
	ani.arrives(t)
	budi.arrives(t)
	box, letters := r.relay.mail.boxes[budi1], 0
	gets := func(kinds ...string) {
		for _, e := range box.mail {
			letters++
			hears(fmt.Sprintf("%+v %s", e, e.Bytes))
			_, err := sealed.NewOpener(keys.GenerateIdentityKeyPair(), &sealed.Trust{}, nil).Open(e.Bytes, e.Taken)
			require.ErrorIs(t, err, session.ErrAuth)
		}
		for i, e := range budi.receives(t, kinds...) {
			require.Contains(t, []string{readEvent, groupEvent}, kinds[i])
			if e.Kind == readEvent {
				require.Contains(t, e.Text, "314159")
			}
		}
	}
	ani.sends(t, "budi", secret)
	gets(readEvent)
	note := filepath.Join(t.TempDir(), "PIN-314159")
	require.NoError(t, os.WriteFile(note, []byte(secret), 0o600))
	require.NoError(t, ani.sendFile(t.Context(), "budi", note))
	ani.sendsAll(t, sentEvent)
	gets(readEvent)
	require.NoError(t, ani.gather(t.Context(), "family", []string{"budi"}))
	ani.sendsAll(t, sentEvent)
	gets(groupEvent)
	ani.says(t, secret, keyEvent, sentEvent)
	gets(readEvent)
	require.Equal(t, 5, letters)

	seen := strings.Join(tap.requests, "\n")
	require.Contains(t, seen, "somebody to budi")
	require.NotContains(t, seen, "314159")
	require.NotContains(t, seen, "The PIN")
}
