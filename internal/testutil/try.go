package testutil

import (
	"fmt"
	"testing"
)

// A failure is what a test finds where there is no test.
type failure struct{ text string }

func (f failure) Error() string { return f.text }

// An asserter is a testing.TB for what fails by an error.
type asserter struct {
	testing.TB // nil
	name, text string
}

func (a *asserter) Helper()                           {}
func (a *asserter) Name() string                      { return a.name }
func (a *asserter) Errorf(format string, args ...any) { a.text += fmt.Sprintf(format, args...) }
func (a *asserter) FailNow()                          { panic(failure{a.text}) }
func (a *asserter) Fatal(args ...any)                 { panic(failure{fmt.Sprint(args...)}) }
func (a *asserter) Fatalf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }

// Try runs f, which is written for tests, in a program, and returns what it found.
func Try(name string, f func(testing.TB)) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p
		default:
			panic(p)
		}
	}()
	f(&asserter{name: name})
	return nil
}
