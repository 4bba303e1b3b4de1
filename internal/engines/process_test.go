package engines_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a process of this test binary is told to do, and with which store.
const (
	jobVariable    = "ENGINES_JOB"
	engineVariable = "ENGINES_ENGINE"
	placeVariable  = "ENGINES_PLACE"
)

// jobs are what a test wants of a process of its own, which reads orders and
// writes answers.
var jobs = map[string]func(engine, place string, orders *json.Decoder, answers *json.Encoder) error{}

var long = flag.Bool("long", false, "run all of the kit for stores, at its full sizes: an hour")

// beneath are rules that take long and are about what an encrypted store stands
// on. They are tried there, and over encrypted stores elsewhere.
const beneath = `^TestEncrypted(SQLite|Postgres)$/^(crash|another_at_once|no_lost_update|values_of_any_size)$`

// TestMain runs the tests, or a job. Unless it is to run long, the kit takes the
// sizes of -short, since every operation here waits for a disk or a server.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobVariable); job != "" {
		err := jobs[job](os.Getenv(engineVariable), os.Getenv(placeVariable), json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout))
		if err != nil && !errors.Is(err, io.EOF) {
			fmt.Fprintln(os.Stderr, job, "failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if !*long {
		_ = flag.Set("test.short", "true")
		if flag.Lookup("test.skip").Value.String() == "" {
			_ = flag.Set("test.skip", beneath)
		}
	}
	os.Exit(m.Run())
}

// A process is another one that runs a job.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	in      io.WriteCloser
	orders  *json.Encoder
	answers *json.Decoder
}

func start(t testing.TB, job, engine, place string) *process {
	t.Helper()
	p := prepare(t, job, engine, place)
	require.NoError(t, p.cmd.Start())
	return p
}

func prepare(t testing.TB, job, engine, place string) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), jobVariable+"="+job, engineVariable+"="+engine, placeVariable+"="+place)
	p.cmd.Stderr = os.Stderr
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.orders, p.answers = json.NewEncoder(p.in), json.NewDecoder(out)
	t.Cleanup(p.kill)
	return p
}

func (p *process) order(what any) {
	p.t.Helper()
	require.NoError(p.t, p.orders.Encode(what))
}

func (p *process) answer(what any) {
	p.t.Helper()
	require.NoError(p.t, p.answers.Decode(what), "the process ended")
}

// end lets the process end by itself.
func (p *process) end() {
	p.t.Helper()
	require.NoError(p.t, p.in.Close())
	require.NoError(p.t, p.cmd.Wait())
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
