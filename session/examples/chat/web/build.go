package web

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	module  = "github.com/gembok-e2ee/gembok"
	program = "session/examples/chat/page"
)

// Build makes what Handler serves, in a folder that exists: the page's program,
// compiled from its source, the page's other files, and compressed copies of all. It
// needs the go command, in a folder from where that knows this module.
func Build(ctx context.Context, dir string) error {
	root, err := run(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return fmt.Errorf("the source of the page is not found; is this a checkout of gembok? %w", err)
	}
	return build(ctx, root, filepath.Join(root, filepath.FromSlash(program)), dir)
}

// build builds the program in page, of the module in root.
func build(ctx context.Context, root, page, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := run(ctx, page, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "chat.wasm"), "."); err != nil {
		return err
	}
	goroot, err := run(ctx, root, "go", "env", "GOROOT")
	if err != nil {
		return err
	}
	if err := copyOne(dir, filepath.Join(goroot, "lib", "wasm", "wasm_exec.js"), filepath.Join(goroot, "misc", "wasm", "wasm_exec.js")); err != nil {
		return err
	}
	if err := copyPage(page, dir); err != nil {
		return err
	}
	return compressAll(dir)
}

// run runs a command for the browser's platform, and returns the line that it prints.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOOS=js", "GOARCH=wasm")
	if dir != "" { // the module as it is, not as part of what is around
		cmd.Env = append(cmd.Env, "GOWORK=off")
	}
	out, err := cmd.Output()
	command := strings.Join(append([]string{name}, args...), " ")
	switch failed := (*exec.ExitError)(nil); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &failed):
		return "", fmt.Errorf("%s: %w\n%s", command, err, strings.TrimSpace(string(failed.Stderr)))
	case err != nil:
		return "", fmt.Errorf("%s: %w", command, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// copyOne copies the first of these files that there is.
func copyOne(dir string, names ...string) (err error) {
	for _, name := range names {
		var b []byte
		if b, err = os.ReadFile(name); err == nil {
			return os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o644)
		}
	}
	return err
}

// copyPage copies the files of the page that are served.
func copyPage(page, dir string) error {
	entries, err := os.ReadDir(page)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if contentTypes[filepath.Ext(e.Name())] == "" || !e.Type().IsRegular() {
			continue
		}
		if err := copyOne(dir, filepath.Join(page, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// compressAll puts a compressed copy beside each file.
func compressAll(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if contentTypes[filepath.Ext(e.Name())] == "" {
			continue
		}
		if err := compress(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func compress(name string) error {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(name + ".gz")
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err == nil {
		_, err = io.Copy(z, in)
		err = errors.Join(err, z.Close())
	}
	return errors.Join(err, out.Close())
}

// Sizes returns those of the page's program, in bytes: as it is, and as it is sent to a
// browser.
func Sizes(dir string) (plain, compressed int64, err error) {
	name := filepath.Join(dir, "chat.wasm")
	a, err := os.Stat(name)
	if err != nil {
		return 0, 0, err
	}
	b, err := os.Stat(name + ".gz")
	if err != nil {
		return 0, 0, err
	}
	return a.Size(), b.Size(), nil
}
