package person

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
	"github.com/gembok-e2ee/gembok/session/attachment"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

// Bounds of a file, and of its name, in bytes.
const (
	MaxFile     = 3 << 20
	maxFileName = 255
)

// kindBlob are records of encrypted files that are not at the relay yet, by the note in
// the outbox that is about one.
const kindBlob = "blob"

// SendFile sends a file: what is in it goes to the relay, encrypted for nobody in
// particular, and the key to it goes in a message. Both are in the outbox before
// anything leaves, and wait there if need be. Progress, nil for none, is told of the
// bytes that are encrypted and those that are uploaded, together.
func (p *Person) SendFile(ctx context.Context, to, name string, content []byte, progress func(done, total int64)) error {
	if len(content) > MaxFile || len(name) > maxFileName {
		return plainly("large", longText, MaxFile)
	}
	x := &note{ID: newID(), At: time.Now(), Peer: to, Mine: true}
	if err := p.mayPost(ctx, x); err != nil { // before anything is uploaded
		return err
	}
	if progress == nil {
		progress = func(_, _ int64) {}
	}
	size, err := attachment.EncryptedSize(int64(len(content)))
	if err != nil {
		return err
	}
	encrypted, total := int64(len(content)), int64(len(content))+size
	blob, pointer, err := encryptFile(content, func(done int64) { progress(done, total) })
	if err != nil {
		return err
	}
	x.File = &file{Name: name, Blob: newID(), Pointer: pointer.Bytes()}
	p.watch(x.ID, func(done, _ int64) { progress(encrypted+min(done, size), total) })
	defer p.watch(x.ID, nil)
	if err := p.post(ctx, x, keystore.Change{Op: keystore.Put, Key: p.notes.key(kindBlob, x.ID), Value: blob}); err != nil {
		return err
	}
	select {
	case <-p.published:
	default:
		return nil // it waits until the relay knows this device
	}
	_, _ = p.Flush(ctx) // what stays there is tried again
	p.wake()
	return ctx.Err()
}

// watch has a function be told how far the file of a note is uploaded, nil none.
func (p *Person) watch(id string, progress func(done, total int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars[id] = progress; progress == nil {
		delete(p.bars, id)
	}
}

// uploadFile brings the file of a note to the relay, if there is one that is not there
// yet.
func (p *Person) uploadFile(ctx context.Context, x *note) error {
	if x.File == nil {
		return nil
	}
	rec, err := p.notes.store.Load(ctx, p.notes.key(kindBlob, x.ID))
	if err != nil || rec[0].Version == 0 {
		return err
	}
	p.mu.Lock()
	progress := p.bars[x.ID]
	p.mu.Unlock()
	if err := p.relay.leave(ctx, x.File.Blob, rec[0].Value, progress); err != nil {
		return err
	}
	if size := int64(len(rec[0].Value)); progress != nil {
		progress(size, size)
	}
	return p.notes.erase(ctx, rec[0].Key)
}

// encryptFile encrypts a file, and tells how much of it is.
func encryptFile(content []byte, progress func(done int64)) ([]byte, *attachment.Pointer, error) {
	var blob bytes.Buffer
	w, err := attachment.NewWriter(&blob, int64(len(content)))
	if err != nil {
		return nil, nil, err
	}
	done := int64(0)
	for part := range slices.Chunk(content, 64<<10) {
		if _, err := w.Write(part); err != nil {
			return nil, nil, err
		}
		done += int64(len(part))
		progress(done)
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	return blob.Bytes(), w.Pointer(), nil
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

// File returns the file of a line, under the name that its sender chose, when all of it
// is there and right. Progress, nil for none, is told of the bytes that have come.
func (p *Person) File(ctx context.Context, id string, progress func(done, total int64)) (name string, content []byte, err error) {
	recs, err := p.notes.store.Load(ctx, p.notes.key(kindHistory, id), p.notes.key(kindOutbox, id), p.notes.key(kindBlob, id))
	if err != nil {
		return "", nil, err
	}
	x := new(note)
	for _, rec := range recs[:2] {
		if rec.Version != 0 && json.Unmarshal(rec.Value, x) != nil {
			return "", nil, fmt.Errorf("%w: a note", keystore.ErrCorrupt)
		}
	}
	if x.File == nil || !x.Gone.IsZero() && !time.Now().Before(x.Gone) {
		return "", nil, plainly("file", noFileText)
	}
	if blob := recs[2]; blob.Version != 0 { // not at the relay yet
		pointer, err := x.File.pointer()
		if err == nil {
			content, err = open(pointer, blob.Value)
		}
		return x.File.Name, content, err
	}
	content, err = p.fetchFile(ctx, x.File, progress)
	return x.File.Name, content, err
}

// fetchFile returns what is in a file, when all of it is there and right.
func (p *Person) fetchFile(ctx context.Context, f *file, progress func(done, total int64)) ([]byte, error) {
	pointer, err := f.pointer()
	if err != nil {
		return nil, err
	}
	size, err := attachment.EncryptedSize(pointer.Size)
	if err != nil {
		return nil, err
	}
	if of := progress; of != nil { // how much it is, the relay need not say
		progress = func(done, _ int64) { of(min(done, size), size) }
	}
	blob, err := p.relay.left(ctx, f.Blob, progress)
	if errors.Is(err, post.ErrUnknown) {
		return nil, plainly("file", noFileText).because(err)
	}
	if err != nil {
		return nil, err
	}
	content, err := open(pointer, blob)
	if err != nil {
		return nil, plainly("forged", fileChangeText).because(err)
	}
	return content, nil
}

func open(pointer *attachment.Pointer, blob []byte) ([]byte, error) {
	r, err := pointer.Open(bytes.NewReader(blob))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
