package archtest

import (
	"fmt"
	"go/ast"
	"go/types"
	"slices"
	"strings"
)

// redacting is the methods by which a type keeps fmt, slog and encoding/json
// from looking inside.
var redacting = []string{"Format", "LogValue", "MarshalJSON"}

// Secrets checks that every exported type of a public package that is a secret
// or holds one redacts itself. Fmt and slog look through unexported fields
// without calling methods, so the outermost type has to.
//
// A struct is a secret if it has the mark `_ [0]func()`, a field of bytes that
// is named after a secret, or a field of a type that is a secret itself, be it
// behind pointers, slices, maps, or an interface that only its own package
// implements.
func (m *Module) Secrets() (wrong []string) {
	s := &secrets{checker: m.newChecker()}
	for _, p := range m.Packages {
		if !p.Public() {
			continue
		}
		t, _ := s.check(p)
		for _, name := range t.Scope().Names() {
			obj, ok := t.Scope().Lookup(name).(*types.TypeName)
			if !ok || !obj.Exported() || obj.IsAlias() || types.IsInterface(obj.Type()) || !s.leads(obj.Type()) {
				continue
			}
			for _, method := range missing(obj) {
				wrong = append(wrong, fmt.Sprintf("%s.%s holds a secret and has no method %s", p.Dir, name, method))
			}
		}
	}
	return wrong
}

// missing returns the redacting methods that values of the type lack. A type
// that cannot be copied has no values to print, so that its pointer's count.
func missing(obj *types.TypeName) (names []string) {
	t := obj.Type()
	if uncopyable(t) {
		t = types.NewPointer(t)
	}
	set := types.NewMethodSet(t)
	for _, name := range redacting {
		if set.Lookup(obj.Pkg(), name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// uncopyable tells whether a struct has a lock or the like for a field.
func uncopyable(t types.Type) bool {
	st, ok := t.Underlying().(*types.Struct)
	if !ok {
		return false
	}
	for f := range st.Fields() {
		if n, ok := f.Type().(*types.Named); ok && n.Obj().Pkg() != nil && stubs[n.Obj().Pkg().Path()] != nil {
			return true
		}
	}
	return false
}

type secrets struct {
	*checker
	seen map[types.Type]bool // in this search
}

// leads tells whether a value of type t is a secret or leads to one.
func (s *secrets) leads(t types.Type) bool {
	s.seen = map[types.Type]bool{}
	return s.holds(t)
}

// holds is a step of the search: what was seen before is not looked at again.
func (s *secrets) holds(t types.Type) bool {
	if s.seen[t] {
		return false
	}
	s.seen[t] = true
	return s.look(t)
}

func (s *secrets) look(t types.Type) bool {
	switch t := t.(type) {
	case *types.Alias:
		return s.holds(types.Unalias(t))
	case *types.Pointer:
		return s.holds(t.Elem())
	case *types.Slice:
		return s.holds(t.Elem())
	case *types.Array:
		return s.holds(t.Elem())
	case *types.Chan:
		return s.holds(t.Elem())
	case *types.Map:
		return s.holds(t.Key()) || s.holds(t.Elem())
	case *types.Struct:
		return s.lookStruct(t)
	case *types.Named:
		return s.lookNamed(t)
	}
	return false
}

func (s *secrets) lookStruct(t *types.Struct) bool {
	for f := range t.Fields() {
		if marks(f) || named(f) || s.holds(f.Type()) {
			return true
		}
	}
	return false
}

// marks tells whether f is `_ [0]func()`.
func marks(f *types.Var) bool {
	a, ok := f.Type().(*types.Array)
	if !ok || f.Name() != "_" || a.Len() != 0 {
		return false
	}
	_, ok = a.Elem().(*types.Signature)
	return ok
}

// named tells whether f is bytes under the name of a secret.
func named(f *types.Var) bool {
	var elem types.Type
	switch t := f.Type().Underlying().(type) {
	case *types.Slice:
		elem = t.Elem()
	case *types.Array:
		elem = t.Elem()
	default:
		return false
	}
	b, ok := elem.Underlying().(*types.Basic)
	if !ok || b.Kind() != types.Uint8 {
		return false
	}
	name := strings.ToLower(f.Name())
	return slices.ContainsFunc([]string{"private", "secret", "seed", "rootkey", "chainkey", "mackey"},
		func(part string) bool { return strings.Contains(name, part) })
}

func (s *secrets) lookNamed(t *types.Named) bool {
	obj := t.Obj()
	if obj.Pkg() == nil || !within(obj.Pkg().Path(), ModulePath) {
		return false
	}
	dir := strings.TrimPrefix(obj.Pkg().Path(), ModulePath+"/")
	if slices.Contains(alsoSecret, dir+"."+obj.Name()) || s.foreign(dir, obj.Name()) {
		return true
	}
	if i, ok := t.Underlying().(*types.Interface); ok {
		return s.lookInterface(obj.Pkg(), i)
	}
	return s.holds(t.Underlying())
}

// lookInterface looks into the implementations of an interface that has an
// unexported method, all of which are in its own package.
func (s *secrets) lookInterface(pkg *types.Package, i *types.Interface) bool {
	sealed := false
	for f := range i.Methods() {
		sealed = sealed || !f.Exported()
	}
	if !sealed {
		return false
	}
	for _, name := range pkg.Scope().Names() {
		obj, ok := pkg.Scope().Lookup(name).(*types.TypeName)
		if !ok || types.IsInterface(obj.Type()) {
			continue
		}
		if t := obj.Type(); (types.Implements(t, i) || types.Implements(types.NewPointer(t), i)) && s.holds(t) {
			return true
		}
	}
	return false
}

// foreign tells whether the declaration of a type names a private key of
// another module, which has no type here.
func (s *secrets) foreign(dir, name string) (found bool) {
	p := s.byDir[dir]
	if p == nil {
		return false
	}
	for _, f := range p.Files {
		for _, d := range f.AST.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				found = found || foreignIn(g, name)
			}
		}
	}
	return found
}

func foreignIn(g *ast.GenDecl, name string) (found bool) {
	for _, spec := range g.Specs {
		t, ok := spec.(*ast.TypeSpec)
		if !ok || t.Name.Name != name {
			continue
		}
		ast.Inspect(t.Type, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				found = found || strings.HasPrefix(sel.Sel.Name, "PrivateKey") || strings.HasPrefix(sel.Sel.Name, "DecapsulationKey")
			}
			return true
		})
	}
	return found
}
