package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// An instruction of the compiled package. One that was inlined has the file and
// line it came from, in the symbol that it came to.
type instruction struct {
	symbol string
	file   string // base name
	line   int
	text   string // as disassembled, with the relocation that belongs to it
}

// disassemble compiles a package for an architecture, without cgo.
func disassemble(path, arch string) ([]instruction, error) {
	dir, err := os.MkdirTemp("", "constanttime")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	object := filepath.Join(dir, "package.a")
	build := exec.Command("go", "build", "-o", object, path)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building for %s: %w\n%s", arch, err, out)
	}
	out, err := exec.Command("go", "tool", "objdump", object).Output()
	if err != nil {
		return nil, fmt.Errorf("disassembling for %s: %w", arch, err)
	}
	code := parse(string(out))
	if len(code) == 0 {
		return nil, fmt.Errorf("no code for %s", arch)
	}
	return code, nil
}

// parse reads what go tool objdump prints: a TEXT line for each symbol, and for
// each instruction source line, address, code, instruction and relocation, with
// any number of tabs between them.
func parse(out string) (code []instruction) {
	symbol := ""
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "TEXT "); ok {
			symbol, _, _ = strings.Cut(rest, "(SB)")
			continue
		}
		f := strings.FieldsFunc(line, func(r rune) bool { return r == '\t' || r == '\n' })
		if len(f) < 4 {
			continue
		}
		file, at, _ := strings.Cut(strings.TrimSpace(f[0]), ":")
		n, _ := strconv.Atoi(at)
		code = append(code, instruction{symbol, file, n, strings.TrimSpace(strings.Join(f[3:], " "))})
	}
	return code
}

var (
	// DIVQ, IDIVL, SDIV, UDIVW … and the runtime's functions for processors
	// without them: udiv, int64div, uint64mod, …
	divisions = regexp.MustCompile(`^[A-Z]*DIV|:runtime\.[a-z0-9_]*(div|mod)[a-zA-Z]*`)

	// amd64 and 386: J and a condition. arm64 and arm: B and a condition, without
	// or with a point, and the compare-and-branch instructions. (BL.VS and the
	// like, which arm has too, are no code of the compiler's but its constants.)
	jumps = regexp.MustCompile(`^(J([^M]|MI)[A-Z]*|B\.?(EQ|NE|CS|HS|CC|LO|MI|PL|VS|VC|HI|LS|GE|LT|GT|LE)|CBN?ZW?|TBN?Z) `)
)

func (in instruction) divides() bool { return divisions.MatchString(in.text) }
func (in instruction) jumps() bool   { return jumps.MatchString(in.text) }
