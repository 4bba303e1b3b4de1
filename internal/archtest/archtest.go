// Package archtest checks the shape of the module: which package imports
// which, what is exported, that secrets redact themselves, and that the
// library cannot reach what it has no business with.
//
// It parses the sources itself, through the os package, so that the go command
// sees which files a run depended on and does not serve an old result. Its
// tests are the checks; each returns what it found wrong, a line each.
package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// ModulePath is the path of the main module.
const ModulePath = "github.com/gembok-e2ee/gembok"

// A Module is the parsed main module, without its nested ones.
type Module struct {
	Packages []*Package // those with a file that is no test, in order of Dir
	Files    []string   // every file of the module, nested modules left out
	GoMods   []string   // every go.mod, those of nested modules too

	fset *token.FileSet
	fsys fs.FS
}

// A Package is the files of a directory that are no tests.
type Package struct {
	Dir   string // below the module's root, such as "x3dh/keys"
	Name  string
	Files []*File
}

// A File is one source file.
type File struct {
	Path  string
	AST   *ast.File
	Lines int
}

// Load reads and parses the module whose root is fsys.
func Load(fsys fs.FS) (*Module, error) {
	m := &Module{fset: token.NewFileSet(), fsys: fsys}
	if err := m.walk(".", false); err != nil {
		return nil, err
	}
	byDir := map[string]*Package{}
	for _, name := range m.Files {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if err := m.parse(byDir, name); err != nil {
			return nil, err
		}
	}
	for _, p := range byDir {
		m.Packages = append(m.Packages, p)
	}
	slices.SortFunc(m.Packages, func(a, b *Package) int { return cmp.Compare(a.Dir, b.Dir) })
	return m, nil
}

// walk collects the files of dir. Nested tells that dir is in a nested module,
// of which only the go.mod counts.
func (m *Module) walk(dir string, nested bool) error {
	entries, err := fs.ReadDir(m.fsys, dir)
	if err != nil {
		return err
	}
	isMod := func(e fs.DirEntry) bool { return e.Name() == "go.mod" }
	nested = nested || dir != "." && slices.ContainsFunc(entries, isMod)
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".") || e.Name() == "node_modules":
		case e.IsDir():
			if err := m.walk(name, nested); err != nil {
				return err
			}
		case isMod(e):
			m.GoMods = append(m.GoMods, name)
		case !nested:
			m.Files = append(m.Files, name)
		}
	}
	return nil
}

func (m *Module) parse(byDir map[string]*Package, name string) error {
	src, err := fs.ReadFile(m.fsys, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(m.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := byDir[dir]
	if p == nil {
		p = &Package{Dir: dir, Name: f.Name.Name}
		byDir[dir] = p
	}
	p.Files = append(p.Files, &File{Path: name, AST: f, Lines: strings.Count(string(src), "\n")})
	return nil
}

// at names the place of a node for a complaint.
func (m *Module) at(n ast.Node) string {
	pos := m.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", pos.Filename, pos.Line)
}

// Program tells whether p is a command and no library.
func (p *Package) Program() bool { return p.Name == "main" }

// Free tells whether p may import and do what it likes: programs, their parts,
// and what only tests import.
func (p *Package) Free() bool {
	if _, bound := arrows[p.Dir]; bound {
		return false
	}
	return p.Program() || slices.ContainsFunc(free, func(dir string) bool { return within(p.Dir, dir) })
}

// Public tells whether p is for other modules to import.
func (p *Package) Public() bool {
	return !p.Program() && !slices.ContainsFunc(free, func(dir string) bool { return within(p.Dir, dir) }) &&
		!slices.Contains(strings.Split(p.Dir, "/"), "internal")
}

// within tells whether dir is top or below it.
func within(dir, top string) bool {
	return dir == top || strings.HasPrefix(dir, top+"/")
}

// importPath returns the path that an import names.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic("archtest: internal error: " + err.Error()) // the parser accepted it
	}
	return p
}
