package testutil_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// A test of the test: the traces find bytes in each way of printing.
func TestTracesFindBytes(t *testing.T) {
	secret := bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 8)
	found := func(text string) bool {
		return slices.ContainsFunc(testutil.Traces(secret), func(s string) bool { return strings.Contains(text, s) })
	}
	type open struct{ b [32]byte }
	v := open{[32]byte(secret)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%X", "%d", "%s"} {
		require.True(t, found(fmt.Sprintf(verb, v)), verb)
	}
	b, err := json.Marshal(secret)
	require.NoError(t, err)
	require.True(t, found(string(b)))
	require.False(t, found("redacted"))
}
