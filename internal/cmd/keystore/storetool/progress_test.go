package storetool_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
)

func TestProgress(t *testing.T) {
	var b bytes.Buffer
	storetool.Draw(&b, "copying", 2000, 500, 0, 1500, 1)
	bar := func(n int) string { return "[" + strings.Repeat("#", n) + strings.Repeat(" ", 40-n) + "]" }
	require.Equal(t, "\rcopying   "+bar(0)+"   0%  0 of 2,000\rcopying   "+bar(10)+"  25%  500 of 2,000"+
		"\rcopying   "+bar(40)+" 100%  2,000 of 2,000\rcopying   "+bar(40)+" 100%  2,001 of 2,000\n", b.String())
	b.Reset()
	storetool.Draw(&b, "comparing", 0)
	require.Equal(t, "\rcomparing "+bar(0)+"   0%  0 of 0\n", b.String())
}
