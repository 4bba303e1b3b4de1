package archtest

import (
	"go/ast"
	"go/token"
	"go/types"
)

// Globals checks that no library package writes to a package-level variable
// once it is initialised: settings and caches belong to values.
func (m *Module) Globals() (wrong []string) {
	c := m.newChecker()
	for _, p := range m.Packages {
		if p.Free() {
			continue
		}
		t, info := c.check(p)
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil || fn.Recv == nil && fn.Name.Name == "init" {
					continue
				}
				for _, id := range written(fn.Body) {
					if global(info.Uses[id], t) {
						wrong = append(wrong, m.at(id)+": writes to a package-level variable, by way of "+id.Name)
					}
				}
			}
		}
	}
	return wrong
}

// global tells whether obj is a package-level variable of pkg, or stands for
// another package, to one of whose variables something is written then.
func global(obj types.Object, pkg *types.Package) bool {
	switch obj := obj.(type) {
	case *types.Var:
		return obj.Parent() == pkg.Scope()
	case *types.PkgName:
		return true
	}
	return false
}

// written returns the variables that statements assign to, in whole or in
// part.
func written(body ast.Node) (ids []*ast.Ident) {
	add := func(e ast.Expr) {
		if id := root(e); id != nil {
			ids = append(ids, id)
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, e := range n.Lhs {
					add(e)
				}
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				add(n.Key)
				add(n.Value)
			}
		}
		return true
	})
	return ids
}

// root returns the variable at the left end of an expression, or nil.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}
