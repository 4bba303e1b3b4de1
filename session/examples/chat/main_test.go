package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session"
)

const lastLine = "sent 16, read 15, lost 1, refused 2\n"

func TestChat(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), &out, "gembok"))
	require.True(t, strings.HasSuffix(out.String(), lastLine), out.String())
	require.NotContains(t, out.String(), "WRONG")
}

func TestChatOfficial(t *testing.T) {
	var out bytes.Buffer
	err := run(context.Background(), &out, "official")
	if errors.Is(err, interop.ErrMissing) {
		require.Empty(t, os.Getenv("GEMBOK_INTEROP"), err)
		t.Skip(err)
	}
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(out.String(), lastLine), out.String())
}

// TestChatFails holds the count against a reader who cannot read.
func TestChatFails(t *testing.T) {
	ctx := context.Background()
	ani, err := newGembok(ctx, "Ani", aniAddress)
	require.NoError(t, err)
	budi, err := newGembok(ctx, "Budi", budiAddress)
	require.NoError(t, err)
	b, err := budi.bundle(ctx)
	require.NoError(t, err)
	require.NoError(t, ani.begin(ctx, budi.who(), b))
	var out bytes.Buffer
	c := &chat{ctx: ctx, out: &out, people: map[string]person{"Ani": ani, "Budi": deaf{budi}}}
	require.NoError(t, c.say(line{"Ani", "can you hear me?", prompt}))
	require.NoError(t, c.flush())
	require.ErrorContains(t, c.close(), "cannot read number 1")
	require.Contains(t, out.String(), "sent 1, read 0, lost 0, refused 0")
}

// A deaf person reads nothing.
type deaf struct{ person }

func (deaf) decrypt(context.Context, session.Address, *session.Message) ([]byte, error) {
	return nil, session.ErrAuth
}

func TestPrintable(t *testing.T) {
	require.Equal(t, "a\uFFFD[2Jb\uFFFD", printable("a\x1b[2Jb\u202e"))
}
