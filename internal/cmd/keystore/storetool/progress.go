package storetool

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// A progress is a bar on a terminal, and a line for each task elsewhere.
type progress struct {
	w           io.Writer
	terminal    bool
	task        string
	done, total int
	drawn       string
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// begin begins a task of a number of records.
func (p *progress) begin(task string, total int) {
	p.end()
	p.task, p.done, p.total = task, 0, total
	p.draw()
}

func (p *progress) add(n int) {
	p.done += n
	p.draw()
}

const barWidth = 40

func (p *progress) draw() {
	if !p.terminal || p.task == "" {
		return
	}
	share := min(1, float64(p.done)/float64(max(1, p.total)))
	bar := strings.Repeat("#", int(share*barWidth))
	line := fmt.Sprintf("\r%-9s [%-*s] %3d%%  %s of %s", p.task, barWidth, bar, int(share*100), count(p.done), count(p.total))
	if line != p.drawn {
		p.drawn = line
		io.WriteString(p.w, line)
	}
}

// end ends the task, if there is one.
func (p *progress) end() {
	switch {
	case p.task == "":
	case p.terminal:
		fmt.Fprintln(p.w)
	default:
		fmt.Fprintf(p.w, "%s: %s of %s records\n", p.task, count(p.done), count(p.total))
	}
	p.task = ""
}
