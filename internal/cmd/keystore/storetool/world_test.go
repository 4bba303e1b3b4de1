package storetool_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gembok-e2ee/gembok/internal/cmd/keystore/storetool"
	"github.com/gembok-e2ee/gembok/internal/testutil/rich"
	"github.com/gembok-e2ee/gembok/keystore"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bench is the tool over stores in memory, by name.
type bench struct {
	stores   map[string]keystore.Store
	opens    func(ctx context.Context, engine, place string) (keystore.Store, error) // nil: of stores
	check    error                                                                   // of Check
	in       string
	now      time.Time
	out, err bytes.Buffer // of the last run
}

// unclosed keeps a store open.
type unclosed struct{ keystore.Store }

func (unclosed) Close() error { return nil }

func newBench(t testing.TB) (*bench, *rich.World) {
	t.Helper()
	w := rich.Fill(t, keystore.NewMemory())
	return &bench{stores: map[string]keystore.Store{"own": w.Store}, now: w.Now}, w
}

func (b *bench) open(_ context.Context, _, place string) (keystore.Store, error) {
	if strings.HasPrefix(place, "broken") {
		return nil, errors.New("no such place")
	}
	if b.stores[place] == nil {
		b.stores[place] = keystore.NewMemory()
	}
	return unclosed{b.stores[place]}, nil
}

func (b *bench) run(t testing.TB, args ...string) (code int) {
	t.Helper()
	b.out.Reset()
	b.err.Reset()
	open := b.open
	if b.opens != nil {
		open = b.opens
	}
	tool := storetool.Tool{Command: "keystore", Engines: []string{"memory", "bolt"}, Open: open,
		Check: func(context.Context, string, string) error { return b.check }, In: strings.NewReader(b.in),
		Out: &b.out, Err: &b.err, Now: func() time.Time { return b.now }}
	return tool.Run(ctx, args)
}

func (b *bench) runs(t testing.TB, args ...string) string {
	t.Helper()
	code := b.run(t, args...)
	require.Zero(t, code, "%s%s", b.out.String(), b.err.String())
	return b.out.String()
}

// step is how many cases a test may go on by: all that are alike are run unless
// time is short.
func step() int {
	if testing.Short() {
		return 7
	}
	return 1
}
