package engine

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// ErrNoPostgres reports that there are no binaries of a PostgreSQL server, or
// no user to run them as.
var ErrNoPostgres = errors.New("engine: no PostgreSQL server installed")

// A Server is a PostgreSQL server that was made for this process alone, in a
// temporary directory, with a unix socket there and no other address. Its
// settings are PostgreSQL's own, so that a commit is on the disk. It stops, and
// its directory goes, when it is closed or this process ends in whatever way.
//
// The zero Server is none. A Server is for several goroutines.
type Server struct {
	dir    string // of the socket and of "data"
	binary string // where initdb and pg_ctl are
	guard  *exec.Cmd
	life   io.Closer // as long as it is open the server runs
	made   atomic.Int64
}

// Port is the port that the socket's name has.
const port = 5432

// guardScript makes a server and runs it until its standard input ends.
const guardScript = `set -e
cd "$1"
"$2/initdb" -D data -U gembok -A trust -E UTF8 --locale=C --no-sync >log 2>&1 </dev/null
cat settings >>data/postgresql.conf
"$2/pg_ctl" -D data -l log -s -w start >>log 2>&1 </dev/null
echo ready
cat >>log || true
"$2/pg_ctl" -D data -m immediate -s stop >>log 2>&1 </dev/null || true
cd /
rm -rf "$1"
`

// Start makes and starts a server. Where this process runs as root, which the
// server refuses, it runs as the user postgres or else nobody.
//
// Errors: ErrNoPostgres, and whatever keeps it from starting.
func Start() (s *Server, err error) {
	s = &Server{}
	if s.binary, err = binaries(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil {
		return nil, err
	}
	if err := s.start(); err != nil {
		log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		return nil, errors.Join(err, s.Close(), os.RemoveAll(s.dir), errors.New(string(log)))
	}
	return s, nil
}

func (s *Server) start() error {
	settings := fmt.Sprintf("listen_addresses=''\nport=%d\nunix_socket_directories='%s'\nmax_connections=200\n", port, s.dir)
	if err := os.WriteFile(filepath.Join(s.dir, "settings"), []byte(settings), 0o644); err != nil {
		return err
	}
	s.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", s.dir, s.binary)
	if err := unprivileged(s.guard, s.dir); err != nil {
		return err
	}
	in, err := s.guard.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.guard.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.guard.Start(); err != nil {
		return err
	}
	s.life = in
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("engine: the PostgreSQL server does not start: %w", err)
	}
	return nil
}

// Close stops the server and removes what it kept.
func (s *Server) Close() error {
	if s.life == nil {
		return nil
	}
	_ = s.life.Close()
	s.life = nil
	return s.guard.Wait()
}

// Socket returns the path of the server's socket.
func (s *Server) Socket() string {
	return filepath.Join(s.dir, ".s.PGSQL."+strconv.Itoa(port))
}

// dsn returns how to connect to a schema.
func (s *Server) dsn(schema string) string {
	return fmt.Sprintf("host=%s port=%d user=gembok dbname=postgres search_path=%s", s.dir, port, schema)
}

// Through returns how to connect by another socket, such as a proxy's, whose
// file has the name that [Server.Socket] has.
func (s *Server) Through(dsn, socket string) string {
	return strings.Replace(dsn, "host="+s.dir+" ", "host="+filepath.Dir(socket)+" ", 1)
}

// Fresh makes a schema that has nothing in it, and returns how to connect to it.
func (s *Server) Fresh(ctx context.Context) (dsn string, err error) {
	schema := fmt.Sprintf("s%d", s.made.Add(1))
	return s.dsn(schema), s.Exec(ctx, "CREATE SCHEMA "+schema)
}

// Exec runs a statement, on a connection of its own.
func (s *Server) Exec(ctx context.Context, statement string) error {
	db, err := sql.Open("pgx", s.dsn("public"))
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}

// Crash ends the server at once, as a loss of power would, and starts it again,
// which recovers what was committed.
func (s *Server) Crash() error { return errors.Join(s.Stop(), s.Resume()) }

// Stop ends the server at once.
func (s *Server) Stop() error { return s.control("-m", "immediate", "stop") }

// Resume starts the server after Stop.
func (s *Server) Resume() error {
	return s.control("-l", filepath.Join(s.dir, "log"), "start")
}

func (s *Server) control(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data := filepath.Join(s.dir, "data")
	cmd := exec.CommandContext(ctx, filepath.Join(s.binary, "pg_ctl"), append([]string{"-D", data, "-s", "-w"}, args...)...)
	cmd.Dir = s.dir
	if err := unprivileged(cmd, s.dir); err != nil {
		return err
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("engine: pg_ctl %s: %w", args[len(args)-1], err)
	}
	return nil
}

// binaries returns the folder of the server's programs: the one in PATH, or the
// newest of those where distributions put them.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/lib/postgresql*/bin", "/usr/libexec/postgresql*", "/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin", "/usr/local/opt/postgresql*/bin", "/opt/homebrew/opt/postgresql*/bin",
	} {
		dirs, _ := filepath.Glob(pattern)
		found = append(found, slices.DeleteFunc(dirs, func(dir string) bool { return !complete(dir) })...)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("%w: initdb and pg_ctl are neither in PATH nor in a folder of a distribution", ErrNoPostgres)
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(release(a), release(b)) }), nil
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// release is the number in a path.
func release(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0])
	return n
}
