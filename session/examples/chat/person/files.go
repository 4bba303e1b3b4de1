package person

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// Bounds of a file, and of its name, in bytes.
const (
	MaxFile     = 3 << 20
	maxFileName = 255
)

// SendFile sends a file: what is in it goes to the relay, encrypted for nobody in
// particular, and the key to it goes in a message.
func (p *Person) SendFile(ctx context.Context, to, name string, content []byte, progress func(done, total int64)) error {
	if len(content) > MaxFile {
		return fmt.Errorf("not sent: over %d bytes", MaxFile)
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
	f := &file{Name: name, Blob: newID(), Pointer: w.Pointer().Bytes()}
	if err := p.relay.leave(ctx, f.Blob, blob.Bytes(), progress); err != nil {
		return err
	}
	return p.post(ctx, &note{ID: newID(), At: time.Now(), Peer: to, Mine: true, File: f})
}

// LastFile returns the file that came last from somebody, under the name that its
// sender chose.
func (p *Person) LastFile(ctx context.Context, peer string, progress func(done, total int64)) (name string, content []byte, err error) {
	all, err := p.notes.all(ctx, kindHistory)
	if err != nil {
		return "", nil, err
	}
	slices.Reverse(all)
	i := slices.IndexFunc(all, func(x *note) bool { return x.File != nil && x.Peer == peer && !x.Mine })
	if i < 0 {
		return "", nil, errors.New("no file came from " + peer)
	}
	content, err = p.fetchFile(ctx, all[i].File, progress)
	return all[i].File.Name, content, err
}

// fetchFile returns what is in a file, when all of it is there and right.
func (p *Person) fetchFile(ctx context.Context, f *file, progress func(done, total int64)) ([]byte, error) {
	pointer, err := f.pointer()
	if err != nil {
		return nil, err
	}
	blob, err := p.relay.left(ctx, f.Blob, progress)
	if err != nil {
		return nil, err
	}
	r, err := pointer.Open(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
