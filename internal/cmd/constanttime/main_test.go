package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// archs are the processors to check: all that have been seen to differ, or the
// one at hand if time is short and it is among them.
func archs() []string {
	if testing.Short() {
		switch runtime.GOARCH {
		case "amd64", "386", "arm64", "arm":
			return []string{runtime.GOARCH}
		}
		return []string{"amd64"}
	}
	return []string{"amd64", "386", "arm64", "arm"}
}

// program is the command, built for the machine that runs the tests; "" if there
// is no go command.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if _, err := exec.LookPath("go"); err != nil {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "constanttime")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		name := filepath.Join(dir, "constanttime.exe")
		if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
			panic(string(out))
		}
		program = name
		return m.Run()
	}())
}

// run returns what the program prints and its exit code.
func run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	if program == "" {
		t.Skip("no go command to compile and disassemble with")
	}
	b, err := exec.Command(program, args...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return string(b), exit.ExitCode()
	}
	require.NoError(t, err)
	return string(b), 0
}

func requireClean(t *testing.T, args ...string) {
	t.Helper()
	for _, arch := range archs() {
		out, code := run(t, append(args, "-arch", arch)...)
		require.Zero(t, code, "%s", out)
	}
}

const circl = "github.com/cloudflare/circl/pke/kyber/internal/common"

// TestKEM_07_NoDivision: no function of internal/kem divides, by an instruction
// or by a call into the runtime, nor does the arithmetic that it takes from
// circl, where that is not assembler.
func TestKEM_07_NoDivision(t *testing.T) {
	requireClean(t, "-check", "division")
	requireClean(t, "-check", "division", "-package", circl)
}

// TestKEM_08_NoSecretBranch: functions that compute with secrets have no
// conditional jump after compilation but those of loops over counters.
func TestKEM_08_NoSecretBranch(t *testing.T) {
	requireClean(t, "-check", "branch", "-list", "secret.txt")
	requireClean(t, "-check", "branch", "-list", "circl.txt", "-package", circl)
}

// TestTIM_03_NoSecretBranch: internal/gcmsiv neither divides nor branches on
// secrets. Tables to look them up in would be globals, and it has none.
func TestTIM_03_NoSecretBranch(t *testing.T) {
	const gcmsiv = "github.com/gembok-e2ee/gembok/internal/gcmsiv"
	requireClean(t, "-check", "division,branch", "-list", "gcmsiv.txt", "-package", gcmsiv)
}

// TestFinds: the program sees what it is there for, in every processor's code.
func TestFinds(t *testing.T) {
	for _, arch := range archs() {
		out, code := run(t, "-package", "./testdata/leaky", "-list", "testdata/leaky/secret.txt", "-arch", arch)
		require.Equal(t, 1, code, "%s", out)
		for _, want := range []string{
			"division in [^ ]*leaky.Divide\n",
			"division in [^ ]*leaky.DivideLong\n",
			"conditional jump in [^ ]*leaky.Select\n\t.*\n\tif secret > 1664",
			"conditional jump in [^ ]*leaky.Sum\n\t.*\n\tif x&1 != 0",
		} {
			require.Regexp(t, want, out)
		}
		require.NotContains(t, out, "leaky.Clean")
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-check", "branch"},
		{"-check", "branch", "-list", "nothing.txt"},
		{"-check", "branch", "-list", "testdata/leaky/secret.txt"}, // another package's
		{"-arch", "abacus", "-check", "division"},
		{"-package", "./nothing", "-check", "division"},
	} {
		out, code := run(t, args...)
		require.Equal(t, 2, code, "%v: %s", args, out)
	}
}
