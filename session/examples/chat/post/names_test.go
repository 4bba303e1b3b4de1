package post

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "Ani", "ani-2_b", "Лена", "陈", "sixteen-bytes-ab"} {
		require.True(t, ValidName(name), name)
		require.Equal(t, name, NameOf(UserOf(name)))
		require.True(t, ValidAddress(session.Address{User: UserOf(name), Device: MaxDevice}))
		require.False(t, ValidAddress(session.Address{User: UserOf(name)}) || ValidAddress(session.Address{User: UserOf(name), Device: MaxDevice + 1}))
	}
	for _, name := range []string{"", "a b", "a.b", "a/b", "a:", "seventeen-bytes-a", "a\x00", "\xff", "a\u202eb", "😀", "a\n"} {
		require.False(t, ValidName(name), "%q", name)
	}
	for _, user := range []string{"", "ani", strings.ToUpper(UserOf("ani")), UserOf("ani") + "-", strings.ReplaceAll(UserOf("ani"), "-", ""), UserOf("a b")} {
		require.False(t, ValidAddress(session.Address{User: user, Device: 1}), "%q", user)
	}
	require.NotEqual(t, UserOf("ani"), UserOf("Ani"))
	require.Equal(t, "ani", Label(session.Address{User: UserOf("ani"), Device: 1}))
	require.Equal(t, "budi/2", Label(session.Address{User: UserOf("budi"), Device: 2}))
	for _, id := range []string{"", "A", "a b", "a/b", strings.Repeat("a", 65)} {
		require.False(t, ValidID(id), id)
	}
	require.True(t, ValidID("a-1"))
}
