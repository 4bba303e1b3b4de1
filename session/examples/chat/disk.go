package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gembok-e2ee/gembok/session/examples/chat/person"
)

// readFile reads a file that is to be sent.
func readFile(name string) ([]byte, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := io.ReadAll(io.LimitReader(in, person.MaxFile+1))
	if err == nil && len(content) > person.MaxFile {
		err = fmt.Errorf("not sent: over %d bytes", person.MaxFile)
	}
	return content, err
}

// saveAs writes a file, under a name that is not its sender's choice, and that nothing
// has yet. It has that name when all of it is there.
func saveAs(name string, content []byte) error {
	out, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // the name that it has beside, or had
	_, err = out.Write(content)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if _, err := os.Lstat(name); err == nil {
		return os.ErrExist
	}
	return os.Rename(out.Name(), name)
}
