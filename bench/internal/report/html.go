package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/wireroom/wireroom/bench/internal/record"
)

//go:embed page.html
var pageSource string

var pageTemplate = template.Must(template.New("page").Parse(pageSource))

// page is what the template shows.
type page struct {
	Title    string
	Preamble []string
	Legend   []key
	Overview template.HTML
	Sections []section
	Failures []record.Run
}

// key explains a colour.
type key struct{ Class, Name, About string }

// section is one case.
type section struct {
	Name, About string
	Pictures    []captioned
	Head        []string
	Body        [][]string
}

type captioned struct {
	Caption string
	Picture template.HTML
}

// HTML writes the report as a page of its own, with plots.
func HTML(w io.Writer, r *record.Report) error {
	colours := colours(r.Servers)
	p := page{Title: "Wireroom, measured"}
	for _, line := range preamble(r) {
		p.Preamble = append(p.Preamble, strings.ReplaceAll(line, "`", ""))
	}
	for _, s := range r.Servers {
		p.Legend = append(p.Legend, key{colours[s.Name], s.Name, join(s.Version, s.About)})
	}
	all := tables(r)
	p.Overview = safe(overview(all, colours))
	for _, t := range all {
		head, body := layout(t)
		p.Sections = append(p.Sections, section{
			Name: t.c.Name, About: t.c.About + ".", Pictures: pictures(t, colours), Head: head, Body: body,
		})
	}
	for _, run := range r.Runs {
		if run.Failed != "" {
			run.Repetition++ // people count from 1
			p.Failures = append(p.Failures, run)
		}
	}
	return pageTemplate.Execute(w, p)
}

// pictures draws what suits a kind of case.
func pictures(t table, colours map[string]string) []captioned {
	var out []captioned
	add := func(caption, svg string) {
		if svg != "" {
			out = append(out, captioned{caption, safe(svg)})
		}
	}
	switch t.c.Kind {
	case record.SimKind:
	case record.IdleKind:
		add("Resident memory per connection", idleBars(t, colours, false))
		add("The same after a garbage collection", idleBars(t, colours, true))
	default:
		add("Server CPU per "+t.c.Unit+", µs", cpuBars(t, colours))
		add("Latency", curves(t, colours))
	}
	return out
}

// peerColours is how many colours for peers the page has.
const peerColours = 12

// colours gives each server a class of the style sheet.
func colours(servers []record.Server) map[string]string {
	out := make(map[string]string)
	peers := 0
	for _, s := range servers {
		switch {
		case s.Peer:
			out[s.Name] = fmt.Sprintf("p%d", peers%peerColours)
			peers++
		case s.Name == floorName:
			out[s.Name] = "lowest"
		case s.Name == floorName+"-batch":
			out[s.Name] = "lowest2"
		default:
			out[s.Name] = "own"
		}
	}
	return out
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// safe marks what this package has drawn, and escaped, as markup.
func safe(svg string) template.HTML {
	return template.HTML(svg)
}
