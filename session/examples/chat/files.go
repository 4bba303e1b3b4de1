package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// Bounds of a file, and of its name, in bytes.
const (
	maxFile     = 3 << 20
	maxFileName = 255
)

// sendFile sends a file: what is in it goes to the relay, encrypted for nobody in
// particular, and the key to it goes in a message.
func (p *person) sendFile(ctx context.Context, to, name string) error {
	content, err := readFile(name)
	if err != nil {
		return err
	}
	var blob bytes.Buffer
	w, err := attachment.NewWriter(&blob, int64(len(content)))
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	f := &file{Name: filepath.Base(name), Blob: newID(), Pointer: w.Pointer().Bytes()}
	if err := p.relay.leave(ctx, f.Blob, blob.Bytes()); err != nil {
		return err
	}
	return p.post(ctx, &note{ID: newID(), At: time.Now(), Peer: to, Mine: true, File: f})
}

func readFile(name string) ([]byte, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("not sent: over %d bytes", maxFile)
	}
	return content, err
}

// saveFile saves the file that came last from somebody, under a name that is not
// its sender's choice, and that nothing has yet.
func (p *person) saveFile(ctx context.Context, peer, name string) error {
	all, err := p.notes.all(ctx, kindHistory)
	if err != nil {
		return err
	}
	slices.Reverse(all)
	i := slices.IndexFunc(all, func(x *note) bool { return x.File != nil && x.Peer == peer && !x.Mine })
	if i < 0 {
		return errors.New("no file came from " + peer)
	}
	pointer, err := all[i].File.pointer()
	if err != nil {
		return err
	}
	blob, err := p.relay.left(ctx, all[i].File.Blob)
	if err != nil {
		return err
	}
	content, err := pointer.Open(bytes.NewReader(blob))
	if err != nil {
		return err
	}
	defer content.Close()
	if err := saveAs(name, content); err != nil {
		return err
	}
	p.screen.show(event{Kind: noticeEvent, Text: fmt.Sprintf("saved: %d bytes", pointer.Size)})
	return nil
}

// saveAs gives a file its name when all of it is there and right.
func saveAs(name string, content io.Reader) error {
	out, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name()) // the name that it has beside, or had
	_, err = io.Copy(out, content)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if _, err := os.Lstat(name); err == nil {
		return os.ErrExist
	}
	return os.Rename(out.Name(), name)
}
