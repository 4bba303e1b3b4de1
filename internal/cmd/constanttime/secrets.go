package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// secrets knows the functions on a list, by the lines of source they cover.
type secrets struct {
	lines   map[position]string // the function that a line of source belongs to
	text    map[position]string // the line
	allowed map[string]bool     // function: line
}

type position struct {
	file string
	line int
}

// readSecrets reads the list, and the source that it is about. Each name on the
// list must be a function, and each allowed line must be in it.
func readSecrets(path, list string) (*secrets, error) {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	s := &secrets{lines: map[position]string{}, text: map[position]string{}, allowed: map[string]bool{}}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			if err := s.addFile(file); err != nil {
				return nil, err
			}
		}
	}
	return s, s.readList(list)
}

// addFile notes which function each line of a file is in.
func (s *secrets) addFile(name string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, src, 0)
	if err != nil {
		return err
	}
	base := filepath.Base(name)
	for i, line := range strings.Split(string(src), "\n") {
		s.text[position{base, i + 1}] = strings.TrimSpace(line)
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			for n := set.Position(f.Pos()).Line; n <= set.Position(f.End()).Line; n++ {
				s.lines[position{base, n}] = f.Name.Name
			}
		}
	}
	return nil
}

// readList reads function names, each at the start of a line and followed by
// the source lines allowed in it, indented. Other functions are struck out of
// s.lines.
func (s *secrets) readList(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	listed, function := map[string]bool{}, ""
	for in := bufio.NewScanner(f); in.Scan(); {
		text := strings.TrimSpace(in.Text())
		switch {
		case text == "" || text[0] == '#':
		case strings.TrimLeft(in.Text(), " \t") == in.Text():
			function = text
			listed[function] = true
		case !s.has(function, text):
			return fmt.Errorf("%s: no such line in %s: %s", name, function, text)
		default:
			s.allowed[function+": "+text] = true
		}
	}
	for at, function := range s.lines {
		if !listed[function] {
			delete(s.lines, at)
		}
	}
	for function := range listed {
		if !s.has(function, "") {
			return fmt.Errorf("%s: no such function: %s", name, function)
		}
	}
	return nil
}

// has reports whether a function has a line, "" being any.
func (s *secrets) has(function, text string) bool {
	for at, name := range s.lines {
		if name == function && (text == "" || s.text[at] == text) {
			return true
		}
	}
	return false
}

func (s *secrets) source(in instruction) string { return s.text[position{in.file, in.line}] }

// allows reports whether a conditional jump may be where it is: outside of the
// listed functions, on the first line of one, where the stack is checked, or on
// an allowed line.
func (s *secrets) allows(in instruction) bool {
	function, ok := s.lines[position{in.file, in.line}]
	text := s.source(in)
	return !ok || strings.HasPrefix(text, "func ") || s.allowed[function+": "+text]
}
