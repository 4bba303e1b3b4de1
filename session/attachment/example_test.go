package attachment_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

func Example() {
	// The sender encrypts into what the store gets, and puts the Pointer into a
	// message.
	const picture = "not much of a picture"
	var uploaded bytes.Buffer
	w, err := attachment.NewWriter(&uploaded, int64(len(picture)))
	if err != nil {
		panic(err)
	}
	if _, err := io.Copy(w, strings.NewReader(picture)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	message := w.Pointer().Bytes()
	fmt.Println("uploaded:", uploaded.Len(), "bytes")

	// The receiver opens the Pointer on what comes back.
	p, err := attachment.ParsePointer(message)
	if err != nil {
		panic(err)
	}
	r, err := p.Open(&uploaded)
	if err != nil {
		panic(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r) // without an error, it is the whole file
	if err != nil {
		panic(err)
	}
	fmt.Println("received:", string(got))

	// Output:
	// uploaded: 592 bytes
	// received: not much of a picture
}

// A file gets its name when all of it is there and right.
func ExamplePointer_OpenAt() {
	dir, err := os.MkdirTemp("", "attachments")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	download := filepath.Join(dir, "download")
	p := upload(download, []byte("a letter"))

	save := func(name string) error {
		in, err := os.Open(download)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		r, err := p.OpenAt(in, info.Size())
		if err != nil {
			return err
		}
		defer r.Close()
		out, err := os.CreateTemp(dir, "part")
		if err != nil {
			return err
		}
		defer os.Remove(out.Name()) // when it has another name, there is none
		_, err = io.Copy(out, r)
		if closed := out.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
		return os.Rename(out.Name(), name)
	}
	fmt.Println(save(filepath.Join(dir, "letter")))
	os.WriteFile(download, make([]byte, 592), 0o600)
	fmt.Println(save(filepath.Join(dir, "other")))

	// Output:
	// <nil>
	// gembok: authentication failed
}

// upload encrypts content into a file.
func upload(name string, content []byte) *attachment.Pointer {
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	w, err := attachment.NewWriter(f, int64(len(content)))
	if err != nil {
		panic(err)
	}
	w.Write(content)
	if err := w.Close(); err != nil {
		panic(err)
	}
	return w.Pointer()
}
