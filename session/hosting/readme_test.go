package hosting_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What the README shows of labels and archives, but for the errors.

func readmeGate(ctx context.Context, store keystore.Store, account session.Account, directory session.Directory, providers map[string]keys.IdentityKey) (*hosting.Gate, *session.Device, error) {
	gate := hosting.NewGate("ani", &hosting.Options{Providers: providers}) // their keys, by domain
	ani, err := session.Create(ctx, store, account, &session.Options{Gate: gate, Content: true, Directory: directory})
	return gate, ani, err
}

func readmeConsent(ctx context.Context, gate *hosting.Gate, ani *session.Device, content *session.Content) (*session.Sending, error) {
	sending, err := ani.Send(ctx, []string{"toko"}, content, nil)
	var ask *hosting.ConsentRequiredError
	if errors.As(err, &ask) { // nothing was encrypted
		label, err := gate.Label(ctx, ani, ask.Account)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(io.Discard, label.Lines("en"))                       // a sentence each; "id" is Indonesian
		err = gate.Consent(ctx, ani, ask.Account, ask.Token, hosting.Yes) // as the user says
		if err != nil {
			return nil, err
		}
		sending, err = ani.Send(ctx, []string{"toko"}, content, nil)
		return sending, err
	}
	return sending, err
}

func readmeTimer(ctx context.Context, budi *session.Device, timer session.Timer, received *session.Received, text []byte) (*session.Content, time.Time, error) {
	timer = timer.Merge(received.Timer()) // of the conversation; the app keeps it
	answer := &session.Content{Body: text, Timer: timer.Duration, TimerVersion: timer.Version}
	err := budi.MarkRead(ctx, received)           // when the user sees it
	gone := received.Timer().Deadline(time.Now()) // when the app deletes what it saved
	return answer, gone, err
}

func readmeArchive(ctx context.Context, budi *session.Device, file io.Writer, text []byte, sent, disappears time.Time) (*hosting.ArchiveKey, error) {
	key := hosting.GenerateArchiveKey() // its Text is to be written down; or NewArchiveKey of a passphrase
	w, err := hosting.NewArchiveWriter(file, key, nil)
	if err != nil {
		return nil, err
	}
	err = w.Device(ctx, budi) // whom he trusts, his groups, labels and consents
	if err != nil {
		return nil, err
	}
	err = w.Write(&hosting.ArchiveRecord{Type: "app", Name: "message/1", Data: text, Time: sent, Expires: disappears})
	if err != nil {
		return nil, err
	}
	err = w.Close()
	return key, err
}

func readmeReadArchive(file io.Reader, key *hosting.ArchiveKey) error {
	for record, err := range hosting.ReadArchive(file, key, nil) {
		if err != nil {
			return err // and nothing of it counts
		}
		line, err := record.JSON() // for the person whose it is
		if err != nil {
			return err
		}
		fmt.Fprintln(io.Discard, string(line))
	}
	return nil
}

// TestReadme does what the README shows, and keeps the two equal.
func TestReadme(t *testing.T) {
	server, provider := new(office), keys.GenerateIdentityKeyPair()
	require.NoError(t, server.opens(t.Context(), provider))
	gate, ani, err := readmeGate(t.Context(), keystore.NewMemory(), session.Account{Address: session.Address{User: "ani", Device: 1}}, server,
		map[string]keys.IdentityKey{"awan.example": provider.Public()})
	require.NoError(t, err)
	for range 2 { // with consent, and then without a question
		sending, err := readmeConsent(t.Context(), gate, ani, &session.Content{Body: []byte("Halo"), Timer: time.Hour, TimerVersion: 1})
		require.NoError(t, err)
		received, err := server.device.Decrypt(t.Context(), ani.Address(), sending.Results[0].Message, nil)
		require.NoError(t, err)
		answer, gone, err := readmeTimer(t.Context(), server.device, session.Timer{Duration: time.Minute}, received, []byte("Ya"))
		require.NoError(t, err)
		require.Equal(t, time.Hour, answer.Timer)
		require.WithinDuration(t, received.Expires, gone, time.Minute)
	}
	testutil.Shown(t, 3, "Labels and consent", "Disappearing messages")

	budi, err := session.Create(t.Context(), keystore.NewMemory(), session.Account{Address: session.Address{User: "budi", Device: 1}}, nil)
	require.NoError(t, err)
	var file bytes.Buffer
	key, err := readmeArchive(t.Context(), budi, &file, []byte("Halo"), start, time.Time{})
	require.NoError(t, err)
	counts, err := hosting.VerifyArchive(bytes.NewReader(file.Bytes()), key, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"app": 1}, counts)
	require.NoError(t, readmeReadArchive(&file, key))
	testutil.Shown(t, 2, "Download your data")
}
