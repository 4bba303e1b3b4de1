package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

// Every preset is what its table says, and what a device does with it.
func TestPreKeyPreset(t *testing.T) {
	const day = 24 * time.Hour
	for name, want := range map[string]session.PreKeyPolicy{
		"phone":   {OneTime: 100, Low: 20, Rotate: 7 * day, Keep: 30 * day, BaseKeys: 100000},
		"gateway": {OneTime: 1024, Low: 512, Rotate: 2 * day, Keep: 30 * day, BaseKeys: 100000},
		"desktop": {OneTime: 400, Low: 200, Rotate: 7 * day, Keep: 90 * day, BaseKeys: 100000},
		"small":   {OneTime: 20, Low: 5, Rotate: 14 * day, Keep: 30 * day, BaseKeys: 1000},
	} {
		got, err := session.PreKeyPreset(name)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
		if want.OneTime > 100 && testing.Short() {
			continue
		}
		s := newSide(t, bobAddress, nil, &session.Options{PreKeys: got})
		p, err := s.Upkeep(ctx)
		require.NoError(t, err)
		require.Len(t, p.PreKeys, want.OneTime)
		require.Len(t, p.KEMPreKeys, want.OneTime)
		due, err := s.Due(ctx)
		require.NoError(t, err)
		require.False(t, due.TopUp)
		size := 0
		for _, r := range s.list(t, "", "") {
			size += len(r.Value)
		}
		t.Log(name, size, "bytes")
	}
	for _, name := range []string{"", "Phone", "phone ", "tablet"} {
		got, err := session.PreKeyPreset(name)
		refused(t, err, session.ErrMalformed)
		require.Zero(t, got)
	}
}
