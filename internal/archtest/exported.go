package archtest

import (
	"fmt"
	"go/ast"
	"slices"
)

// Exported lists the exported package-level names of the public packages, as
// sorted lines "directory Name".
func (m *Module) Exported() (lines []string) {
	for _, p := range m.Packages {
		if p.Public() {
			for _, name := range p.exported() {
				lines = append(lines, p.Dir+" "+name)
			}
		}
	}
	return lines
}

// Budgets checks how many names each public package exports.
func (m *Module) Budgets() (wrong []string) {
	for _, p := range m.Packages {
		if n := len(p.exported()); p.Public() && n > budget(p.Dir) {
			wrong = append(wrong, fmt.Sprintf("%s: exports %d names, at most %d", p.Dir, n, budget(p.Dir)))
		}
	}
	return wrong
}

func (p *Package) exported() (names []string) {
	p.declared(func(id *ast.Ident, _ ast.Node, method, _ bool) {
		if !method && id.IsExported() {
			names = append(names, id.Name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names) // once, also where build tags choose
}

// understood lists methods of errors that need no comment.
var understood = []string{"Error", "Is", "Unwrap"}

// Documented checks that every public name has a comment: packages, what they
// export, and the methods of that.
func (m *Module) Documented() (wrong []string) {
	for _, p := range m.Packages {
		isDoc := func(f *File) bool { return f.AST.Doc.Text() != "" }
		if !slices.ContainsFunc(p.Files, isDoc) {
			wrong = append(wrong, p.Dir+": the package has no comment")
		}
		if !p.Public() {
			continue
		}
		p.declared(func(id *ast.Ident, at ast.Node, method, documented bool) {
			documented = documented || method && slices.Contains(understood, id.Name)
			if id.IsExported() && !documented {
				wrong = append(wrong, fmt.Sprintf("%s: %s has no comment", m.at(at), id.Name))
			}
		})
	}
	return wrong
}

// declared calls do for every name that is declared at package level, and for
// the methods of exported types.
func (p *Package) declared(do func(id *ast.Ident, at ast.Node, method, documented bool)) {
	for _, f := range p.Files {
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				recv := receiver(d)
				if recv == nil || recv.IsExported() {
					do(d.Name, d, recv != nil, d.Doc.Text() != "")
				}
			case *ast.GenDecl:
				declaredIn(d, do)
			}
		}
	}
}

func declaredIn(d *ast.GenDecl, do func(id *ast.Ident, at ast.Node, method, documented bool)) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			do(s.Name, s, false, s.Doc.Text() != "" || !d.Lparen.IsValid() && d.Doc.Text() != "")
		case *ast.ValueSpec:
			documented := s.Doc.Text() != "" || s.Comment.Text() != "" || d.Doc.Text() != ""
			for _, id := range s.Names {
				do(id, s, false, documented)
			}
		}
	}
}

// receiver returns the name of the type that d is a method of, or nil.
func receiver(d *ast.FuncDecl) *ast.Ident {
	if d.Recv == nil || len(d.Recv.List) != 1 {
		return nil
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.Ident:
			return x
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		default:
			return nil
		}
	}
}
