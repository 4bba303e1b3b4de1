package hosting_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session"
	"github.com/gembok-e2ee/gembok/session/hosting"
)

// What the README shows of labels and archives, but for the errors.

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
		fmt.Fprintln(io.Discard, record.Type, record.Name, len(record.Data))
	}
	return nil
}

// TestReadme does what the README shows, and keeps the two equal.
func TestReadme(t *testing.T) {
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
