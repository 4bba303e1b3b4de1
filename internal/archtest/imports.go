package archtest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Arrows checks the imports between the packages of this module.
func (m *Module) Arrows() (wrong []string) {
	for _, p := range m.Packages {
		allowed, known := arrows[p.Dir]
		switch {
		case p.Free():
			continue
		case !known:
			wrong = append(wrong, p.Dir+": has no row in the table of arrows")
			continue
		}
		m.eachImport(p, func(spec *ast.ImportSpec, imp string) {
			dir, own := strings.CutPrefix(imp, ModulePath+"/")
			if (own || imp == ModulePath) && !slices.Contains(allowed, dir) {
				wrong = append(wrong, fmt.Sprintf("%s: %s → %s is no arrow", m.at(spec), p.Dir, dir))
			}
		})
	}
	return wrong
}

// ThirdParty checks the imports of other modules.
func (m *Module) ThirdParty() (wrong []string) {
	for _, p := range m.Packages {
		if p.Free() {
			continue
		}
		m.eachImport(p, func(spec *ast.ImportSpec, imp string) {
			host, _, _ := strings.Cut(imp, "/")
			if strings.Contains(host, ".") && !within(imp, ModulePath) && !allowedThere(p.Dir, imp) {
				wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", m.at(spec), p.Dir, imp))
			}
		})
	}
	return wrong
}

func allowedThere(dir, imp string) bool {
	for _, row := range thirdParty {
		if within(imp, row.prefix) && row.dir == dir {
			return true
		}
	}
	return false
}

// Capabilities checks that no library package imports or does what only a
// program may.
func (m *Module) Capabilities() (wrong []string) {
	for _, p := range m.Packages {
		if p.Free() {
			continue
		}
		isPure := slices.ContainsFunc(pure, func(dir string) bool { return within(p.Dir, dir) })
		m.eachImport(p, func(spec *ast.ImportSpec, imp string) {
			if listed(banned, imp) && !listed(mayImport[p.Dir], imp) || isPure && listed(impure, imp) {
				wrong = append(wrong, fmt.Sprintf("%s: %s may not import %s", m.at(spec), p.Dir, imp))
			}
		})
		for _, f := range p.Files {
			wrong = append(wrong, m.directives(f)...)
			wrong = append(wrong, m.statements(f, isPure)...)
		}
	}
	return wrong
}

// listed tells whether imp is in list, where "a/..." is a and all below.
func listed(list []string, imp string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		if top, all := strings.CutSuffix(entry, "/..."); all {
			return within(imp, top)
		}
		return imp == entry
	})
}

// directives finds comments that reach around the import check.
func (m *Module) directives(f *File) (wrong []string) {
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:linkname") || strings.HasPrefix(c.Text, "//go:cgo_") {
				wrong = append(wrong, m.at(c)+": "+c.Text)
			}
		}
	}
	return wrong
}

// statements finds output, in any library package, and go statements in pure
// ones.
func (m *Module) statements(f *File, isPure bool) (wrong []string) {
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			if isPure {
				wrong = append(wrong, m.at(n)+": a go statement in a package of pure steps")
			}
		case *ast.CallExpr:
			if name := called(n); slices.Contains([]string{"print", "println", "fmt.Print", "fmt.Printf", "fmt.Println"}, name) {
				wrong = append(wrong, m.at(n)+": "+name+" in a library")
			}
		}
		return true
	})
	return wrong
}

// called returns the name of what is called, as far as it is "f" or "pkg.F".
func called(c *ast.CallExpr) string {
	switch fun := c.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if x, ok := fun.X.(*ast.Ident); ok {
			return x.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

// Layout checks what stands where.
func (m *Module) Layout() (wrong []string) {
	have := map[string]bool{}
	for _, name := range append(slices.Clone(m.Files), m.GoMods...) {
		top, _, _ := strings.Cut(name, "/")
		if have[top] = true; !slices.Contains(topLevel, top) {
			wrong = append(wrong, name+": does not belong at the top level")
		}
		if slices.Contains(badNames, path.Base(name)) {
			wrong = append(wrong, name+": a file is named after what is in it")
		}
		if slices.Contains(notGo, path.Ext(name)) && !within(name, "testdata") {
			wrong = append(wrong, name+": only Go is compiled here")
		}
	}
	for _, top := range topLevel {
		if !have[top] {
			wrong = append(wrong, top+": is missing")
		}
	}
	return append(wrong, m.packageFiles()...)
}

func (m *Module) packageFiles() (wrong []string) {
	for _, p := range m.Packages {
		if p.Program() && !slices.ContainsFunc(programs, func(dir string) bool { return within(p.Dir, dir) }) {
			wrong = append(wrong, p.Dir+": no place for a program")
		}
		for _, f := range p.Files {
			if f.AST.Name.Name != p.Name {
				wrong = append(wrong, fmt.Sprintf("%s: package %s, in a directory of package %s", f.Path, f.AST.Name.Name, p.Name))
			}
			if f.Lines > maxLines {
				wrong = append(wrong, fmt.Sprintf("%s: %d lines, at most %d", f.Path, f.Lines, maxLines))
			}
		}
	}
	return wrong
}

// Requirements checks the go.mod files.
func (m *Module) Requirements() (wrong []string, err error) {
	for _, name := range m.GoMods {
		b, err := fs.ReadFile(m.fsys, name)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			mod, direct := required(line)
			if slices.ContainsFunc(copyleft, func(c string) bool { return within(mod, c) }) {
				wrong = append(wrong, name+": requires "+mod+", which is copyleft")
			}
			if name == "go.mod" && mod != "" && direct && !slices.Contains(requirements, mod) {
				wrong = append(wrong, name+": requires "+mod+", which is not in the list")
			}
		}
	}
	return wrong, nil
}

// required reads a line of a go.mod, which is of the form that the go command
// writes: the module it requires or puts in place of another, if any.
func required(line string) (mod string, direct bool) {
	words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
	if len(words) >= 2 && strings.Contains(words[0], ".") && strings.HasPrefix(words[1], "v") {
		return words[0], !strings.Contains(line, "// indirect")
	}
	return "", false
}

func (m *Module) eachImport(p *Package, do func(spec *ast.ImportSpec, path string)) {
	for _, f := range p.Files {
		for _, spec := range f.AST.Imports {
			do(spec, importPath(spec))
		}
	}
}
