package sealed_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/attachment"
	"github.com/gembok-e2ee/gembok/session/fingerprint"
	"github.com/gembok-e2ee/gembok/session/group"
	"github.com/gembok-e2ee/gembok/session/sealed"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// What the README shows of groups, envelopes, safety numbers and attachments, but
// for the errors.

func readmeGroup(ctx context.Context, ani *session.Device) (*session.Sending, error) {
	groups := group.New(ani, nil)
	err := groups.Set(ctx, "family", []string{"ani", "budi", "cici"}, nil)
	if err != nil {
		return nil, err
	}
	key, err := groups.Distribute(ctx, "family", nil) // submit it, and Accept it; nil when all have the key
	if err != nil {
		return nil, err
	}
	if err := groups.Accept(ctx, key); err != nil {
		return nil, err
	}
	s, err := groups.Send(ctx, "family", &session.Content{Body: []byte("Dinner at seven.")}, nil)
	return s, err
}

func readmeSealed(ctx context.Context, ani *session.Device, certificate *sealed.SenderCertificate, content *session.Content) (*session.Sending, error) {
	sender, err := sealed.NewSender(ani.IdentityKeyPair(), certificate, nil)
	if err != nil {
		return nil, err
	}
	sending, err := ani.Send(ctx, []string{"budi"}, content, &session.SendOptions{Seal: sender.SealAll(sealed.HintResendable, nil)})
	return sending, err
}

func readmeNumbers(ani *session.Device, accepted keys.IdentityKey, scanned []byte) (fingerprint.Result, error) {
	numbers, err := fingerprint.New(
		fingerprint.Party{ID: fingerprint.StableID("ani"), Key: ani.Identity()},
		fingerprint.Party{ID: fingerprint.StableID("budi"), Key: accepted}, nil)
	if err != nil {
		return 0, err
	}
	fmt.Fprintln(io.Discard, numbers)       // to read out
	result, err := numbers.Compare(scanned) // of numbers.Bytes() on the other side
	return result, err
}

func readmeAttachment(upload *bytes.Buffer, picture []byte) (io.Reader, error) {
	size, download := int64(len(picture)), upload
	w, err := attachment.NewWriter(upload, size) // an io.Writer
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(picture); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	message := w.Pointer().Bytes() // after Close
	pointer, err := attachment.ParsePointer(message)
	if err != nil {
		return nil, err
	}
	r, err := pointer.Open(download) // an io.Reader
	return r, err
}

// TestReadme does what the README shows, and keeps the two equal.
func TestReadme(t *testing.T) {
	w := newWorld(t)
	ani, budi, _ := w.joins(t, "ani", 1, nil), w.joins(t, "budi", 1, nil), w.joins(t, "cici", 1, nil)
	s, err := readmeGroup(ctx, ani.Device)
	require.NoError(t, err)
	require.Len(t, s.Results, 2)
	s, err = readmeSealed(ctx, ani.Device, ani.cert, &session.Content{Body: []byte("Halo")})
	require.NoError(t, err)
	budi.opens(t, w, s.Results[0].Message.Bytes, "Halo")
	theirs, err := fingerprint.New(
		fingerprint.Party{ID: fingerprint.StableID("budi"), Key: budi.Identity()},
		fingerprint.Party{ID: fingerprint.StableID("ani"), Key: ani.Identity()}, nil)
	require.NoError(t, err)
	result, err := readmeNumbers(ani.Device, budi.Identity(), theirs.Bytes())
	require.NoError(t, err)
	require.Equal(t, fingerprint.Match, result)
	r, err := readmeAttachment(new(bytes.Buffer), []byte("a picture"))
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "a picture", string(got))

	testutil.Shown(t, 4, "Groups", "Sealed envelopes", "Safety numbers", "Attachments")
}
