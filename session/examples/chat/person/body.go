package person

import (
	"encoding/json"
	"errors"

	"github.com/gembok-e2ee/gembok/session/attachment"
	"github.com/gembok-e2ee/gembok/session/examples/chat/post"
)

var errBody = errors.New("its content makes no sense")

// A body is what people say to each other: JSON, inside a session.Content. The
// relay sees none of it.
type body struct {
	ID   string `json:"id"` // names the message among those of its writer
	Text string `json:"text,omitempty"`
	File *file  `json:"file,omitempty"`

	// Group is the group that it is for; "" is none. Members, if there are any, are
	// who is in it from the Round on.
	Group   string   `json:"group,omitempty"`
	Members []string `json:"members,omitempty"`
	Round   uint64   `json:"round,omitempty"`
}

// A file is what a message says of a file that the relay keeps: whoever has it
// can read that, and nobody else.
type file struct {
	Name    string `json:"name"`
	Blob    string `json:"blob"`    // by which the relay knows it
	Pointer []byte `json:"pointer"` // an attachment.Pointer: key and digest
}

func (b *body) bytes() ([]byte, error) { return json.Marshal(b) }

// parseBody reads what somebody sent. Nothing in it is believed to be what it
// should be.
func parseBody(text []byte) (*body, error) {
	b := new(body)
	if json.Unmarshal(text, b) != nil || !post.ValidID(b.ID) {
		return nil, errBody
	}
	if b.Group != "" && !ValidGroup(b.Group) || b.Group == "" && b.Members != nil || len(b.Members) > maxMembers {
		return nil, errBody
	}
	for _, m := range b.Members {
		if !post.ValidName(m) {
			return nil, errBody
		}
	}
	if b.File != nil {
		if _, err := b.File.pointer(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// pointer returns what decrypts the file.
func (f *file) pointer() (*attachment.Pointer, error) {
	p, err := attachment.ParsePointer(f.Pointer)
	if err != nil || !post.ValidID(f.Blob) || len(f.Name) > maxFileName || p.Size > MaxFile {
		return nil, errBody
	}
	return p, nil
}

// says is what is shown of a message.
func (b *body) says() string {
	if b.File == nil {
		return b.Text
	}
	if f := b.attached(); f != nil {
		return f.String()
	}
	return errBody.Error()
}

// attached is what is shown of a message's file, nil where there is none.
func (b *body) attached() *File {
	if b.File == nil {
		return nil
	}
	p, err := b.File.pointer()
	if err != nil {
		return nil
	}
	return &File{Name: b.File.Name, Size: p.Size}
}
