package archtest

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"regexp"
	"slices"
)

// coinNames matches what a name says that gives a caller a part in randomness.
var coinNames = regexp.MustCompile(`(?i)rand|^rng|seed|coin|entropy|determin`)

// buildTags lists what may decide whether a library file is compiled: the
// platform, and the one experiment of the toolchain.
var buildTags = []string{"unix", "windows", "wasm", "aix", "illumos", "solaris", "goexperiment.runtimesecret"}

// Coins checks that nobody but crypto/rand has a part in randomness: nothing
// that a public package exports takes a reader or coins, no build tag chooses
// another source, and library code draws with rand.Read alone.
func (m *Module) Coins() (wrong []string) {
	for _, p := range m.Packages {
		if p.Free() {
			continue
		}
		for _, f := range p.Files {
			wrong = append(wrong, m.tags(f)...)
			wrong = append(wrong, m.draws(f)...)
			if p.Public() {
				wrong = append(wrong, m.takes(f, slices.Contains(streams, p.Dir))...)
			}
		}
	}
	return wrong
}

// tags finds build tags that are not in the list.
func (m *Module) tags(f *File) (wrong []string) {
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			expr, err := constraint.Parse(c.Text)
			if err != nil { // no constraint
				continue
			}
			expr.Eval(func(tag string) bool {
				if !slices.Contains(buildTags, tag) {
					wrong = append(wrong, m.at(c)+": build tag "+tag)
				}
				return false
			})
		}
	}
	return wrong
}

// draws finds uses of crypto/rand other than rand.Read.
func (m *Module) draws(f *File) (wrong []string) {
	name := ""
	for _, spec := range f.AST.Imports {
		if importPath(spec) != "crypto/rand" {
			continue
		}
		if name = "rand"; spec.Name != nil {
			name = spec.Name.Name
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || name == "" {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == name && sel.Sel.Name != "Read" {
			wrong = append(wrong, fmt.Sprintf("%s: rand.%s", m.at(sel), sel.Sel.Name))
		}
		return true
	})
	return wrong
}

// takes finds readers, unless they are allowed, and names that speak of coins,
// in what f exports.
func (m *Module) takes(f *File, readers bool) (wrong []string) {
	look := func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BlockStmt:
				return false
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && (x.Name == "rand" || x.Name == "io" && n.Sel.Name == "Reader" && !readers) {
					wrong = append(wrong, fmt.Sprintf("%s: %s.%s in what is exported", m.at(n), x.Name, n.Sel.Name))
				}
			case *ast.Ident:
				if coinNames.MatchString(n.Name) {
					wrong = append(wrong, m.at(n)+": "+n.Name+" in what is exported")
				}
			}
			return true
		})
	}
	for _, d := range f.AST.Decls {
		eachExported(d, look)
	}
	return wrong
}

// eachExported calls look for what d exports: signatures, types, and the types
// of variables; not for the fields that a struct keeps to itself.
func eachExported(d ast.Decl, look func(ast.Node)) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if recv := receiver(d); d.Name.IsExported() && (recv == nil || recv.IsExported()) {
			look(d.Name)
			look(d.Type)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					eachPart(s, look)
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(s.Names, (*ast.Ident).IsExported) {
					look(s)
				}
			}
		}
	}
}

func eachPart(s *ast.TypeSpec, look func(ast.Node)) {
	look(s.Name)
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		look(s.Type)
		return
	}
	for _, field := range st.Fields.List {
		if len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported) {
			look(field)
		}
	}
}
