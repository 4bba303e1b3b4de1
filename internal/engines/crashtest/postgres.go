package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/gembok-e2ee/gembok/internal/engines/engine"
	"github.com/gembok-e2ee/gembok/internal/testutil/crash"
)

// A server is a server of PostgreSQL, and a way to ask it.
type server struct {
	*engine.Server
	db *sql.DB
}

// onServer is for PostgreSQL. Breaks says that the server is killed, too. What
// it returns is closed at the end.
func onServer(o *crash.Options, s *engine.Server, breaks bool) (*sql.DB, error) {
	dsn, err := s.Fresh(context.Background())
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return nil, err
	}
	on := &server{s, db}
	o.Fresh, o.Settle = on.fresh, on.settle
	if breaks {
		o.Break = on.hurt
	}
	return db, nil
}

func (s *server) fresh() (string, error) {
	dsn, err := s.Fresh(context.Background())
	return "postgres:" + dsn + " application_name=crashtest", err
}

// connections are those of the stores of fresh.
const connections = "FROM pg_stat_activity WHERE application_name = 'crashtest'"

// ask asks the server for numbers.
func (s *server) ask(query string) (numbers []int, err error) {
	rows, err := s.db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, rows.Err()
}

// within asks again and again, for a minute, until it is done.
func within(done func() error) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = done(); err == nil {
			return nil
		}
	}
	return err
}

// settle waits until nothing is done any more for a process that has ended: the
// server first does what it was asked for.
func (s *server) settle(string) error {
	return within(func() error {
		pids, err := s.ask("SELECT pid " + connections)
		if err == nil && len(pids) > 0 {
			err = errors.New("connections of a process that has ended stay open")
		}
		return err
	})
}

// hurt ends the server, or the process of one of its connections, or just
// connections, and returns when it serves again.
func (s *server) hurt(string) (err error) {
	switch rand.IntN(4) {
	case 0:
		err = s.Crash()
	case 1:
		err = s.killOne()
	default:
		_, err = s.ask("SELECT 1 FROM (SELECT pg_terminate_backend(pid) " + connections + ") AS ended")
	}
	if err != nil {
		return err
	}
	return within(func() error {
		_, err := s.ask("SELECT 1")
		return err
	})
}

// killOne kills the process of a connection, for which the server ends all
// others, too, and recovers.
func (s *server) killOne() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	own, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer own.Close()
	pids, err := s.ask("SELECT pid " + connections)
	if err != nil || len(pids) == 0 {
		return err
	}
	p, err := os.FindProcess(pids[rand.IntN(len(pids))])
	if err == nil {
		err = p.Kill()
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill: %w", err)
	}
	for err = nil; err == nil; { // unless it ended by itself
		err = own.PingContext(ctx)
		time.Sleep(time.Millisecond)
	}
	return nil
}
