package archtest

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"strings"
)

// A checker gives types to the packages of the module. Packages of others are
// empty to it, but for a few names, which makes it quick and leaves what comes
// from them without a type.
type checker struct {
	m     *Module
	byDir map[string]*Package
	types map[string]*types.Package // by directory, or by import path
	info  map[string]*types.Info
}

// stubs is what of other packages matters here: types that cannot be copied.
var stubs = map[string][]string{
	"sync":        {"Cond", "Map", "Mutex", "Once", "Pool", "RWMutex", "WaitGroup"},
	"sync/atomic": {"Bool", "Int32", "Int64", "Uint32", "Uint64", "Value"},
}

func (m *Module) newChecker() *checker {
	c := &checker{m: m, byDir: map[string]*Package{}, types: map[string]*types.Package{}, info: map[string]*types.Info{}}
	for _, p := range m.Packages {
		c.byDir[p.Dir] = p
	}
	return c
}

// check returns the types of a package of the module.
func (c *checker) check(p *Package) (*types.Package, *types.Info) {
	if t := c.types[p.Dir]; t != nil {
		return t, c.info[p.Dir]
	}
	var files []*ast.File
	for _, f := range p.Files {
		files = append(files, f.AST)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: c, Error: func(error) {}, DisableUnusedImportCheck: true}
	t, _ := conf.Check(ModulePath+"/"+p.Dir, c.m.fset, files, info) // errors are of what is missing
	c.types[p.Dir], c.info[p.Dir] = t, info
	return t, info
}

// Import implements [types.Importer].
func (c *checker) Import(imp string) (*types.Package, error) {
	if dir, own := strings.CutPrefix(imp, ModulePath+"/"); own && c.byDir[dir] != nil {
		t, _ := c.check(c.byDir[dir])
		return t, nil
	}
	if t := c.types[imp]; t != nil {
		return t, nil
	}
	t := types.NewPackage(imp, path.Base(imp))
	for _, name := range stubs[imp] {
		n := types.NewTypeName(token.NoPos, t, name, nil)
		types.NewNamed(n, types.NewStruct(nil, nil), nil)
		t.Scope().Insert(n)
	}
	t.MarkComplete()
	c.types[imp] = t
	return t, nil
}
