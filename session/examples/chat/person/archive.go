package person

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/gembok-e2ee/gembok/session/hosting"
)

// exported is what an archive has of a line.
type exported struct {
	Conversation string `json:"conversation"`
	Line
}

// Export writes all that a person takes along to dst: what the device knows of
// others, the messages that have not disappeared, and the announcements. It is
// encrypted to a key that is drawn for it and returned, and nothing before Export
// returned it is an archive. Progress, nil for none, counts records; while those of
// the device are written, nobody knows how many there are.
func (p *Person) Export(ctx context.Context, dst io.Writer, progress func(done, total int64)) (key string, err error) {
	lines, err := p.everything(ctx)
	if err != nil {
		return "", err
	}
	secret := hosting.GenerateArchiveKey()
	count := &counter{left: int64(len(lines)), tell: progress}
	w, err := hosting.NewArchiveWriter(dst, secret, &hosting.ArchiveOptions{Progress: func(records, _ int64) error {
		count.to(records)
		return ctx.Err()
	}})
	if err != nil {
		return "", err
	}
	if err := w.Device(ctx, p.own); err != nil {
		return "", err
	}
	count.known()
	for i := range lines {
		if err := w.Write(&lines[i]); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	count.to(count.total) // what disappeared meanwhile is done, too
	return secret.Text(), nil
}

// A counter tells how much of an archive is written.
type counter struct {
	done, total int64
	left        int64 // lines, behind what the device has
	tell        func(done, total int64)
}

// to tells that so many records are written.
func (c *counter) to(done int64) {
	if c.done = done; c.tell != nil {
		c.tell(done, max(c.total, done+c.left))
	}
}

// known says that all that is left are the lines.
func (c *counter) known() { c.total, c.left = c.done+c.left, 0 }

// everything returns a record of each line of each conversation.
func (p *Person) everything(ctx context.Context) (out []hosting.ArchiveRecord, err error) {
	all, err := p.read(ctx)
	if err != nil {
		return nil, err
	}
	add := func(name, id string, l Line, gone time.Time) {
		data, e := json.Marshal(exported{name, l})
		if e != nil {
			err = e
		}
		out = append(out, hosting.ArchiveRecord{Type: "app", Name: l.Kind + "/" + id, Data: data, Time: time.UnixMilli(l.At), Expires: gone})
	}
	for _, x := range all.sent {
		add(x.Peer, x.ID, p.message(x, false), x.Gone)
	}
	for _, x := range all.waits {
		if x.says() {
			add(x.Peer, x.ID, p.message(x, true), x.Gone)
		}
	}
	for _, a := range all.announced {
		add(a.Peer, a.Peer+" "+a.ID, p.aside(a), time.Time{})
	}
	return out, err
}
