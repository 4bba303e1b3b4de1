package archtest

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Between two backquotes, blocks of code aside, README.md names things.
var (
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	codeSpan  = regexp.MustCompile("`[^`]+`")
	shellWord = regexp.MustCompile(`'[^']*'|\S+`)
	testName  = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)[A-Z0-9_]\w*$`)
	testFuncs = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example|Benchmark)\w*)\(`)
)

// Readme checks that README.md names tests that there are: each by its name, and
// each part of the -run or -bench of a go test command in the packages of that.
func (m *Module) Readme() (wrong []string, err error) {
	b, err := fs.ReadFile(m.fsys, "README.md")
	if err != nil {
		return nil, err
	}
	for _, span := range codeSpan.FindAllString(codeBlock.ReplaceAllString(string(b), ""), -1) {
		span = strings.ReplaceAll(strings.Trim(span, "`"), `\|`, "|")
		dirs, patterns := []string{"./..."}, []string{"^" + span + "$"}
		if !testName.MatchString(span) {
			dirs, patterns = goTest(span)
		}
		if patterns == nil {
			continue
		}
		names, err := m.tests(dirs)
		if err != nil {
			return nil, err
		}
		for _, p := range patterns {
			if !slices.ContainsFunc(names, regexp.MustCompile(p).MatchString) {
				wrong = append(wrong, fmt.Sprintf("README.md: %q: no test %s", span, p))
			}
		}
	}
	return wrong, nil
}

// goTest reads a go test command: the packages, and the parts of the patterns,
// any one if it has none, for what stands above a slash. Of another command
// patterns are nil.
func goTest(command string) (dirs, patterns []string) {
	_, args, ok := strings.Cut(strings.Join(strings.Fields(command), " "), "go test ")
	if !ok {
		return nil, nil
	}
	in, last := ".", ""
	for _, w := range shellWord.FindAllString(args, -1) {
		switch w = strings.Trim(w, "'"); {
		case last == "-C":
			in = w
		case last == "-run" || last == "-bench":
			patterns = append(patterns, parts(w)...)
		case strings.HasPrefix(w, "."):
			dirs = append(dirs, w)
		}
		last = w
	}
	for i, d := range dirs {
		dirs[i] = "./" + path.Join(in, d)
	}
	if patterns == nil {
		patterns = []string{""}
	}
	return dirs, patterns
}

// parts are the alternatives of a pattern, without what is below a test.
func parts(pattern string) []string {
	var out []string
	for _, p := range strings.Split(pattern, "|") {
		if p, _, _ = strings.Cut(p, "/"); p != "^$" && !strings.ContainsAny(p, "()") {
			out = append(out, p)
		}
	}
	return out
}

// tests returns the names of all tests, fuzz targets, examples and benchmarks in
// directories, those of nested modules too.
func (m *Module) tests(dirs []string) (names []string, err error) {
	for _, dir := range dirs {
		top, below := strings.CutSuffix(dir, "...")
		top = path.Clean(top)
		err := fs.WalkDir(m.fsys, top, func(name string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir() && (!below && name != top || e.Name() == "node_modules" || strings.HasPrefix(e.Name(), ".") && name != "."):
				return fs.SkipDir
			case e.IsDir() || !strings.HasSuffix(name, "_test.go"):
				return nil
			}
			b, err := fs.ReadFile(m.fsys, name)
			for _, match := range testFuncs.FindAllSubmatch(b, -1) {
				names = append(names, string(match[1]))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}
