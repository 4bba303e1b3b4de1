package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
)

func TestMain(m *testing.M) {
	crash.Child(open)
	os.Exit(m.Run())
}

// kills is how often a test kills.
func kills(long, short int) int {
	if testing.Short() {
		return short
	}
	return long
}

// kill runs o, and requires that nothing is lost.
func kill(t *testing.T, o *crash.Options, n int) *crash.Report {
	t.Helper()
	o.Open, o.Kills = open, n
	r, err := crash.Run(context.Background(), o)
	t.Log(r, r.Count)
	require.NoError(t, err)
	return r
}

// A process is killed at each call of its store in each operation of a Device,
// and at random.
func TestSTO_01_STO_02_STO_03_KillsSQLite(t *testing.T) {
	o := &crash.Options{}
	inFiles(o, t.TempDir())
	r := kill(t, o, kills(300, 20))
	require.True(t, testing.Short() || len(r.Unvisited) == 0)
}

func TestSTO_01_STO_02_STO_03_KillsPostgreSQL(t *testing.T) {
	r := kill(t, postgres(t, false), kills(300, 20))
	require.True(t, testing.Short() || len(r.Unvisited) == 0)
}

// What ends is the server, its processes or its connections: an operation that
// fails then has done nothing, or says that this is not known.
func TestSTO_03_KillsServer(t *testing.T) {
	kill(t, postgres(t, true), kills(30, 4))
}

func postgres(t *testing.T, breaks bool) *crash.Options {
	o := &crash.Options{}
	db, err := onServer(o, engine.ForTest(t), breaks)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return o
}

func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run(context.Background(), &out, []string{"-kills", "5", "-seed", "1"}))
	require.Regexp(t, `(?s)^5 kills.*\nnothing was lost\n$`, out.String())
	for _, args := range [][]string{{"-store", "none"}, {"-store", "sqlite", "-server"}, {"-no"}} {
		require.Error(t, run(context.Background(), &out, args))
	}
}
